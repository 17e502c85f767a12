"""From a whole field to its cells: at the right scale, in one piece or in tiles."""

from __future__ import annotations

import math
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from detector.errors import UsageError
from detector.vision import border, cells, images, tiles
from detector.vision.card import Card
from detector.vision.detections import Detections
from detector.vision.model import Model

LARGE_PX = 800
"""A field with a longer side may well not be at the model's scale, so where that cannot be told the user is."""

UM_PER_PX_RANGE = (0.01, 1.0)
"""Scales of smear photographs: at the finest a red cell is 750 px wide, at the coarsest 7 px, too few to tell it."""

_SCALE_RANGE = 1.6
_SHOWN = 0.9
"""Where a picture's scale is known, red cells are shown so wide, as a share of the width that the model knows. Validation fields are
counted as well there as at 1 (`benchmarks/scales.py`), and tiles take a quarter less time; smaller, platelets are missed."""
MARGIN_CELLS = 1.6
"""Context around what a tile owns, in red cells: white cells are up to three times as long, and each must be seen whole."""
BAND_CELLS = 0.15
"""How far outside its part a tile keeps cells, in red cells; see `tiles.own`."""
_LEAST_TO_BELIEVE = 2
"""Red cells of the expected size that suffice to take a field as it is: at a wrong scale, what is taken for red cells is much
smaller than those that the model knows."""
_LEAST_TO_ESTIMATE = 5
_LEAST_CROP_PX = 64
_PLACES = ((0.5, 0.5), (0.25, 0.25), (0.75, 0.75))
"""Where a field is looked at for its scale, as shares of its width and height."""
_PATCHES = 8


def find(
    model: Model, rgb: NDArray[np.uint8], um_per_px: float | None = None, min_score: float | None = None, workers: int = 1
) -> tuple[Detections, str]:
    """Cells of a field of any size, and a note for the user, mostly empty.

    A field like those of the training is shown to the model whole. One whose red cells would then be too small or too large
    for it, by `um_per_px` or by what is seen of them, is shown at the scale that the model knows, in tiles where it is
    larger than one. Small cells shown whole would be missed, or taken for platelets.

    Args:
        rgb: pixels of shape (h, w, 3), uint8.
        um_per_px: micrometres per pixel, where known.
        min_score: least score of a reported cell; None takes the model's threshold of each class.
        workers: tiles that are looked at at a time; no result depends on it.

    Raises:
        UsageError: `um_per_px` is out of range.
    """
    whole = model.detect(rgb)
    zoom, note = choose_zoom(model, rgb, whole, um_per_px)
    if zoom is not None:
        found = _in_tiles(model, rgb, zoom, min_score, workers)
    elif min_score is not None:
        found = model.detect(rgb, min_score)
    else:
        found = whole
    return _without_slivers(rounded(found), model, zoom), note


def find_at(model: Model, rgb: NDArray[np.uint8], zoom: float | None) -> Detections:
    """Cells of a field whose scale is known already; `zoom` is as `choose_zoom` gives it."""
    found = model.detect(rgb) if zoom is None else _in_tiles(model, rgb, zoom, None)
    return _without_slivers(rounded(found), model, zoom)


def find_and_search(
    model: Model, rgb: NDArray[np.uint8], min_score: float, um_per_px: float | None = None
) -> tuple[Detections, Detections]:
    """Cells of a field as `find` gives them at the model's thresholds, and as it gives them from `min_score` on.

    The network runs once where the first can be told from the second: in a field shown whole, a box gives way only to better
    ones of its class, so those at the thresholds are the same whether or not worse ones are looked at, as long as
    these do not fill the room for candidates or cells. In tiles a cell's owner wins over a better score, so both are looked for.

    Args:
        min_score: least score of a reported cell, at most the model's thresholds.
    """
    searched = model.detect(rgb, min_score)
    least = np.array(model.card.minimum(), dtype=np.float32)
    whole = model.detect(rgb) if searched.saturated else searched[searched.score >= least[searched.label]]
    zoom, _ = choose_zoom(model, rgb, whole, um_per_px)
    if zoom is not None:
        whole, searched = (_in_tiles(model, rgb, zoom, score) for score in (None, min_score))
    return _without_slivers(rounded(whole), model, zoom), _without_slivers(rounded(searched), model, zoom)


