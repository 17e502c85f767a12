"""Whether cells that look alike are near each other, however they are turned and whatever light they stand in."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from steps import change

from detector.review.likeness import FEATURES, Likeness, describe, distances, in_order, standardised
from detector.review.server import IN_LIST, alike

KINDS = ((30, (190, 120, 140), (0, 0)), (16, (110, 70, 150), (0, 0)), (30, (190, 120, 140), (9, -8)))
"""Radius, colour and place of a dark spot (beside the middle, where it is in one) of three kinds of cells."""


def field(turn: int = 0, light: float = 1.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A field with four cells of each kind: its pixels, boxes and kinds."""
    rgb = np.full((420, 560, 3), 235, np.uint8)
    boxes, kinds = [], []
    for index in range(12):
        kind = (index + turn) % 3
        radius, colour, (dx, dy) = KINDS[kind]
        x, y = 70 + 140 * (index % 4), 70 + 140 * (index // 4)
        cv2.circle(rgb, (x, y), radius, colour, -1)
        if (dx, dy) != (0, 0):
            across, down = [(dx, dy), (-dy, dx), (-dx, -dy), (dy, -dx)][(index + turn) % 4]
            cv2.circle(rgb, (x + across, y + down), 8, (60, 20, 120), -1)
        boxes.append((x - radius, y - radius, x + radius, y + radius))
        kinds.append(kind)
    return (rgb * light).astype(np.uint8), np.array(boxes, dtype=np.float64), np.array(kinds)


@pytest.fixture(scope="module")
def described() -> tuple[np.ndarray, np.ndarray]:
    """Cells of three fields under different lights, and their kinds."""
    fields = [field(), field(1, 0.7), field(2, 0.85)]
    vectors = [describe(rgb, boxes, rbc_px=60) for rgb, boxes, _ in fields]
    return standardised(np.concatenate(vectors)), np.concatenate([kinds for *_, kinds in fields])


def test_the_most_alike_cells_are_of_the_same_kind(described: tuple[np.ndarray, np.ndarray]) -> None:
    vectors, kinds = described
    assert vectors.shape == (36, FEATURES)
    for index, kind in enumerate(kinds):
        far = distances(vectors, index)
        assert far[index] == 0
        assert (kinds[np.argsort(far)[:12]] == kind).all()


def test_in_order_like_cells_stand_together(described: tuple[np.ndarray, np.ndarray]) -> None:
    vectors, kinds = described
    order = in_order(vectors)
    assert sorted(order) == list(range(36))
    # With three groups the kind changes at least twice.
    assert (np.diff(kinds[order]) != 0).sum() <= 6


def test_there_may_be_no_cell_one_cell_equal_cells_and_cells_at_the_border() -> None:
    rgb, boxes, _ = field()
    assert describe(rgb, boxes[:0]).shape == (0, FEATURES)
    assert in_order(describe(rgb, boxes[:0])).tolist() == []
    assert in_order(standardised(describe(rgb, boxes[:1]))).tolist() == [0]
    assert sorted(in_order(standardised(np.zeros((50, FEATURES), np.float32)))) == list(range(50))
    at_border = np.array([[-5, -5, 3, 9], [550, 410, 560, 420], [0, 0, 560, 420], [100, 100, 100.5, 100.5]], dtype=np.float64)
    assert np.isfinite(describe(rgb, at_border)).all()


def test_many_cells_are_put_in_order_in_a_moment() -> None:
    vectors = np.random.default_rng(0).normal(size=(10_000, FEATURES)).astype(np.float32)
    began = time.process_time()
    assert len(np.unique(in_order(vectors))) == 10_000
    assert time.process_time() - began < 3


def finished(likeness: Likeness, states: Any) -> None:
    until = time.monotonic() + 60
    while likeness.progress(states) is not None:
        assert time.monotonic() < until
        time.sleep(0.02)


def test_cells_of_a_review_are_described_once_and_anew_where_they_were_changed(opened: Callable[[], Any]) -> None:
    with opened() as review:
        likeness = Likeness()
        states, _ = review.snapshot()
        done, total = likeness.progress(states) or (0, 0)
        assert (done <= total, total) == (True, sum(not state.source.problem for state in states))
        finished(likeness, states)
        cells = alike(states, likeness, -1, None)
        everything = {(n, number) for n, state in enumerate(states) for number in state.model_cells}
        assert {(cells[i], cells[i + 1]) for i in range(0, len(cells), IN_LIST)} == everything
        first = alike(states, likeness, -1, (1, 0))
        assert (first[:2], len(first)) == ([1, 0], len(cells))
        change(review, 1, looked=True)
        assert likeness.progress(review.snapshot()[0]) is None
        change(review, 1, cells=[{"box": [10, 10, 60, 60], "label": 0}, {"cell": 0, "removed": True}])
        states, _ = review.snapshot()
        assert (likeness.progress(states) or (0, 0))[1] == 1
        finished(likeness, states)
        drawn = max(states[1].cells)
        assert alike(states, likeness, 0, (1, drawn))[:2] == [1, drawn]
