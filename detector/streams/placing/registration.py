"""How two views of a smear lie to each other: the shift between them, to a fraction of a pixel, or that it cannot be told.

A camera stands still over a stage that moves it neither turns nor scales what is seen, so a view's place is two numbers. They are
measured by phase correlation (Kuglin and Hines, Proc. IEEE Int. Conf. Cybernetics and Society, 1975, 163-165) as OpenCV does it, on
small pictures from which the light is taken out, at a guess; the guess comes from the last views, else from matching pieces of the
views, else from SIFT features (Lowe, Int. J. Comput. Vis. 60:91-110, 2004), all of them OpenCV's. Whatever a method says is believed
only where the two pictures then look alike.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from itertools import product

import cv2
import numpy as np
from numpy.typing import NDArray

Texture = NDArray[np.float32]
"""A small grey picture from which the light is taken out: brightness relative to it, about 0, of shape (h, w)."""
Vector = tuple[float, float]
"""x and y."""

LONG_PX = 320
"""Long side at which views are compared."""
LEAST_ALIKE = 0.5
"""Correlation of two views, once shifted, from which on a shift near a guess is believed. Rendered views that share an eighth or
more have 0.7 to 1, and 0.57 or more with one of them blurred by 8 % of a red cell's width; one in a hundred that share nothing
has above 0.25, and the most alike of 950 had 0.35."""
SURE_ALIKE = 0.6
"""The same of a shift that nothing but the views themselves spoke for: among many places some look alike by chance, up to 0.5."""
LEAST_OVERLAP = 0.12
"""Share of a view that must be seen in both."""
LEAST_TEXTURE = 0.008
"""Standard deviation of the brightness, as a share of it, from which on there is something to go by: noise alone has 0.005."""

_BACKGROUND = 16
"""The light is the mean over a square of this part of the long side: of a larger one, a white cell that comes in changes all
around it."""
_MOST_TEXTURE = 0.2
"""Brighter and darker is cut off, for nuclei would outweigh everything else."""
_COARSE = 4
_PIECE = 0.3
_GUESSES = 3
_FEATURES = 300
_LEAST_MATCHES = 5
_REACH_PX = 2.5
"""Two features' shifts agree where they differ by less than this."""
_NEAR_PX = 0.75
"""A shift is measured again, from where it led, until it leads no farther than this."""


@dataclass(frozen=True)
class Shift:
    """Where one view lies in another."""

    xy: Vector
    """Corner of the second view in the first one's pixels."""
    alike: float
    """Correlation of what both show."""
    overlap: float
    """Share of a view that both show."""


def factor(size_wh: tuple[int, int]) -> float:
    """Texture pixels per pixel of a view of that size."""
    return min(1.0, LONG_PX / max(size_wh))


