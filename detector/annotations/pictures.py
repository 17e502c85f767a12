"""A look at one image of a dataset: that it can be decoded to its end, its size, its bytes and a small grey copy."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from detector.vision import images

THUMBNAIL_PX = 128


@dataclass(frozen=True, eq=False)
class Picture:
    """What is kept of an image after looking at it."""

    size_wh: tuple[int, int]
    """Width and height as displayed, after EXIF rotation."""
    sha256: str
    grey: NDArray[np.float32]
    """Grey thumbnail squeezed into a square, of shape (THUMBNAIL_PX, THUMBNAIL_PX)."""
    orientation: int = 1
    """How the stored picture is turned for display, as EXIF numbers it; 1 is not at all."""


def look(path: Path) -> Picture:
    """Decode an image wholly.

    Raises:
        ImageError: it cannot be decoded to its end; the message is the reason without the path.
    """
    content = images.encoded(path)
    rgb = images.decode(content).rgb
    small = cv2.resize(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), (THUMBNAIL_PX, THUMBNAIL_PX), interpolation=cv2.INTER_AREA)
    digest, grey = hashlib.sha256(content).hexdigest(), np.asarray(small, dtype=np.float32)
    return Picture((rgb.shape[1], rgb.shape[0]), digest, grey, images.header_of(path).orientation)
