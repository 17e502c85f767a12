"""From a whole field to its cells: at the right scale, in one piece or in tiles."""

from __future__ import annotations

import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detector.vision import border, tiles
from detector.vision.cells import RBC
from detector.vision.detections import Detections
from detector.vision.model import Model
from detector.vision.scale import (
    GIVEN,
    OF_FIELD,
    OF_FILE,
    SURE_SUPPORT,
    Scale,
    contradict,
    covered,
    estimate,
    glance,
    measure,
    of_smear,
    zoom_for,
)

CONTRADICTED = "by the given scale red cells should be"
"""How the note begins of a field whose cells speak against the scale that was given."""
_UNKNOWN = "scale not known: too few red cells to estimate it from"
LARGE_PX = 800
"""A field with a longer side may well show cells too small to be found whole, so where its scale cannot be told the user is."""
FEWEST_UNSURE = 8
"""Red cells that nearly are counted from which on a field with few others is searched for a scale of its own."""
MARGIN_CELLS = 1.6
"""Context around what a tile owns, in red cells: white cells are up to three times as long, and each must be seen whole."""
BAND_CELLS = 0.15
"""How far outside its part a tile keeps cells, in red cells; see `tiles.own`."""


@dataclass(frozen=True)
class FieldCells:
    """The cells of a field, and how they were looked for."""

    cells: Detections
    scale: Scale
    """The width of red cells that was taken."""
    note: str
    """What a user should know of it; mostly empty."""


def find(
    model: Model, rgb: NDArray[np.uint8], scale: Scale | None = None, min_score: float | None = None, workers: int = 1
) -> FieldCells:
    """Cells of a field of any size, shown to the model with red cells as wide as it knows them best, in tiles where it is large.

    Args:
        rgb: pixels of shape (h, w, 3), uint8.
        scale: of the field's smear, or as its user or its file states it; None takes what the field itself tells.
        min_score: least score of a reported cell; None takes the model's threshold of each class.
        workers: tiles that are looked at at a time; no result depends on it.
    """
    if scale is None or scale.rbc_px is None:
        taken = of_smear([estimate(model, rgb) if scale is None else glance(model, rgb)])
        note = _UNKNOWN if taken.rbc_px is None and max(rgb.shape[:2]) > LARGE_PX else ""
    else:
        counted = _look(model, rgb, scale, None, workers)
        taken, note = _settled(model, rgb, scale, counted)
        if taken == scale and min_score is None:
            return FieldCells(counted, scale, note)
    return FieldCells(_look(model, rgb, taken, min_score, workers), taken, note)


def _settled(model: Model, rgb: NDArray[np.uint8], scale: Scale, counted: Detections) -> tuple[Scale, str]:
    """The scale of a field, and a note, once it was looked at by the scale of its smear or of the user."""
    assert scale.rbc_px is not None
    seen = measure(counted)
    fits = seen is not None and not contradict(seen, scale.rbc_px)
    stated = scale.source in (GIVEN, OF_FILE)
    # Parts of cells that are shown far too large may be as wide as a wrong scale says, but cover little.
    if fits and not (stated and covered(counted) < SURE_SUPPORT):
        return scale, ""
    # A field with few red cells gets a single look. A stated scale may be so wrong that none is found at it, nor at such a look; and
    # where many red cells nearly are counted, and few are, they may be of another width too.
    few = seen is None and not stated and _unsure_red_cells(counted) < FEWEST_UNSURE
    own = glance(model, rgb) if few else estimate(model, rgb)
    if own is None or not contradict(own.rbc_px, scale.rbc_px):
        return scale, ""
    # With few red cells at that scale, or little under them, only what leaves no doubt speaks against it.
    if own.support < SURE_SUPPORT and (fits or seen is None):
        return scale, ""
    if scale.source == GIVEN:
        return scale, f"{CONTRADICTED} {scale.rbc_px:.0f} px wide, but in the field they are about {own.rbc_px:.0f} px"
    if scale.source == OF_FILE:
        wide = f"{scale.rbc_px:.0f} px wide, but in the field they are about {own.rbc_px:.0f} px"
        note = f"by its file red cells should be {wide}; the measured width was used, and no area in mm² is known"
    else:
        note = f"own scale: red cells are {own.rbc_px:.0f} px wide here, but {scale.rbc_px:.0f} px in the smear's other fields"
    return Scale(own.rbc_px, OF_FIELD), note


def _unsure_red_cells(counted: Detections) -> int:
    return 0 if counted.unsure is None else int((counted.unsure.label == RBC).sum())


