"""How wide red cells are in the pictures of a smear: known once, before cells are counted."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detector.errors import UsageError
from detector.vision import boxes, cells, images
from detector.vision.card import Card
from detector.vision.detections import Detections
from detector.vision.model import Model

UM_PER_PX_RANGE = (0.01, 1.0)
"""Scales of smear photographs: at the finest a red cell is 750 px wide, at the coarsest 7 px, too few to tell it."""
GIVEN, OF_FILE = "given", "the file"
OF_SMEAR, OF_FIELD, UNKNOWN = "cells of the smear", "cells of the field", "not known"
"""Where a scale comes from."""
CONTRADICTS = 1.5
"""Ratio of two widths from which on one of them is wrong: larger than normal cells and those of anaemias differ by less."""
PROBES = 5
"""Fields of a smear that tell its scale."""

_KNOWN_RBC_PX = (28.0, 115.0)
"""Widths, in input pixels, at which the model knows red cells well enough to measure them."""
_FEWEST = 3
"""Red cells clear of the border that tell a width."""
_SURE_CELLS, SURE_SUPPORT = 8, 0.12
"""Red cells of like width, and share of a picture under them, from which on no other look is needed."""
_ALIKE = 1.6
"""Red cells whose width differs from the median by less than this ratio speak for it."""
_LEAST_SUPPORT = 0.01
_LEAST_CROP_PX = 48
_PLACES = ((0.5, 0.5), (0.25, 0.25), (0.75, 0.75))
"""Where a picture is looked at closely, as shares of its width and height."""
_PATCHES = 8
_ZOOM_STEPS = 8
"""Magnifications are taken in so many steps from one to its double, so that two estimates that nearly agree give the same count."""


@dataclass(frozen=True)
class Scale:
    """The width of red cells in pictures of one microscope."""

    rbc_px: float | None
    """In pixels of the picture; None where nothing tells it."""
    source: str
    """`GIVEN`, `OF_FILE`, `OF_SMEAR`, `OF_FIELD` or `UNKNOWN`."""

    @classmethod
    def given(cls, um_per_px: float) -> Scale:
        """The scale that a user names in micrometres per pixel.

        Raises:
            UsageError: no photograph of a smear has it.
        """
        check(um_per_px, "um_per_px")
        return cls(cells.RBC_DIAMETER_UM / um_per_px, GIVEN)

    @classmethod
    def stated(cls, um_per_px: float | None) -> Scale | None:
        """The scale that a picture's file states in micrometres per pixel; None where no photograph of a smear has it."""
        low, high = UM_PER_PX_RANGE
        return None if um_per_px is None or not low <= um_per_px <= high else cls(cells.RBC_DIAMETER_UM / um_per_px, OF_FILE)

    @property
    def um_per_px(self) -> float | None:
        """Micrometres per pixel as the picture's file states them; None where the scale is from elsewhere."""
        return cells.RBC_DIAMETER_UM / self.rbc_px if self.source == OF_FILE and self.rbc_px else None


@dataclass(frozen=True)
class Estimate:
    """The width of red cells as one picture tells it."""

    rbc_px: float
    support: float
    """Share of what was looked at that lies under red cells of like width, each weighed with its score."""


def check(um_per_px: float, source: str) -> None:
    """Refuse a scale that no photograph of a smear has.

    Raises:
        UsageError: it is out of `UM_PER_PX_RANGE`; the message names `source`.
    """
    low, high = UM_PER_PX_RANGE
    if not low <= um_per_px <= high:  # nor where it is not a number
        raise UsageError(
            f"{source}: {um_per_px:g} micrometres per pixel is not a scale of a smear, which is {low:g} to {high:g}; "
            f"red cells are {cells.RBC_DIAMETER_UM:g} micrometres wide"
        )


def zoom_for(card: Card, rbc_px: float) -> float:
    """Input pixels per pixel of a picture, so that red cells are shown about as wide as the card says."""
    return float(2 ** (round(math.log2(card.shown_px / rbc_px) * _ZOOM_STEPS) / _ZOOM_STEPS))


def contradict(a: float, b: float) -> bool:
    """Whether two widths of red cells cannot both be right."""
    return max(a / b, b / a) > CONTRADICTS


def of_smear(estimates: Sequence[Estimate | None]) -> Scale:
    """The scale of a smear by what several of its fields tell; no order of theirs changes it."""
    widths_px = [reading.rbc_px for reading in estimates if reading is not None]
    if not widths_px:
        return Scale(None, UNKNOWN)
    return Scale(float(np.median(widths_px)), OF_SMEAR if len(estimates) > 1 else OF_FIELD)


def probes(fields: int) -> list[int]:
    """Which fields of a smear tell its scale: at most `PROBES`, spread evenly."""
    return np.unique(np.linspace(0, fields - 1, min(fields, PROBES)).round().astype(int)).tolist() if fields else []


