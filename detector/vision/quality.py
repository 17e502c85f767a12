"""How good a field is to count in: its focus, crowding, stain and light, and in words what makes it doubtful."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from detector.vision import border, boxes, cells, images, nuclei
from detector.vision.detections import Detections
from detector.vision.familiar import Familiar

Grey = NDArray[np.uint8]

LEAST_FOCUS = 4.5
"""Nearly all fields of BCCD, PBC and Raabin-WBC have 5 to 12. Blurred by 8 % of a cell's diameter they have about 4.7, by 10 % about
4.2; a model trained at 320 px then found 4 to 18 % and 8 to 31 % fewer cells."""
MOST_COVERED = 0.8
"""In 223 of these fields, all with completely labelled cells, 0.34 to 0.77."""
MOST_OVERLAP = 0.15
"""There 0.11 at the most."""
MOST_UNCLAIMED = 0.09
"""There 0.085 at the most."""
LEAST_CONTRAST = 0.08
"""There 0.18 at the least."""
LEAST_BRIGHTNESS = 80
"""Of 255, in green light between the cells; there 165 at the least."""
MOST_UNEVEN = 0.4
"""There 0.26 at the most."""

MOST_UNSURE = 0.15
"""Share of red cells that nearly were counted, of these and the counted ones; in 99 of 101 rightly counted fields less."""
FEWEST_UNSURE = 2
"""Red cells that nearly were counted, below which a field is not doubtful by them."""
UNSURE_WHITES = 0.1
"""Share of the white cells, counted and nearly counted, that may be uncertain or without a nucleus; of the few of a field, none."""
FEWEST_UNSURE_PLATELETS = 3
"""Platelets that nearly were counted from which on, where they outnumber the counted ones, a field is doubtful."""
MOST_STRAY = 0.5
"""Width of the largest thing as dark as a nucleus in no white cell's box, in red cells; platelets and overlapping cells are less."""

FEWEST_TO_COMPARE = 5
"""Fields of a smear from which on each is compared with the others."""
LESS_SHARP = 0.7
"""Share of the smear's median focus below which a field is doubtful, where the smear's own scatter does not explain it."""
OTHER_COLOUR = 10.0
"""Distance of the background's colour from the smear's median, in CIELAB units, from which on the same holds."""
_SCATTERS = 3.5
"""How many standard deviations, told robustly from the median deviation, a smear's own scatter explains."""

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
_TELLS_MORE = 1.5
"""How many times as dense as in green red cells must be in another light for that to tell what is a cell."""
_NUMBERS = {
    "focus": "focus",
    "covered": "share of the field under cells",
    "contrast": "contrast",
    "uneven": "unevenness of the light",
    "score": "scores of the red cells",
    "red_share": "size of the red cells",
    "sizes": "scatter of the red cells' sizes",
    "background's lightness": "brightness of the background",
    "background's green to red": "colour of the background",
    "background's blue to yellow": "colour of the background",
    "density": "density of the red cells",
    "density in red": "colour of the red cells",
    "density in blue": "colour of the red cells",
}
"""What each of `Quality.numbers` is called."""
_MOST_LEVEL = 255
_WHITE_LEVEL = 250
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

    def numbers(self) -> dict[str, float]:
        """What tells whether a field is like others, by name, without what could not be measured; see `familiar`."""
        lightness, green_red, blue_yellow = _cielab(np.array([self.background]))[0].tolist()
        known = {
            **{name: getattr(self, name) for name in ("focus", "covered", "contrast", "uneven", "score", "red_share", "sizes")},
            "background's lightness": lightness,
            "background's green to red": green_red,
            "background's blue to yellow": blue_yellow,
        }
        if self.density is not None:
            total = max(sum(self.density), 0.01)
            known |= {"density": total, "density in red": self.density[0] / total, "density in blue": self.density[2] / total}
        return {name: value for name, value in known.items() if value is not None}


