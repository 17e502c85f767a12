"""What lamps, stains, cameras and eyepieces do to a field: each a function of its pixels that always gives the same.

Stains are parted in optical density, by the vectors of Ruifrok and Johnston (Analytical and Quantitative Cytology and Histology
2001; 23:291-299). Romanowsky stains are mixtures of other dyes; what is changed here is how much of the blue and of the red ones
there is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray

from detector.vision import boxes
from detector.vision.images import Rgb

Change = Callable[[Rgb], Rgb]
"""Pixels of shape (h, w, 3), uint8, to others of the same shape; the given ones stay as they are."""

Colour = tuple[float, float, float]
"""Red, green, blue."""

EYEPIECE = 0.48
"""Radius of what an eyepiece shows, as a share of the field's long side."""

_GROUND_PERCENTILE = 95
_RIM = 0.02
_STAINS = np.array([[0.65, 0.704, 0.286], [0.072, 0.990, 0.105]])  # haematoxylin, eosin


def lamp(rgb: Rgb, colour: Colour) -> Rgb:
    """Each channel times a factor, cut off where the camera is."""
    return _pixels(rgb * np.asarray(colour))


def ground(rgb: Rgb) -> NDArray[np.float64]:
    """Colour of the background, a high percentile of each channel; of shape (3,)."""
    return np.maximum(np.percentile(rgb.reshape(-1, 3), _GROUND_PERCENTILE, axis=0), 1)


def on_ground(rgb: Rgb, colour: Colour) -> Rgb:
    """Each channel scaled so that the background has this colour."""
    return _pixels(rgb * (np.asarray(colour) / ground(rgb)))


def grey(rgb: Rgb) -> Rgb:
    """As a camera without colours sees it, in three equal channels."""
    return np.repeat(np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), dtype=np.uint8)[:, :, None], 3, axis=2)


def gamma(rgb: Rgb, exponent: float) -> Rgb:
    """Another curve of brightness; an exponent below 1 makes the middle brighter."""
    return _pixels(255 * (np.arange(256) / 255) ** exponent)[rgb]


def saturation(rgb: Rgb, factor: float) -> Rgb:
    """How far each pixel is from its grey, times a factor."""
    of_grey = grey(rgb).astype(np.float64)
    return _pixels(of_grey + factor * (rgb - of_grey))


def stain(rgb: Rgb, haematoxylin: float = 1.0, eosin: float = 1.0, rest: float = 1.0) -> Rgb:
    """Optical density of each stain, over the background, times a factor; `rest` is what neither takes up."""
    matrix = np.vstack([_STAINS, np.cross(*_STAINS)])
    matrix /= np.linalg.norm(matrix, axis=1, keepdims=True)
    glass = ground(rgb)
    density = -np.log(np.maximum(rgb, 1) / glass)
    amount = density @ np.linalg.inv(matrix) * (haematoxylin, eosin, rest)
    return _pixels(glass * np.exp(-amount @ matrix))


def defocus(rgb: Rgb, share: float) -> Rgb:
    """A blur; its standard deviation is a share of the field's long side."""
    return np.asarray(cv2.GaussianBlur(rgb, (0, 0), share * max(rgb.shape[:2])), dtype=np.uint8)


def noise(rgb: Rgb, grey_levels: float) -> Rgb:
    """A sensor's noise of this standard deviation, the same each time."""
    return _pixels(rgb + np.random.default_rng(0).normal(0, grey_levels, rgb.shape))


