"""How good a field is to count in, as numbers: its focus, crowding, stain and light, and how sure its cells are."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from detector.vision import border, boxes, cells, images, nuclei
from detector.vision.detections import Detections

Grey = NDArray[np.uint8]

_CELL_PX = 48
"""Fields are measured at a scale at which a red cell is so wide: finer detail is noise and costs time."""
_LONG_PX = 320
"""Long side at which a field is measured that holds too few red cells to tell their size."""
_CELLS_FOR_FOCUS = 16
_FEWEST_PIXELS = 16
_BLOCKS = 4
_LEAST_SHARE = 0.03
_EVERY = 5
"""Of the pixels between the cells, so many are one too many to tell their colour."""
_BLACK = 30
"""Level of the brightest channel up to which a pixel is black."""
_LEAST_SURROUND, _MOST_SURROUND = 0.03, 0.9
"""Shares of a field between which black that reaches a corner is taken for the surround of an eyepiece."""
_MOST_CELLS_OUTSIDE = 0.1
"""Share of the found cells with their middle in a surround; more, and it is the ground, or the cells, of a dark field."""
_PURE_WHITE = 254
_EVEN = 3
"""Levels within which all of a margin lies."""
_SOLID = 0.9
"""Share of its hull, and of all that is not white, that a field on white takes at the least."""
_UNLIKE = 8
"""Levels by which white or a margin must differ from the ground."""
_GROUND_PERCENT = 75
_TELLS_MORE = 1.5
"""How many times as dense as in green red cells must be in another light for that to tell what is a cell."""
_MOST_LEVEL = 255
_SRGB_TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


@dataclass(frozen=True, slots=True)
class Quality:
    """What was measured in one field; no figure depends on the field's size in pixels."""

    focus: float | None
    """How steeply the edges of red cells rise: contrasts per cell diameter, the median over cells; None without cells."""
    covered: float
    """Share of the field that counted cells cover, each taken for an ellipse."""
    overlap: float
    """Share of the cells' area that lies on another counted cell."""
    unclaimed: float
    """Share of the field that is as dark as cells but lies in no counted cell's box."""
    background: tuple[int, int, int]
    """Colour between the cells, RGB."""
    contrast: float
    """How much darker than the background the cells are in green light, as a share of the background; 0 where all is alike."""
    uneven: float
    """Range of the background's brightness across the field, as a share of its mean."""
    counted: tuple[int, ...] = (0,) * len(cells.CLASSES)
    """Cells of each class."""
    unsure: tuple[int, ...] = (0,) * len(cells.CLASSES)
    """Cells of each class that nearly were counted and lie on no counted one (`Detections.unsure`)."""
    plain_whites: int = 0
    """White cells without a nucleus (`nuclei`)."""
    stray: float = 0.0
    """Width of the largest thing as dark as a nucleus in no white cell's box, in red cells."""
    density: tuple[float, ...] | None = None
    """Optical density of red cells in red, green and blue light; None without red cells."""
    score: float | None = None
    """Median score of the counted red cells; None without any."""
    red_share: float | None = None
    """Share of the field under one red cell, the median; None without any."""
    sizes: float | None = None
    """Median deviation of the red cells' widths, as a share of their median; None without any."""
    surround: float = 0.0
    """Share of the picture that is the black surround of an eyepiece, white, or a margin of one colour: no part of the smear."""

    def numbers(self) -> dict[str, float]:
        """What tells whether a field is like others, by name, without what could not be measured; see `familiar`."""
        lightness, green_red, blue_yellow = cielab(np.array([self.background]))[0].tolist()
        values = {
            **{name: getattr(self, name) for name in ("focus", "covered", "contrast", "uneven", "score", "red_share", "sizes")},
            "background's lightness": lightness,
            "background's green to red": green_red,
            "background's blue to yellow": blue_yellow,
        }
        if self.density is not None:
            total = max(sum(self.density), 0.01)
            values |= {"density": total, "density in red": self.density[0] / total, "density in blue": self.density[2] / total}
        return {name: value for name, value in values.items() if value is not None}


