"""Box arithmetic, by its properties."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.vision import boxes


def _boxes(draw: st.DrawFn, least: int = 0) -> np.ndarray:
    n = draw(st.integers(least, 12))
    corner = st.integers(-50, 300)
    side = st.integers(0, 120)
    rows = [(x, y, x + draw(side), y + draw(side)) for x, y in ((draw(corner), draw(corner)) for _ in range(n))]
    return np.array(rows, dtype=np.float32).reshape(-1, 4)


random_boxes = st.composite(_boxes)()


@given(random_boxes, random_boxes)
def test_overlap_is_symmetric_and_a_share(a: np.ndarray, b: np.ndarray) -> None:
    forth, back = boxes.iou(a, b), boxes.iou(b, a)
    assert forth.shape == (len(a), len(b))
    assert np.allclose(forth, back.T)
    assert ((forth >= 0) & (forth <= 1 + 1e-6)).all()


@given(random_boxes)
def test_a_box_overlaps_itself_wholly_unless_it_is_empty(a: np.ndarray) -> None:
    assert np.allclose(np.diag(boxes.iou(a, a)), boxes.area(a) > 0)


@given(random_boxes, st.integers(1, 200), st.integers(1, 200))
def test_clipping_stays_inside_and_is_idempotent(a: np.ndarray, w: int, h: int) -> None:
    before = a.copy()
    cut = boxes.clip(a, (w, h))
    assert ((cut >= 0) & (cut <= [w, h, w, h])).all()
    assert np.array_equal(boxes.clip(cut, (w, h)), cut)
    assert np.array_equal(a, before)


def test_area_agrees_with_pixels_counted_one_by_one() -> None:
    grid = np.zeros((40, 40), dtype=int)
    grid[5:17, 3:30] += 1
    grid[10:35, 20:38] += 1
    a = np.array([[3, 5, 30, 17]], dtype=np.float32)
    b = np.array([[20, 10, 38, 35]], dtype=np.float32)
    assert boxes.area(a)[0] == 12 * 27
    assert boxes.intersection(a, b)[0, 0] == (grid == 2).sum()
    assert boxes.iou(a, b)[0, 0] == pytest.approx((grid == 2).sum() / (grid > 0).sum())


def test_two_boxes_apart_have_no_overlap_although_both_lengths_would_be_negative() -> None:
    a = np.array([[0, 0, 10, 10]], dtype=np.float32)
    b = np.array([[30, 30, 40, 40]], dtype=np.float32)
    assert boxes.iou(a, b)[0, 0] == 0


@given(random_boxes, st.data())
def test_suppression_keeps_the_best_and_leaves_no_two_that_overlap(a: np.ndarray, data: st.DataObject) -> None:
    a = a[boxes.area(a) > 0]
    n = len(a)
    score = np.array(data.draw(st.lists(st.integers(0, 100), min_size=n, max_size=n)), dtype=np.float32) / 100
    label = np.array(data.draw(st.lists(st.integers(0, 2), min_size=n, max_size=n)), dtype=np.int64)
    kept = boxes.suppress(a, score, label, 0.5)
    overlap = boxes.iou(a, a) > 0.5
    same = label[:, None] == label[None, :]
    for place, i in enumerate(kept):
        assert not any(overlap[i, j] and same[i, j] for j in kept[place + 1 :])
    for i in set(range(n)) - set(kept.tolist()):
        assert any(overlap[i, j] and same[i, j] and score[j] >= score[i] for j in kept)
    assert (np.diff(score[kept]) <= 0).all()


@pytest.mark.parametrize("n", [0, 1, 33, 400])
def test_suppression_of_many_boxes_is_that_of_one_after_the_other(n: int) -> None:
    generator = np.random.default_rng(n)
    corner = generator.uniform(0, 120, (n, 2))
    a = np.concatenate([corner, corner + generator.uniform(15, 40, (n, 2))], axis=1).astype(np.float32)
    score, label = generator.integers(0, 20, n).astype(np.float32) / 20, generator.integers(0, 3, n)
    plain: list[int] = []
    for i in np.argsort(-score, kind="stable").tolist():
        if not any(label[i] == label[j] and boxes.iou(a[[i]], a[[j]])[0, 0] > 0.4 for j in plain):
            plain.append(i)
    assert boxes.suppress(a, score, label, 0.4).tolist() == plain


def test_suppression_does_not_look_across_classes() -> None:
    twice = np.array([[0, 0, 10, 10], [0, 0, 10, 10]], dtype=np.float32)
    score = np.array([0.9, 0.8], dtype=np.float32)
    assert len(boxes.suppress(twice, score, np.array([0, 1]), 0.5)) == 2
    assert boxes.suppress(twice, score, np.array([0, 0]), 0.5).tolist() == [0]


def test_touching_names_the_edges_within_the_margin() -> None:
    a = np.array([[0, 20, 30, 40], [50, 1.5, 60, 78.5], [10, 10, 100, 80], [10, 10, 20, 20]], dtype=np.float32)
    assert boxes.touches(a, (100, 80), 2.0).tolist() == [
        [True, False, False, False],
        [False, True, False, True],
        [False, False, True, True],
        [False, False, False, False],
    ]


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1, max_size=9))
def test_the_median_is_numpys(values: list[float]) -> None:
    for kind in (np.float32, np.float64):
        assert boxes.median(np.array(values, dtype=kind)) == float(np.median(np.array(values, dtype=kind)))


def test_how_much_of_a_box_lies_in_the_one_that_holds_most_of_it() -> None:
    a = np.array([[0, 0, 10, 10], [5, 0, 15, 10], [50, 50, 60, 60], [3, 3, 3, 9]], dtype=np.float32)
    b = np.array([[0, 0, 7, 20], [10, 0, 30, 10]], dtype=np.float32)
    assert boxes.inside(a, b) == pytest.approx([0.7, 0.5, 0, 0])
    assert boxes.inside(a, b[:0]).tolist() == [0] * 4
    assert boxes.inside(a[:0], b).shape == (0,)


@given(random_boxes, random_boxes)
def test_a_box_lies_in_others_by_a_share_and_wholly_in_itself(a: np.ndarray, b: np.ndarray) -> None:
    share = boxes.inside(a, b)
    assert share.shape == (len(a),)
    assert ((share >= 0) & (share <= 1 + 1e-6)).all()
    assert np.allclose(boxes.inside(a, np.concatenate([a, b])), boxes.area(a) > 0)