def jpeg(rgb: Rgb, quality: int) -> Rgb:
    """Written as JPEG and read again."""
    content = cv2.imencode(".jpg", np.ascontiguousarray(rgb[:, :, ::-1]), [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
    bgr = np.asarray(cv2.imdecode(content, cv2.IMREAD_COLOR), dtype=np.uint8)
    return np.ascontiguousarray(bgr[:, :, ::-1])


def eyepiece(rgb: Rgb) -> Rgb:
    """Black outside of a circle, as through an eyepiece."""
    radius = EYEPIECE * max(rgb.shape[:2])
    light = np.clip((1 - _from_centre(rgb) / radius) / _RIM, 0, 1)
    return _pixels(rgb * light[:, :, None])


def through_eyepiece(xyxy: boxes.Boxes, size_wh: tuple[int, int]) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which cells of a field the eyepiece shows whole, and which its rim cuts; both of shape (n,)."""
    radius = EYEPIECE * max(size_wh)
    away = np.hypot(*(boxes.centre(xyxy) - np.array(size_wh) / 2).T)
    half = boxes.side(xyxy) / 2
    whole = away + half < radius * (1 - _RIM)
    return np.asarray(whole), np.asarray(~whole & (away - half < radius))


def vignette(rgb: Rgb, lost: float) -> Rgb:
    """Light that falls towards the corners, by a share of it there."""
    away = _from_centre(rgb)
    return _pixels(rgb * (1 - lost * (away / away.max()) ** 2)[:, :, None])


def marks(rgb: Rgb) -> Rgb:
    """A scale bar with its length at the lower right, and letters at the upper left."""
    marked = rgb.copy()
    h, w = rgb.shape[:2]
    thick, size = max(1, round(w / 200)), w / 800
    bar_y = round(0.95 * h)
    cv2.line(marked, (round(0.78 * w), bar_y), (round(0.95 * w), bar_y), (0, 0, 0), 2 * thick)
    cv2.putText(marked, "10 um", (round(0.8 * w), bar_y - 3 * thick), cv2.FONT_HERSHEY_SIMPLEX, size, (0, 0, 0), thick)
    cv2.putText(marked, "A 27", (round(0.03 * w), round(0.08 * h)), cv2.FONT_HERSHEY_SIMPLEX, size, (255, 255, 0), thick)
    return marked


def _from_centre(rgb: Rgb) -> NDArray[np.float64]:
    """How far each pixel is from the middle, in pixels, of shape (h, w)."""
    h, w = rgb.shape[:2]
    rows, columns = np.ogrid[:h, :w]
    return np.asarray(np.hypot(columns + 0.5 - w / 2, rows + 0.5 - h / 2))


def _pixels(values: NDArray[np.float64]) -> NDArray[np.uint8]:
    return np.clip(np.round(values), 0, 255).astype(np.uint8)


GREY, EYEPIECE_NAME = "grey", "through an eyepiece"

CHANGES: Mapping[str, Change] = {
    "bluish lamp": partial(lamp, colour=(0.75, 0.9, 1.1)),
    "reddish lamp": partial(lamp, colour=(1.1, 0.9, 0.75)),
    "dim": partial(lamp, colour=(0.6, 0.6, 0.6)),
    "bright": partial(lamp, colour=(1.25, 1.25, 1.25)),
    "blue ground": partial(on_ground, colour=(130, 150, 185)),
    "green ground": partial(on_ground, colour=(150, 185, 180)),
    "yellow ground": partial(on_ground, colour=(225, 215, 150)),
    GREY: grey,
    "gamma 0.6": partial(gamma, exponent=0.6),
    "gamma 1.6": partial(gamma, exponent=1.6),
    "saturation x 0.5": partial(saturation, factor=0.5),
    "saturation x 1.5": partial(saturation, factor=1.5),
    "haematoxylin weak": partial(stain, haematoxylin=0.6),
    "haematoxylin strong": partial(stain, haematoxylin=1.5),
    "eosin weak": partial(stain, eosin=0.6),
    "eosin strong": partial(stain, eosin=1.5),
    "pale stain": partial(stain, haematoxylin=0.6, eosin=0.6, rest=0.6),
    "out of focus": partial(defocus, share=0.003),
    "noise": partial(noise, grey_levels=10),
    "JPEG 30": partial(jpeg, quality=30),
    EYEPIECE_NAME: eyepiece,
    "vignette": partial(vignette, lost=0.5),
    "scale bar, letters": marks,
}
"""By name, in the order of the tables."""
