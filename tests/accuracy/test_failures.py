"""What kind of cell is missed and what is taken for one, rows of single fields, and the worst of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import numpy as np
import pytest

from detector.accuracy.failures import (
    ALONE,
    AT_BORDER,
    CROWDED,
    KINDS,
    OTHER_CLASS,
    WORST_OF_CLASS,
    WORST_SHOWN,
    FieldClass,
    failures,
    field_rows,
    groups_by_name,
    worst_fields,
)
from detector.accuracy.matching import operating
from detector.annotations.records import Record
from detector.errors import ManifestError
from detector.vision.detections import Detections

SIZE = (200, 200)
ROWS = {
    AT_BORDER: [0.0, 50, 20, 70],
    ALONE: [50.0, 50, 70, 70],
    CROWDED: [100.0, 50, 120, 70],
    "beside": [115.0, 50, 135, 70],
    OTHER_CLASS: [50.0, 120, 70, 140],
}
ALL = list(ROWS)


def _record(names: list[str], label: int = 0, field: str = "f") -> Record:
    xyxy = np.array([ROWS[name] for name in names], np.float32).reshape(-1, 4)
    return Record(field, None, SIZE, xyxy, np.full(len(names), label))


def _found(names: list[str], label: int = 0) -> Detections:
    xyxy = np.array([ROWS[name] for name in names], np.float32).reshape(-1, 4)
    return Detections(xyxy, np.full(len(names), 0.9), np.full(len(names), label), SIZE)


def _join(a: Detections, b: Detections) -> Detections:
    parts = ((a.xyxy, b.xyxy), (a.score, b.score), (a.label, b.label))
    return Detections(*map(np.concatenate, parts), SIZE)


def test_missed_cells_are_of_the_kind_of_their_place() -> None:
    detections = _join(_found(["beside"]), _found([OTHER_CLASS], label=1))
    made = failures([_record(ALL)], [detections])
    assert made["RBC"].missed == dict.fromkeys(KINDS, 1)
    assert made["RBC"].false == dict.fromkeys(KINDS, 0)
    assert made["WBC"].false == {**dict.fromkeys(KINDS, 0), OTHER_CLASS: 1}
    (worst,) = made["RBC"].worst
    assert asdict(worst) == {"field": "f", "counted": 1, "truth": 5, "missed": dict.fromkeys(KINDS, 1), "false": {}}


def test_false_finds_are_too() -> None:
    labelled = Record("f", None, SIZE, np.array([ROWS["beside"], ROWS[OTHER_CLASS]], np.float32), np.array([0, 1]))
    made = failures([labelled], [_found([AT_BORDER, ALONE, CROWDED, "beside", OTHER_CLASS])])
    assert made["RBC"].false == dict.fromkeys(KINDS, 1)
    assert made["WBC"].missed[OTHER_CLASS] == 1


def test_a_second_find_of_a_cell_is_among_touching_cells() -> None:
    assert failures([_record([ALONE])], [_found([ALONE, ALONE])])["RBC"].false[CROWDED] == 1


def test_the_worst_fields_come_first_and_right_ones_not_at_all() -> None:
    records = [_record(ALL[:n], field=f"f{n}") for n in range(6)] + [_record([ALONE], field="right")]
    detections = [_found([])] * 6 + [_found([ALONE])]
    worst = failures(records, detections)["RBC"].worst
    assert [(w.field, w.truth) for w in worst] == [("f5", 5), ("f4", 4), ("f3", 3)]
    assert len(worst) == WORST_OF_CLASS
    assert failures(records, detections)["WBC"].worst == ()


def test_every_miss_and_false_find_is_of_one_kind(make: Callable[..., tuple[list[Record], list[Detections]]]) -> None:
    records, detections = make(5)
    made, figures = failures(records, detections), operating(records, detections)
    for name, one in made.items():
        assert sum(one.missed.values()) == figures[name].missed
        assert sum(one.false.values()) == figures[name].false


Make = Callable[..., tuple[list[Record], list[Detections]]]
BOXES = np.array([[0.0, 40, 20, 60], [40, 40, 60, 60], [80, 40, 100, 60], [120, 40, 140, 60]], np.float32)


def field(name: str, labelled: list[int], detected: list[int], label: int = 0) -> tuple[Record, Detections]:
    """Boxes that are labelled and boxes that are detected, by index."""
    record = Record(name, None, (200, 100), BOXES[labelled], np.zeros(len(labelled), np.int64))
    return record, Detections(BOXES[detected], np.full(len(detected), 0.9), np.full(len(detected), label), (200, 100))


def test_a_row_tells_how_a_field_was_counted() -> None:
    record, detections = field("a", [0, 1, 2], [1, 3])
    (row,) = field_rows([record], [detections], ["s"], ["d"])
    assert (row.field, row.smear, row.domain, row.saturated) == ("a", "s", "d", False)
    red = FieldClass(truth=3, counted=2, error=-1, clear_truth=2, clear_counted=2, true=1, false=1, missed=2)
    assert row.classes["RBC"] == red
    assert (row.off, row.mistakes) == (1, 3)
    other = Detections(BOXES[[0, 1]], np.full(2, 0.9), np.array([0, 2]), (200, 100))
    (beside,) = field_rows([record], [detections], other=[other])
    assert [one.other for one in beside.classes.values()] == [1, 0, 1]
    assert (field_rows([record], [detections])[0].smear, field_rows([record], [detections])[0].domain) == (None, None)


def test_rows_add_up_to_the_figures(make: Make) -> None:
    records, detections = make(3)
    made = field_rows(records, detections)
    for name, figures in operating(records, detections).items():
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
    records, detections = [r for r, _ in fields], [d for _, d in fields]
    made = worst_fields(field_rows(records, detections), records, detections)
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
    assert (made[2].match.false.tolist(), made[2].match.missed.tolist(), len(made[2].detections)) == ([0], [0, 1], 1)


def test_no_more_than_can_be_looked_at(make: Make) -> None:
    records, detections = make(3, fields=30)
    made = worst_fields(field_rows(records, detections), records, detections)
    assert len(made) == WORST_SHOWN
    assert [one.row.off for one in made] == sorted((one.row.off for one in made), reverse=True)


def test_smears_go_by_the_name_that_a_dataset_has() -> None:
    pairs = [("one/a.jpg", "1"), ("two/b.PNG", "2"), ("slide.3", "2"), ("c", "1"), ("again/c.tif", "1"), ("d.png", "")]
    assert groups_by_name(pairs, "smear") == {"a": "1", "b": "2", "slide.3": "2", "c": "1"}
    with pytest.raises(ManifestError, match=r"two/a\.jpg: a field named 'a' is of smear '1' and of smear '2'"):
        groups_by_name([("one/a.jpg", "1"), ("two/a.jpg", "2")], "smear")