def measure(rgb: NDArray[np.uint8], found: Detections) -> Quality:
    """Measure a field of shape (h, w, 3), RGB, in which these cells were found."""
    rbc_px = border.rbc_px(found.xyxy, found.label, found.size_wh)
    factor = min(1.0, _LONG_PX / max(found.size_wh) if rbc_px is None else _CELL_PX / rbc_px)
    small = images.shrink(rgb, factor)
    wh = (small.shape[1], small.shape[0])
    xyxy = found.xyxy * np.float32(factor)
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
        small, (colour[0], colour[1], colour[2]), xyxy, found.label, _CELL_PX if rbc_px is None else rbc_px * factor
    )
    if seen.density is not None and max(seen.density) > _TELLS_MORE * seen.density[1]:
        dark = _dark(np.ascontiguousarray(small[:, :, int(np.argmax(seen.density))]))
        darks, insides = int(np.count_nonzero(dark)), int(np.count_nonzero(dark & boxed))
    return Quality(
        focus=_focus(green, found, xyxy),
        covered=covered,
        overlap=overlap,
        unclaimed=(darks - insides) / dark.size,
        background=(colour[0], colour[1], colour[2]),
        contrast=max(0.0, 1 - cell_level / max(colour[1], 1)),
        uneven=_uneven(green, boxed),
        counted=tuple(found.counts().values()),
        unsure=(0,) * len(found.class_names) if found.unsure is None else tuple(found.unsure.counts().values()),
        plain_whites=seen.plain_whites,
        stray=seen.stray,
        density=seen.density,
        **_reds(found),
    )


def _dark(channel: Grey) -> NDArray[np.bool_]:
    level, _ = cv2.threshold(channel, 0, _MOST_LEVEL, cv2.THRESH_BINARY + cv2.THRESH_OTSU)
    return np.asarray(channel <= level)


def _reds(found: Detections) -> dict[str, float]:
    red = found.label == cells.RBC
    if not red.any():
        return {}
    sides_px = boxes.side(found.xyxy[red])
    middle_px = boxes.median(sides_px)
    return {
        "score": boxes.median(found.score[red]),
        "red_share": middle_px**2 / (found.size_wh[0] * found.size_wh[1]),
        "sizes": boxes.median(np.abs(sides_px - middle_px)) / max(middle_px, 1.0),
    }


def doubts(fields: Sequence[Quality], known: Familiar | None = None) -> list[str]:
    """What makes each of a smear's fields doubtful, in words and parted by semicolons; empty for a field that is sound.

    Some rules judge a field by itself; from `FEWEST_TO_COMPARE` fields on each is also compared with the others.

    Args:
        known: what the fields of the model's training are like; None where that is not known.
    """
    alone = [[*_alone(one), *_cells(one), *_strange(one, known)] for one in fields]
    if len(fields) < FEWEST_TO_COMPARE:
        return ["; ".join(reasons) for reasons in alone]
    compared = zip(alone, _less_sharp(fields), _other_stain(fields), _fainter(fields), strict=True)
    return ["; ".join([*reasons, *filter(None, others)]) for reasons, *others in compared]


def rules() -> list[str]:
    """The rules of `doubts`, for people."""
    return [
        f"out of focus: the edges of red cells rise by less than {LEAST_FOCUS:g} contrasts per cell diameter",
        "no red cell: there is none to judge the focus by",
        f"crowded: cells cover more than {100 * MOST_COVERED:.0f} % of the field, or more than {100 * MOST_OVERLAP:.0f} % of their area "
        "lies on another cell",
        f"uncounted matter: more than {100 * MOST_UNCLAIMED:.0f} % of the field is as dark as cells but lies in none that was counted",
        f"dark: between the cells, brightness in green light is below {LEAST_BRIGHTNESS} of {_MOST_LEVEL}",
        f"faint or overexposed: cells are darker than the background by less than {100 * LEAST_CONTRAST:.0f} %",
        f"unevenly lit: brightness between the cells varies across the field by more than {100 * MOST_UNEVEN:.0f} %",
        f"uncertain cells: {FEWEST_UNSURE} or more red cells were nearly counted, and more than {100 * MOST_UNSURE:.0f} % of these and the "
        f"counted ones; or a white cell was, and {100 * UNSURE_WHITES:.0f} % of them; or {FEWEST_UNSURE_PLATELETS} or more "
        "platelets, and more than were counted",
        f"white cells without a nucleus: inside there is less than {nuclei.LEAST_NUCLEUS:g} of a red cell's area that is denser than red "
        "cells, in any light",
        f"as dark as a nucleus and in no white cell: {nuclei.DENSER:g} times as dense as red cells, and wider than "
        f"{100 * MOST_STRAY:.0f} % of one",
        "unlike the fields that the model was trained on, where its card says what these are like",
        f"unlike the smear's other fields, where there are {FEWEST_TO_COMPARE} or more and their own scatter does not explain it: focus "
        f"below {100 * LESS_SHARP:.0f} % of their median; contrast below half of their median; background colour off by more than "
        f"{OTHER_COLOUR:g} units of CIELAB",
    ]


