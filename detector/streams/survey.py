"""What both ways to count a stream share: where views lie, what was seen, the cells there, and what is left of them at the end."""

from __future__ import annotations

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from detector.counting.expected import CountCorrection
from detector.counting.fields import CountedPart, FieldCount
from detector.counting.neighbours import Places, Rect
from detector.counting.result import FieldResult
from detector.counting.smears import aggregate, judge
from detector.output.outcome import Outcome
from detector.output.report import pictures
from detector.streams.mosaic import Mosaic, SeenArea
from detector.streams.placing import registration
from detector.streams.placing.focus import LEAST_SHARP, Focus, dark
from detector.streams.placing.tracking import Located, Tracker
from detector.streams.sources.source import Fault, Frame
from detector.streams.totals import TARGETS, Enough, StreamTotals, class_total
from detector.streams.unique_cells import Cell, UniqueCells
from detector.vision.cells import CLASSES
from detector.vision.detections import Detections
from detector.vision.quality import Quality

SMEAR = "stream"
"""Name of the smear."""
Searching = Callable[[Frame], Detections]
"""Finds the cells of a view."""
Status = Literal["used", "rejected"]

BLURRED, MOVING, NOTHING_NEW = "out of focus", "stage moving", "nothing new in view"
"""Reasons why a frame is rejected, besides those of `Tracker`."""


@dataclass(eq=False)
class Unit:
    """A part of the smear that counts as one: a taken field, or a square of a view's size."""

    segment: int
    rect: Rect
    """Where it lies in its segment."""
    name: str
    area_px: float = 0.0
    """What was seen of it and is in no other unit."""
    counts: list[int] = field(default_factory=lambda: [0] * len(CLASSES))
    saturated: bool = False
    quality: Quality | None = None

    @property
    def counted_px(self) -> float:
        """What its counts are of, in px²: a cell at the outer border may be all that was seen of it."""
        return max(self.area_px, 1.0)


@dataclass(frozen=True, eq=False)
class View:
    """A view and where it lies."""

    frame: Frame
    size_wh: tuple[int, int]
    focus: float | None
    sharp: bool
    located: Located

    @property
    def unplaced(self) -> str:
        """Why it has no place; empty where it has one."""
        if self.located.place_px is not None:
            return ""
        return self.located.reason if self.sharp or self.focus is None else BLURRED

    @property
    def rect(self) -> Rect:
        """Where a view that has a place lies in its segment."""
        assert self.located.place_px is not None
        x, y = self.located.place_px
        return x, y, x + self.size_wh[0], y + self.size_wh[1]


@dataclass(frozen=True, eq=False)
class Verdict:
    """What came of one frame."""

    index: int
    """The frame's."""
    status: Status
    """`used`: its place was found (scan) or was counted as a field (fields); else `rejected`."""
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
class FinishedSurvey:
    """What a stream leaves behind."""

    outcome: Outcome
    """As of `detector.count`: for counts.csv, smears.csv and the report."""
    entries: tuple[FieldResult, ...]
    """The fields of the outcome with their cells and small pictures: for detections.json and the report."""
    mosaic: NDArray[np.uint8]
    """RGB picture, of shape (h, w, 3), of what was seen with the cells on it; segments below each other."""
    segments: tuple[Segment, ...]
    totals: StreamTotals
    remarks: tuple[str, ...]
    """What must be said of the count, a sentence each: cells that may repeat, places not seen sharp, ..."""


