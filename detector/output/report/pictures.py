"""Small pictures of fields and their cells, packed so that a page of a thousand fields stays small."""

from __future__ import annotations

import base64
from collections.abc import Collection, Sequence

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from detector.counting.fields import FieldCount
from detector.vision import images
from detector.vision.detections import Detections

PAGE_BYTES = 12_000_000
"""Most bytes of pictures, cells and what stands around them in a page; the rest of it is much smaller."""

SLIDE_PX = 1024
"""Long side of the picture of a slide."""
MAP_PX, MAP_BYTES = 1400, 300_000
"""Long side, and most bytes, of the picture of where a slide's cells lie."""

_LONG_PX = 640
_SHORTEST_PX = 64
_QUALITY = 75
_BYTES_RANGE = (3_500, 60_000)
_BYTES_PER_PX = 0.12
_PICTURES_SHARE = 0.65
_BYTES_AROUND = 700
_BYTES_PER_CELL = 14
_AS_TEXT = 4 / 3
"""Base64 writes three bytes as four letters."""


def most_bytes(fields: int) -> int:
    """Most bytes of the JPEG of one field where a page is to hold so many: fewer fields have larger pictures."""
    low, high = _BYTES_RANGE
    return int(min(max(_PICTURES_SHARE * PAGE_BYTES / _AS_TEXT / max(fields, 1), low), high))


def small(rgb: NDArray[np.uint8], most: int, long_px: float = _LONG_PX) -> bytes:
    """A field of shape (h, w, 3), RGB, as a JPEG of at most so many bytes, or of `_SHORTEST_PX` on its long side."""
    long_px = min(max(rgb.shape[:2]), long_px, (most / _BYTES_PER_PX * max(rgb.shape[:2]) / min(rgb.shape[:2])) ** 0.5)
    while True:
        picture = images.shrink(rgb, min(1.0, long_px / max(rgb.shape[:2])))
        encoded: bytes = simplejpeg.encode_jpeg(picture, _QUALITY, "RGB", "420")
        if len(encoded) <= most or long_px <= _SHORTEST_PX:
            return encoded
        long_px = max(_SHORTEST_PX, 0.95 * long_px * (most / len(encoded)) ** 0.5)


def shown(fields: Sequence[FieldCount], first: Collection[str]) -> set[str]:
    """Names of the fields whose pictures a page has room for: those in `first`, then others spread evenly."""
    room = PAGE_BYTES
    picture = most_bytes(len(fields)) * _AS_TEXT
    kept: set[str] = set()
    others = [field for field in fields if field.field not in first]
    # Every other one, then every other one of the rest, and so on.
    spread = [field for step in (64, 16, 4, 2, 1) for field in others[::step]]
    for field in [*(field for field in fields if field.field in first), *spread]:
        need = picture + _BYTES_AROUND + 8 * len(field.field) + _BYTES_PER_CELL * sum(field.raw.values())
        if field.field not in kept and need <= room:
            kept.add(field.field)
            room -= int(need)
    return kept


def packed(detections: Detections) -> str:
    """Cells as base64 of five 16-bit numbers each, low byte first: x, y, width, height and 1000 label + 100 score.

    Lengths are in 65535ths of the field's width or height; scores are rounded down to hundredths.
    """
    sides = np.array([*detections.size_wh, *detections.size_wh], dtype=np.float64)
    corner, far = detections.xyxy[:, :2], detections.xyxy[:, 2:]
    place = np.concatenate([corner, far - corner], axis=1) / sides * 65535
    # Scores come with four decimals as 32-bit numbers, which may lie a little below what they stand for.
    score = np.floor(detections.score.astype(np.float64) * 100 + 1e-3)
    numbers = np.column_stack([place.round(), 1000 * detections.label + score]).clip(0, 65535)
    return base64.b64encode(numbers.astype("<u2").tobytes()).decode("ascii")
