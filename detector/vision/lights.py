"""A field as another lamp, stain or camera would show it: what a count and its doubt are tried on."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import cv2
import numpy as np

from detector.vision.images import Rgb

PLAIN = "plain"
LAMP_RGB = (0.75, 0.9, 1.1)
GROUND_RGB = (0.6, 0.75, 1.0)
BLUR_CELLS = 0.07
"""Standard deviation of the blur, in red cells."""


def _times(rgb: Rgb, factors: tuple[float, float, float]) -> Rgb:
    return np.asarray((rgb * np.array(factors)).clip(0, 255), dtype=np.uint8)


def _grey(rgb: Rgb) -> Rgb:
    return np.repeat(np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), dtype=np.uint8)[:, :, None], 3, axis=2)


LIGHTS: Mapping[str, Callable[[Rgb, float], Rgb]] = {
    PLAIN: lambda rgb, _px: rgb,
    "bluish lamp": lambda rgb, _px: _times(rgb, LAMP_RGB),
    "blue ground": lambda rgb, _px: _times(rgb, GROUND_RGB),
    "grey": lambda rgb, _px: _grey(rgb),
    "blur": lambda rgb, px: np.asarray(cv2.GaussianBlur(rgb, (0, 0), BLUR_CELLS * px), dtype=np.uint8),
}
"""From a picture of shape (h, w, 3), RGB, and the width of its red cells in pixels to the picture in another light."""
