"""Pairing of detections with labelled cells."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.accuracy.matching import Match, match
from detector.vision import boxes
from detector.vision.detections import Detections

Rows = list[tuple[float, float, float, float]]


def pair(
    found: Rows, scores: list[float], truth: Rows, labels: list[int] | None = None, truth_labels: list[int] | None = None
) -> Match:
    def xyxy(rows: Rows) -> np.ndarray:
        return np.array(rows, dtype=np.float32).reshape(-1, 4)

    detections = Detections(xyxy(found), np.array(scores, np.float32), np.array(labels or [0] * len(found), np.int64), (100, 100))
    return match(detections, xyxy(truth), np.array(truth_labels or [0] * len(truth), np.int64))


def test_the_better_score_takes_the_cell() -> None:
    found = pair([(0, 0, 10, 9), (0, 0, 10, 10)], [0.9, 0.8], [(0, 0, 10, 10)])
    assert (found.found.tolist(), found.truth.tolist()) == ([0], [0])
    assert (found.false.tolist(), found.missed.tolist()) == ([1], [])


def test_the_second_takes_the_next_best_cell() -> None:
    """Both overlap the first cell most; the one with the lower score still overlaps the other enough."""
    found = pair([(1, 0, 11, 10), (2, 0, 12, 10)], [0.7, 0.9], [(2, 0, 12, 10), (0, 0, 10, 10)])
    assert found.found.tolist() == [1, 0]
    assert found.truth.tolist() == [0, 1]


def test_classes_do_not_mix() -> None:
    found = pair([(0, 0, 10, 10)], [0.9], [(0, 0, 10, 10)], labels=[1], truth_labels=[0])
    assert found.false.tolist() == [0]
    assert found.missed.tolist() == [0]


def test_the_threshold_itself_is_enough() -> None:
    assert pair([(0, 0, 10, 10)], [0.9], [(0, 0, 10, 5)]).found.tolist() == [0]
    assert pair([(0, 0, 10, 10)], [0.9], [(0, 0, 10, 4.9)]).found.tolist() == []


def test_nothing_on_one_side_or_both() -> None:
    assert pair([], [], [(0, 0, 1, 1)]).missed.tolist() == [0]
    assert pair([(0, 0, 1, 1)], [0.5], []).false.tolist() == [0]
    empty = pair([], [], [])
    assert [len(a) for a in (empty.found, empty.truth, empty.false, empty.missed)] == [0, 0, 0, 0]


box = st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(1, 30), st.integers(1, 30))


@settings(deadline=None)
@given(
    st.lists(st.tuples(box, st.integers(0, 2), st.integers(0, 9)), max_size=12),
    st.lists(st.tuples(box, st.integers(0, 2)), max_size=12),
)
def test_one_to_one_within_class_and_complete(
    found: list[tuple[tuple[int, int, int, int], int, int]], truth: list[tuple[tuple[int, int, int, int], int]]
) -> None:
    f = np.array([[x, y, x + w, y + h] for (x, y, w, h), _, _ in found], dtype=np.float32).reshape(-1, 4)
    t = np.array([[x, y, x + w, y + h] for (x, y, w, h), _ in truth], dtype=np.float32).reshape(-1, 4)
    label = np.array([c for _, c, _ in found], dtype=np.int64)
    truth_label = np.array([c for _, c in truth], dtype=np.int64)
    score = np.array([s / 10 for _, _, s in found], dtype=np.float32)
    pairs = match(Detections(f, score, label, (100, 100)), t, truth_label)
    assert sorted([*pairs.found, *pairs.false]) == list(range(len(f)))
    assert sorted([*pairs.truth, *pairs.missed]) == list(range(len(t)))
    assert (label[pairs.found] == truth_label[pairs.truth]).all()
    overlap = boxes.iou(f, t)
    assert (overlap[pairs.found, pairs.truth] >= 0.5).all()
    # Nothing that could be paired is left on both sides.
    left = overlap[np.ix_(pairs.false, pairs.missed)] >= 0.5
    assert not (left & (label[pairs.false][:, None] == truth_label[pairs.missed][None, :])).any()