def measure(rgb: NDArray[np.uint8], detections: Detections) -> Quality:
    """Measure a field of shape (h, w, 3), RGB, in which these cells were found."""
    rbc_px = border.rbc_px(detections.xyxy, detections.label, detections.size_wh)
    factor = min(1.0, _LONG_PX / max(detections.size_wh) if rbc_px is None else _CELL_PX / rbc_px)
    small = images.shrink(rgb, factor)
    xyxy = detections.xyxy * np.float32(factor)
    small, surround = _without_surround(small, xyxy)
    wh = (small.shape[1], small.shape[0])
    # Red cells take up green light, and nuclei do too.
    green = np.ascontiguousarray(small[:, :, 1])
    dark = _dark(green)
    boxed = boxes.mask(xyxy, wh)
    inside = dark & boxed
    darks, insides = int(np.count_nonzero(dark)), int(np.count_nonzero(inside))
    between = np.flatnonzero(~(dark | boxed))
    if len(between) < 0.01 * dark.size:
        between = np.flatnonzero(~dark) if darks < dark.size else np.arange(dark.size)
    colour = [_median(channel) for channel in small.reshape(-1, 3).take(between[::_EVERY], axis=0).T]
    cell_level = cv2.sumElems(green * (inside if insides else dark))[0] / (insides or darks) if darks else colour[1]
    covered, overlap = _cover(xyxy, wh)
    seen = nuclei.look(
        small, (colour[0], colour[1], colour[2]), xyxy, detections.label, _CELL_PX if rbc_px is None else rbc_px * factor
    )
    if seen.density is not None and max(seen.density) > _TELLS_MORE * seen.density[1]:
        dark = _dark(np.ascontiguousarray(small[:, :, int(np.argmax(seen.density))]))
        darks, insides = int(np.count_nonzero(dark)), int(np.count_nonzero(dark & boxed))
    return Quality(
        focus=_focus(green, detections, xyxy),
        covered=covered / (1 - surround),
        overlap=overlap,
        unclaimed=(darks - insides) / dark.size,
        background=(colour[0], colour[1], colour[2]),
        contrast=max(0.0, 1 - cell_level / max(colour[1], 1)),
        uneven=_uneven(green, boxed),
        counted=tuple(detections.counts().values()),
        unsure=(0,) * len(detections.class_names) if detections.unsure is None else tuple(detections.unsure.counts().values()),
        plain_whites=seen.plain_whites,
        stray=seen.stray,
        density=seen.density,
        surround=surround,
        **_reds(detections),
    )


def _without_surround(rgb: NDArray[np.uint8], xyxy: boxes.Boxes) -> tuple[NDArray[np.uint8], float]:
    """A picture in which what is no part of the field has the colour of the ground, and the share of the picture that it was.

    That is the black surround of an eyepiece, white that something was laid on, and margins of one colour. None of it holds the
    cells that were found, whose boxes are `xyxy`.
    """
    corners = rgb[[0, 0, -1, -1], [0, -1, 0, -1]]
    outside = np.zeros(rgb.shape[:2], dtype=bool)
    if corners.max(axis=1).min() <= _BLACK:
        outside |= _at_corners(rgb.max(axis=2) <= _BLACK)
    kinds = [_margins(rgb)]
    if corners.min(axis=1).max() >= _PURE_WHITE:
        white = _at_corners(rgb.min(axis=2) >= _PURE_WHITE)
        kinds += [white] if _is_solid(~white) else []
    for kind in kinds:
        if kind.any() and not kind.all() and _is_unlike(rgb[kind], rgb[~kind]):
            outside |= kind
    share = float(np.count_nonzero(outside) / outside.size)
    if not _LEAST_SURROUND <= share <= _MOST_SURROUND or _holds_cells(outside, xyxy):
        return rgb, 0.0
    # The rim is not quite black.
    outside = cv2.dilate(outside.view(np.uint8), np.ones((7, 7), np.uint8)).view(bool)
    filled = rgb.copy()
    if not outside.all():
        filled[outside] = np.percentile(rgb[~outside], _GROUND_PERCENT, axis=0)
    return filled, share


