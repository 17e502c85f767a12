"""Thresholds that leave the least error of the count."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from detector.accuracy import thresholds
from detector.annotations.records import Record
from detector.vision.detections import Detections

SIZE = (100, 100)


def _record(n: int, label: int = 0) -> Record:
    return Record("f", Path("f.jpg"), SIZE, np.tile(np.array([[0, 0, 9, 9]], np.float32), (n, 1)), np.full(n, label))


def _found(scores: list[float], label: int = 0) -> Detections:
    n = len(scores)
    return Detections(np.tile(np.array([[0, 0, 9, 9]], np.float32), (n, 1)), np.array(scores), np.full(n, label), SIZE)


def test_the_middle_of_the_gap_between_false_and_true_cells_is_taken() -> None:
    tuned = thresholds.tune([_record(2)], [_found([0.9, 0.7, 0.3])], ["a"])
    assert tuned.thresholds["RBC"] == pytest.approx(0.5, abs=0.011)
    assert tuned.error == {"a": {"RBC": 0.0, "WBC": 0.0, "Platelets": 0.0}}


def test_each_class_has_its_own() -> None:
    records = [_record(1), _record(1, label=1)]
    found = [_found([0.8, 0.6]), _found([0.4, 0.2], label=1)]
    tuned = thresholds.tune(records, found, ["a", "a"])
    assert 0.6 < tuned.thresholds["RBC"] <= 0.8
    assert 0.2 < tuned.thresholds["WBC"] <= 0.4


def test_a_small_group_weighs_as_much_as_a_large_one() -> None:
    many = [(_record(1), _found([0.5]))] * 9
    few = [(_record(1), _found([0.9, 0.6, 0.6]))]
    records, found = zip(*many, *few, strict=True)
    tuned = thresholds.tune(records, found, ["large"] * 9 + ["small"])
    # Alone, the nine fields would be right at 0.5; the small group is wrong there by two cells, the large one above by one.
    assert tuned.thresholds["RBC"] > 0.6
    alone = thresholds.tune(records, found, ["one"] * 10)
    assert alone.thresholds["RBC"] <= 0.5


def test_a_class_that_is_never_found_is_named() -> None:
    records = [_record(2), _record(1, label=1)]
    assert thresholds.tune(records, [_found([0.9]), _found([0.06], label=1)], ["a", "a"]).unfound == ("WBC",)
    assert thresholds.tune(records[:1], [_found([0.9])], ["a"]).unfound == ()


@pytest.mark.parametrize("groups", [[], ["a", "b"]])
def test_arguments_that_disagree_are_refused(groups: list[str]) -> None:
    with pytest.raises(ValueError, match="equal, positive numbers"):
        thresholds.tune([_record(1)] if groups else [], [_found([0.5])], groups)
