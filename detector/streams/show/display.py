"""Frames with their cells on them, drawn on a thread of their own for a window, a video file and a page."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from types import TracebackType
from typing import Protocol

import numpy as np

from detector.output.figures import half_width
from detector.streams.live import Shown
from detector.streams.totals import StreamTotals
from detector.vision import drawing
from detector.vision.images import Rgb

_HANG_S = 30.0
_WAITING = 8
"""Frames that wait to be drawn where each one is wanted."""
_MOST_LATENCIES = 100_000
_INK, _WARN = (60, 60, 60), (170, 60, 0)


class Sink(Protocol):
    """Something that shows or keeps drawn frames."""

    def show(self, picture: Rgb, shown: Shown) -> None:
        """Take one drawn frame.

        Raises:
            OSError: it cannot; it is given no more.
        """

    def close(self) -> None:
        """Take no more."""


class Display:
    """Draws what it is given and hands it to its sinks; as a context manager they are closed however the block ends.

    A frame that comes while another is drawn replaces the one that waits, unless each is wanted.
    """

    def __init__(self, sinks: Sequence[Sink], each: bool = False) -> None:
        """Prepare to draw.

        Args:
            each: draw every frame, and let who gives them wait for it: for a video that is made of a file.
        """
        self.problems: list[str] = []
        """What went wrong with a sink; it was given nothing more."""
        self.drawn = 0
        self._sinks = list(sinks)
        self._each = each
        self._waiting: deque[Shown] = deque()
        self._changed = threading.Condition()
        self._closing = False
        self._latencies_ms: deque[float] = deque(maxlen=_MOST_LATENCIES)
        self._thread = threading.Thread(target=self._work, name="display", daemon=True)

    def __enter__(self) -> Display:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join(_HANG_S)
        for sink in self._sinks:
            self._tried(sink, sink.close)

    def add(self, sink: Sink) -> None:
        """Hand drawn frames to one more, before it is entered."""
        self._sinks.append(sink)

    def put(self, shown: Shown) -> None:
        """Take a frame to draw."""
        with self._changed:
            if not self._sinks:
                return
            if self._each:
                self._changed.wait_for(lambda: len(self._waiting) < _WAITING or self._closing)
            else:
                self._waiting.clear()
            self._waiting.append(shown)
            self._changed.notify_all()

    def latency_ms(self) -> dict[str, float]:
        """Median and 95th percentile of the time from a frame's arrival until it was drawn and shown; empty before the first."""
        with self._changed:
            latencies = list(self._latencies_ms)
        if not latencies:
            return {}
        p50, p95 = np.percentile(latencies, [50, 95])
        return {"p50": round(float(p50), 2), "p95": round(float(p95), 2)}

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting or self._closing)
                if not self._waiting:
                    return
                shown = self._waiting.popleft()
                self._changed.notify_all()
            picture = draw(shown)
            for sink in list(self._sinks):
                self._tried(sink, partial(sink.show, picture, shown))
            with self._changed:
                self.drawn += 1
                self._latencies_ms.append(1000 * (time.monotonic() - shown.arrived_s))

    def _tried(self, sink: Sink, act: Callable[[], None]) -> None:
        try:
            act()
        except OSError as error:
            self.problems.append(error.strerror or str(error))
            with self._changed:
                if sink in self._sinks:
                    self._sinks.remove(sink)
                self._changed.notify_all()


def draw(shown: Shown) -> Rgb:
    """A frame with its cells and, in a strip above it, the totals; cells that it added have thick boxes."""
    verdict = shown.verdict
    texts = [
        *_totals(shown.totals),
        ("used" if verdict.status == "used" else verdict.reason, _WARN if verdict.status != "used" else _INK),
    ]
    return drawing.draw(shown.frame.rgb, verdict.cells, texts, verdict.new)


def _totals(totals: StreamTotals) -> list[tuple[str, drawing.Colour]]:
    texts = []
    for name, total in totals.classes.items():
        known = "" if total.known_to is None else f" {half_width(total.known_to)}"
        texts.append((f"{name} {total.count}{known}", drawing.COLOURS[name]))
    return texts
