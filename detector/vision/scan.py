"""Searching a large picture for cells: its scale, its tiles, and what each tile shows.

A tile is read, looked at and forgotten; what stays is the list of its cells, so memory does not grow with the picture.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from detector.errors import ImageError, UsageError
from detector.vision import cells, finder, quality, skip, tiles
from detector.vision import scale as scales
from detector.vision.card import Card
from detector.vision.detections import Detections
from detector.vision.images import Rgb
from detector.vision.model import Model
from detector.vision.quality import Quality
from detector.vision.slides.slide import Slide, Window
from detector.vision.tiles import Tile

COUNTED, EMPTY, UNFOCUSED, UNREADABLE = "counted", "empty", "out of focus", "unreadable"
"""What became of a tile."""

MOST_TILE_PX = 4096
OVERVIEW_PX = 2048
"""Long side at which a whole slide is looked at to find its cells, in pixels."""

_GLANCE_PX = 7.2
"""Least width of a red cell, in pixels, at which a level of the file tells whether a tile is empty: nearly `skip.EMPTY_PX`."""
_NEAR_CELLS = 0.6
"""Around what a tile owns, in red cells, what is looked at to tell whether it is empty: a cell that it owns shows there."""
_PLACES = 9
_ENOUGH_PLACES = 3
_PLACE_PX = 2048
_PATCH_PX = 24


@dataclass(frozen=True)
class SlidePlan:
    """How a slide is gone through."""

    zoom: float
    """Model input pixels per pixel of the slide."""
    rbc_px: float
    """Width of a red cell at that scale, in pixels of the slide."""
    tiles: list[Tile]
    """Row by row."""
    um_per_px: float | None
    """Micrometres per pixel where given or known from the file; None where the scale was estimated from red cells."""
    note: str
    """Where the scale comes from, and what speaks against it."""

    @property
    def band_px(self) -> float:
        """How far outside its part a tile keeps cells; see `tiles.own`."""
        return finder.BAND_CELLS * self.rbc_px


@dataclass(frozen=True)
class TileResult:
    """What one tile showed."""

    status: str
    reason: str
    """Why it could not be read; else empty."""
    detections: Detections
    """Cells that the tile may own, in the slide's coordinates."""
    quality: Quality | None = None
    """Of its window, where that was searched for cells."""


def check_tile(tile_px: int, card: Card, spelled: Callable[[str], str] = str) -> None:
    """Refuse a tile that is too small to own anything beside the context that its cells need, or too large to be worked on.

    Args:
        spelled: what the caller calls the option `tile_px`.

    Raises:
        UsageError: `tile_px` is out of range; the message says the least.
    """
    shown_px = card.shown_px
    least = 3 * math.ceil(finder.MARGIN_CELLS * shown_px)
    if not least <= tile_px <= MOST_TILE_PX:
        raise UsageError(
            f"{spelled('tile_px')} {tile_px}: a tile must be {least} to {MOST_TILE_PX} px long at the model's scale, at which red cells "
            f"are {shown_px:.0f} px wide and each tile needs room for whole cells around its part"
        )


def plan(model: Model, slide: Slide, overview: Rgb, um_per_px: float | None, tile_px: int = tiles.TILE_PX) -> SlidePlan:
    """Choose a slide's scale and cut it into tiles.

    Args:
        overview: the whole slide made small.
        um_per_px: as the user gave it; else the file's own is taken, and else the red cells tell the scale.
        tile_px: side of a tile in the model's own pixels.

    Raises:
        ImageError: the scale is not known, and there are no red cells to estimate it from.
    """
    known_um_per_px, rbc_px, note = _scale(slide, estimate_rbc_px(model, slide, overview), um_per_px)
    zoom = model.card.shown_px / rbc_px
    return SlidePlan(zoom, rbc_px, finder.cut(slide.size_wh, rbc_px, zoom, tile_px), known_um_per_px, note)


def _scale(slide: Slide, seen_px: float | None, um_per_px: float | None) -> tuple[float | None, float, str]:
    """Micrometres per pixel where known, the width of red cells in pixels, and where that comes from.

    What the cells contradict is believed of a user, and told; of a file it is not believed.
    """
    known_um_per_px = slide.um_per_px if um_per_px is None else um_per_px
    if known_um_per_px is None:
        if seen_px is None:
            raise ImageError(
                "its scale is not known: the file does not state it, and no red cells were found to estimate it from; "
                "give --um-per-px, or a manifest with a um_per_px column"
            )
        note = f"scale estimated from red cells: {seen_px:.0f} px wide, about {cells.RBC_DIAMETER_UM / seen_px:.3g} µm per px"
        return None, seen_px, note
    rbc_px = cells.RBC_DIAMETER_UM / known_um_per_px
    origin = "" if um_per_px is not None else f"scale from {slide.scale_source}: {known_um_per_px:.4g} µm per px"
    if seen_px is None or not scales.contradict(seen_px, rbc_px):
        return known_um_per_px, rbc_px, origin
    doubt = f"{rbc_px:.0f} px wide, but on the slide they are about {seen_px:.0f} px"
    if um_per_px is not None:
        return known_um_per_px, rbc_px, f"{finder.CONTRADICTED} {doubt}"
    return (
        None,
        seen_px,
        f"by {slide.scale_source} red cells should be {doubt}; the measured width was used, and no area in mm² is known",
    )


