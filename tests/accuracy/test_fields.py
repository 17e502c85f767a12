"""Rows of single fields, the worst of them, and the smears of a manifest."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from detector.accuracy.fields import WORST, FieldClass, by_name, rows, worst
from detector.accuracy.operating import operating
from detector.annotations.records import Record
from detector.errors import ManifestError
from detector.vision.detections import Detections

Make = Callable[..., tuple[list[Record], list[Detections]]]
BOXES = np.array([[0.0, 40, 20, 60], [40, 40, 60, 60], [80, 40, 100, 60], [120, 40, 140, 60]], np.float32)


def field(name: str, labelled: list[int], found: list[int], label: int = 0) -> tuple[Record, Detections]:
    """Boxes that are labelled and boxes that are found, by index."""
    record = Record(name, None, (200, 100), BOXES[labelled], np.zeros(len(labelled), np.int64))
    return record, Detections(BOXES[found], np.full(len(found), 0.9), np.full(len(found), label), (200, 100))


def test_a_row_tells_how_a_field_was_counted() -> None:
    record, found = field("a", [0, 1, 2], [1, 3])
    (row,) = rows([record], [found], ["s"], ["d"])
    assert (row.field, row.smear, row.domain, row.saturated) == ("a", "s", "d", False)
    red = FieldClass(truth=3, counted=2, error=-1, clear_truth=2, clear_counted=2, true=1, false=1, missed=2)
    assert row.classes["RBC"] == red
    assert (row.off, row.mistakes) == (1, 3)
    other = Detections(BOXES[[0, 1]], np.full(2, 0.9), np.array([0, 2]), (200, 100))
    (beside,) = rows([record], [found], other=[other])
    assert [one.other for one in beside.classes.values()] == [1, 0, 1]
    assert (rows([record], [found])[0].smear, rows([record], [found])[0].domain) == (None, None)


def test_rows_add_up_to_the_figures(make: Make) -> None:
    records, found = make(3)
    made = rows(records, found)
    for name, figures in operating(records, found).items():
        assert sum(row.classes[name].true for row in made) == figures.true
        assert sum(row.classes[name].false for row in made) == figures.false
        assert sum(row.classes[name].missed for row in made) == figures.missed


def test_the_worst_are_wrong_by_the_most_cells() -> None:
    fields = [
        field("right", [0, 1], [0, 1]),
        field("b one off", [0, 1], [0]),
        field("misses and false finds that cancel", [0, 1], [2, 3]),
        field("two off", [0, 1], []),
        field("a one off", [0, 1], [0]),
        field("one off and more mistakes", [0, 1], [2]),
        field("another class", [0, 1, 2], [0, 1, 2], label=1),
    ]
    records, found = [r for r, _ in fields], [d for _, d in fields]
    made = worst(rows(records, found), records, found)
    assert [one.row.field for one in made] == [
        "another class",
        "two off",
        "one off and more mistakes",
        "a one off",
        "b one off",
        "misses and false finds that cancel",
    ]
    assert [one.row.off for one in made] == [6, 2, 1, 1, 1, 0]
    assert made[2].record.name == "one off and more mistakes"
    assert (made[2].match.false.tolist(), made[2].match.missed.tolist(), len(made[2].found)) == ([0], [0, 1], 1)


def test_no_more_than_can_be_looked_at(make: Make) -> None:
    records, found = make(3, fields=30)
    made = worst(rows(records, found), records, found)
    assert len(made) == WORST
    assert [one.row.off for one in made] == sorted((one.row.off for one in made), reverse=True)


def test_smears_go_by_the_name_that_a_dataset_has() -> None:
    pairs = [("one/a.jpg", "1"), ("two/b.PNG", "2"), ("slide.3", "2"), ("c", "1"), ("again/c.tif", "1"), ("d.png", "")]
    assert by_name(pairs, "smear") == {"a": "1", "b": "2", "slide.3": "2", "c": "1"}
    with pytest.raises(ManifestError, match=r"two/a\.jpg: a field named 'a' is of smear '1' and of smear '2'"):
        by_name([("one/a.jpg", "1"), ("two/a.jpg", "2")], "smear")