class Survey:
    """A smear as it becomes known view by view."""

    def __init__(
        self,
        search: Searching,
        confirmations: int,
        um_per_px: float | None = None,
        targets: Mapping[str, float] | None = None,
        corrections: Mapping[str, CountCorrection | None] | None = None,
    ) -> None:
        self.um_per_px, self.corrections = um_per_px, corrections or {}
        self.units: list[Unit] = []
        self.cells: dict[int, UniqueCells] = {}
        self.seen: dict[int, SeenArea] = {}
        self.mosaic = Mosaic()
        self.tracker = Tracker()
        self.first: dict[int, int] = {}
        """Index of each segment's first frame."""
        self.frames: Counter[int] = Counter()
        """Frames of each segment whose place is known."""
        self.rejected: Counter[str] = Counter()
        self.received = 0
        self._search, self._confirmations = search, confirmations
        self._targets = TARGETS if targets is None else targets
        self._enough = Enough(self._targets)
        self._focus = Focus()
        self._fresh: set[int] = set()
        self._totals: StreamTotals | None = None
        self._ms: dict[str, float] = {}
        self._view_px = 1.0
        self._recorded: dict[int, dict[str, Any]] = {}
        self._unrecorded: dict[tuple[int, int], Cell] = {}
        """Cells that came to count, ceased to or were refined since the last record, by segment and number."""

    def fault(self, fault: Fault) -> None:
        """See `Mode.fault`."""
        if fault.kind in ("lost", "frozen", "resized"):
            self.tracker.interrupt(f"the pictures were interrupted: {fault.reason}")

    @contextmanager
    def timed(self, step: str) -> Iterator[None]:
        """Note the time that a step of the present frame takes."""
        began = time.perf_counter()
        yield
        self._ms[step] = self._ms.get(step, 0.0) + 1000 * (time.perf_counter() - began)

    def locate(self, frame: Frame) -> View:
        """Judge the next frame's focus and find its place."""
        self._ms, self._fresh = {}, set()
        self.received += 1
        size_wh = (frame.rgb.shape[1], frame.rgb.shape[0])
        with self.timed("focus"):
            small = registration.grey(frame.rgb)
            if dark(small):
                small = np.zeros_like(small)  # its noise is nothing to go by
            focus = self._focus.share(small)
        sharp = focus is not None and focus >= LEAST_SHARP
        with self.timed("registration"):
            located = self.tracker.locate(registration.texture(small), registration.factor(size_wh), sharp)
        if located.place_px is not None:
            self.first.setdefault(located.segment, frame.index)
            self.frames[located.segment] += 1
            self.seen.setdefault(located.segment, SeenArea())
            if located.segment not in self.cells:
                self.cells[located.segment] = UniqueCells(self._confirmations, self._changed, self._refined)
        return View(frame, size_wh, focus, sharp, located)

    def search(self, view: View) -> Detections:
        """Cells of a view."""
        with self.timed("detection"):
            return self._search(view.frame)

    def show(self, view: View) -> None:
        """Put a view into the mosaic."""
        with self.timed("mosaic"):
            self.mosaic.add(view.located.segment, view.frame.rgb, view.rect[:2])

    def grown(self, view: View) -> None:
        """Note that the area or the cells may have changed."""
        self._view_px = float(view.size_wh[0] * view.size_wh[1])
        self._totals = None

    def verdict(self, view: View, reason: str = "") -> Verdict:
        """What came of a frame; with a reason it is rejected."""
        if reason:
            self.rejected[reason] += 1
        place = view.located.place_px
        known = (
            [] if place is None else [cell for cell in self.cells[view.located.segment].within(view.rect) if cell.counted >= 0]
        )
        new = np.array([cell.number in self._fresh for cell in known], dtype=bool)
        status: Status = "rejected" if reason else "used"
        return Verdict(
            view.frame.index, status, reason or view.located.reason, view.focus, view.located.shift_px, place, view.located.segment,
            _detections(known, place or (0.0, 0.0), view.size_wh), new, dict(self._ms),
        )  # fmt: skip

    def _changed(self, cell: Cell, before: int) -> None:
        self._totals = None
        unit = self.units[cell.owner]
        self._unrecorded[unit.segment, cell.number] = cell
        if before >= 0:
            unit.counts[before] -= 1
        if cell.counted >= 0:
            unit.counts[cell.counted] += 1
            if before < 0:
                self._fresh.add(cell.number)

    def _refined(self, cell: Cell) -> None:
        self._unrecorded[self.units[cell.owner].segment, cell.number] = cell

    def totals(self) -> StreamTotals:
        """See `Mode.totals`."""
        if self._totals is None:
            self._totals = self._summed()
        return self._totals

    def _summed(self) -> StreamTotals:
        parts = [unit for unit in self.units if unit.area_px > 0 or any(unit.counts)]
        areas = [unit.counted_px / self._view_px for unit in parts]
        places = Places.of([unit.rect for unit in parts], [str(unit.segment) for unit in parts])
        classes = {
            name: class_total([unit.counts[i] for unit in parts], areas, self._targets.get(name), self._by_model(name), places)
            for i, name in enumerate(CLASSES)
        }
        area_px = sum(unit.area_px for unit in parts)
        reached = self._enough.reached(classes, area_px / self._view_px)
        mm2 = None if self.um_per_px is None else area_px * (self.um_per_px / 1000) ** 2
        sentence = self._enough.sentence(classes, reached)
        return StreamTotals(classes, len(parts), area_px, area_px / self._view_px, mm2, len(self.first), reached, sentence)

    def _by_model(self, name: str) -> float | None:
        correction = self.corrections.get(name)
        return None if correction is None else correction.factor_to

    def record(self) -> dict[str, Any]:
        """See `Mode.record`."""
        units = {number: asdict(unit) for number, unit in enumerate(self.units)}
        changed = {number: unit for number, unit in units.items() if self._recorded.get(number) != unit}
        self._recorded.update(changed)
        cells = [
            [*key, cell.counted, cell.owner, cell.score, *(float(side) for side in cell.box)]
            for key, cell in self._unrecorded.items()
        ]
        self._unrecorded = {}
        segments = [[number, self.tracker.began[number], first, self.frames[number]] for number, first in self.first.items()]
        return {"units": changed, "cells": cells, "segments": segments, "rejected": dict(self.rejected),
                "received": self.received, "view_px": self._view_px}  # fmt: skip

    def restore(self, records: Iterable[Mapping[str, Any]]) -> None:
        """See `Mode.restore`."""
        units: dict[int, Unit] = {}
        cells: dict[tuple[int, int], list[Any]] = {}
        for record in records:
            units |= {int(number): _unit(unit) for number, unit in record["units"].items()}
            cells |= {(cell[0], cell[1]): cell[2:] for cell in record["cells"]}
            for number, began, first, frames in record["segments"]:
                self.tracker.began[number], self.first[number], self.frames[number] = began, first, frames
            self.rejected, self.received = Counter(record["rejected"]), record["received"]
            self._view_px = record["view_px"]
        self.units = [units[number] for number in sorted(units)]
        self.cells = {number: UniqueCells(self._confirmations, self._changed, self._refined) for number in self.first}
        for (segment, number), (counted, owner, score, *box) in sorted(cells.items()):
            if counted >= 0:
                self.cells[segment].put(number, np.array(box), counted, score, owner)

    def finish(self) -> FinishedSurvey:
        """All that is to be written."""
        owned: dict[int, list[Cell]] = defaultdict(list)
        for cells in self.cells.values():
            for cell in cells:
                if cell.counted >= 0:
                    owned[cell.owner].append(cell)
        units = [(number, unit) for number, unit in enumerate(self.units) if unit.area_px > 0 or owned[number]]
        most = pictures.most_bytes(len(units))
        entries = tuple(_entry(self, unit, owned[number], most) for number, unit in units)
        fields = judge([_field(self, unit) for _, unit in units])
        outcome = Outcome(tuple(fields), tuple(aggregate(fields, corrections=self.corrections)))
        mosaic = self.mosaic.draw(self.cells)
        return FinishedSurvey(outcome, entries, mosaic, tuple(_segments(self)), self.totals(), tuple(_remarks(self)))


