"""How two views lie to each other."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from staging import textures, way

from detector.streams.placing import registration
from detector.streams.placing.focus import sharpness
from detector.streams.sources.simulated import SimulatedCamera

SMALL = "width=320&height=240&um_per_px=0.15&vibration=0.3&drift=0.2"


def test_a_shift_is_found_to_a_fraction_of_a_pixel_from_a_rough_guess(
    pan: tuple[SimulatedCamera, list[NDArray[np.uint8]]],
) -> None:
    fake, greys = pan
    errors = []
    for i in range(0, len(greys) - 10, 2):
        x, y = way(fake, i, i + 10)
        match = registration.near(registration.texture(greys[i]), registration.texture(greys[i + 10]), (x + 9, y - 7))
        assert match is not None
        errors.append(np.abs(np.array(match.xy) - (x, y)).max())
    assert np.median(errors) < 0.15
    assert max(errors) < 0.8


def test_a_shift_is_found_without_a_guess_even_of_a_blurred_view(pan: tuple[SimulatedCamera, list[NDArray[np.uint8]]]) -> None:
    fake, greys = pan
    for i, j, blur in [(0, 12, 0), (12, 0, 0), (3, 11, 2), (11, 3, 2)]:
        other = cv2.GaussianBlur(greys[j], (0, 0), blur) if blur else greys[j]
        match = registration.anywhere(registration.texture(greys[i]), registration.texture(np.asarray(other, np.uint8)))
        assert match is not None
        assert np.abs(np.array(match.xy) - way(fake, i, j)).max() < 2


@pytest.mark.slow
def test_views_that_share_nothing_are_not_believed_to(pan: tuple[SimulatedCamera, list[NDArray[np.uint8]]]) -> None:
    _, greys = pan
    _, others = textures(f"fake:pan?{SMALL}&columns=2.5&speed=20&seed=2")
    believed = [
        registration.anywhere(registration.texture(a), registration.texture(b)) for a, b in zip(greys, others, strict=False)
    ]
    assert believed == [None] * len(believed)


def test_looking_changes_no_view(pan: tuple[SimulatedCamera, list[NDArray[np.uint8]]]) -> None:
    first, second = (registration.texture(grey) for grey in pan[1][:2])
    kept = first.copy(), second.copy()
    registration.anywhere(first, second)
    registration.near(first, second, (20.0, 0.0))
    assert np.array_equal(first, kept[0])
    assert np.array_equal(second, kept[1])


def test_light_that_stands_still_does_not_hold_the_view() -> None:
    _, greys = textures(f"fake:pan?{SMALL}&columns=2&speed=12&seed=3")
    x = np.linspace(0.5, 1.2, greys[0].shape[1])
    lit = [registration.texture((grey * x).clip(0, 255).astype(np.uint8)) for grey in greys]
    match = registration.anywhere(lit[10], lit[15])
    assert match is not None
    assert match.xy[0] == pytest.approx(60, abs=2)


def test_empty_glass_is_told() -> None:
    rng = np.random.default_rng(0)
    glass = (200 + rng.normal(0, 0.8, (240, 320))).clip(0, 255).astype(np.uint8)
    assert registration.plain(registration.texture(glass))
    assert sharpness(glass) is None
