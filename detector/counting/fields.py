"""The cells of one field, counted in two ways: all that are seen, and those of the unbiased counting frame.

The counting frame counts a cell in the field that holds its centre (the rule of the associated point; Miles, On the elimination of edge
effects in planar sampling, in Stochastic Geometry, 1974). So a cell on the seam of adjoining fields is counted once, and a large cell is
no more likely to be counted than a small one. At least half of such a cell is seen, which detectors find as surely as whole ones. A
frame with two exclusion edges (Gundersen, J. Microsc. 111:219-223, 1977) would need the slivers at the two other edges, which they miss.

Of a cell that the border cuts, the centre is judged by what is seen of it (`border.leaning`). For cells that are not round this is wrong
one by one, but as often too many as too few, unless most are drawn out in one direction. `benchmarks/counting_frame.py` measures the bias.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detector.counting.neighbours import Rect
from detector.vision import border, boxes
from detector.vision.detections import Detections
from detector.vision.quality import Quality
from detector.vision.scale import Scale

_NEAR_EDGE = 0.08
"""How near to an edge a box may be cut by it, as a share of its longer side. Whole cells that near count all the same, by their shape."""


@dataclass(frozen=True)
class CountedPart:
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
    tiles: tuple[CountedPart, ...] = ()
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
    def parts(self) -> tuple[CountedPart, ...]:
        """What its counts scatter between: its tiles, or the field itself."""
        seen = 1.0 if self.quality is None else 1.0 - self.quality.surround
        return self.tiles or (CountedPart(self.raw, self.frame, frame_area_px(self.size_wh) * seen),)

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


def in_frame(xyxy: boxes.Boxes, label: NDArray[np.int64], size_wh: tuple[int, int]) -> NDArray[np.bool_]:
    """Which boxes the counting frame counts: those whose cell seems to have its centre in the field; of shape (n,)."""
    near_px = np.maximum(border.edge_px(size_wh), _NEAR_EDGE * (xyxy[:, 2:] - xyxy[:, :2]).max(axis=1, initial=0.0))
    cut = boxes.touches(xyxy, size_wh, near_px[:, None])
    return np.asarray(border.leaning(xyxy, label, cut) >= 0)


def frame_area_px(size_wh: tuple[int, int]) -> float:
    """Area in px² in which the centre of a counted cell lies: the area that frame counts refer to."""
    return float(size_wh[0] * size_wh[1])


def frame_areas_mm2(fields: Sequence[FieldCount]) -> list[float] | None:
    """Area that each part's frame counts refer to, in mm², field by field; None unless all are calibrated and have an area."""
    areas = [part.area_px * (f.um_per_px / 1000) ** 2 for f in fields if f.um_per_px is not None for part in f.parts]
    calibrated = all(f.um_per_px is not None for f in fields)
    return areas if areas and calibrated and min(areas) > 0 else None
