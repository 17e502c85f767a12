"""Parts of the fields: hand-made cells, sums that tie, and parts that say too little."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from detector.accuracy.counts import agreement
from detector.accuracy.matching import operating
from detector.accuracy.slices import BORDER, CROWDING, SIZE, Slice, crowding, slices
from detector.annotations.records import Record
from detector.counting.intervals import Interval
from detector.vision.detections import Detections

Make = Callable[..., tuple[list[Record], list[Detections]]]
SIZE_WH = (400, 300)


def field(boxes: list[list[float]], found: list[int], labels: list[int] | None = None) -> tuple[Record, Detections]:
    """Red cells, unless labelled otherwise, of which some are found where they are."""
    xyxy = np.array(boxes, np.float32).reshape(-1, 4)
    label = np.array(labels or [0] * len(boxes), np.int64)
    return Record("f", None, SIZE_WH, xyxy, label), Detections(xyxy[found], np.full(len(found), 0.9), label[found], SIZE_WH)


def parts(fields: list[tuple[Record, Detections]], by: str, groups: list[str] | None = None) -> dict[str, Slice]:
    records, detections = [r for r, _ in fields], [d for _, d in fields]
    return {part.name: part for part in slices(records, detections, groups) if part.by == by}


def value(figure: Interval | None) -> float:
    assert figure is not None
    return figure.value


WHOLE = [[40.0 * i + 20, 100, 40 * i + 50, 130] for i in range(6)]
CUT = [[40.0 * i + 20, 0, 40 * i + 50, 20] for i in range(6)]


def test_cells_at_the_border_and_clear_of_it() -> None:
    """Of 6 whole cells all are found and of 6 cut ones 3, in each of 4 fields."""
    made = parts([field(WHOLE + CUT, list(range(9)))] * 4, BORDER)
    assert list(made) == ["all cells", "clear of the border", "at the border"]
    assert [(part.fields, part.cells) for part in made.values()] == [(4, 48), (4, 24), (4, 24)]
    red = [part.classes["RBC"] for part in made.values()]
    assert [value(one.recall) for one in red] == pytest.approx([0.75, 1, 0.5])
    assert [value(one.precision) for one in red] == [1, 1, 1]
    assert [value(one.mae) for one in red] == [3, 0, 3]
    assert "1.5 %" in made["at the border"].rule


def test_all_cells_are_what_operating_and_agreement_say(make: Make) -> None:
    records, detections = make(4, fields=20)
    whole = next(part for part in slices(records, detections) if part.name == "all cells")
    figures = operating(records, detections)["RBC"]
    counted = agreement([d.counts()["RBC"] for d in detections], [int((r.label == 0).sum()) for r in records])
    red = whole.classes["RBC"]
    assert (red.recall, red.precision, red.mae) == (figures.recall, figures.precision, counted.mae)


def test_small_and_large_cells_by_the_fields_own_red_cells() -> None:
    """The same field enlarged has its cells in the same parts; the small ones are missed."""
    small = [[40.0 * i + 20, 200, 40 * i + 40, 220] for i in range(3)]
    large = [[50.0 * i + 20, 250, 50 * i + 56, 286] for i in range(2)]
    one = field(WHOLE + small + large, [0, 1, 2, 3, 4, 5, 9, 10])
    double = Record("d", None, (800, 600), one[0].xyxy * 2, one[0].label)
    twice = (double, Detections(one[1].xyxy * 2, one[1].score, one[1].label, double.size_wh))
    made = parts([one, twice] * 5, SIZE)
    assert [part.classes["RBC"].truth for part in made.values()] == [30, 60, 20]
    assert [value(part.classes["RBC"].recall) for part in made.values()] == [0, 1, 1]
    assert made["small cells"].classes["RBC"].precision is None
    assert value(made["small cells"].classes["RBC"].mae) == 3
    assert "RBC under 0.9" in made["small cells"].rule


def test_a_field_that_shows_no_scale_has_no_sizes() -> None:
    made = parts([field(WHOLE[:2], [0, 1]), field(WHOLE, list(range(6)))], SIZE)
    assert made["middle cells"].fields == 1
    assert made["middle cells"].classes["RBC"].truth == 6


def test_crowded_fields() -> None:
    """Fields with more cells are in the crowded third, with its cut values named."""
    fields = [field(WHOLE[:n], list(range(n))) for n in (1, 2, 3, 4, 5, 6, 1, 2, 5)]
    made = parts(fields, CROWDING)
    assert [part.fields for part in made.values()] == [2, 4, 3]
    assert [part.cells for part in made.values()] == [2, 11, 16]
    assert made["crowded fields"].rule.startswith("from 3.25 % of the field")
    assert crowding(fields[3][0]) < 0.0325 < crowding(fields[4][0])
    assert made["sparse fields"].classes["RBC"].recall is None
    assert parts(fields[:5], CROWDING) == {}


def test_crowding_counts_each_place_once() -> None:
    assert crowding(field([[0, 0, 200, 300]], [])[0]) == pytest.approx(0.5)
    assert crowding(field([[0, 0, 200, 300], [100, 0, 200, 300]], [])[0]) == pytest.approx(0.5)
    assert crowding(field([], [])[0]) == 0


def test_too_little_says_so() -> None:
    few = parts([field(WHOLE[:4], [0, 1]), field(WHOLE[:5], [0, 1])], BORDER)["all cells"]
    assert (few.classes["RBC"].truth, few.classes["RBC"].counted) == (9, 4)
    assert (few.classes["RBC"].recall, few.classes["RBC"].precision, few.classes["RBC"].mae) == (None, None, None)
    one = parts([field(WHOLE + CUT, list(range(12)))], BORDER)["all cells"].classes["RBC"]
    assert one.recall == Interval(1)
    assert one.mae is None


def test_smears_are_drawn_whole(make: Make) -> None:
    records, detections = make(4, fields=12)
    alone, together = slices(records, detections)[0], slices(records, detections, [str(i // 4) for i in range(12)])[0]
    assert alone.classes["RBC"].recall != together.classes["RBC"].recall
    assert alone.classes["RBC"].mae != together.classes["RBC"].mae
