"""Counting where the stage rests: a sharp view at rest is taken for a field, and adds what no field before it showed."""

from __future__ import annotations

from collections import deque

import numpy as np

from detector.streams import gather
from detector.streams.frames import Fault, Frame
from detector.streams.survey import BLURRED, MOVING, NOTHING_NEW, Look, Survey, Unit
from detector.streams.verdict import Finished, Totals, Verdict
from detector.vision import boxes, quality

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


class Fields:
    """The mode `fields`; see `modes.Mode`."""

    def __init__(self, survey: Survey) -> None:
        self._survey = survey
        self._rest: deque[tuple[int, float, float]] = deque(maxlen=REST_FRAMES)

    def take(self, frame: Frame) -> Verdict:
        """See `Mode.take`."""
        look = self._survey.look(frame)
        reason = self._against(look)
        if not reason:
            self._count(look)
        return self._survey.verdict(look, reason)

    def fault(self, fault: Fault) -> None:
        """See `Mode.fault`."""
        self._survey.fault(fault)
        self._rest.clear()

    def totals(self) -> Totals:
        """See `Mode.totals`."""
        return self._survey.totals()

    def finish(self) -> Finished:
        """See `Mode.finish`."""
        return gather.finished(self._survey)

    def _against(self, look: Look) -> str:
        """Why a view is not taken for a field; empty where it is."""
        place = look.located.place_px
        if place is None:
            self._rest.clear()
            return look.unplaced
        self._rest.append((look.located.segment, *place))
        if not self._resting(max(look.size_wh)):
            return MOVING
        if not look.sharp or (look.focus or 0.0) < LEAST_FOCUS:
            return BLURRED
        if self._survey.seen[look.located.segment].unseen(look.view) < LEAST_NEW:
            return NOTHING_NEW
        return ""

    def _resting(self, long_px: int) -> bool:
        segments, xs, ys = zip(*self._rest, strict=True)
        moved = max(max(xs) - min(xs), max(ys) - min(ys))
        return len(self._rest) == REST_FRAMES and len(set(segments)) == 1 and moved <= REST_SHARE * long_px

    def _count(self, look: Look) -> None:
        survey, segment = self._survey, look.located.segment
        found = survey.search(look)
        with survey.timed("merging"):
            seen = survey.seen[segment]
            centre = boxes.centre(found.xyxy) + np.array(look.view[:2], dtype=np.float32)
            near_px = _SEAM * float(np.median(found.xyxy[:, 2] - found.xyxy[:, 0])) if len(found) else 0.0
            new = ~seen.holds(centre, near_px)
            number = len(survey.units)
            unit = Unit(segment, look.view, f"field_{number + 1:04}", saturated=found.saturated)
            unit.quality = quality.measure(look.frame.rgb, found)
            unit.area_px = float(len(seen.add(look.view)) * seen.STEP_PX**2)
            survey.units.append(unit)
            survey.cells[segment].add(found, look.view[:2], lambda _cell: number, new)
        survey.show(look)
        survey.grown(look)
