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
    return Record("f", Path("f.jpg"), SIZE, np.tile(np.array([[20, 20, 29, 29]], np.float32), (n, 1)), np.full(n, label))


def _found(scores: list[float], label: int = 0) -> Detections:
    n = len(scores)
    return Detections(np.tile(np.array([[20, 20, 29, 29]], np.float32), (n, 1)), np.array(scores), np.full(n, label), SIZE)


def test_the_middle_of_the_gap_between_false_and_true_cells_is_taken() -> None:
    tuned = thresholds.tune([_record(2)], [_found([0.9, 0.7, 0.3])], ["a"])
    assert tuned.thresholds["RBC"] == pytest.approx(0.5, abs=0.011)
    assert tuned.error == {"a": {"RBC": 0.0, "WBC": 0.0, "Platelets": 0.0}}
    assert (tuned.classes["RBC"].low, tuned.classes["RBC"].high) == (tuned.thresholds["RBC"],) * 2


def test_each_class_has_its_own() -> None:
    records = [_record(1), _record(1, label=1)]
    detections = [_found([0.8, 0.6]), _found([0.4, 0.2], label=1)]
    tuned = thresholds.tune(records, detections, ["a", "a"])
    assert 0.6 < tuned.thresholds["RBC"] <= 0.8
    assert 0.2 < tuned.thresholds["WBC"] <= 0.4


def test_a_small_domain_weighs_as_much_as_a_large_one() -> None:
    many = [(_record(1), _found([0.5]))] * 9
    few = [(_record(1), _found([0.9, 0.6, 0.6]))]
    records, detections = zip(*many, *few, strict=True)
    tuned = thresholds.tune(records, detections, ["large"] * 9 + ["small"])
    # Alone, the nine fields would be right at 0.5; the small domain is wrong there by two cells, the large one above by one.
    assert tuned.thresholds["RBC"] > 0.6
    alone = thresholds.tune(records, detections, ["one"] * 10)
    assert alone.thresholds["RBC"] <= 0.5


def test_a_class_that_is_never_found_is_named() -> None:
    records = [_record(2), _record(1, label=1)]
    assert thresholds.tune(records, [_found([0.9]), _found([0.06], label=1)], ["a", "a"]).unfound == ("WBC",)
    assert thresholds.tune(records[:1], [_found([0.9])], ["a"]).unfound == ()


def test_a_class_without_a_labelled_cell_is_not_tuned() -> None:
    tuned = thresholds.tune([_record(2)] * 3, [_found([0.9, 0.8])] * 3, ["a"] * 3)
    assert tuned.untuned == ("WBC", "Platelets")
    assert tuned.thresholds["Platelets"] == thresholds.UNTUNED
    # Nothing says that any other threshold were worse.
    assert (tuned.classes["WBC"].low, tuned.classes["WBC"].high) == (thresholds.GRID[0], thresholds.GRID[-1])
    assert thresholds.tune([_record(1, label=label) for label in range(3)], [_found([])] * 3, ["a"] * 3).untuned == ()


def _at(threshold: float) -> int:
    return int(np.flatnonzero(np.isclose(thresholds.GRID, threshold))[0])


def test_what_a_common_threshold_costs_each_domain_is_told() -> None:
    """A stain whose cells score low beside one whose false finds score as high: no threshold suits both."""
    pale, dark = (_record(2), _found([0.45, 0.4])), (_record(1), _found([0.9, 0.6, 0.55]))
    records, detections = zip(pale, dark, dark, strict=True)
    tuned = thresholds.tune(records, detections, ["pale", "dark", "dark"]).classes["RBC"]
    assert list(tuned.domains) == ["dark", "pale"]
    for name, fields in (("pale", 1), ("dark", 2)):
        one = tuned.domains[name]
        assert one.fields == fields
        assert one.error[one.own] == 0
        assert one.error[_at(0.5)] == 2
    assert thresholds.GRID[tuned.domains["pale"].own] <= 0.4
    assert thresholds.GRID[tuned.domains["dark"].own] > 0.6
    assert sum(domain.error[tuned.chosen] for domain in tuned.domains.values()) == 2


