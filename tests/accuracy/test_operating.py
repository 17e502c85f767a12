"""Precision, recall and F1 from counted matches."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from detector.accuracy.operating import operating
from detector.annotations.records import Record
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
    evaluated = precision._evaluated(records, found)
    for label, figures in enumerate(operating(records, found).values()):
        ranked = precision._ranked(evaluated, label, len(records))
        assert figures.true == ranked.hit[0].sum()
        assert figures.true + figures.missed == ranked.truth.sum()
        assert figures.true + figures.false == ranked.hit.shape[1]
