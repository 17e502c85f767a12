"""Boxes of cells that a random crop cuts, and what is drawn over the cells of a picture to train on."""

from __future__ import annotations

import random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.training import augment
from detector.training.augment import Disturbance

SIZE = (200, 160)


def _drawn(box: np.ndarray) -> np.ndarray:
    """The same box from the pixels of a drawn ellipse, fine enough to be exact to a twentieth of a pixel."""
    w, h = SIZE
    fine = 20
    x, y = (np.arange(0, n * fine) / fine + 0.5 / fine for n in (w, h))
    (x1, y1, x2, y2) = box
    inside = ((x[None] - (x1 + x2) / 2) / ((x2 - x1) / 2)) ** 2 + ((y[:, None] - (y1 + y2) / 2) / ((y2 - y1) / 2)) ** 2 <= 1
    xs, ys = x[inside.any(axis=0)], y[inside.any(axis=1)]
    return np.array([xs[0], ys[0], xs[-1], ys[-1]])


@pytest.mark.parametrize(
    "box",
    [(50, 40, 90, 100), (-30, 40, 10, 90), (-10, 40, 30, 90), (180, 40, 240, 90), (60, -35, 110, 15), (60, 150, 110, 190)],
)
def test_a_cut_ellipse_has_the_box_of_what_is_left(box: tuple[float, ...]) -> None:
    got = augment.visible(np.array([box], dtype=np.float32), SIZE)[0]
    assert got == pytest.approx(_drawn(np.array(box)), abs=0.3)


def test_a_cell_outside_has_no_box() -> None:
    got = augment.visible(np.array([[-50, 10, -10, 50], [210, 10, 250, 50]], dtype=np.float32), SIZE)
    assert ((got[:, 2:] - got[:, :2]).min(axis=1) <= 0).all()


PICTURE_WH = (416, 320)


def blank(value: int = 200) -> np.ndarray:
    return np.full((PICTURE_WH[1], PICTURE_WH[0], 3), value, np.uint8)


@pytest.fixture
def drawn() -> list[Disturbance]:
    random.seed(5)
    return [augment.draw_disturbance(PICTURE_WH) for _ in range(3000)]


def test_over_most_pictures_lies_nothing(drawn: list[Disturbance]) -> None:
    assert np.mean([change.circle is not None for change in drawn]) == pytest.approx(augment.SURROUND, abs=0.02)
    assert np.mean([change.mark is not None for change in drawn]) == pytest.approx(augment.MARKS, abs=0.02)
    nothing = next(change for change in drawn if change.circle is None and change.mark is None)
    picture = blank()
    nothing.put_on(picture)
    assert (picture == 200).all()
    assert nothing.shows(np.array([[0, 0, 9, 9], [-50, 0, -40, 9]], np.float32)).all()
    assert nothing.shows(np.zeros((0, 4), np.float32)).shape == (0,)


@pytest.mark.slow
@given(st.floats(0, 416), st.floats(0, 320), st.floats(60, 300), st.floats(0.01, 0.25))
def test_an_eyepiece_leaves_a_disc_and_black_around_it(x: float, y: float, radius: float, softness: float) -> None:
    over, picture = Disturbance((x, y, radius), softness, None), blank()
    over.put_on(picture)
    rows, columns = np.mgrid[: PICTURE_WH[1], : PICTURE_WH[0]]
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
    for change in drawn:
        if change.circle is not None:
            picture = blank()
            change.put_on(picture)
            left.append((picture > 100).mean())
    assert 0.15 < min(left) < max(left) <= 1


def test_letters_and_bars_change_few_pixels(drawn: list[Disturbance]) -> None:
    shares = []
    for change in drawn:
        if change.mark is not None:
            picture = blank()
            Disturbance(None, change.softness, change.mark).put_on(picture)
            shares.append((picture != 200).any(axis=2).mean())
    assert 0 < np.median(shares) < 0.02
    assert max(shares) < 0.08


@pytest.mark.parametrize("size_wh", [(1, 1), (7, 500), (64, 64)])
def test_pictures_of_any_size_can_be_drawn_over(size_wh: tuple[int, int]) -> None:
    random.seed(1)
    for _ in range(300):
        picture = np.full((size_wh[1], size_wh[0], 3), 200, np.uint8)
        augment.draw_disturbance(size_wh).put_on(picture)
        assert picture.shape == (size_wh[1], size_wh[0], 3)