def find_and_search(model: Model, rgb: NDArray[np.uint8], min_score: float) -> tuple[Detections, Detections]:
    """Cells of a field as `find` gives them at the model's thresholds, and as it gives them from `min_score` on.

    Args:
        min_score: least score of a reported cell, at most the model's thresholds.
    """
    scale = of_smear([estimate(model, rgb)])
    searched = _look(model, rgb, scale, min_score)
    least = np.array(model.card.minimum(), dtype=np.float32)
    # A box gives way only to surer ones, so those at the thresholds are the same whether or not worse ones are looked at, unless these
    # fill the room for candidates or cells; and in tiles a cell's owner wins over a better score.
    if searched.saturated or len(pieces(model, rgb, scale)) > 1:
        return _look(model, rgb, scale, None), searched
    return searched[searched.score >= least[searched.label]], searched


def find_at(
    model: Model, rgb: NDArray[np.uint8], zoom: float | None, min_score: float | None = None, workers: int = 1
) -> Detections:
    """Cells of a field that is shown at `zoom` input pixels per pixel; None shows it whole at the model's own size."""
    detections = model.detect(rgb, min_score) if zoom is None else _in_tiles(model, rgb, zoom, min_score, workers)
    return _without_slivers(rounded(detections), model, zoom)


def _look(model: Model, rgb: NDArray[np.uint8], scale: Scale, min_score: float | None, workers: int = 1) -> Detections:
    return find_at(model, rgb, zoom_of(model, scale), min_score, workers)


def zoom_of(model: Model, scale: Scale) -> float | None:
    """Input pixels per pixel of the picture; None, for the picture whole at the model's own size, where no scale is known."""
    return None if scale.rbc_px is None else zoom_for(model.card, scale.rbc_px)


def pieces(model: Model, rgb: NDArray[np.uint8], scale: Scale) -> list[tiles.Tile]:
    """The tiles in which a field is shown."""
    zoom, size_wh = zoom_of(model, scale), (rgb.shape[1], rgb.shape[0])
    if zoom is None:
        return [tiles.Tile((0, 0, *size_wh), (0, 0, *size_wh))]
    return cut(size_wh, model.card.shown_px / zoom, zoom, tiles.TILE_PX)


def _in_tiles(model: Model, rgb: NDArray[np.uint8], zoom: float, min_score: float | None, workers: int) -> Detections:
    size_wh = (rgb.shape[1], rgb.shape[0])
    rbc_px = model.card.shown_px / zoom
    pieces = cut(size_wh, rbc_px, zoom, tiles.TILE_PX)
    if len(pieces) == 1:
        return model.detect(rgb, min_score, zoom)

    def look(piece: tiles.Tile) -> Detections:
        x1, y1, x2, y2 = piece.window
        return model.detect(rgb[y1:y2, x1:x2], min_score, zoom)

    with ThreadPoolExecutor(workers) as pool:
        detections = list(pool.map(look, pieces))
    return tiles.own(pieces, detections, size_wh, band_px=BAND_CELLS * rbc_px)


def cut(size_wh: tuple[int, int], rbc_px: float, zoom: float, tile_px: int) -> list[tiles.Tile]:
    """Tiles of a picture in which red cells are `rbc_px` wide.

    Args:
        zoom: model input pixels per pixel of the picture.
        tile_px: side of a tile in the model's own pixels.
    """
    margin_px = math.ceil(MARGIN_CELLS * rbc_px)
    return tiles.cut(size_wh, max(math.ceil(tile_px / zoom), 3 * margin_px), margin_px)


def _without_slivers(detections: Detections, model: Model, zoom: float | None) -> Detections:
    """Leave out what `border` does not count."""
    return detections[~slivers(detections, model, zoom)]


def slivers(detections: Detections, model: Model, zoom: float | None) -> NDArray[np.bool_]:
    """Which cells of a whole field `border` does not count; of shape (n,).

    Args:
        zoom: model input pixels per field pixel that they were found at; None for the field whole at the model's own size.
    """
    certain = detections.score >= np.array(model.card.minimum())[detections.label]
    rbc_px = border.rbc_px(detections.xyxy[certain], detections.label[certain], detections.size_wh)
    if rbc_px is None:
        known_px = model.card.rbc_px * max(detections.size_wh) / model.card.image_px
        rbc_px = known_px if zoom is None else model.card.shown_px / zoom
    return border.slivers(detections.xyxy, detections.label, detections.size_wh, rbc_px)


def rounded(detections: Detections) -> Detections:
    """Boxes to a hundredth of a pixel and scores to four places, as files hold them: a count from a file is then the same."""
    xyxy = detections.xyxy.astype(np.float64).round(2).astype(np.float32)
    score = detections.score.astype(np.float64).round(4).astype(np.float32)
    return Detections(
        xyxy, score, detections.label, detections.size_wh, detections.class_names, detections.saturated, detections.unsure
    )