def _unit(given: Mapping[str, Any]) -> Unit:
    """A unit from what `Survey.record` wrote of it."""
    quality: dict[str, Any] = given["quality"]
    if quality:
        quality = {name: tuple(value) if isinstance(value, list) else value for name, value in quality.items()}
    unit = {**given, "rect": tuple(given["rect"]), "quality": Quality(**quality) if quality else None}
    return Unit(**unit)


def _detections(known: list[Cell], place: tuple[float, float], size_wh: tuple[int, int]) -> Detections:
    """Counted cells as detections in a view, cut by its border."""
    if not known:
        return Detections.none(size_wh)
    corner, far = np.array([*place, *place]), np.array([*size_wh, *size_wh])
    xyxy = np.clip(np.array([cell.box for cell in known]) - corner, 0, far)
    score = [min(cell.score, 1.0) for cell in known]
    return Detections(xyxy, np.array(score), np.array([cell.counted for cell in known]), size_wh)


def _entry(survey: Survey, unit: Unit, cells: list[Cell], most_bytes: int) -> FieldResult:
    picture = pictures.small(survey.mosaic.crop(unit.segment, unit.rect), most_bytes)
    seen = _detections(cells, unit.rect[:2], _size_wh(unit))
    return FieldResult(_name(unit), SMEAR, survey.um_per_px, seen, _note(unit), unit.quality, picture)