def estimate(model: Model, rgb: images.Rgb) -> Estimate | None:
    """The width of red cells in a picture of any size, or None where too few are seen.

    The picture is looked at whole, and, unless that leaves no doubt, closer and closer. The look is believed in which red cells of like
    width cover most: where cells are shown too small or too large, few are found, or heaps of them, or parts.

    Args:
        rgb: pixels of shape (h, w, 3), uint8.
    """
    zoom = model.card.image_px / max(rgb.shape[:2])
    whole = model.detect(rgb, zoom=zoom)
    best, sure = _judged(whole, zoom)
    if sure:
        return best
    for places in (_PLACES, _lively(rgb)):
        for crop, zoom in _closer(rgb, model.card, places):
            judged, _ = _judged(model.detect(crop, zoom=zoom), zoom)
            if judged is not None and (best is None or judged.support > best.support) and _stands(judged, whole):
                best = judged
        if best is not None:
            return best
    return None


def glance(model: Model, rgb: images.Rgb) -> Estimate | None:
    """The same by a single look, or None where that leaves a doubt."""
    zoom = model.card.image_px / max(rgb.shape[:2])
    judged, sure = _judged(model.detect(rgb, zoom=zoom), zoom)
    return judged if sure else None


def measure(detections: Detections) -> float | None:
    """Median width of the red cells of a field that are clear of the border, in its pixels; None with fewer than `_SURE_CELLS`."""
    sides_px = boxes.sides_clear_of_border(detections.xyxy[detections.label == cells.RBC], detections.size_wh)
    return boxes.median(sides_px) if len(sides_px) >= _SURE_CELLS else None


def covered(detections: Detections) -> float:
    """Share of a field that lies under its red cells, each weighed with its score."""
    red = detections.label == cells.RBC
    return float((boxes.area(detections.xyxy[red]) * detections.score[red]).sum()) / (
        detections.size_wh[0] * detections.size_wh[1]
    )


def _stands(closer: Estimate, whole: Detections) -> bool:
    """Whether what a closer look tells is not refuted by larger red cells of the whole picture, most of them cut by its border.

    In a picture of a few large cells, damage by compression may look like many small ones, and so may platelets that are shown as large
    as red cells. These cover less than the large ones do.
    """
    sides_px = boxes.side(whole.xyxy[whole.label == cells.RBC])
    larger = len(sides_px) > 0 and boxes.median(sides_px) > CONTRADICTS * closer.rbc_px
    return not larger or covered(whole) <= closer.support


def _judged(detections: Detections, zoom: float) -> tuple[Estimate | None, bool]:
    """What one look at `zoom` input pixels per pixel tells, and whether that leaves no doubt."""
    red = np.flatnonzero((detections.label == cells.RBC) & boxes.clear_of_border(detections.xyxy, detections.size_wh))
    sides_px = boxes.side(detections.xyxy[red])
    if len(red) < _FEWEST:
        return None, False
    typical_px = boxes.median(sides_px)
    low, high = _KNOWN_RBC_PX
    alike = np.maximum(sides_px / typical_px, typical_px / sides_px) < _ALIKE
    area = float((boxes.area(detections.xyxy[red]) * detections.score[red])[alike].sum())
    support = area / (detections.size_wh[0] * detections.size_wh[1])
    if not low <= typical_px * zoom <= high or support < _LEAST_SUPPORT:
        return None, False
    return Estimate(typical_px, support), int(alike.sum()) >= _SURE_CELLS and support >= SURE_SUPPORT


def _closer(rgb: images.Rgb, card: Card, places: Sequence[tuple[float, float]]) -> Iterator[tuple[images.Rgb, float]]:
    """Crops around places, each half as long as those before, with the zoom that shows them at the model's own size."""
    long_side = max(rgb.shape[:2])
    # Once at half the size too: a few large cells may fill a picture.
    yield rgb, card.image_px / long_side / 2
    side = long_side // 2
    while side >= _LEAST_CROP_PX:
        for crop in _crops(rgb, side, places):
            yield crop, card.image_px / max(crop.shape[:2])
        side //= 2


def _lively(rgb: images.Rgb) -> list[tuple[float, float]]:
    """Centres, as shares of width and height, of the parts of a picture in which light varies most."""
    grey = images.shrink(rgb, min(1.0, 32 * _PATCHES / max(rgb.shape[:2]))).mean(axis=2)
    rows, columns = (min(_PATCHES, side) for side in grey.shape)
    parts = [(np.array_split(band, columns, axis=1)) for band in np.array_split(grey, rows, axis=0)]
    varies = np.array([[float(part.std()) for part in band] for band in parts])
    best = np.argsort(-varies, axis=None, kind="stable")[: len(_PLACES)]
    return [((i % columns + 0.5) / columns, (i // columns + 0.5) / rows) for i in best.tolist() if varies.ravel()[i] > 0]


def _crops(rgb: images.Rgb, side: int, places: Sequence[tuple[float, float]]) -> Iterator[NDArray[np.uint8]]:
    """Crops of `side` px around places given as shares of the picture's width and height."""
    h, w = rgb.shape[:2]
    for fx, fy in places:
        x = min(max(round(w * fx - side / 2), 0), max(w - side, 0))
        y = min(max(round(h * fy - side / 2), 0), max(h - side, 0))
        yield rgb[y : y + side, x : x + side]
