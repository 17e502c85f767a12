"""Precision, recall and F1 from counted matches."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from detector.accuracy.operating import operating
from detector.annotations.records import Record
from detector.counting.intervals import Interval
from detector.vision.detections import Detections

BOX = [[10.0, 10, 20, 20], [40, 10, 50, 20], [70, 10, 80, 20]]


def record(name: str, label: list[int]) -> Record:
    return Record(name, None, (100, 100), np.array(BOX[: len(label)], np.float32).reshape(-1, 4), np.array(label, np.int64))


def detections(rows: list[int], label: list[int]) -> Detections:
    xyxy = np.array([BOX[i] for i in rows], np.float32).reshape(-1, 4)
    return Detections(xyxy, np.full(len(label), 0.9, np.float32), np.array(label, np.int64), (100, 100))


def test_hits_misses_and_false_finds() -> None:
    figures = operating([record("a", [0, 0, 1]), record("b", [0])], [detections([0, 2], [0, 0]), detections([0], [0])])
    rbc, wbc = figures["RBC"], figures["WBC"]
    assert (rbc.true, rbc.false, rbc.missed) == (2, 1, 1)
    assert rbc.precision is not None
    assert rbc.recall is not None
    assert rbc.f1 is not None
    assert [rbc.precision.value, rbc.recall.value, rbc.f1.value] == pytest.approx([2 / 3, 2 / 3, 2 / 3])
    assert (wbc.true, wbc.false, wbc.missed) == (0, 0, 1)
    assert wbc.precision is None
    assert wbc.recall is not None
    assert wbc.recall.value == 0


def test_a_class_that_is_nowhere_is_undefined() -> None:
    plt = operating([record("a", [0])], [detections([0], [0])])["Platelets"]
    assert (plt.precision, plt.recall, plt.f1) == (None, None, None)


def test_false_finds_without_truth_have_precision_alone() -> None:
    plt = operating([record("a", [0])], [detections([0], [2])])["Platelets"]
    assert plt.precision is not None
    assert plt.precision.value == 0
    assert plt.recall is None


def test_agrees_with_matches_of_the_reference(make: Callable[..., tuple[list[Record], list[Detections]]]) -> None:
    from detector.accuracy import precision

    records, found = make(3)
    ranking = precision.rank(records, found)
    for ranked, figures in zip(ranking.classes, operating(records, found).values(), strict=True):
        assert figures.true == ranked.hit[0].sum()
        assert figures.true + figures.missed == ranked.truth.sum()
        assert figures.true + figures.false == ranked.hit.shape[1]


def test_accuracy_and_what_is_named_right() -> None:
    """Of 3 red cells one is found, one under a white cell's name and one not; a platelet is found where nothing is."""
    found = detections([0, 1], [0, 1])
    figures = operating([record("a", [0, 0, 0])], [found])
    rbc = figures["RBC"]
    assert rbc.accuracy is not None
    assert rbc.accuracy.value == pytest.approx(1 / 3)
    assert rbc.named_right is not None
    assert rbc.named_right.value == pytest.approx(1 / 2)
    assert figures["WBC"].accuracy is not None
    assert figures["WBC"].accuracy.value == 0
    assert figures["WBC"].named_right is None


def test_no_error_in_a_few_fields_leaves_the_interval_open() -> None:
    records, found = [record(f"{i}", [0, 1]) for i in range(6)], [detections([0, 1], [0, 1])] * 6
    recall = operating(records, found)["WBC"].recall
    assert recall is not None
    assert recall.low is not None
    assert (recall.value, recall.high) == (1, pytest.approx(1))
    assert 0.4 < recall.low < 0.9
    assert operating(records[:1], found[:1])["WBC"].recall == Interval(1.0)


def test_fields_of_few_smears_tell_less(make: Callable[..., tuple[list[Record], list[Detections]]]) -> None:
    """Where every other field is blind, fields differ; in smears that hold both kinds alike, smears do not."""
    records, found = make(1, fields=24)
    found = [d if i % 2 else d[:0] for i, d in enumerate(found)]

    def width(groups: list[str] | None) -> float:
        recall = operating(records, found, groups)["RBC"].recall
        assert recall is not None
        assert recall.low is not None
        assert recall.high is not None
        return recall.high - recall.low

    alternating, alike = [str(i % 2) for i in range(24)], [str(i // 6) for i in range(24)]
    assert width(alike) < width(None) < width(alternating)