def look(model: Model, slide: Slide, slide_plan: SlidePlan, tile: Tile) -> TileResult:
    """Read one tile and find its cells, unless it is empty, out of focus or cannot be read."""
    none = Detections.none(slide.size_wh)
    try:
        glance = slide.factor_for(_GLANCE_PX / slide_plan.rbc_px)
        near = _around(tile, _NEAR_CELLS * slide_plan.rbc_px)
        if glance < slide.factor_for(slide_plan.zoom) and skip.is_empty(slide.read(near, glance), slide_plan.rbc_px * glance):
            return TileResult(EMPTY, "", none)
        factor = slide.factor_for(slide_plan.zoom)
        rgb = slide.read(tile.window, factor)
    except ImageError as error:
        return TileResult(UNREADABLE, str(error), none)
    rbc_px = slide_plan.rbc_px * factor
    x1, y1, x2, y2 = (round((v - tile.window[i % 2]) * factor) for i, v in enumerate(near))
    if skip.is_empty(rgb[y1:y2, x1:x2], rbc_px):
        return TileResult(EMPTY, "", none)
    if skip.is_unfocused(rgb, rbc_px):
        return TileResult(UNFOCUSED, "", none)
    detections = model.detect(rgb, zoom=slide_plan.zoom / factor)
    measured = quality.measure(rgb, detections)
    window_wh = (tile.window[2] - tile.window[0], tile.window[3] - tile.window[1])
    scale = np.array([window_wh[0] / rgb.shape[1], window_wh[1] / rgb.shape[0]] * 2, dtype=np.float32)
    full = Detections(
        detections.xyxy * scale, detections.score, detections.label, window_wh, detections.class_names, detections.saturated
    )
    return TileResult(COUNTED, "", finder.rounded(tiles.kept(tile, full, slide.size_wh, slide_plan.band_px)), measured)


def _around(tile: Tile, reach_px: float) -> Window:
    """What a tile owns and so much around it, within its window."""
    reach = math.ceil(reach_px)
    (wx1, wy1, wx2, wy2), (x1, y1, x2, y2) = tile.window, tile.owned
    return max(x1 - reach, wx1), max(y1 - reach, wy1), min(x2 + reach, wx2), min(y2 + reach, wy2)


def settle(model: Model, slide_wh: tuple[int, int], slide_plan: SlidePlan, parts: list[Detections]) -> list[Detections]:
    """The cells that each tile owns, from those that it kept: every cell of the slide once, and no slivers at its border.

    Args:
        parts: of all tiles, in their order.
    """
    stays = tiles.settle(slide_plan.tiles, parts, slide_plan.band_px)
    owned = [part[mask] for part, mask in zip(parts, stays, strict=True)]
    whole = tiles.joined(owned, slide_wh)
    clear = ~finder.slivers(whole, model, slide_plan.zoom)
    return [part[mask] for part, mask in zip(owned, np.split(clear, np.cumsum([len(part) for part in owned])[:-1]), strict=True)]


def estimate_rbc_px(model: Model, slide: Slide, overview: Rgb) -> float | None:
    """Typical side of a red cell's box in the slide's pixels, or None where no place tells it.

    Looks closely at places that hold something; the median of several is taken.
    """
    sides_px: list[float] = []
    for window in places(slide.size_wh, overview):
        try:
            reading = scales.estimate(model, slide.read(window))
        except ImageError:
            continue
        if reading is not None:
            sides_px.append(reading.rbc_px)
        if len(sides_px) == _ENOUGH_PLACES:
            break
    return float(np.median(sides_px)) if sides_px else None


def places(size_wh: tuple[int, int], overview: Rgb) -> list[Window]:
    """Windows worth a close look, best first: those where the picture varies most, spread over all that vary as much as half of that."""
    factor = max(overview.shape[:2]) / max(size_wh)
    patch = max(1, min(_PATCH_PX, min(overview.shape[:2])))
    variety = _variety(overview, patch)
    order = np.argsort(-variety, axis=None, kind="stable")
    enough = order[variety.ravel()[order] >= variety.max() / 2]
    windows: list[Window] = []
    for i in enough[np.unique(np.linspace(0, len(enough) - 1, _PLACES).astype(int))].tolist():
        row, column = divmod(i, variety.shape[1])
        centre = ((column + 0.5) * patch / factor, (row + 0.5) * patch / factor)
        sides = [min(_PLACE_PX, side) for side in size_wh]
        x, y = (round(min(max(c - s / 2, 0), whole - s)) for c, s, whole in zip(centre, sides, size_wh, strict=True))
        windows.append((x, y, x + sides[0], y + sides[1]))
    return list(dict.fromkeys(windows))


def _variety(overview: Rgb, patch: int) -> NDArray[np.float32]:
    """Standard deviation of green light in each patch of the overview, of shape (rows, columns)."""
    rows, columns = overview.shape[0] // patch, overview.shape[1] // patch
    green = overview[: rows * patch, : columns * patch, 1].astype(np.float32)
    # The light's fall over a slide is nothing to look at.
    level = (green - cv2.blur(green, (2 * patch + 1,) * 2)).reshape(rows, patch, columns, patch)
    return np.asarray(level.std(axis=(1, 3)), dtype=np.float32)
