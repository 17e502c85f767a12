"""What both ways to count a stream share: where views lie, what was seen, the cells there, and what is made of them at the end."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from detector.counting.expected import Correction
from detector.streams import enough, registration
from detector.streams.cell import Cell
from detector.streams.focus import LEAST_SHARP, Focus
from detector.streams.frames import Fault, Frame
from detector.streams.mosaic import Mosaic
from detector.streams.sparse import Rect, Seen
from detector.streams.tracking import Located, Tracker
from detector.streams.unique import Unique
from detector.streams.verdict import Status, Totals, Verdict
from detector.vision.cells import CLASSES
from detector.vision.detections import Detections
from detector.vision.quality import Quality

Searching = Callable[[Frame], Detections]
"""Finds the cells of a view."""

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


@dataclass(frozen=True, eq=False)
class Look:
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
    def view(self) -> Rect:
        """The place of a view that has one."""
        assert self.located.place_px is not None
        x, y = self.located.place_px
        return x, y, x + self.size_wh[0], y + self.size_wh[1]


class Survey:
    """A smear as it becomes known view by view."""

    def __init__(
        self,
        search: Searching,
        confirmations: int,
        um_per_px: float | None = None,
        targets: Mapping[str, float] | None = None,
        corrections: Mapping[str, Correction | None] | None = None,
    ) -> None:
        self.um_per_px, self.corrections = um_per_px, corrections or {}
        self.units: list[Unit] = []
        self.cells: dict[int, Unique] = {}
        self.seen: dict[int, Seen] = {}
        self.mosaic = Mosaic()
        self.tracker = Tracker()
        self.first: dict[int, int] = {}
        """Index of each segment's first frame."""
        self.frames: Counter[int] = Counter()
        """Frames of each segment whose place is known."""
        self.rejected: Counter[str] = Counter()
        self.received = 0
        self._search, self._confirmations = search, confirmations
        self._targets = enough.TARGETS if targets is None else targets
        self._enough = enough.Enough(self._targets)
        self._focus = Focus()
        self._fresh: set[int] = set()
        self._totals: Totals | None = None
        self._ms: dict[str, float] = {}
        self._view_px = 1.0

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

    def look(self, frame: Frame) -> Look:
        """Judge the next frame's focus and find its place."""
        self._ms, self._fresh = {}, set()
        self.received += 1
        size_wh = (frame.rgb.shape[1], frame.rgb.shape[0])
        with self.timed("focus"):
            small = registration.grey(frame.rgb)
            focus = self._focus.share(small)
        sharp = focus is not None and focus >= LEAST_SHARP
        with self.timed("registration"):
            located = self.tracker.locate(registration.texture(small), registration.factor(size_wh), sharp)
        if located.place_px is not None:
            self.first.setdefault(located.segment, frame.index)
            self.frames[located.segment] += 1
            self.seen.setdefault(located.segment, Seen())
            if located.segment not in self.cells:
                self.cells[located.segment] = Unique(self._confirmations, self._changed)
        return Look(frame, size_wh, focus, sharp, located)

    def search(self, look: Look) -> Detections:
        """Cells of a view."""
        with self.timed("detection"):
            return self._search(look.frame)

    def show(self, look: Look) -> None:
        """Put a view into the mosaic."""
        with self.timed("mosaic"):
            self.mosaic.add(look.located.segment, look.frame.rgb, look.view[:2])

    def grown(self, look: Look) -> None:
        """Note that the area or the cells may have changed."""
        self._view_px = float(look.size_wh[0] * look.size_wh[1])
        self._totals = None

    def verdict(self, look: Look, reason: str = "") -> Verdict:
        """What came of a frame; with a reason it is rejected."""
        if reason:
            self.rejected[reason] += 1
        place = look.located.place_px
        known = [] if place is None else [one for one in self.cells[look.located.segment].within(look.view) if one.counted >= 0]
        new = np.array([one.number in self._fresh for one in known], dtype=bool)
        told = reason or look.located.reason
        status: Status = "rejected" if reason else "used"
        return Verdict(
            look.frame.index, status, told, look.focus, look.located.shift_px, place, look.located.segment,
            detections(known, place or (0.0, 0.0), look.size_wh), new, dict(self._ms),
        )  # fmt: skip

    def _changed(self, cell: Cell, before: int) -> None:
        self._totals = None
        unit = self.units[cell.owner]
        if before >= 0:
            unit.counts[before] -= 1
        if cell.counted >= 0:
            unit.counts[cell.counted] += 1
            if before < 0:
                self._fresh.add(cell.number)

    def totals(self) -> Totals:
        """See `Mode.totals`."""
        if self._totals is None:
            self._totals = self._summed()
        return self._totals

    def _summed(self) -> Totals:
        parts = [unit for unit in self.units if unit.area_px > 0]
        areas = [unit.area_px / self._view_px for unit in parts]
        classes = {
            name: enough.of_class([unit.counts[i] for unit in parts], areas, self._targets.get(name))
            for i, name in enumerate(CLASSES)
        }
        area_px = sum(unit.area_px for unit in parts)
        reached = self._enough.reached(classes, area_px / self._view_px)
        mm2 = None if self.um_per_px is None else area_px * (self.um_per_px / 1000) ** 2
        sentence = self._enough.sentence(classes, reached)
        return Totals(classes, len(parts), area_px, area_px / self._view_px, mm2, len(self.first), reached, sentence)


def detections(known: list[Cell], place: tuple[float, float], size_wh: tuple[int, int]) -> Detections:
    """Counted cells as detections in a view, cut by its border."""
    if not known:
        return Detections.none(size_wh)
    corner, far = np.array([*place, *place]), np.array([*size_wh, *size_wh])
    xyxy = np.clip(np.array([one.box for one in known]) - corner, 0, far)
    score = [min(one.score, 1.0) for one in known]
    return Detections(xyxy, np.array(score), np.array([one.counted for one in known]), size_wh)
