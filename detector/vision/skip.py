"""Which parts of a large picture need not be searched for cells, told in far less time than searching takes.

Both tests are made so that they rather keep a part that could be skipped than skip one with cells that would have been found.
"""

from __future__ import annotations

import cv2
import numpy as np

from detector.vision import images
from detector.vision.images import Rgb

LEAST_DARK = 0.05
"""A part is empty where nowhere in it green light is taken up by more than this share of the background.

Seen as small as here, the faintest of 1,341 red cells, 87 white cells and 43 platelets of validation fields (BCCD, PBC, Raabin-WBC) takes
up 0.076.
"""
LEAST_SHARP = 1.4
"""A part is hopelessly out of focus where edges rise by less than this many contrasts per red cell's diameter.

Validation fields have 2.1 and more, and blurred by 15 % of a diameter (standard deviation of a Gaussian) still 1.4 and more. The shipped
model then finds 46 % of their cells, 20 % of them at 20 % and 9 % at 25 %, where most of the fields fall below.
"""

EMPTY_PX = 8.0
"""A red cell's width, in pixels, at which emptiness is told: platelets are still three pixels wide."""
_FOCUS_PX = 24.0
_BACKGROUND_PERCENTILE = 90
_NEAR = 2.0
"""Brightness changes over more diameters than this are the light's or the film's, not cells'."""
_LEAST_STRUCTURE = 0.03
"""Share of a part that must differ from its surroundings for its focus to be told."""


def is_empty(rgb: Rgb, rbc_px: float) -> bool:
    """Whether no cell can be in a part of shape (h, w, 3), RGB, in which red cells would be `rbc_px` wide (`EMPTY_PX` and more)."""
    green = images.shrink(rgb, min(1.0, EMPTY_PX / rbc_px))[:, :, 1].astype(np.float32)
    green = np.asarray(cv2.GaussianBlur(green, (0, 0), 0.4), dtype=np.float32)
    background = float(np.percentile(green, _BACKGROUND_PERCENTILE))
    return float(green.min()) >= (1 - LEAST_DARK) * background


def is_unfocused(rgb: Rgb, rbc_px: float) -> bool:
    """Whether a part of shape (h, w, 3), RGB, shows things, but all of them too blurred for cells to be found."""
    sharp = sharpness(rgb, rbc_px)
    return sharp is not None and sharp < LEAST_SHARP


def sharpness(rgb: Rgb, rbc_px: float) -> float | None:
    """How steeply the edges in a part rise, in contrasts per red cell's diameter; None where there is too little in it."""
    factor = min(1.0, _FOCUS_PX / rbc_px)
    green = cv2.GaussianBlur(images.shrink(rgb, factor)[:, :, 1], (3, 3), 0.7)
    diameter_px = rbc_px * factor
    level = green.astype(np.float32)
    level -= cv2.blur(level, (2 * round(_NEAR * diameter_px) + 1,) * 2)
    background = float(np.percentile(green, _BACKGROUND_PERCENTILE))
    things = np.abs(level) > LEAST_DARK * max(background, 1.0)
    if things.mean() < _LEAST_STRUCTURE:
        return None
    dx, dy = cv2.spatialGradient(green)
    slope = cv2.magnitude(dx.astype(np.float32), dy.astype(np.float32))[things] / 8
    low, high = np.percentile(level[things], [1, 99])
    return float(np.percentile(slope, 97) * diameter_px / max(high - low, 1.0))
