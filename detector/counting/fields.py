"""The cells of one field, counted in two ways: all that are seen, and those of the unbiased counting frame.

The counting frame (Gundersen, J. Microsc. 111:219-223, 1977) leaves out cells cut by two adjacent exclusion edges, here
left and top, and counts those cut by right and bottom. For boxes this means that a cell belongs to the field that holds
its box's top left corner, so a cell on the seam of adjoining fields is counted once and a large cell is no more likely to
be counted than a small one. Red cells of which the border shows less than `border.LEAST_SEEN` are not counted at all, so
one that lies in the left or upper neighbour by less than that belongs to this field. One case escapes a rule that sees no
further than the image: a round cell that reaches three of four adjoining fields but not the upper left one touches the
exclusion edge of only one of them and counts twice.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detector.counting.neighbours import Rect
from detector.vision import border, boxes, cells
from detector.vision.detections import Detections
from detector.vision.quality import Quality
from detector.vision.scale import Scale

EDGE_SHARE = 0.004
"""How near to an edge a box counts as cut by it, as a share of the field's shorter side.

Boxes of cut cells end within this of the edge and those of whole cells seldom do: of the labelled boxes of BCCD, PBC and
Raabin fields that lie within 1 % of an edge, most lie within 0.2 % and few between 0.3 and 0.6 %.
"""
EDGE_LIMITS_PX = (1.0, 8.0)
"""The same in pixels, at least and at most: small fields have rounded boxes, and large ones are read in tiles."""


@dataclass(frozen=True)
class Part:
    """A part of a smear between which and others counts scatter: a field, or a tile of a slide."""

    raw: Mapping[str, int]
    """Every cell that it owns, by class name, zeros included."""
    frame: Mapping[str, int]
    """Those of them that the counting frame counts."""
    area_px: float
    """Area in px² that the frame counts refer to."""
    rect: Rect | None = None
    """Where it lies in its surface; None where that is not known."""
    surface: str = ""
    """Name of the slide, or of the segment of a stream, in which it lies."""


@dataclass(frozen=True, slots=True)
class FieldCount:
    """The counts of one field that was read."""

    field: str
    """Relative path of the image, with forward slashes."""
    smear: str
    size_wh: tuple[int, int]
    """Width and height in pixels."""
    raw: Mapping[str, int]
    """Every cell seen, by class name, zeros included."""
    frame: Mapping[str, int]
    """Cells of the counting frame, by class name, zeros included."""
    saturated: bool = False
    """The most cells that the model may report was reached: the true count may be higher."""
    um_per_px: float | None = None
    """Micrometres per pixel, or None where the field is not calibrated."""
    quality: Quality | None = None
    """How good the field is to count in, where that was measured."""
    tiles: tuple[Part, ...] = ()
    """Of a slide, the tiles that were counted; what was skipped is in no area. Of a stream, the part that was seen. Empty for a field."""
    share: float = 1.0
    """Share of a whole field that its counts are of: below 1 in a stream, where the rest was not seen or belongs to others."""
    scale: Scale | None = None
    """The width of red cells that it was searched at, and where that comes from."""
    note: str = ""
    """What a user should know of it; else empty."""
    doubt: str = ""
    """Why its counts are doubtful; empty where they are not."""

    @property
    def parts(self) -> tuple[Part, ...]:
        """What its counts scatter between: its tiles, or the field itself."""
        seen = 1.0 if self.quality is None else 1.0 - self.quality.surround
        return self.tiles or (Part(self.raw, self.frame, frame_area_px(self.size_wh) * seen),)

    @classmethod
    def of(
        cls, detections: Detections, field: str, smear: str, um_per_px: float | None = None, quality: Quality | None = None
    ) -> FieldCount:
        """Count one field.

        Raises:
            ValueError: `um_per_px` is not a positive number.
        """
        if um_per_px is not None and not 0 < um_per_px < np.inf:
            raise ValueError(f"um_per_px must be positive, got {um_per_px}")
        framed = detections.counts(in_frame(detections.xyxy, detections.label, detections.size_wh))
        return cls(field, smear, detections.size_wh, detections.counts(), framed, detections.saturated, um_per_px, quality)


@dataclass(frozen=True)
class UnreadField:
    """A field that could not be read: it is listed, and never counted as one without cells."""

    field: str
    smear: str
    reason: str


def edge_px(size_wh: tuple[int, int]) -> float:
    """How near to an edge a box counts as cut by it, in pixels."""
    low, high = EDGE_LIMITS_PX
    return min(max(EDGE_SHARE * min(size_wh), low), high)


def in_frame(xyxy: boxes.Boxes, label: NDArray[np.int64], size_wh: tuple[int, int]) -> NDArray[np.bool_]:
    """Which boxes the counting frame counts: those that reach neither the left nor the top edge; of shape (n,).

    A red cell may reach it where all but a sliver is seen, because the neighbouring field does not count the sliver.
    """
    edge = edge_px(size_wh)
    cut = boxes.touches(xyxy, size_wh, edge)[:, :2]
    rbc_px = border.rbc_px(xyxy, label, size_wh)
    if rbc_px is not None:
        nearly_whole = xyxy[:, 2:] - xyxy[:, :2] > (1 - border.LEAST_SEEN) * rbc_px + edge
        cut = cut & ~(nearly_whole & (label == cells.RBC)[:, None])
    return np.asarray(~cut.any(axis=1))


def frame_area_px(size_wh: tuple[int, int]) -> float:
    """Area in px² in which the top left corner of a counted box may lie: the area that frame counts refer to."""
    w, h = size_wh
    edge = edge_px(size_wh)
    return max(w - edge, 0.0) * max(h - edge, 0.0)


def frame_areas_mm2(fields: Sequence[FieldCount]) -> list[float] | None:
    """Area that each part's frame counts refer to, in mm², field by field; None unless all are calibrated and have an area."""
    areas = [part.area_px * (f.um_per_px / 1000) ** 2 for f in fields if f.um_per_px is not None for part in f.parts]
    calibrated = all(f.um_per_px is not None for f in fields)
    return areas if areas and calibrated and min(areas) > 0 else None
