"""A look at one image of a dataset: that it can be decoded to its end, its size, its bytes and a small grey copy."""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from detector.errors import ImageError
from detector.vision import images

THUMBNAIL_PX = 128
SWAPS_SIDES = (5, 6, 7, 8)
"""Orientations in which a picture lies on its side as stored."""
_ORIENTATION = 0x0112


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


@dataclass(frozen=True)
class Header:
    """What is known of an image without decoding it."""

    size_wh: tuple[int, int]
    """Width and height as displayed, after EXIF rotation."""
    orientation: int
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
    with images.opener()(io.BytesIO(content)) as image:
        return Picture((rgb.shape[1], rgb.shape[0]), digest, grey, _orientation(image))


def header(path: Path) -> Header:
    """Size and orientation of an image, from the head of its file.

    Raises:
        ImageError: the file is no image.
    """
    try:
        with images.opener()(path) as image:
            width, height = image.size
            orientation = _orientation(image)
    except UnidentifiedImageError:
        raise ImageError("is not an image") from None
    # Decoders raise almost anything on damaged data.
    except Exception as error:
        raise ImageError(f"is truncated or damaged ({error})") from None
    return Header((height, width) if orientation in SWAPS_SIDES else (width, height), orientation)


def size_of(path: Path) -> tuple[int, int]:
    """Width and height as displayed, from the file's header.

    Raises:
        ImageError: the file is no image.
    """
    return header(path).size_wh


def _orientation(image: Image.Image) -> int:
    orientation = image.getexif().get(_ORIENTATION, 1)
    return orientation if orientation in range(1, 9) else 1
