"""Whether a view is sharp."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from detector.streams.placing.focus import LEAST_SHARP, Focus, dark, sharpness
from detector.streams.sources.simulated import SimulatedCamera


def test_focus_falls_with_blur_whatever_is_in_view(pan: tuple[SimulatedCamera, list[NDArray[np.uint8]]]) -> None:
    focus = Focus()
    sharp = [focus.share(grey) for grey in pan[1]]
    assert min(share for share in sharp if share is not None) > 0.7
    for grey in pan[1][::5]:
        blurred = focus.share(np.asarray(cv2.GaussianBlur(grey, (0, 0), 2), np.uint8))
        assert blurred is not None
        assert blurred < LEAST_SHARP


def test_of_a_picture_without_detail_there_is_no_sharpness() -> None:
    for level in (0, 1, 128, 255):
        assert sharpness(np.full((90, 120), level, np.uint8)) is None


def test_black_pictures_are_dark_and_dim_ones_are_not(pan: tuple[SimulatedCamera, list[NDArray[np.uint8]]]) -> None:
    noise = np.random.default_rng(1).poisson(3, (240, 320)).astype(np.uint8)
    assert dark(noise)
    assert dark(np.zeros((240, 320), np.uint8))
    for grey in pan[1][::5]:
        assert not dark(grey)
        assert not dark(np.asarray(grey // 8, np.uint8))
