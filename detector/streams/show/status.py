"""How a run stands, for people: on the live page, and on the terminal, where it is followed to its end."""

from __future__ import annotations

import time
from contextlib import nullcontext, suppress
from dataclasses import asdict
from typing import Any

from rich.console import Console, Group
from rich.live import Live as Redrawn
from rich.table import Table

from detector.output.figures import half_width, short, span
from detector.streams.live import Live
from detector.streams.show.display import Display
from detector.streams.show.window import Window
from detector.vision.drawing import HEX_COLOURS

GONE = (OSError, SystemExit)
"""What writing raises to a terminal that is gone; the second is rich's way where it was a pipe."""

_LOOK_EVERY_S, _TELL_EVERY_S = 0.1, 10.0


def state(live: Live, source: str) -> dict[str, Any]:
    """What the page shows, as JSON can hold it."""
    totals, log, last, ended = live.totals, live.log, live.last, live.ended
    return {
        "source": source,
        "classes": [
            {
                "name": name,
                "colour": HEX_COLOURS[name],
                "count": total.count,
                "per_field": None
                if total.per_field is None
                else {"value": short(total.per_field.value), "span": span(total.per_field)},
                "known_to": half_width(total.known_to),
                "target": half_width(total.target),
                "enough": total.enough,
            }
            for name, total in totals.classes.items()
        ],
        "sentence": totals.sentence,
        "enough": totals.enough,
        "fields": totals.fields,
        "area_mm2": None if totals.area_mm2 is None else short(totals.area_mm2),
        "segments": totals.segments,
        "frames": {"received": log.received, "used": log.used, "dropped": log.dropped.total(), "rejected": log.rejected.total()},
        "camera": "lost" if live.capture.lost else "running",
        "last": None if last is None else {"status": last.status, "reason": last.reason, "focus": last.focus},
        "faults": log.incidents[-5:],
        "ended": None if ended is None else asdict(ended),
    }


def table(live: Live) -> Group:
    """The running totals for a terminal."""
    shown = Table()
    for heading in ("cells", "counted", "per view (95 %)", "uncertainty", "target"):
        shown.add_column(heading, justify="left" if heading == "cells" else "right")
    for name, total in live.totals.classes.items():
        per_view = "-" if total.per_field is None else f"{short(total.per_field.value)} ({span(total.per_field)})"
        shown.add_row(name, str(total.count), per_view, half_width(total.known_to) or "-", half_width(total.target) or "-")
    return Group(shown, _frames(live))


def line(live: Live) -> str:
    """The running totals in one line."""
    counts = ", ".join(
        f"{name} {total.count}" + f" {half_width(total.known_to)}" * (total.known_to is not None)
        for name, total in live.totals.classes.items()
    )
    return f"{counts} | {_frames(live)}"


def follow(live: Live, display: Display, window: Window | None, signals: list[int], console: Console) -> None:
    """Show how the run stands until it ends, or until nobody can see it any more."""
    with suppress(*GONE):
        _tell(live, display, window, signals, console)
    while not live.wait(_LOOK_EVERY_S):
        _end_if_asked(live, window, signals)


def _frames(live: Live) -> str:
    log, last = live.log, live.last
    frames = f"{log.received} frames, {log.used} used, {log.dropped.total()} dropped, {log.rejected.total()} rejected"
    now = "camera lost, connecting again" if live.capture.lost else "" if last is None else last.reason or last.status
    return f"{frames} | now: {now}" if now else frames


def _end_if_asked(live: Live, window: Window | None, signals: list[int]) -> None:
    if signals:
        live.stop("interrupted", "it was interrupted")
    if window is not None and window.refresh():
        live.stop("stopped", "its window was closed")


def _tell(live: Live, display: Display, window: Window | None, signals: list[int], console: Console) -> None:
    printed: set[str] = set()
    last = time.monotonic()
    drawn = Redrawn(console=console, transient=True, auto_refresh=False) if console.is_terminal else None
    with drawn or nullcontext():
        while not live.wait(_LOOK_EVERY_S):
            _end_if_asked(live, window, signals)
            for problem in (live.log.problem, *display.problems):
                if problem and problem not in printed:
                    printed.add(problem)
                    console.print(problem, markup=False, soft_wrap=True)
            if drawn is not None:
                drawn.update(table(live), refresh=True)
            elif time.monotonic() - last > _TELL_EVERY_S:
                last = time.monotonic()
                console.print(line(live), markup=False, soft_wrap=True)