def test_cut_cells_weigh_on_the_error_of_all_cells_alone() -> None:
    """Slivers at the border that the labels leave out, of high score, do not raise the threshold over true cells."""
    boxes = np.array([[20, 20, 29, 29], [0, 50, 3, 60], [0, 70, 3, 80]], np.float32)
    one = Detections(boxes, np.array([0.3, 0.8, 0.7]), np.zeros(3, int), SIZE)
    tuned = thresholds.tune([_record(1)], [one], ["a"])
    assert tuned.thresholds["RBC"] <= 0.3
    # Without the cell that is clear of the border, they do.
    assert thresholds.tune([_record(0), _record(1)], [one[1:], _found([0.95])], ["a"] * 2).thresholds["RBC"] > 0.8
    domain = tuned.classes["RBC"].domains["a"]
    assert (domain.error[_at(0.2)], domain.all_error[_at(0.2)]) == (0, 2)
    assert tuned.error["a"]["RBC"] == 2


def test_a_threshold_that_few_fields_decide_has_wide_limits() -> None:
    clear_cut = [(_record(1), _found([0.9, 0.2]))] * 20
    torn = [(_record(1), _found([0.9, 0.7]))] * 10 + [(_record(2), _found([0.9, 0.4]))] * 11
    limits = {}
    for name, fields in (("clear", clear_cut), ("torn", torn)):
        records, detections = zip(*fields, strict=True)
        one = thresholds.tune(records, detections, ["a"] * len(records)).classes["RBC"]
        assert one.low <= one.threshold <= one.high
        limits[name] = one.high - one.low
    assert limits["clear"] == 0
    assert limits["torn"] > 0.3


@pytest.mark.parametrize("domains", [[], ["a", "b"]])
def test_arguments_that_disagree_are_refused(domains: list[str]) -> None:
    with pytest.raises(ValueError, match="equal, positive numbers"):
        thresholds.tune([_record(1)] if domains else [], [_found([0.5])], domains)


def test_a_laboratory_gets_the_nearest_threshold_that_counts_its_cells() -> None:
    present = {"RBC": 0.5, "WBC": 0.5, "Platelets": 0.5}
    records, cells = [_record(3)] * 6, [_found([0.9, 0.8, 0.3])] * 6
    near = thresholds.nearest(records, cells, present)
    assert near["RBC"] == pytest.approx(0.3)
    # No field has a white cell or a platelet.
    assert (near["WBC"], near["Platelets"]) == (0.5, 0.5)
    # It stays where it counts right already.
    assert thresholds.nearest([_record(2)] * 6, cells, present) == present


def test_a_threshold_stays_where_fields_disagree() -> None:
    # Lowered, it would be right by a cell in three fields more and wrong by one in two more.
    present = {"RBC": 0.5, "WBC": 0.5, "Platelets": 0.5}
    cells = [_found([0.9, 0.8, 0.3])] * 20
    assert thresholds.nearest([_record(3)] * 11 + [_record(2)] * 9, cells, present) == present
    assert thresholds.nearest([_record(3)] * 15 + [_record(2)] * 5, cells, present)["RBC"] == pytest.approx(0.3)


def test_cut_cells_count_for_a_laboratory() -> None:
    cut = np.array([[0, 20, 9, 29]], np.float32)
    record = Record("f", Path("f.jpg"), SIZE, cut, np.zeros(1, np.int64))
    cells = Detections(cut, np.array([0.2]), np.zeros(1, np.int64), SIZE)
    near = thresholds.nearest([record] * 5, [cells] * 5, {"RBC": 0.5, "WBC": 0.5, "Platelets": 0.5})
    assert near["RBC"] == pytest.approx(0.2)


def test_of_thresholds_that_do_as_well_the_one_for_unseen_laboratories_is_taken() -> None:
    # At home any threshold from 0.2 to 0.9 is right; elsewhere false cells have scores up to 0.6.
    records, cells, at_home = [_record(1)] * 4, [_found([0.9, 0.15])] * 4, ["home"] * 4
    assert thresholds.tune(records, cells, at_home).thresholds["RBC"] == pytest.approx(0.52, abs=0.03)
    elsewhere = thresholds.Unseen([_record(1)] * 4, [_found([0.8, 0.6])] * 4, ["other"] * 4)
    tuned = thresholds.tune(records, cells, at_home, elsewhere)
    assert 0.6 < tuned.thresholds["RBC"] <= 0.8
    assert tuned.classes["RBC"].low > 0.6
    # What would be right elsewhere only is not taken.
    worse = thresholds.Unseen([_record(1)] * 4, [_found([0.12])] * 4, ["other"] * 4)
    assert thresholds.tune(records, cells, at_home, worse).thresholds["RBC"] > 0.15
    # Laboratories without a cell of the class say nothing of it.
    none = thresholds.Unseen([_record(1, label=1)] * 4, [_found([0.8], label=1)] * 4, ["other"] * 4)
    assert thresholds.tune(records, cells, at_home, none).thresholds == thresholds.tune(records, cells, at_home).thresholds
