"""What is drawn over the cells of a picture to train on."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.training import disturb
from detector.training.disturb import Disturbance

SIZE = (416, 320)


def blank(value: int = 200) -> np.ndarray:
    return np.full((SIZE[1], SIZE[0], 3), value, np.uint8)


@pytest.fixture
def drawn() -> list[Disturbance]:
    random.seed(5)
    return [disturb.draw(SIZE) for _ in range(3000)]


def test_over_most_pictures_lies_nothing(drawn: list[Disturbance]) -> None:
    assert np.mean([one.circle is not None for one in drawn]) == pytest.approx(disturb.SURROUND, abs=0.02)
    assert np.mean([one.mark is not None for one in drawn]) == pytest.approx(disturb.MARKS, abs=0.02)
    nothing = next(one for one in drawn if one.circle is None and one.mark is None)
    picture = blank()
    nothing.put_on(picture)
    assert (picture == 200).all()
    assert nothing.shows(np.array([[0, 0, 9, 9], [-50, 0, -40, 9]], np.float32)).all()
    assert nothing.shows(np.zeros((0, 4), np.float32)).shape == (0,)


@given(st.floats(0, 416), st.floats(0, 320), st.floats(60, 300), st.floats(0.01, 0.25))
def test_an_eyepiece_leaves_a_disc_and_black_around_it(x: float, y: float, radius: float, softness: float) -> None:
    over, picture = Disturbance((x, y, radius), softness, None), blank()
    over.put_on(picture)
    rows, columns = np.mgrid[: SIZE[1], : SIZE[0]]
    off = np.hypot(columns - x, rows - y) / radius
    assert not picture[off > 1.001].any()
    assert (picture[off < 1 - softness - 0.001] == 200).all()
    # A cell can be seen where at least half of the light is left in its middle.
    cells = np.stack([columns - 5, rows - 5, columns + 5, rows + 5], axis=2)[::20, ::20].reshape(-1, 4).astype(np.float32)
    seen, light = over.shows(cells), picture[::20, ::20, 0].reshape(-1)
    assert (light[seen] >= 99).all()
    assert (light[~seen] <= 101).all()


def test_an_eyepiece_leaves_much_of_a_picture(drawn: list[Disturbance]) -> None:
    left = []
    for one in drawn:
        if one.circle is not None:
            picture = blank()
            one.put_on(picture)
            left.append((picture > 100).mean())
    assert 0.15 < min(left) < max(left) <= 1


def test_letters_and_bars_change_few_pixels(drawn: list[Disturbance]) -> None:
    shares = []
    for one in drawn:
        if one.mark is not None:
            picture = blank()
            Disturbance(None, one.softness, one.mark).put_on(picture)
            shares.append((picture != 200).any(axis=2).mean())
    assert 0 < np.median(shares) < 0.02
    assert max(shares) < 0.08


@pytest.mark.parametrize("size_wh", [(1, 1), (7, 500), (64, 64)])
def test_pictures_of_any_size_can_be_drawn_over(size_wh: tuple[int, int]) -> None:
    random.seed(1)
    for _ in range(300):
        picture = np.full((size_wh[1], size_wh[0], 3), 200, np.uint8)
        disturb.draw(size_wh).put_on(picture)
        assert picture.shape == (size_wh[1], size_wh[0], 3)