def shown_px(card: Card) -> float:
    """Width of red cells, in input pixels, at which a model is shown pictures whose scale is known."""
    return _SHOWN * card.rbc_px


def check_scale(um_per_px: float, source: str) -> None:
    """Refuse a scale that no photograph of a smear has.

    Raises:
        UsageError: it is out of `UM_PER_PX_RANGE`; the message names `source`.
    """
    low, high = UM_PER_PX_RANGE
    if not low <= um_per_px <= high:  # nor where it is not a number
        raise UsageError(
            f"{source}: {um_per_px:g} micrometres per pixel is no scale of a smear, which is {low:g} to {high:g}; "
            f"red cells are {cells.RBC_DIAMETER_UM:g} micrometres wide"
        )


def choose_zoom(model: Model, rgb: NDArray[np.uint8], whole: Detections, um_per_px: float | None) -> tuple[float | None, str]:
    """Model input pixels per field pixel, None for the field whole at the model's own size, and a note for the user.

    Args:
        whole: what the model finds in the field when it is shown whole.
    """
    long_side = max(rgb.shape[:2])
    seen = border.rbc_px(whole.xyxy, whole.label, whole.size_wh, _LEAST_TO_BELIEVE)
    if um_per_px is not None:
        check_scale(um_per_px, "um_per_px")
        given_px = cells.RBC_DIAMETER_UM / um_per_px
        if _fits(model, long_side, given_px):
            return None, ""
        doubt = f"by um_per_px red cells are {given_px:.0f} px wide, in the field they seem to be {seen:.0f} px" if seen else ""
        return shown_px(model.card) / given_px, doubt if _fits(model, long_side, seen) else ""
    if _fits(model, long_side, seen):
        return None, ""
    rbc_px = estimate_rbc_px(model, rgb)
    if rbc_px is None:
        return None, "scale not known: no red cells to estimate it from" if long_side > LARGE_PX else ""
    return (None if _fits(model, long_side, rbc_px) else shown_px(model.card) / rbc_px), ""


def _fits(model: Model, long_side: int, rbc_px: float | None) -> bool:
    """Whether red cells of this size in field pixels have nearly the size that the model knows when a field is shown whole."""
    if rbc_px is None:
        return False
    ratio = rbc_px * model.card.image_px / long_side / model.card.rbc_px
    return 1 / _SCALE_RANGE <= ratio <= _SCALE_RANGE


def estimate_rbc_px(model: Model, rgb: NDArray[np.uint8]) -> float | None:
    """Typical side of a red cell's box in field pixels, or None where too few are found.

    Looks at ever smaller crops of the field, each shown at the model's own size, and believes the one in which the red
    cells found have most nearly the size that the model knows. Where the middle and two quarters show none, it looks where
    the field varies most.
    """
    known = _best_rbc_px(model, rgb, _PLACES)
    return _best_rbc_px(model, rgb, _lively(rgb)) if known is None else known


def _best_rbc_px(model: Model, rgb: NDArray[np.uint8], places: Sequence[tuple[float, float]]) -> float | None:
    best: tuple[float, float] | None = None
    side = max(rgb.shape[:2]) // 2
    while side >= _LEAST_CROP_PX:
        for crop in _crops(rgb, side, places):
            found = model.detect(crop)
            typical = border.rbc_px(found.xyxy, found.label, found.size_wh, _LEAST_TO_ESTIMATE)
            if typical is None:
                continue
            off = abs(math.log(typical * model.card.image_px / max(crop.shape[:2]) / model.card.rbc_px))
            if best is None or off < best[0]:
                best = (off, typical)
        side //= 2
    return None if best is None or best[0] > math.log(_SCALE_RANGE) else best[1]


