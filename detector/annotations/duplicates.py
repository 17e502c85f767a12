"""Near-duplicate fields: the same cells photographed twice, be it refocused, re-saved or with the stage moved a little.

All smear fields look alike, so one perceptual hash per image either misses moved fields or reports hundreds of false pairs.
Here each pair is correlated at every shift that leaves a third of the field in common, on thumbnails whose local brightness
and contrast are levelled (so that one dark nucleus does not decide), and candidates are compared again at a finer scale.

Limits measured on BCCD (364 fields) and TXL-PBC (900 fields), pairs looked at by eye: moved fields reach 0.94 and above at the
fine scale where the best different pair reaches 0.78; refocused fields of another sharpness reach 0.73 and above at the coarse
scale where the best different pair reaches 0.67.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from detector.vision import images

THUMBNAIL_PX = 128
COARSE_LIMIT = 0.70
FINE_LIMIT = 0.90
_CANDIDATE = 0.50
_COARSE_PX = 32
_SMALLEST_OVERLAP = 0.35
_PADDED_PX = 48
"""Side of the padded coarse thumbnail; no shift within the smallest overlap wraps around in it."""
_SEARCH_PX = THUMBNAIL_PX // _COARSE_PX
_BLOCK = 512
"""Images that are correlated with one at a time; each takes some 40 kB meanwhile."""

Thumbnail = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Look:
    """What is kept of an image after looking at it."""

    size_wh: tuple[int, int]
    """Width and height as displayed, after EXIF rotation."""
    sha256: str
    grey: Thumbnail
    """Grey thumbnail squeezed into a square, of shape (THUMBNAIL_PX, THUMBNAIL_PX)."""
    orientation: int = 1
    """How the stored picture is turned for display, as EXIF numbers it; 1 is not at all."""


def look(path: Path) -> Look:
    """Decode an image wholly.

    Raises:
        ImageError: it cannot be decoded to its end; the message is the reason without the path.
    """
    content = images.encoded(path)
    rgb = images.decode(content).rgb
    small = cv2.resize(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), (THUMBNAIL_PX, THUMBNAIL_PX), interpolation=cv2.INTER_AREA)
    digest, grey = hashlib.sha256(content).hexdigest(), np.asarray(small, dtype=np.float32)
    return Look((rgb.shape[1], rgb.shape[0]), digest, grey, images.header_of(path).orientation)


@dataclass(frozen=True)
class Pair:
    """Two images that show the same cells."""

    first: int
    second: int
    similarity: float
    """Correlation at the best shift, at most 1."""
    identical: bool
    """Whether the files are the same to the byte."""


def within(pictures: Sequence[Look]) -> list[Pair]:
    """Near-duplicates within one set, as indices with `first < second`, in that order."""
    fields = [_ComparedImage(picture) for picture in pictures]
    spectra = _spectra(fields)
    rows = ((i, j, spectra[j : j + _BLOCK]) for i in range(len(fields)) for j in range(i + 1, len(fields), _BLOCK))
    return _pairs(fields, fields, spectra, rows)


def between(pictures: Sequence[Look], others: Sequence[Look]) -> list[Pair]:
    """Near-duplicates between two sets: `first` is an index into the one, `second` into the other."""
    fields, far = [_ComparedImage(picture) for picture in pictures], [_ComparedImage(picture) for picture in others]
    spectra = _spectra(far)
    rows = ((i, j, spectra[j : j + _BLOCK]) for i in range(len(fields)) for j in range(0, len(far), _BLOCK))
    return _pairs(fields, far, _spectra(fields), rows)


def groups(count: int, pairs: Sequence[Pair]) -> list[int]:
    """Group of each of `count` images, pairs being joined: the smallest index in it."""
    group = list(range(count))

    def root(i: int) -> int:
        while group[i] != i:
            i = group[i]
        return i

    for pair in pairs:
        a, b = sorted((root(pair.first), root(pair.second)))
        group[b] = a
    return [root(i) for i in range(count)]


class _ComparedImage:
    """One image at both scales."""

    def __init__(self, picture: Look) -> None:
        small = cv2.resize(picture.grey, (_COARSE_PX, _COARSE_PX), interpolation=cv2.INTER_AREA)
        coarse = _levelled(np.asarray(small, dtype=np.float32), fine_px=0.7, broad_px=5.0)
        coarse = coarse - coarse.mean()
        self.coarse = coarse / max(float(np.linalg.norm(coarse)), 1e-6)
        self._grey = picture.grey
        self.sha256 = picture.sha256

    @cached_property
    def fine(self) -> Thumbnail:
        """Made for candidates only, which are few."""
        return _levelled(self._grey, fine_px=2.0, broad_px=12.0)


def _levelled(grey: Thumbnail, fine_px: float, broad_px: float) -> Thumbnail:
    """Structure between two scales, divided by its local strength; all zero for an even image."""
    band = cv2.GaussianBlur(grey, (0, 0), fine_px) - cv2.GaussianBlur(grey, (0, 0), broad_px)
    strength = np.sqrt(cv2.GaussianBlur(band * band, (0, 0), broad_px))
    # An even image has nothing but rounding noise in the band, which must not be blown up.
    return np.asarray(band / (strength + 0.25 * strength.mean() + 1e-2), dtype=np.float32)


def _spectra(fields: Sequence[_ComparedImage]) -> NDArray[np.complex64]:
    thumbnails = np.array([field.coarse for field in fields], dtype=np.float32).reshape(-1, _COARSE_PX, _COARSE_PX)
    return np.asarray(np.fft.rfft2(thumbnails, s=(_PADDED_PX, _PADDED_PX), axes=(1, 2)), dtype=np.complex64)


def _overlap_weight() -> Thumbnail:
    """What the correlation at each shift is multiplied by: one over the root of the shared area, 0 where that is too small."""
    shift = np.minimum(np.arange(_PADDED_PX), _PADDED_PX - np.arange(_PADDED_PX))
    side = np.clip(_COARSE_PX - shift, 0, None) / _COARSE_PX
    shared = np.outer(side, side)
    return np.where(shared >= _SMALLEST_OVERLAP, 1 / np.sqrt(np.maximum(shared, 1e-6)), 0).astype(np.float32)


def _pairs(
    fields: Sequence[_ComparedImage],
    others: Sequence[_ComparedImage],
    spectra: NDArray[np.complex64],
    rows: Iterator[tuple[int, int, NDArray[np.complex64]]],
) -> list[Pair]:
    weight = _overlap_weight()
    pairs = []
    for i, offset, far in rows:
        at_shift = np.fft.irfft2(spectra[i] * np.conj(far), s=(_PADDED_PX, _PADDED_PX), axes=(1, 2)) * weight
        flat = at_shift.reshape(len(far), -1)
        best = flat.argmax(axis=1)
        coarse = flat[np.arange(len(far)), best]
        same = np.array([other.sha256 == fields[i].sha256 for other in others[offset : offset + len(far)]], dtype=np.bool_)
        for k in np.flatnonzero((coarse >= _CANDIDATE) | same).tolist():
            similarity = 1.0 if same[k] else _similarity(fields[i], others[offset + k], float(coarse[k]), int(best[k]))
            if similarity:
                pairs.append(Pair(i, offset + k, round(similarity, 3), bool(same[k])))
    return pairs


def _similarity(a: _ComparedImage, b: _ComparedImage, coarse: float, at: int) -> float:
    """How alike two candidates are, or 0 where they are not the same field."""
    dy, dx = (shift - _PADDED_PX if shift > _PADDED_PX // 2 else shift for shift in divmod(at, _PADDED_PX))
    fine = _fine(a.fine, b.fine, dy * _SEARCH_PX, dx * _SEARCH_PX)
    return min(max(coarse, fine), 1.0) if coarse >= COARSE_LIMIT or fine >= FINE_LIMIT else 0.0


def _fine(a: Thumbnail, b: Thumbnail, dy: int, dx: int) -> float:
    """Best normalised correlation of the shared area within a few pixels of the coarse shift."""
    n, margin = THUMBNAIL_PX, _SEARCH_PX
    top, bottom, left, right = max(0, dy), n + min(0, dy), max(0, dx), n + min(0, dx)
    template = a[top + margin : bottom - margin, left + margin : right - margin]
    area = b[top - dy : bottom - dy, left - dx : right - dx]
    return float(cv2.matchTemplate(area, template, cv2.TM_CCOEFF_NORMED).max())
