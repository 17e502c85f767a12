"""The two ways to count a stream: fields, taken where the stage rests, and scan, over which it moves all the time."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from detector.counting import expected
from detector.streams.options import StreamOptions
from detector.streams.sources.source import Fault, Frame
from detector.streams.survey import BLURRED, MOVING, NOTHING_NEW, FinishedSurvey, Survey, Unit, Verdict, View
from detector.streams.totals import StreamTotals
from detector.streams.unique_cells import Cell
from detector.vision import boxes, cells, finder, quality
from detector.vision.detections import Detections
from detector.vision.model import Model
from detector.vision.scale import Scale, estimate, of_smear

REST_FRAMES = 4
"""Views over which the stage must rest."""
REST_SHARE = 0.006
"""Most that it may move over them, as a share of the view's long side."""
LEAST_FOCUS = 0.65
"""Least focus of a field, as a share of the recent best: at rest there is time to wait for a sharp view."""
LEAST_NEW = 0.1
"""Share of a view that must be new for it to be taken."""
_SEAM = 0.15
"""Cells so near to what was seen, in sides of a cell, may belong to either side of the seam."""

CONFIRMATIONS = 2
"""Views in which a cell must be found, and at least half of those that could show it."""
NEW_SHARE = 0.08
"""Share of a view that may be new before it is searched, where more is still coming in."""
AHEAD = 4
"""Frames ahead at which a cell that too few views have shown would be out of sight: then its view is searched."""
_STILL_SHARE = 0.003
"""Way from view to view, as a share of the long side, up to which the stage rests: nothing more is coming in."""

_ENOUGH_CELLS = 5
"""Red cells in a view that settle the scale."""
_AGAIN = 25
"""Views after which the scale is looked for again, where there were too few."""


class Mode(Protocol):
    """Counts the cells of a stream, each once. Frames come in their order and from one thread at a time."""

    def take(self, frame: Frame) -> Verdict:
        """Work one frame in, and say what came of it."""

    def fault(self, fault: Fault) -> None:
        """Note what went wrong between two frames; places are found again where they can be, else a new segment starts."""

    def totals(self) -> StreamTotals:
        """What was counted so far; quick enough for every frame."""

    def finish(self) -> FinishedSurvey:
        """What is to be written at the end; can be called once, also after no frame at all."""

    def record(self) -> dict[str, Any]:
        """What changed since the last record, as JSON can hold it."""

    def restore(self, records: list[dict[str, Any]]) -> None:
        """Take up what the records of a run hold; only `finish` may follow."""


def of(model: Model, options: StreamOptions) -> Mode:
    """The mode that is asked for."""
    made = {"fields": fields, "scan": scan}[options.mode]
    return made(model, options.um_per_px, options.targets)


def fields(model: Model, um_per_px: float | None = None, targets: Mapping[str, float] | None = None) -> Mode:
    """A mode that counts fields where the stage rests.

    Args:
        um_per_px: micrometres per pixel, where known.
        targets: share to which each class is to be known, by its name; None for `totals.TARGETS`.
    """
    return FieldsMode(_survey(model, 1, um_per_px, targets))


def scan(model: Model, um_per_px: float | None = None, targets: Mapping[str, float] | None = None) -> Mode:
    """A mode that counts while the stage moves; arguments as of `fields`."""
    return ScanMode(_survey(model, CONFIRMATIONS, um_per_px, targets))


def _survey(model: Model, confirmations: int, um_per_px: float | None, targets: Mapping[str, float] | None) -> Survey:
    return Survey(Search(model, um_per_px), confirmations, um_per_px, targets, expected.corrections(model.card.val_sums))


