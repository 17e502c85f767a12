"""Objects as dark as a nucleus, in any light: white cells without such an object, and such objects outside white cells.

A stain absorbs a fixed share of the light. So optical density, the logarithm of background over cell brightness, does not change if a
channel is brighter or darker by a factor, nor in a grey picture. A nucleus is recognized by a density of several times that of the
red cells in the field, in some channel. A field without red cells is not judged.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from detector.vision import boxes
from detector.vision.cells import RBC, WBC

DENSER = 2.25
"""How many times as dense as red cells a nucleus is at least; where two red cells overlap it is twice."""
_DENSER_INSIDE = 2.0
"""The same in the box of a white cell, where a nucleus is expected."""
LEAST_NUCLEUS = 0.15
"""Least area of a nucleus in a white cell's box, in areas of a red cell. In 137 fields of PBC, Raabin-WBC, BCCD and BCDD, correctly
counted white cells have at least about 0.2 and mostly more than 1."""

_DARK_LEVELS = 4.0
"""Added to every level, so that noise in dark pixels does not count as density."""
_LEAST_DENSITY = 0.08
"""Least density of red cells in a channel; where they absorb hardly any light, as in red, noise would dominate."""
_INNER = 0.1
_STEP = 2
"""Step between the rows and columns that are examined; nuclei are large."""
_EVERY = 3
"""Step between the red cells' pixels from which their density is measured."""
_FEWEST_PIXELS = 16
LEAST_STRAY = 0.25
"""Least diameter of a disc that is looked for, in diameters of a red cell."""


@dataclass(frozen=True, slots=True)
class Dark:
    """The objects of a field that are as dark as a nucleus."""

    density: tuple[float, float, float] | None
    """Optical density of the red cells in red, green and blue light, the median over their pixels; None without red cells."""
    plain_whites: int = 0
    """White cells without a nucleus: no darker inside than the red cells."""
    stray: float = 0.0
    """Diameter of the largest disc that is as dark as a nucleus but in no white cell's box, in diameters of a red cell; 0 if less
    than `LEAST_STRAY`."""


def look(
    rgb: NDArray[np.uint8], background: tuple[int, int, int], xyxy: boxes.Boxes, label: NDArray[np.int64], rbc_px: float
) -> Dark:
    """Look for nuclei in a picture of shape (h, w, 3).

    Args:
        background: colour between the cells, RGB.
        xyxy: boxes of the cells that were counted, in pixels of this picture.
        rbc_px: width of a red cell in it.
    """
    wh = (-(-rgb.shape[1] // _STEP), -(-rgb.shape[0] // _STEP))
    rgb = np.asarray(cv2.resize(rgb, wh, interpolation=cv2.INTER_NEAREST), dtype=np.uint8)
    xyxy, rbc_px = xyxy / np.float32(_STEP), rbc_px / _STEP
    whites = xyxy[label == WBC]
    white = boxes.mask(whites, wh)
    reds = xyxy[label == RBC]
    margin = _INNER * (reds[:, 2:] - reds[:, :2])
    red = boxes.mask(np.concatenate([reds[:, :2] + margin, reds[:, 2:] - margin], axis=1), wh) & ~white
    pixels = rgb.reshape(-1, 3).take(np.flatnonzero(red)[::_EVERY], axis=0)
    if len(pixels) < _FEWEST_PIXELS:
        return Dark(None)
    light = np.array(background) + _DARK_LEVELS
    middle = [np.searchsorted(np.bincount(levels).cumsum(), len(levels) / 2) for levels in pixels.T]
    density = np.log(light / (np.array(middle) + _DARK_LEVELS))
    plain = 0
    if len(whites):
        dense = _nuclei(rgb, light, density, _DENSER_INSIDE)
        areas = [int(np.count_nonzero(dense[y1:y2, x1:x2])) for x1, y1, x2, y2 in np.rint(whites).astype(int).tolist()]
        plain = sum(area < LEAST_NUCLEUS * math.pi / 4 * rbc_px**2 for area in areas)
    stray = _nuclei(rgb, light, density, DENSER) & ~white
    red_density = (float(density[0]), float(density[1]), float(density[2]))
    return Dark(red_density, plain, _widest(stray) / rbc_px if np.count_nonzero(stray) > (LEAST_STRAY * rbc_px) ** 2 / 2 else 0.0)


def _widest(area: NDArray[np.bool_]) -> float:
    """Diameter in pixels of the largest disc in an area."""
    return 2 * float(cv2.distanceTransform(area.view(np.uint8), cv2.DIST_L2, 3).max())


def _nuclei(rgb: NDArray[np.uint8], light: NDArray[np.float64], density: NDArray[np.float64], times: float) -> NDArray[np.bool_]:
    """Pixels that are so many times as dense as red cells in some channel; of shape (h, w)."""
    least = light * np.exp(-times * np.maximum(density, _LEAST_DENSITY)) - _DARK_LEVELS
    lighter = cv2.inRange(rgb, np.floor(least).clip(-1, 255) + 1, np.full(3, 255.0))
    return np.asarray(lighter == 0)