def _lively(rgb: NDArray[np.uint8]) -> list[tuple[float, float]]:
    """Centres, as shares of width and height, of the parts of a field in which green light varies most."""
    green = images.shrink(rgb, min(1.0, 32 * _PATCHES / max(rgb.shape[:2])))[:, :, 1]
    rows, columns = (min(_PATCHES, side) for side in green.shape)
    parts = [(np.array_split(band, columns, axis=1)) for band in np.array_split(green, rows, axis=0)]
    varies = np.array([[float(part.std()) for part in band] for band in parts])
    best = np.argsort(-varies, axis=None, kind="stable")[: len(_PLACES)]
    return [((i % columns + 0.5) / columns, (i // columns + 0.5) / rows) for i in best.tolist() if varies.ravel()[i] > 0]


def _crops(rgb: NDArray[np.uint8], side: int, places: Sequence[tuple[float, float]]) -> list[NDArray[np.uint8]]:
    """Crops of `side` px around places given as shares of the field's width and height."""
    h, w = rgb.shape[:2]
    crops = []
    for fx, fy in places:
        x = min(max(round(w * fx - side / 2), 0), max(w - side, 0))
        y = min(max(round(h * fy - side / 2), 0), max(h - side, 0))
        crops.append(rgb[y : y + side, x : x + side])
    return crops


def _in_tiles(model: Model, rgb: NDArray[np.uint8], zoom: float, min_score: float | None, workers: int = 1) -> Detections:
    size_wh = (rgb.shape[1], rgb.shape[0])
    rbc_px = shown_px(model.card) / zoom
    pieces = cut(size_wh, rbc_px, zoom, tiles.TILE_PX)

    def look(piece: tiles.Tile) -> Detections:
        x1, y1, x2, y2 = piece.window
        return model.detect(rgb[y1:y2, x1:x2], min_score, zoom)

    with ThreadPoolExecutor(workers) as pool:
        found = list(pool.map(look, pieces))
    return tiles.own(pieces, found, size_wh, band_px=BAND_CELLS * rbc_px)


def cut(size_wh: tuple[int, int], rbc_px: float, zoom: float, tile_px: int) -> list[tiles.Tile]:
    """Tiles of a picture in which red cells are `rbc_px` wide.

    Args:
        zoom: model input pixels per pixel of the picture.
        tile_px: side of a tile in the model's own pixels.
    """
    margin_px = math.ceil(MARGIN_CELLS * rbc_px)
    return tiles.cut(size_wh, max(math.ceil(tile_px / zoom), 3 * margin_px), margin_px)


def _without_slivers(found: Detections, model: Model, zoom: float | None) -> Detections:
    """Leave out what `border` does not count."""
    return found[~slivers(found, model, zoom)]


def slivers(found: Detections, model: Model, zoom: float | None) -> NDArray[np.bool_]:
    """Which cells of a whole field `border` does not count; of shape (n,).

    Args:
        zoom: model input pixels per field pixel that they were found at; None for the field whole at the model's own size.
    """
    certain = found.score >= np.array(model.card.minimum())[found.label]
    rbc_px = border.rbc_px(found.xyxy[certain], found.label[certain], found.size_wh)
    if rbc_px is None:
        known_px = model.card.rbc_px * max(found.size_wh) / model.card.image_px
        rbc_px = known_px if zoom is None else shown_px(model.card) / zoom
    return border.slivers(found.xyxy, found.label, found.size_wh, rbc_px)


def rounded(found: Detections) -> Detections:
    """Boxes to a hundredth of a pixel and scores to four places, as files hold them: a count from a file is then the same."""
    xyxy = found.xyxy.astype(np.float64).round(2).astype(np.float32)
    score = found.score.astype(np.float64).round(4).astype(np.float32)
    return Detections(xyxy, score, found.label, found.size_wh, found.class_names, found.saturated, found.unsure)
