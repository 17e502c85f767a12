"""A run on the terminal: totals as they change, what goes wrong, and the user's wish to end it."""

from __future__ import annotations

import time
from contextlib import nullcontext, suppress

from rich.console import Console
from rich.live import Live as Redrawn

from detector.streams.live import Live
from detector.streams.show import status
from detector.streams.show.display import Display
from detector.streams.show.window import Window

GONE = (OSError, SystemExit)
"""What writing raises to a terminal that is gone; the second is rich's way where it was a pipe."""

_LOOK_EVERY_S, _TELL_EVERY_S = 0.1, 10.0


def follow(live: Live, display: Display, window: Window | None, signals: list[int], console: Console) -> None:
    """Show how the run stands until it ends, or until nobody can see it any more."""
    with suppress(*GONE):
        _tell(live, display, window, signals, console)
    while not live.wait(_LOOK_EVERY_S):
        _end_if_asked(live, window, signals)


def _end_if_asked(live: Live, window: Window | None, signals: list[int]) -> None:
    if signals:
        live.stop("interrupted", "it was interrupted")
    if window is not None and window.refresh():
        live.stop("stopped", "its window was closed")


def _tell(live: Live, display: Display, window: Window | None, signals: list[int], console: Console) -> None:
    said: set[str] = set()
    last = time.monotonic()
    drawn = Redrawn(console=console, transient=True, auto_refresh=False) if console.is_terminal else None
    with drawn or nullcontext():
        while not live.wait(_LOOK_EVERY_S):
            _end_if_asked(live, window, signals)
            for problem in (live.log.problem, *display.problems):
                if problem and problem not in said:
                    said.add(problem)
                    console.print(problem, markup=False, soft_wrap=True)
            if drawn is not None:
                drawn.update(status.table(live), refresh=True)
            elif time.monotonic() - last > _TELL_EVERY_S:
                last = time.monotonic()
                console.print(status.line(live), markup=False, soft_wrap=True)
