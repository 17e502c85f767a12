"""What is mended in a field's boxes, what is dropped, and what is told of it."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.annotations.labels import Labels
from detector.annotations.repair import SLIVER, firsts, is_ignore, is_known, mend, without_slivers
from detector.vision.boxes import iou
from detector.vision.cells import CLASSES

SIZE = (100, 80)


def labels(*boxes: tuple[str, float, float, float, float]) -> Labels:
    return Labels(tuple(name for name, *_ in boxes), np.array([c for _, *c in boxes], dtype=np.float64).reshape(-1, 4))


@pytest.mark.parametrize(
    ("box", "expected", "change"),
    [
        ((10, 10, 20, 20), (10, 10, 20, 20), None),
        ((0, 0, 100, 80), (0, 0, 100, 80), None),
        ((20, 30, 10, 10), (10, 10, 20, 30), ("repaired", "corners were inverted")),
        ((90, 70, 101, 82), (90, 70, 100, 80), ("repaired", "reached outside the image and was clipped")),
        ((90, 70, 100.005, 80), (90, 70, 100, 80), None),
        ((-30, 10, -2, 20), None, ("dropped", "outside the image")),
        ((100, 10, 120, 20), None, ("dropped", "outside the image")),
        ((50, 50, 50, 50), None, ("dropped", "one pixel wide or high")),
        ((50, 50, 51, 70), None, ("dropped", "one pixel wide or high")),
        ((99, 10, 130, 20), None, ("dropped", "one pixel wide or high")),
    ],
)
def test_one_box(box: tuple[float, ...], expected: tuple[float, ...] | None, change: tuple[str, str] | None) -> None:
    mended = mend(labels(("RBC", *box)), SIZE)
    assert mended.xyxy.tolist() == ([list(expected)] if expected else [])
    assert [(c.action, c.reason) for c in mended.changes] == ([change] if change else [])
    assert all(c.xyxy == pytest.approx(box) for c in mended.changes)


def test_the_same_box_twice_is_kept_once_and_only_within_its_class() -> None:
    twice = labels(("RBC", 10, 10, 60, 60), ("WBC", 10, 10, 60, 60), ("rbc", 10, 10, 60, 60), ("RBC", 12, 12, 60, 60))
    mended = mend(twice, SIZE)
    assert mended.label.tolist() == [0, 1, 0]
    assert [(c.name, c.reason) for c in mended.changes] == [("rbc", "the same box twice")]


def test_an_unknown_name_drops_its_box_and_no_other() -> None:
    mended = mend(labels(("Neutrophil", 1, 1, 20, 20), ("WBC", 30, 30, 60, 60)), SIZE)
    assert mended.label.tolist() == [1]
    assert [(c.action, c.reason, c.name) for c in mended.changes] == [("dropped", "unknown class name", "Neutrophil")]


def test_no_boxes() -> None:
    mended = mend(labels(), SIZE)
    assert mended.xyxy.shape == (0, 4)
    assert mended.xyxy.dtype == np.float32
    assert mended.label.shape == (0,)


coordinate = st.floats(-150, 250, allow_nan=False)


@given(st.lists(st.tuples(st.sampled_from(["RBC", "PLT", "smudge"]), coordinate, coordinate, coordinate, coordinate), max_size=8))
def test_what_stays_is_inside_and_every_box_is_accounted_for(boxes: list[tuple[str, float, float, float, float]]) -> None:
    mended = mend(labels(*boxes), SIZE)
    assert (mended.xyxy >= 0).all()
    assert (mended.xyxy <= [100, 80, 100, 80]).all()
    assert (mended.xyxy[:, 2:] - mended.xyxy[:, :2] >= 1.49).all()
    assert len(mended.xyxy) + sum(c.action == "dropped" for c in mended.changes) == len(boxes)
    again = mend(Labels(tuple(CLASSES[k] for k in mended.label), mended.xyxy.astype(np.float64)), SIZE)
    assert again.xyxy.tolist() == mended.xyxy.tolist()
    assert again.changes == ()


def test_firsts_are_those_of_all_pairs() -> None:
    rng = np.random.default_rng(5)
    for _ in range(200):
        n = int(rng.integers(0, 60))
        corner, side = rng.uniform(0, 100, (n // 4 + 1, 2)), rng.uniform(0, 60, (n // 4 + 1, 2))
        chosen = rng.integers(0, len(corner), n)
        near = np.concatenate([corner[chosen], (corner + side)[chosen]], axis=1) + rng.normal(
            0, rng.choice([0, 0.01, 0.1]), (n, 4)
        )
        xyxy, label = near.astype(np.float32), rng.integers(-1, 3, n)
        same = (iou(xyxy, xyxy) >= 0.99) & (label[:, None] == label)
        expected = np.arange(n)
        for i in range(n):
            earlier = np.flatnonzero(same[i, :i])
            expected[i] = expected[earlier[0]] if len(earlier) else i
        assert firsts(xyxy, label).tolist() == expected.tolist()


@pytest.mark.slow
@pytest.mark.parametrize("apart", [True, False])
def test_twenty_thousand_boxes_are_searched_for_repetitions_in_little_memory(apart: bool) -> None:
    rng = np.random.default_rng(1)
    corner = rng.uniform(0, 9000, (20_000, 2)) if apart else rng.normal(100, 1, (20_000, 2))
    xyxy = np.concatenate([corner, corner + 60], axis=1).astype(np.float32)
    tracemalloc.start()
    try:
        first = firsts(xyxy, np.zeros(len(xyxy), dtype=np.int64))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 100 << 20
    assert (first == np.arange(len(first))).mean() > 0.99 if apart else first.max() < len(first)


WHOLE = (("RBC", 20, 20, 40, 40), ("RBC", 45, 20, 65, 40), ("RBC", 20, 45, 40, 65))
"""Red cells that show how large red cells are in a field."""


def test_a_sliver_of_a_red_cell_at_the_border_is_dropped_and_told() -> None:
    mended = without_slivers(mend(labels(*WHOLE, ("RBC", 0, 20, 3, 40), ("RBC", 50, 75, 70, 80), ("WBC", 97, 20, 100, 50)), SIZE))
    assert mended.label.tolist() == [0, 0, 0, 0, 1]
    assert [(c.action, c.reason, c.name, c.xyxy) for c in mended.changes] == [("dropped", SLIVER, "RBC", (0, 20, 3, 40))]


def test_slivers_stay_where_nothing_shows_how_large_red_cells_are() -> None:
    mended = without_slivers(mend(labels(*WHOLE[:2], ("RBC", 0, 20, 3, 40)), SIZE))
    assert len(mended.label) == 3
    assert mended.changes == ()


@pytest.mark.parametrize(
    ("name", "region", "one_of_ours"),
    [("ignore", True, True), (" Ignore ", True, True), ("IGNORE", True, True), ("ignored", False, False), ("", False, False),
     ("plt", False, True), ("Neutrophil", False, False)],
)  # fmt: skip
def test_which_names_are_those_of_ignore_regions(name: str, region: bool, one_of_ours: bool) -> None:
    assert (is_ignore(name), is_known(name)) == (region, one_of_ours)


def test_regions_are_clipped_and_the_labels_in_them_stay() -> None:
    given = labels(("ignore", 40, 40, 130, 90), ("RBC", 50, 50, 70, 70), ("Ignore", 40, 40, 99, 79), ("ignore", 120, 0, 140, 20))
    mended = mend(given, SIZE)
    assert mended.xyxy.tolist() == [[50, 50, 70, 70]]
    assert mended.label.tolist() == [0]
    assert mended.ignore.tolist() == [[40, 40, 100, 80], [40, 40, 99, 79]]
    assert [(c.name, c.action, c.reason) for c in mended.changes] == [
        ("ignore", "repaired", "reached outside the image and was clipped"),
        ("ignore", "dropped", "outside the image"),
    ]
    assert mended.record("a", None).ignore.tolist() == mended.ignore.tolist()


def test_a_region_at_the_border_is_no_sliver() -> None:
    mended = without_slivers(mend(labels(*WHOLE, ("RBC", 0, 20, 3, 40), ("ignore", 0, 20, 3, 40)), SIZE))
    assert len(mended.label) == 3
    assert mended.ignore.tolist() == [[0, 20, 3, 40]]
