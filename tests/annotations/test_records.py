"""What of a detector's finds can be told right from wrong where a field holds ignore regions."""

from __future__ import annotations

import numpy as np
import pytest

from detector.annotations.records import Record
from detector.vision.cells import PLATELETS, RBC, WBC
from detector.vision.detections import Detections

SIZE = (200, 100)
REGION, CELL, SHIFTED = [100, 0, 200, 100], [120, 20, 140, 40], [125, 20, 145, 40]
"""A region over the right half, a red cell that is labelled in it, and a box that overlaps the cell by an IoU of 0.6."""


def record(*regions: list[int], cells: tuple[tuple[list[int], int], ...] = ((CELL, RBC),)) -> Record:
    xyxy, ignore = (np.array(rows, np.float32).reshape(-1, 4) for rows in ([box for box, _ in cells], regions))
    return Record("a", None, SIZE, xyxy, np.array([label for _, label in cells], np.int64), ignore=ignore)


def found(*boxes: tuple[list[int], int]) -> Detections:
    xyxy = np.array([box for box, _ in boxes], np.float32).reshape(-1, 4)
    return Detections(xyxy, np.full(len(boxes), 0.9, np.float32), np.array([label for _, label in boxes], np.int64), SIZE)


@pytest.mark.parametrize(
    ("box", "label", "judged"),
    [
        pytest.param([20, 20, 40, 40], RBC, True, id="outside"),
        pytest.param([150, 60, 170, 80], RBC, False, id="inside"),
        pytest.param([89, 60, 109, 80], RBC, True, id="less than half inside"),
        pytest.param([90, 60, 110, 80], RBC, False, id="half inside"),
        pytest.param(SHIFTED, RBC, True, id="on a labelled cell"),
        pytest.param(SHIFTED, WBC, False, id="on a labelled cell of another class"),
        pytest.param([132, 20, 152, 40], RBC, False, id="beside a labelled cell"),
        pytest.param([0, 0, 200, 100], WBC, False, id="around the region"),
    ],
)
def test_a_find_in_a_region_is_dropped_unless_it_is_a_labelled_cell(box: list[int], label: int, judged: bool) -> None:
    assert len(record(REGION).judged(found((box, label)))) == judged


def test_without_regions_every_find_is_judged() -> None:
    everything = found((CELL, RBC), (CELL, PLATELETS), ([0, 0, 9, 9], WBC))
    assert record().judged(everything) is everything


def test_a_field_without_finds_or_cells_is_judged_too() -> None:
    assert len(record(REGION).judged(Detections.none(SIZE))) == 0
    assert len(record(REGION, cells=()).judged(found((CELL, RBC)))) == 0


def test_regions_side_by_side_each_speak_for_themselves() -> None:
    """A box a third of which lies in each of two regions lies in none by half."""
    apart = record([0, 0, 100, 100], [110, 0, 200, 100], cells=())
    assert len(apart.judged(found(([90, 0, 120, 30], RBC)))) == 1


def test_a_count_is_not_wrong_by_what_lies_in_a_region() -> None:
    in_region = found((CELL, RBC), ([150, 60, 170, 80], WBC), *(([150, y, 160, y + 10], RBC) for y in range(0, 50, 10)))
    assert not record(REGION).miscounted(in_region)
    assert record().miscounted(in_region)
    assert record(REGION).miscounted(found((CELL, RBC), ([20, 20, 60, 60], WBC)))