def _field(survey: Survey, unit: Unit) -> FieldCount:
    counts = {name: unit.counts[i] for i, name in enumerate(CLASSES)}
    # A cell belongs to the part that holds its centre, so that all its cells are those of the counting frame too.
    part = CountedPart(counts, counts, unit.counted_px, unit.rect, str(unit.segment))
    size_wh = _size_wh(unit)
    return FieldCount(
        _name(unit),
        SMEAR,
        size_wh,
        counts,
        counts,
        unit.saturated,
        survey.um_per_px,
        unit.quality,
        (part,),
        unit.counted_px / (size_wh[0] * size_wh[1]),
        note=_note(unit),
    )


def _name(unit: Unit) -> str:
    return f"{SMEAR}/{unit.name}"


def _size_wh(unit: Unit) -> tuple[int, int]:
    x1, y1, x2, y2 = unit.rect
    return round(x2 - x1), round(y2 - y1)


def _note(unit: Unit) -> str:
    w, h = _size_wh(unit)
    share = unit.area_px / (w * h)
    return f"{100 * share:.0f} % of its area; the rest belongs to others or was not seen" if share < 0.99 else ""


def _segments(survey: Survey) -> list[Segment]:
    return [
        Segment(number, survey.tracker.began[number], first, survey.frames[number], _counted(survey, number))
        for number, first in sorted(survey.first.items())
    ]


def _counted(survey: Survey, segment: int) -> int:
    return sum(sum(unit.counts) for unit in survey.units if unit.segment == segment)


def _remarks(survey: Survey) -> list[str]:
    remarks = []
    if len(survey.first) > 1:
        remarks.append(
            f"the position on the smear was lost: {len(survey.first)} segments were counted separately, and cells seen in two of them "
            "are counted twice"
        )
    once = sum(cell.centred and cell.hits == 1 and cell.counted < 0 for cells in survey.cells.values() for cell in cells)
    if once:
        seen = "1 cell was" if once == 1 else f"{once} cells were"
        remarks.append(f"{seen} found in one view only and not counted; move the stage more slowly")
    blurred = survey.rejected[BLURRED]
    if blurred > 0.1 * max(survey.received, 1):
        remarks.append(
            f"{100 * blurred / survey.received:.0f} % of the frames were out of focus; what only they show is not counted"
        )
    saturated = sum(unit.saturated for unit in survey.units)
    if saturated:
        remarks.append(f"{saturated} views held more cells than the model can report; the count is too low there")
    return remarks