def _holds_cells(outside: NDArray[np.bool_], xyxy: boxes.Boxes) -> bool:
    h, w = outside.shape
    x, y = ((xyxy[:, :2] + xyxy[:, 2:]) / 2).astype(np.intp).T
    return bool(np.count_nonzero(outside[y.clip(0, h - 1), x.clip(0, w - 1)]) > _MOST_CELLS_OUTSIDE * len(xyxy))


def _at_corners(chosen: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Those of the chosen pixels that hang together with a corner of the picture."""
    h, w = chosen.shape
    corners = [(y, x) for y in (0, h - 1) for x in (0, w - 1)]
    _, parts = cv2.connectedComponents(chosen.view(np.uint8))
    return np.isin(parts, [part for corner in corners if (part := parts[corner])])


def _margins(rgb: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Rows and columns at the sides of a picture that have one colour all over, which a camera's noise leaves to no part of a field."""
    outside = np.zeros(rgb.shape[:2], dtype=bool)
    for across in (False, True):
        lines = rgb.swapaxes(0, 1) if across else rgb
        marked = outside.T if across else outside
        for step in (1, -1):
            ordered = lines[::step]
            first = ordered[0, 0].astype(np.int16)
            place = 0
            while place < len(ordered) and np.abs(ordered[place] - first).max() <= _EVEN:
                place += 1
            marked[::step][: place if place < len(ordered) else 0] = True
    return outside


def _is_solid(inside: NDArray[np.bool_]) -> bool:
    """Whether pixels are one piece without bays, as a field is that lies on white; cells on overexposed glass are not."""
    outlines, _ = cv2.findContours(inside.view(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
    largest = max(outlines, key=cv2.contourArea, default=None)
    if largest is None:
        return False
    area = cv2.contourArea(largest)
    return area >= _SOLID * max(float(np.count_nonzero(inside)), float(cv2.contourArea(cv2.convexHull(largest))))


def _is_unlike(outside: NDArray[np.uint8], inside: NDArray[np.uint8]) -> bool:
    """Whether no glass between cells looks so: what is overexposed is as white as what surrounds it."""
    ground = np.percentile(inside, _GROUND_PERCENT, axis=0)
    return bool(np.abs(np.median(outside, axis=0) - ground).max() > _UNLIKE)


def cielab(rgb: NDArray[Any]) -> NDArray[np.float64]:
    """Colours of shape (n, 3), sRGB in 0 to 255, in CIELAB under daylight (IEC 61966-2-1, CIE 15); n may be 0.

    OpenCV's own takes a tenth of a second to set up tables for it, which is as long as eight fields take.
    """
    share = rgb / _MOST_LEVEL
    linear = np.where(share > 0.04045, ((share + 0.055) / 1.055) ** 2.4, share / 12.92)
    xyz = linear @ _SRGB_TO_XYZ.T / _SRGB_TO_XYZ.sum(axis=1)
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)


def _dark(channel: Grey) -> NDArray[np.bool_]:
    level, _ = cv2.threshold(channel, 0, _MOST_LEVEL, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    return np.asarray(channel <= level)


def _reds(detections: Detections) -> dict[str, float]:
    red = detections.label == cells.RBC
    if not red.any():
        return {}
    sides_px = boxes.side(detections.xyxy[red])
    middle_px = boxes.median(sides_px)
    return {
        "score": boxes.median(detections.score[red]),
        "red_share": middle_px**2 / (detections.size_wh[0] * detections.size_wh[1]),
        "sizes": boxes.median(np.abs(sides_px - middle_px)) / max(middle_px, 1.0),
    }


def _median(levels: NDArray[np.uint8]) -> int:
    """The lower median of levels; much quicker by counting them than by sorting."""
    return int(np.searchsorted(np.bincount(levels).cumsum(), len(levels) / 2))


def _cover(xyxy: NDArray[np.float32], wh: tuple[int, int]) -> tuple[float, float]:
    """Share of the field under ellipses in the boxes, and share of their area that lies on another one."""
    mask = np.zeros((wh[1], wh[0]), dtype=np.uint8)
    total = 0
    for x1, y1, x2, y2 in xyxy.tolist():
        axes = ((x2 - x1) / 2, (y2 - y1) / 2)
        total += math.pi * axes[0] * axes[1]
        cv2.ellipse(mask, (((x1 + x2) / 2, (y1 + y2) / 2), (x2 - x1, y2 - y1), 0), 1, -1)
    under = cv2.countNonZero(mask)
    return under / mask.size, max(0.0, 1 - under / total) if total else 0.0


def _focus(green: Grey, detections: Detections, xyxy: NDArray[np.float32]) -> float | None:
    chosen = np.flatnonzero(detections.label == cells.RBC)
    chosen = chosen[np.linspace(0, len(chosen) - 1, min(len(chosen), _CELLS_FOR_FOCUS)).round().astype(int)]
    smooth = cv2.GaussianBlur(green, (3, 3), 0.7)
    # Squares of the slope, in whole numbers: the root is taken of those that are looked for.
    dx, dy = (slope.astype(np.int32) for slope in cv2.spatialGradient(smooth))
    squared = dx * dx + dy * dy
    sides = np.rint(xyxy[chosen]).astype(int)
    pieces = [np.s_[y1:y2, x1:x2] for x1, y1, x2, y2 in sides.tolist()]
    histograms = [np.bincount(smooth[piece].ravel(), minlength=_MOST_LEVEL + 1) for piece in pieces]
    levels = np.array(histograms, dtype=np.int64).reshape(-1, _MOST_LEVEL + 1).cumsum(axis=1)
    first, last = levels[:, -1] // 20, levels[:, -1] - 1 - levels[:, -1] // 20
    low, high = ((levels <= place[:, None]).sum(axis=1) for place in (first, last))
    measurable = np.flatnonzero((levels[:, -1] >= _FEWEST_PIXELS) & (high > low))
    steep = [np.partition(squared[pieces[i]], last[i], axis=None)[last[i]] for i in measurable.tolist()]
    px = np.sqrt((sides[measurable, 2:] - sides[measurable, :2]).prod(axis=1))
    steepness = np.sqrt(steep) / 8 * px / (high - low)[measurable]
    return boxes.median(steepness) if len(measurable) else None


def _uneven(green: Grey, boxed: NDArray[np.bool_]) -> float:
    blocks = (min(_BLOCKS, green.shape[1]), min(_BLOCKS, green.shape[0]))
    levels, _ = _levels(green, ~boxed, blocks)
    # What is darker than its surroundings, though in no box, is no background.
    around = cv2.resize(levels, (green.shape[1], green.shape[0]), interpolation=cv2.INTER_LINEAR)
    levels, shares = _levels(green, ~boxed & (green >= around), blocks)
    background = levels[shares >= _LEAST_SHARE]
    return float(np.ptp(background) / max(float(background.mean()), 1.0)) if background.size else 0.0


def _levels(green: Grey, chosen: NDArray[np.bool_], blocks: tuple[int, int]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean of the chosen pixels in each block, and their share of it; 0 where there is none."""
    columns, rows = blocks
    h, w = green.shape[0] // rows, green.shape[1] // columns
    # Whole numbers, and rows first by OpenCV: many times as fast as means over two axes.
    number, total = (
        np.concatenate([cv2.reduce(layer[h * row : h * (row + 1)], 0, cv2.REDUCE_SUM, dtype=cv2.CV_32S) for row in range(rows)])[
            :, : w * columns
        ]
        .reshape(rows, columns, w)
        .sum(axis=2)
        .astype(np.float32)
        for layer in (chosen.view(np.uint8), green * chosen)
    )
    return total / np.maximum(number, 1), number / np.float32(h * w)