class Search:
    """Finds the cells of views at one scale, found once for each size of view: red cells do not change theirs from view to view."""

    def __init__(self, model: Model, um_per_px: float | None = None) -> None:
        self._model, self._um_per_px = model, um_per_px
        self._zoom: dict[tuple[int, int], float | None] = {}
        self._poor: dict[tuple[int, int], int] = {}

    def __call__(self, frame: Frame) -> Detections:
        """Cells of a view, as `detector.count` finds them in a field."""
        size_wh = (frame.rgb.shape[1], frame.rgb.shape[0])
        if size_wh in self._zoom:
            return finder.find_at(self._model, frame.rgb, self._zoom[size_wh])
        views = self._poor.get(size_wh, 0)
        self._poor[size_wh] = views + 1
        if views % _AGAIN:
            return finder.find_at(self._model, frame.rgb, None)
        return self._first(frame.rgb, size_wh)

    def _first(self, rgb: NDArray[np.uint8], size_wh: tuple[int, int]) -> Detections:
        given = self._um_per_px
        scale = of_smear([estimate(self._model, rgb)]) if given is None else Scale.given(given)
        zoom = finder.zoom_of(self._model, scale)
        detections = finder.find_at(self._model, rgb, zoom)
        if self._um_per_px is not None or int((detections.label == cells.RBC).sum()) >= _ENOUGH_CELLS:
            self._zoom[size_wh] = zoom
        return detections


class FieldsMode:
    """The mode `fields`: a sharp view at rest is taken for a field, and adds what no field before it showed."""

    def __init__(self, survey: Survey) -> None:
        self._survey = survey
        self._rest: deque[tuple[int, float, float]] = deque(maxlen=REST_FRAMES)

    def take(self, frame: Frame) -> Verdict:
        """See `Mode.take`."""
        view = self._survey.locate(frame)
        reason = self._against(view)
        if not reason:
            self._count(view)
        return self._survey.verdict(view, reason)

    def fault(self, fault: Fault) -> None:
        """See `Mode.fault`."""
        self._survey.fault(fault)
        self._rest.clear()

    def totals(self) -> StreamTotals:
        """See `Mode.totals`."""
        return self._survey.totals()

    def finish(self) -> FinishedSurvey:
        """See `Mode.finish`."""
        return self._survey.finish()

    def record(self) -> dict[str, Any]:
        """See `Mode.record`."""
        return self._survey.record()

    def restore(self, records: list[dict[str, Any]]) -> None:
        """See `Mode.restore`."""
        self._survey.restore(records)

    def _against(self, view: View) -> str:
        """Why a view is not taken for a field; empty where it is."""
        place = view.located.place_px
        if place is None:
            self._rest.clear()
            return view.unplaced
        self._rest.append((view.located.segment, *place))
        if not self._resting(max(view.size_wh)):
            return MOVING
        if not view.sharp or (view.focus or 0.0) < LEAST_FOCUS:
            return BLURRED
        if self._survey.seen[view.located.segment].unseen(view.rect) < LEAST_NEW:
            return NOTHING_NEW
        return ""

    def _resting(self, long_px: int) -> bool:
        segments, xs, ys = zip(*self._rest, strict=True)
        moved = max(max(xs) - min(xs), max(ys) - min(ys))
        return len(self._rest) == REST_FRAMES and len(set(segments)) == 1 and moved <= REST_SHARE * long_px

    def _count(self, view: View) -> None:
        survey, segment = self._survey, view.located.segment
        detections = survey.search(view)
        with survey.timed("merging"):
            seen = survey.seen[segment]
            centre = boxes.centre(detections.xyxy) + np.array(view.rect[:2], dtype=np.float32)
            near_px = _SEAM * float(np.median(detections.xyxy[:, 2] - detections.xyxy[:, 0])) if len(detections) else 0.0
            new = ~seen.holds(centre, near_px)
            number = len(survey.units)
            unit = Unit(segment, view.rect, f"field_{number + 1:04}", saturated=detections.saturated)
            unit.quality = quality.measure(view.frame.rgb, detections)
            unit.area_px = float(len(seen.add(view.rect)) * seen.STEP_PX**2)
            survey.units.append(unit)
            survey.cells[segment].add(detections, view.rect[:2], lambda _cell: number, new)
        survey.show(view)
        survey.grown(view)


