"""What kind of cell is missed, and what is taken for one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import numpy as np

from detector.accuracy.failures import ALONE, AT_BORDER, CROWDED, KINDS, OTHER_CLASS, WORST, failures
from detector.accuracy.operating import operating
from detector.annotations.records import Record
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
    found = _join(_found(["beside"]), _found([OTHER_CLASS], label=1))
    made = failures([_record(ALL)], [found])
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
    found = [_found([])] * 6 + [_found([ALONE])]
    worst = failures(records, found)["RBC"].worst
    assert [(w.field, w.truth) for w in worst] == [("f5", 5), ("f4", 4), ("f3", 3)]
    assert len(worst) == WORST
    assert failures(records, found)["WBC"].worst == ()


def test_every_miss_and_false_find_is_of_one_kind(make: Callable[..., tuple[list[Record], list[Detections]]]) -> None:
    records, found = make(5)
    made, figures = failures(records, found), operating(records, found)
    for name, one in made.items():
        assert sum(one.missed.values()) == figures[name].missed
        assert sum(one.false.values()) == figures[name].false
