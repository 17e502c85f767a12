"""The same detections by two label sets, joined by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from detector.accuracy.figures import Fields, figures
from detector.accuracy.operating import operating
from detector.accuracy.relabelled import relabelled
from detector.annotations.records import Record
from detector.vision.detections import Detections

Make = Callable[..., tuple[list[Record], list[Detections]]]
AT = {"RBC": 0.5, "WBC": 0.5, "Platelets": 0.5}


def half(record: Record) -> Record:
    """Labels that leave out every other cell."""
    return replace(record, xyxy=record.xyxy[::2], label=record.label[::2])


def test_labels_that_leave_cells_out_make_finds_false(make: Make) -> None:
    records, found = make(1)
    made = relabelled(Fields(records, found, found), [half(r) for r in reversed(records)], AT)
    assert made is not None
    assert made.first == figures(Fields(records, found, found), AT)
    assert made.second.operating == operating([half(r) for r in records], found)
    red = made.labels["RBC"]
    assert (red.counted, red.truth) == tuple(sum(int((r.label == 0).sum()) for r in of) for of in (map(half, records), records))
    assert made.first.operating["RBC"].false < made.second.operating["RBC"].false
    assert (made.only_first, made.only_second, made.other_size) == ([], [], [])


def test_fields_on_one_side_only_and_of_another_size_are_listed(make: Make) -> None:
    records, found = make(1, fields=5)
    others = [half(records[1]), replace(records[2], size_wh=(9, 9)), replace(records[3], name="elsewhere"), half(records[4])]
    made = relabelled(Fields(records, found, found, ["a", "b", "a", "b", "c"]), others, AT)
    assert made is not None
    assert made.second.fields == made.first.fields == 2
    assert made.first == figures(Fields(*([of[i] for i in (1, 4)] for of in (records, found, found)), ["b", "c"]), AT)
    assert made.only_first == ["field0", "field3"]
    assert made.only_second == ["elsewhere"]
    assert made.other_size == ["field2"]


@pytest.mark.parametrize("others", [[], [Record("elsewhere", None, (200, 160), np.zeros((0, 4)), np.zeros(0, np.int64))]])
def test_labels_of_other_fields_say_nothing(make: Make, others: list[Record]) -> None:
    records, found = make(1)
    assert relabelled(Fields(records, found, found), others, AT) is None
