"""Counting while the stage moves: every frame is placed, and cells count when several views have shown them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from detector.streams import gather
from detector.streams.cell import Cell
from detector.streams.frames import Fault, Frame
from detector.streams.survey import BLURRED, Look, Survey, Unit
from detector.streams.verdict import Finished, Totals, Verdict

CONFIRMATIONS = 2
"""Views in which a cell must be found, and at least half of those that could show it."""
NEW_SHARE = 0.08
"""Share of a view that may be new before it is searched, where more is still coming in."""
AHEAD = 4
"""Frames ahead at which a cell that too few views have shown would be out of sight: then its view is searched."""
_REST_SHARE = 0.003
"""Way from view to view, as a share of the long side, up to which the stage rests: nothing more is coming in."""


class Scan:
    """The mode `scan`; see `modes.Mode`.

    Not every view is searched, only those that bring new area or show cells that too few views have shown. The smear is parted
    into squares of a view's size, between which counts scatter.
    """

    def __init__(self, survey: Survey) -> None:
        self._survey = survey
        self._squares: dict[tuple[int, int, int], int] = {}
        self._sizes: dict[int, tuple[int, int]] = {}
        self._unseen = 0.0
        self._waiting: Look | None = None
        """The last view that was not searched though it brings something new."""

    def take(self, frame: Frame) -> Verdict:
        """See `Mode.take`."""
        survey = self._survey
        look = survey.look(frame)
        if look.unplaced or not look.sharp:
            return survey.verdict(look, look.unplaced or BLURRED)
        self._sizes.setdefault(look.located.segment, look.size_wh)
        unseen = survey.seen[look.located.segment].unseen(look.view)
        if unseen < self._unseen and self._waiting is not None:
            # What was coming in goes out of sight again.
            self._search(self._waiting)
            unseen = survey.seen[look.located.segment].unseen(look.view)
        dx, dy = look.located.shift_px or (0.0, 0.0)
        rests = max(abs(dx), abs(dy)) <= _REST_SHARE * max(look.size_wh)
        ahead = None if rests else (look.view[0] + AHEAD * dx, look.view[1] + AHEAD * dy)
        if unseen > (0.0 if rests else NEW_SHARE) or survey.cells[look.located.segment].undecided(look.view, ahead):
            self._search(look)
        elif unseen > 0:
            self._waiting, self._unseen = look, unseen
        return survey.verdict(look)

    def fault(self, fault: Fault) -> None:
        """See `Mode.fault`."""
        self._catch_up()
        self._survey.fault(fault)

    def totals(self) -> Totals:
        """See `Mode.totals`."""
        return self._survey.totals()

    def finish(self) -> Finished:
        """See `Mode.finish`."""
        self._catch_up()
        return gather.finished(self._survey)

    def _catch_up(self) -> None:
        if self._waiting is not None:
            self._search(self._waiting)

    def _search(self, look: Look) -> None:
        survey, segment = self._survey, look.located.segment
        found = survey.search(look)
        with survey.timed("merging"):
            middles = survey.seen[segment].add(look.view)
            self._grow(segment, middles)
            survey.cells[segment].add(found, look.view[:2], lambda cell: self._square_of(segment, cell))
            if found.saturated:
                middle = np.array([look.view[0] + look.view[2], look.view[1] + look.view[3]]) / 2
                survey.units[self._square(segment, *self._cell(segment, middle))].saturated = True
        if len(middles):
            survey.show(look)
        survey.grown(look)
        self._waiting, self._unseen = None, 0.0

    def _grow(self, segment: int, middles: NDArray[np.float64]) -> None:
        """Give new area, by the middles of its squares, to the units that it lies in."""
        columns_rows, sizes = np.unique(self._cell(segment, middles), axis=0, return_counts=True)
        step = self._survey.seen[segment].STEP_PX ** 2
        for (i, j), size in zip(columns_rows.tolist(), sizes.tolist(), strict=True):
            self._survey.units[self._square(segment, i, j)].area_px += size * step

    def _cell(self, segment: int, xy: NDArray[np.float64]) -> NDArray[np.int64]:
        return np.asarray(np.floor(xy / np.array(self._sizes[segment])), dtype=np.int64)

    def _square_of(self, segment: int, cell: Cell) -> int:
        i, j = self._cell(segment, np.array(cell.centre)).tolist()
        return self._square(segment, i, j)

    def _square(self, segment: int, i: int, j: int) -> int:
        """Number of the unit at that column and row."""
        if (segment, i, j) not in self._squares:
            w, h = self._sizes[segment]
            self._squares[segment, i, j] = len(self._survey.units)
            name = f"segment_{segment:02}_row_{j:+03}_column_{i:+03}"
            self._survey.units.append(Unit(segment, (i * w, j * h, (i + 1) * w, (j + 1) * h), name))
        return self._squares[segment, i, j]