def _alone(one: Quality) -> list[str]:
    reasons = []
    if one.focus is None:
        reasons.append("no red cell")
    elif one.focus < LEAST_FOCUS:
        reasons.append("out of focus")
    if one.covered > MOST_COVERED:
        reasons.append(f"crowded: cells cover {100 * one.covered:.0f} %")
    if one.overlap > MOST_OVERLAP:
        reasons.append(f"crowded: {100 * one.overlap:.0f} % of the cells' area lies on another cell")
    if one.unclaimed > MOST_UNCLAIMED:
        reasons.append(f"uncounted matter: {100 * one.unclaimed:.0f} % of the field")
    if one.background[1] < LEAST_BRIGHTNESS:
        reasons.append(f"dark: background {one.background[1]} of {_MOST_LEVEL}")
    if one.contrast < LEAST_CONTRAST:
        reasons.append("overexposed" if min(one.background) >= _WHITE_LEVEL else "faint: little contrast of cells to background")
    if one.uneven > MOST_UNEVEN:
        reasons.append(f"unevenly lit: brightness varies by {100 * one.uneven:.0f} %")
    return reasons


def _cells(one: Quality) -> list[str]:
    """What makes the cells themselves doubtful."""
    red, white, platelets = one.unsure
    whites, plain = one.counted[cells.WBC], one.plain_whites
    reasons = []
    if red >= FEWEST_UNSURE and red > MOST_UNSURE * (red + one.counted[cells.RBC]):
        reasons.append(f"uncertain cells: {red:,} red cells nearly counted beside {one.counted[cells.RBC]:,}")
    if white and white >= UNSURE_WHITES * (white + whites):
        reasons.append(f"uncertain cells: {_cells_named(white, 'white cell')} nearly counted beside {whites:,}")
    if platelets >= FEWEST_UNSURE_PLATELETS and platelets > one.counted[cells.PLATELETS]:
        reasons.append(f"uncertain cells: {platelets:,} platelets nearly counted beside {one.counted[cells.PLATELETS]:,}")
    if plain and plain >= UNSURE_WHITES * whites:
        reasons.append(f"{_cells_named(plain, 'white cell')} without a nucleus darker than the red cells")
    if one.stray > MOST_STRAY:
        reasons.append(f"as dark as a nucleus and in no white cell: something {100 * one.stray:.0f} % as wide as a red cell")
    return reasons


def _strange(one: Quality, known: Familiar | None) -> list[str]:
    if known is None or known.distance(one.numbers()) <= known.limit:
        return []
    strangest = known.strangest(one.numbers())
    return [f"unlike the fields that the model was trained on: {_NUMBERS.get(strangest, strangest)}"]


