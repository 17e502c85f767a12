"""What is said of a frame, of all frames so far, and at the end of a stream."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from detector.counting.intervals import Estimate
from detector.counting.result import FieldResult
from detector.output.outcome import Outcome
from detector.vision.detections import Detections

Status = Literal["used", "rejected"]


@dataclass(frozen=True, eq=False)
class Verdict:
    """What came of one frame."""

    index: int
    """The frame's."""
    status: Status
    """`used`: it told of the place (scan) or was counted as a field (fields); else `rejected`."""
    reason: str
    """Why it was rejected, in a few words out of a small set; of a used one, what is to be known, or empty."""
    focus: float | None
    """Sharpness as a share of the recent best, about 0 to 1; None where there is nothing to judge it by."""
    shift_px: tuple[float, float] | None
    """How far the view moved over the smear since the last frame, x and y; None where that is not known."""
    place_px: tuple[float, float] | None
    """Upper left corner of the view in the coordinates of its segment; None where it is not known."""
    segment: int
    """Number of the stretch over which places are known, from 1."""
    cells: Detections
    """The cells known in this view, in the frame's pixels."""
    new: NDArray[np.bool_]
    """Which of them are counted since this frame, of shape (n,)."""
    stages_ms: Mapping[str, float] = field(default_factory=dict)
    """Time that each step took, in milliseconds, by its name: focus, registration, detection, merging."""


@dataclass(frozen=True)
class ClassTotal:
    """One cell class so far."""

    count: int
    per_field: Estimate | None
    """Cells per area of a whole view; None where nothing was seen yet."""
    known_to: float | None
    """Half of the interval as a share of the value: 0.05 is ±5 %; None where no cell was counted."""
    target: float | None
    """Share to which it is to be known; None where none was asked for."""

    @property
    def enough(self) -> bool:
        """Whether it is known as well as was asked for."""
        return self.target is None or (self.known_to is not None and self.known_to <= self.target)


@dataclass(frozen=True)
class Totals:
    """What was counted so far."""

    classes: Mapping[str, ClassTotal]
    """By class name, in the order of `cells.CLASSES`."""
    fields: int
    """Fields taken, or squares of a view's size that were seen (scan)."""
    area_px: float
    """Smear seen, each place once, in px²."""
    area_views: float
    """The same in areas of a view."""
    area_mm2: float | None
    """The same in mm², where the scale is known."""
    segments: int
    enough: bool
    """Every class is known as well as was asked for."""
    sentence: str
    """For people: what is known how well, and whether it is enough."""

    @property
    def cells(self) -> int:
        """Cells of all classes."""
        return sum(one.count for one in self.classes.values())


@dataclass(frozen=True)
class Segment:
    """A stretch of the stream over which places are known."""

    number: int
    """From 1."""
    began: str
    """Why it began, in words; its cells may repeat those of earlier ones."""
    first_frame: int
    frames: int
    cells: int


@dataclass(frozen=True, eq=False)
class Finished:
    """What a stream leaves behind."""

    outcome: Outcome
    """As of `detector.count`: for counts.csv, smears.csv and the report."""
    entries: tuple[FieldResult, ...]
    """The fields of the outcome with their cells and small pictures: for detections.json and the report."""
    mosaic: NDArray[np.uint8]
    """RGB picture, of shape (h, w, 3), of what was seen with the cells on it; segments below each other."""
    segments: tuple[Segment, ...]
    totals: Totals
    remarks: tuple[str, ...]
    """What must be said of the count, a sentence each: cells that may repeat, places not seen sharp, ..."""
