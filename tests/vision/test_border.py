"""Which red cells at the border count."""

from __future__ import annotations

import numpy as np
import pytest

from detector.vision import border
from detector.vision.cells import PLATELETS, RBC, WBC

SIZE = (400, 300)
D = 50.0


def _one(*box: float) -> np.ndarray:
    return np.array([box], dtype=np.float32)


@pytest.mark.parametrize(
    "box",
    [(0, 100, 9, 150), (391, 100, 400, 150), (100, 0, 150, 9), (100, 291, 150, 300), (0, 0, 40, 9), (1.2, 100, 9, 150)],
)
def test_a_thin_sliver_of_a_red_cell_does_not_count(box: tuple[float, ...]) -> None:
    assert border.slivers(_one(*box), np.array([RBC]), SIZE, D).all()
    assert not border.slivers(_one(*box), np.array([WBC]), SIZE, D).any()
    assert not border.slivers(_one(*box), np.array([PLATELETS]), SIZE, D).any()


@pytest.mark.parametrize("box", [(0, 100, 11, 150), (389, 100, 400, 150), (100, 0, 150, 11), (0, 0, 11, 11), (20, 100, 29, 150)])
def test_what_shows_a_fifth_or_is_not_cut_counts(box: tuple[float, ...]) -> None:
    assert not border.slivers(_one(*box), np.array([RBC]), SIZE, D).any()


def test_the_rule_is_the_same_at_every_scale() -> None:
    rng = np.random.default_rng(3)
    start = rng.uniform(-40, 380, (500, 2))
    xyxy = np.clip(np.concatenate([start, start + rng.uniform(30, 60, (500, 2))], axis=1), 0, [400, 300, 400, 300])
    label = rng.integers(0, 3, 500)
    at_one = border.slivers(xyxy.astype(np.float32), label, SIZE, D)
    at_four = border.slivers((4 * xyxy).astype(np.float32), label, (1600, 1200), 4 * D)
    assert at_one.any()
    assert (at_one == at_four).all()


def test_the_diameter_comes_from_whole_red_cells() -> None:
    whole = [[50 * i + 5, 100, 50 * i + 45, 140] for i in range(4)]
    cut, white = [[0, 0, 10, 40]] * 5, [[100, 160, 220, 280]] * 5
    xyxy = np.array(whole + cut + white, dtype=np.float32)
    label = np.array([RBC] * 9 + [WBC] * 5)
    assert border.rbc_px(xyxy, label, SIZE) == pytest.approx(40)
    assert border.rbc_px(xyxy[2:], label[2:], SIZE) is None
    assert border.rbc_px(xyxy[:0], label[:0], SIZE) is None


@pytest.mark.parametrize("n", [3, 4, 9, 10])
def test_the_diameter_is_the_median_side(n: int) -> None:
    rng = np.random.default_rng(n)
    corner = rng.uniform(10, 200, (n, 2))
    xyxy = np.concatenate([corner, corner + rng.uniform(20, 80, (n, 2))], axis=1).astype(np.float32)
    side = np.sqrt((xyxy[:, 2] - xyxy[:, 0]) * (xyxy[:, 3] - xyxy[:, 1]))
    assert border.rbc_px(xyxy, np.full(n, RBC), SIZE) == np.median(side)