def _cells_named(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _less_sharp(fields: Sequence[Quality]) -> list[str]:
    focus = np.array([math.nan if one.focus is None else one.focus for one in fields])
    known = focus[np.isfinite(focus)]
    if len(known) < FEWEST_TO_COMPARE:
        return [""] * len(fields)
    middle, scatter = _robust(known)
    off = (focus < LESS_SHARP * middle) & (middle - focus > _SCATTERS * scatter) & (focus >= LEAST_FOCUS)
    return ["less sharp than the smear's other fields" if one else "" for one in off]


def _other_stain(fields: Sequence[Quality]) -> list[str]:
    lab = _cielab(np.array([one.background for one in fields]))
    away = np.linalg.norm(lab - np.median(lab, axis=0), axis=1)
    scatter = _robust(away)[1] + float(np.median(away))
    off = (away > OTHER_COLOUR) & (away > _SCATTERS * scatter)
    return ["stain or light unlike the smear's other fields" if one else "" for one in off]


def _fainter(fields: Sequence[Quality]) -> list[str]:
    contrast = np.array([one.contrast for one in fields])
    middle, scatter = _robust(contrast)
    off = (contrast < middle / 2) & (middle - contrast > _SCATTERS * scatter) & (contrast >= LEAST_CONTRAST)
    return ["fainter than the smear's other fields" if one else "" for one in off]


def _cielab(rgb: NDArray[Any]) -> NDArray[np.float64]:
    """Colours of shape (n, 3), sRGB in 0 to 255, in CIELAB under daylight (IEC 61966-2-1, CIE 15); n may be 0.

    OpenCV's own takes a tenth of a second to set up tables for it, which is as long as eight fields take.
    """
    share = rgb / _MOST_LEVEL
    linear = np.where(share > 0.04045, ((share + 0.055) / 1.055) ** 2.4, share / 12.92)
    xyz = linear @ _SRGB_TO_XYZ.T / _SRGB_TO_XYZ.sum(axis=1)
    f = np.where(xyz > (6 / 29) ** 3, np.cbrt(xyz), xyz / (3 * (6 / 29) ** 2) + 4 / 29)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], axis=1)


def _robust(values: NDArray[np.floating[Any]]) -> tuple[float, float]:
    """Median, and standard deviation as the median deviation of a normal distribution tells it."""
    middle = float(np.median(values))
    return middle, 1.4826 * float(np.median(np.abs(values - middle)))


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


def _focus(green: Grey, found: Detections, xyxy: NDArray[np.float32]) -> float | None:
    chosen = np.flatnonzero(found.label == cells.RBC)
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
    known = np.flatnonzero((levels[:, -1] >= _FEWEST_PIXELS) & (high > low))
    steep = [np.partition(squared[pieces[i]], last[i], axis=None)[last[i]] for i in known.tolist()]
    px = np.sqrt((sides[known, 2:] - sides[known, :2]).prod(axis=1))
    steepness = np.sqrt(steep) / 8 * px / (high - low)[known]
    return boxes.median(steepness) if len(known) else None


def _uneven(green: Grey, boxed: NDArray[np.bool_]) -> float:
    blocks = (min(_BLOCKS, green.shape[1]), min(_BLOCKS, green.shape[0]))
    levels, _ = _levels(green, ~boxed, blocks)
    # What is darker than its surroundings, though in no box, is no background.
    around = cv2.resize(levels, (green.shape[1], green.shape[0]), interpolation=cv2.INTER_LINEAR)
    levels, shares = _levels(green, ~boxed & (green >= around), blocks)
    known = levels[shares >= _LEAST_SHARE]
    return float(np.ptp(known) / max(float(known.mean()), 1.0)) if known.size else 0.0


def _levels(green: Grey, chosen: NDArray[np.bool_], blocks: tuple[int, int]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean of the chosen pixels in each block, and their share of it; 0 where there is none."""
    columns, rows = blocks
    h, w = green.shape[0] // rows, green.shape[1] // columns
    # Whole numbers, and rows first by OpenCV: many times as fast as means over two axes.
    number, total = (
        np.concatenate([cv2.reduce(each[h * row : h * (row + 1)], 0, cv2.REDUCE_SUM, dtype=cv2.CV_32S) for row in range(rows)])[
            :, : w * columns
        ]
        .reshape(rows, columns, w)
        .sum(axis=2)
        .astype(np.float32)
        for each in (chosen.view(np.uint8), green * chosen)
    )
    return total / np.maximum(number, 1), number / np.float32(h * w)
