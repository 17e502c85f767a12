"""Each change of light does what it says, always the same, and leaves the given pixels alone."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks import lights
from detector.vision.images import Rgb


@pytest.fixture
def field() -> Rgb:
    """A light ground with a red and a blue disc."""
    rgb = np.full((120, 160, 3), (230, 225, 235), np.uint8)
    rows, columns = np.ogrid[:120, :160]
    rgb[np.hypot(columns - 50, rows - 60) < 20] = (200, 140, 150)
    rgb[np.hypot(columns - 110, rows - 60) < 15] = (90, 60, 140)
    return rgb


GROUND, RED, BLUE = (10, 80), (60, 50), (60, 110)
"""A pixel of each part of the field."""


@pytest.mark.parametrize("name", lights.CHANGES)
def test_a_change_is_one_always_the_same_and_leaves_its_input(name: str, field: Rgb) -> None:
    before = field.copy()
    changed = lights.CHANGES[name](field)
    assert (changed.shape, changed.dtype) == (field.shape, np.uint8)
    assert (field == before).all()
    assert (changed != field).any()
    assert (lights.CHANGES[name](field) == changed).all()


@pytest.mark.parametrize(
    ("name", "ground"),
    [("blue ground", (130, 150, 185)), ("green ground", (150, 185, 180)), ("yellow ground", (225, 215, 150))],
)
def test_a_ground_takes_its_colour_and_cells_keep_their_contrast(name: str, ground: tuple[int, ...], field: Rgb) -> None:
    changed = lights.CHANGES[name](field)
    assert changed[GROUND] == pytest.approx(ground)
    assert changed[RED] / changed[GROUND] == pytest.approx(field[RED] / field[GROUND], abs=0.01)


def test_a_lamp_scales_channels_and_is_cut_off(field: Rgb) -> None:
    assert lights.lamp(field, (0.75, 0.9, 1.1))[GROUND].tolist() == [172, 202, 255]
    assert lights.lamp(field, (0.6, 0.6, 0.6))[RED].tolist() == [120, 84, 90]


def test_a_grey_camera_and_saturation_change_how_far_colours_are_apart(field: Rgb) -> None:
    without = lights.grey(field)
    assert (without == without[:, :, :1]).all()
    spread = [np.ptp(lights.saturation(field, factor)[BLUE].astype(int)) for factor in (0.0, 0.5, 1.0, 1.5)]
    assert spread == pytest.approx([0, 40, 80, 120], abs=1)


def test_gamma_keeps_black_and_white() -> None:
    ramp = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
    for exponent, middle in ((0.6, 168), (1.6, 85)):
        curve = lights.gamma(ramp, exponent)[0, :, 0]
        assert curve[[0, 128, 255]].tolist() == pytest.approx([0, middle, 255], abs=1)


def test_stains_are_parted_and_put_together_again(field: Rgb) -> None:
    assert np.abs(lights.stain(field).astype(int) - field).max() <= 1
    weak, strong = (lights.stain(field, haematoxylin=strength).astype(int) for strength in (0.6, 1.5))
    # Haematoxylin takes red light, eosin hardly any.
    assert weak[BLUE][0] > field[BLUE][0] > strong[BLUE][0]
    less = lights.stain(field, eosin=0.6).astype(int) - field
    assert less[RED][1] > 5 > less[RED][0]
    pale = lights.stain(field, 0.5, 0.5, 0.5)
    assert pale[RED] / field[GROUND] == pytest.approx(np.sqrt(field[RED] / field[GROUND]), abs=0.01)
    assert (pale[GROUND] == field[GROUND]).all()


def test_blur_noise_and_jpeg_are_small(field: Rgb) -> None:
    assert lights.noise(field, 10)[:40].astype(int).std(axis=(0, 1)) == pytest.approx([9] * 3, abs=1.5)
    for changed in (lights.defocus(field, 0.003), lights.jpeg(field, 30)):
        assert 0 < np.abs(changed.astype(int) - field).mean() < 5


def test_an_eyepiece_is_black_outside_and_a_vignette_falls_off(field: Rgb) -> None:
    seen, dark = lights.eyepiece(field), lights.vignette(field, 0.5)
    assert seen[0, 0].tolist() == [0, 0, 0]
    assert (seen[BLUE] == field[BLUE]).all()
    assert dark[0, 0, 0] == pytest.approx(115, abs=1)
    assert (dark[60, 80] == field[60, 80]).all()


def test_cells_are_whole_cut_or_hidden_through_an_eyepiece() -> None:
    # A radius of 48 px around (50, 50).
    xyxy = np.array([[40, 40, 60, 60], [88, 40, 100, 60], [0, 0, 8, 8]], np.float32)
    whole, cut = lights.through_eyepiece(xyxy, (100, 100))
    assert whole.tolist() == [True, False, False]
    assert cut.tolist() == [False, True, False]
