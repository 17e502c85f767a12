"""A stream as it runs: frames come, are counted and shown, and none of the three waits for the others."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Literal

from detector.errors import SmearcountError
from detector.streams.capture import Capture, Gap, Item, Passed, Received
from detector.streams.log import FrameLog
from detector.streams.modes import Mode
from detector.streams.sources.source import Fault, Frame
from detector.streams.survey import Verdict
from detector.streams.totals import StreamTotals
from detector.texts import one_line

Why = Literal["ended", "enough", "stopped", "interrupted", "lost", "failed", "killed"]
"""Why a run ended: the source did, enough is known, a limit or the window's user said so, Ctrl-C, SIGTERM or SIGHUP, the camera did
not come back, the detector failed again and again, the program was killed."""

_MOST_FAILURES = 25
_HANG_S = 30.0


@dataclass(frozen=True, eq=False)
class Shown:
    """A frame that was looked at, for those who show it."""

    frame: Frame
    verdict: Verdict
    totals: StreamTotals
    arrived_s: float
    """When it came, by `time.monotonic`."""


@dataclass(frozen=True)
class Ended:
    """The end of a run."""

    why: Why
    reason: str


class Live:
    """Counts what a capture gives on a thread of its own; as a context manager it is ended however the block ends."""

    def __init__(
        self,
        capture: Capture,
        mode: Mode,
        log: FrameLog,
        show: Callable[[Shown], None] | None = None,
        until_enough: bool = False,
        seconds: float | None = None,
    ) -> None:
        """Prepare a run.

        Args:
            capture: open; its first frame is there.
            show: takes each frame that was looked at; must not wait.
            until_enough: end when every class is known as well as was asked for.
            seconds: of the stream to take; None takes all.
        """
        self.capture = capture
        self.log = log
        self.mode = mode
        self.ended: Ended | None = None
        """Why it ended or is about to; None while it runs."""
        self.totals = mode.totals()
        """What was counted so far."""
        self.last: Verdict | None = None
        """What came of the last frame that was looked at."""
        self._show = show
        self._until_enough = until_enough
        self._seconds = seconds
        self._failures = 0
        self._thread = threading.Thread(target=self._work, name="counting", daemon=True)

    def __enter__(self) -> Live:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._thread.is_alive():
            self.stop("interrupted", "it was interrupted")
        self._thread.join(_HANG_S)
        if self._thread.is_alive() and error is None:
            raise SmearcountError(
                f"the detector did not come back in {_HANG_S:.0f} s; frames.csv says what happened to each frame"
            )

    def wait(self, seconds: float) -> bool:
        """Wait so long at most, or until all frames are worked through; gives whether they are."""
        self._thread.join(seconds)
        # A camera that is lost gives nothing by which its time could be told.
        if (
            self._seconds is not None
            and self.capture.source.live
            and self.capture.now_s() >= self._seconds
            and self.ended is None
        ):
            self._time_is_over(self._seconds)
        return not self._thread.is_alive()

    def stop(self, why: Why, reason: str) -> None:
        """Take no more frames; the first reason is the one that is told."""
        self.ended = self.ended or Ended(why, reason)
        self.capture.stop()

    def _work(self) -> None:
        try:
            for item in self.capture:
                self._take(item)
                if self.ended is None:
                    self._end_where_due(item)
        finally:
            why: Why = "lost" if self.capture.lost else "ended" if self.capture.ended else "failed"
            self.ended = self.ended or Ended(why, self.capture.ended or "the program failed")
            self.capture.stop()

    def _take(self, item: Item) -> None:
        if isinstance(item, Received):
            self._count(item)
        elif isinstance(item, Passed):
            self.log.passed(item)
        elif isinstance(item, Gap):
            self.log.gap(item)
        else:
            self._note(item)

    def _count(self, received: Received) -> None:
        frame = received.frame
        try:
            verdict = self.mode.take(frame)
            self.totals = self.mode.totals()
        # Whatever one frame does to the detector must not cost what was counted before and comes after.
        except Exception as error:
            self._failures += 1
            reason = one_line(error)
            self.log.failure(frame.index, frame.time_s, f"could not be searched for cells ({reason})")
            if self._failures == _MOST_FAILURES:
                self.stop("failed", f"{_MOST_FAILURES} pictures in a row could not be searched for cells: {reason}")
            return
        self._failures, self.last = 0, verdict
        self.log.verdict(frame.time_s, verdict, 1000 * (time.monotonic() - received.arrived_s))
        if self._show is not None:
            self._show(Shown(frame, verdict, self.totals, received.arrived_s))

    def _note(self, fault: Fault) -> None:
        self.log.fault(fault)
        try:
            self.mode.fault(fault)
        except Exception as error:
            self.stop("failed", f"after a fault ({fault.reason}) the count could not go on: {error}")

    def _end_where_due(self, item: Item) -> None:
        if self._until_enough and self.totals.enough:
            self.stop("enough", "enough cells are known")
        elif self._seconds is not None and isinstance(item, Received) and item.frame.time_s >= self._seconds:
            self._time_is_over(self._seconds)

    def _time_is_over(self, seconds: float) -> None:
        self.stop("stopped", f"{seconds:g} seconds have passed")
