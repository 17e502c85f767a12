"""Whether a view is sharp: told against the sharpest of late, since no figure says it of a view by itself."""

from __future__ import annotations

from collections import deque

import cv2
import numpy as np
from numpy.typing import NDArray

LEAST_SHARP = 0.5
"""Share of the recent best below which a view is out of focus. Blur of 2 % of a red cell's width brings it to about that; sharp
views of one smear differ by a tenth, whatever lies in them."""

_RECENT = 1000
_BEST = 90
"""Percentile of the recent views that is their best: single ones may be high by chance."""
_FINE, _COARSE = (0.7, 1.4), (2.0, 4.0)
_LEAST_CONTRAST = 0.01
"""Coarse detail as a share of the brightness below which there is nothing to judge by."""


def sharpness(small: NDArray[np.uint8]) -> float | None:
    """Fine detail over coarse detail of a small grey picture of shape (h, w): it falls with blur and hardly depends on what is seen.

    Detail is what lies between two Gaussian blurs; the ratio is that of its variances. None where there is too little of it.
    """
    picture = small.astype(np.float32)
    coarse = _variance(picture, *_COARSE)
    if coarse < (_LEAST_CONTRAST * float(picture.mean())) ** 2:
        return None
    return _variance(picture, *_FINE) / coarse


def _variance(picture: NDArray[np.float32], low: float, high: float) -> float:
    band = cv2.GaussianBlur(picture, (0, 0), low) - cv2.GaussianBlur(picture, (0, 0), high)
    return float(np.square(band).mean())


class Focus:
    """Judges views one after another."""

    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=_RECENT)

    def share(self, small: NDArray[np.uint8]) -> float | None:
        """Sharpness of a view as a share of the recent best; None where there is nothing to judge it by."""
        value = sharpness(small)
        if value is None:
            return None
        self._recent.append(value)
        return value / max(float(np.percentile(self._recent, _BEST)), 1e-9)