def grey(rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """A view of shape (h, w, 3), RGB, as a small picture of its green light, which cells take up most."""
    green = np.ascontiguousarray(rgb[:, :, 1])
    h, w = green.shape
    scale = factor((w, h))
    wh = (max(1, round(w * scale)), max(1, round(h * scale)))
    return np.asarray(cv2.resize(green, wh, interpolation=cv2.INTER_AREA), dtype=np.uint8)


def texture(small: NDArray[np.uint8]) -> Texture:
    """What of a small picture moves with the smear, whatever the light."""
    picture = small.astype(np.float32)
    side = max(small.shape) // _BACKGROUND | 1
    light = cv2.blur(picture, (side, side), borderType=cv2.BORDER_REFLECT)
    return np.clip(picture / np.maximum(light, 1.0) - 1, -_MOST_TEXTURE, _MOST_TEXTURE)


def plain(view: Texture) -> bool:
    """Whether there is nothing to go by, as on empty glass."""
    return float(view.std()) < LEAST_TEXTURE


def near(first: Texture, second: Texture, guess: Vector) -> Shift | None:
    """The shift close to a guess, or None where the views do not look alike there.

    Args:
        first, second: views of one size.
        guess: corner of the second in the first, right to about a third of what both show.
    """
    xy = guess
    for _ in range(3):
        cut = _common(first.shape, xy)
        if cut is None:
            return None
        a, b, whole = cut
        # OpenCV puts its window on the pictures that it is handed, so these are copies.
        (dx, dy), _response = cv2.phaseCorrelate(first[a].copy(), second[b].copy(), _window(second[b].shape))
        step = (whole[0] - dx - xy[0], whole[1] - dy - xy[1])
        xy = (xy[0] + step[0], xy[1] + step[1])
        if max(abs(step[0]), abs(step[1])) < _NEAR_PX:
            break
    return _believed(first, second, xy)


def anywhere(first: Texture, second: Texture) -> Shift | None:
    """The shift between views of which nothing is known, or None where they show nothing alike."""
    return by_pieces(first, second) or _sure(first, second, _by_features(first, second))


def by_pieces(first: Texture, second: Texture) -> Shift | None:
    """The same by matching pieces alone, which is quicker."""
    guesses = [xy for _, xy in sorted(_matched(first, second), reverse=True)[:_GUESSES]]
    return next((shift for guess in guesses if (shift := _sure(first, second, guess))), None)


def _sure(first: Texture, second: Texture, guess: Vector | None) -> Shift | None:
    shift = None if guess is None else near(first, second, guess)
    return shift if shift and shift.alike >= SURE_ALIKE else None


def resemblance(first: Texture, second: Texture) -> float:
    """How well some piece of the second view matches the first one anywhere: a quick look before `anywhere`."""
    return max(score for score, _ in _matched(first, second))


def _matched(first: Texture, second: Texture) -> list[tuple[float, Vector]]:
    """For pieces of the second view, how alike the first one is where it is most alike, and the shift that this means."""
    coarse, other = (
        cv2.resize(view, None, fx=1 / _COARSE, fy=1 / _COARSE, interpolation=cv2.INTER_AREA) for view in (first, second)
    )
    h, w = other.shape
    high, wide = max(4, round(h * _PIECE)), max(4, round(w * _PIECE))
    matches = []
    for x, y in product((0, (w - wide) // 2, w - wide), (0, (h - high) // 2, h - high)):
        scores = cv2.matchTemplate(coarse, other[y : y + high, x : x + wide], cv2.TM_CCOEFF_NORMED)
        _, best, _, (u, v) = cv2.minMaxLoc(scores)
        matches.append((best, (float((u - x) * _COARSE), float((v - y) * _COARSE))))
    return matches


def _by_features(first: Texture, second: Texture) -> Vector | None:
    """The shift that most matched features agree on."""
    a, b = _features(first), _features(second)
    if a is None or b is None:
        return None
    matches = cv2.BFMatcher(cv2.NORM_L2, crossCheck=True).match(a[1], b[1])
    if len(matches) < _LEAST_MATCHES:
        return None
    shifts = np.array([a[0][m.queryIdx] - b[0][m.trainIdx] for m in matches])
    agree = (np.abs(shifts[:, None] - shifts[None]).max(axis=2) < _REACH_PX).sum(axis=1)
    best = shifts[np.abs(shifts - shifts[agree.argmax()]).max(axis=1) < _REACH_PX]
    if len(best) < _LEAST_MATCHES:
        return None
    x, y = best.mean(axis=0).tolist()
    return x, y


def _features(view: Texture) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
    picture = np.clip(view * 255 + 160, 0, 255).astype(np.uint8)
    points, descriptors = cv2.SIFT.create(_FEATURES).detectAndCompute(picture, None)
    if descriptors is None or len(points) < _LEAST_MATCHES:
        return None
    return np.array([p.pt for p in points], dtype=np.float32), np.asarray(descriptors, dtype=np.float32)


_Cut = tuple[tuple[slice, slice], tuple[slice, slice], Vector]


def _common(shape_hw: tuple[int, ...], xy: Vector) -> _Cut | None:
    """What both views show, in each, and the whole-pixel shift that this takes for granted; None where it is too little."""
    h, w = shape_hw[:2]
    x, y = round(xy[0]), round(xy[1])
    # Of an odd length, OpenCV's phase correlation puts the middle half a pixel off.
    wide, high = (w - abs(x)) // 2 * 2, (h - abs(y)) // 2 * 2
    if wide < 8 or high < 8 or wide * high < LEAST_OVERLAP * w * h:
        return None
    a = (slice(max(y, 0), max(y, 0) + high), slice(max(x, 0), max(x, 0) + wide))
    b = (slice(max(-y, 0), max(-y, 0) + high), slice(max(-x, 0), max(-x, 0) + wide))
    return a, b, (float(x), float(y))


def _believed(first: Texture, second: Texture, xy: Vector) -> Shift | None:
    cut = _common(first.shape, xy)
    if cut is None:
        return None
    a, b = first[cut[0]], second[cut[1]]
    if min(float(a.std()), float(b.std())) < LEAST_TEXTURE:
        return None
    alike = float(cv2.matchTemplate(a, b, cv2.TM_CCOEFF_NORMED)[0, 0])
    return Shift(xy, alike, a.size / first.size) if alike >= LEAST_ALIKE else None


@lru_cache(maxsize=64)
def _window(shape_hw: tuple[int, int]) -> Texture:
    return np.asarray(cv2.createHanningWindow((shape_hw[1], shape_hw[0]), cv2.CV_32F), dtype=np.float32)