class ScanMode:
    """The mode `scan`: every frame is placed, and cells count when several views have shown them.

    Not every view is searched, only those that bring new area or show cells that too few views have shown. The smear is parted
    into squares of a view's size, between which counts scatter.
    """

    def __init__(self, survey: Survey) -> None:
        self._survey = survey
        self._squares: dict[tuple[int, int, int], int] = {}
        self._sizes: dict[int, tuple[int, int]] = {}
        self._unseen = 0.0
        self._waiting: View | None = None
        """The last view that was not searched though it brings something new."""

    def take(self, frame: Frame) -> Verdict:
        """See `Mode.take`."""
        survey = self._survey
        view = survey.locate(frame)
        if view.unplaced or not view.sharp:
            return survey.verdict(view, view.unplaced or BLURRED)
        self._sizes.setdefault(view.located.segment, view.size_wh)
        unseen = survey.seen[view.located.segment].unseen(view.rect)
        if unseen < self._unseen and self._waiting is not None:
            # What was coming in goes out of sight again.
            self._search(self._waiting)
            unseen = survey.seen[view.located.segment].unseen(view.rect)
        dx, dy = view.located.shift_px or (0.0, 0.0)
        rests = max(abs(dx), abs(dy)) <= _STILL_SHARE * max(view.size_wh)
        ahead = None if rests else (view.rect[0] + AHEAD * dx, view.rect[1] + AHEAD * dy)
        if unseen > (0.0 if rests else NEW_SHARE) or survey.cells[view.located.segment].undecided(view.rect, ahead):
            self._search(view)
        elif unseen > 0:
            self._waiting, self._unseen = view, unseen
        return survey.verdict(view)

    def fault(self, fault: Fault) -> None:
        """See `Mode.fault`."""
        self._catch_up()
        self._survey.fault(fault)

    def totals(self) -> StreamTotals:
        """See `Mode.totals`."""
        return self._survey.totals()

    def finish(self) -> FinishedSurvey:
        """See `Mode.finish`."""
        self._catch_up()
        return self._survey.finish()

    def record(self) -> dict[str, Any]:
        """See `Mode.record`."""
        return self._survey.record()

    def restore(self, records: list[dict[str, Any]]) -> None:
        """See `Mode.restore`."""
        self._survey.restore(records)

    def _catch_up(self) -> None:
        if self._waiting is not None:
            self._search(self._waiting)

    def _search(self, view: View) -> None:
        survey, segment = self._survey, view.located.segment
        detections = survey.search(view)
        with survey.timed("merging"):
            middles = survey.seen[segment].add(view.rect)
            self._grow(segment, middles)
            survey.cells[segment].add(detections, view.rect[:2], lambda cell: self._square_of(segment, cell))
            if detections.saturated:
                middle = np.array([view.rect[0] + view.rect[2], view.rect[1] + view.rect[3]]) / 2
                survey.units[self._square(segment, *self._column_row(segment, middle))].saturated = True
        if len(middles):
            survey.show(view)
        survey.grown(view)
        self._waiting, self._unseen = None, 0.0

    def _grow(self, segment: int, middles: NDArray[np.float64]) -> None:
        """Give new area, by the middles of its squares, to the units that it lies in."""
        columns_rows, sizes = np.unique(self._column_row(segment, middles), axis=0, return_counts=True)
        step = self._survey.seen[segment].STEP_PX ** 2
        for (i, j), size in zip(columns_rows.tolist(), sizes.tolist(), strict=True):
            self._survey.units[self._square(segment, i, j)].area_px += size * step

    def _column_row(self, segment: int, xy: NDArray[np.float64]) -> NDArray[np.int64]:
        return np.asarray(np.floor(xy / np.array(self._sizes[segment])), dtype=np.int64)

    def _square_of(self, segment: int, cell: Cell) -> int:
        i, j = self._column_row(segment, np.array(cell.centre)).tolist()
        return self._square(segment, i, j)

    def _square(self, segment: int, i: int, j: int) -> int:
        """Number of the unit at that column and row."""
        if (segment, i, j) not in self._squares:
            w, h = self._sizes[segment]
            self._squares[segment, i, j] = len(self._survey.units)
            name = f"segment_{segment:02}_row_{j:+03}_column_{i:+03}"
            self._survey.units.append(Unit(segment, (i * w, j * h, (i + 1) * w, (j + 1) * h), name))
        return self._squares[segment, i, j]
