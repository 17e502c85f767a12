"""How a run stands, for people: on the terminal and on the live page."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.console import Group
from rich.table import Table

from detector.output.figures import short, span
from detector.streams.live import Live
from detector.vision.drawing import COLOURS


def state(live: Live, source: str) -> dict[str, Any]:
    """What the page shows, as JSON can hold it."""
    totals, log, last, ended = live.totals, live.log, live.last, live.ended
    return {
        "source": source,
        "classes": [
            {
                "name": name,
                "colour": "#{:02x}{:02x}{:02x}".format(*COLOURS[name]),
                "count": total.count,
                "per_field": None
                if total.per_field is None
                else {"value": short(total.per_field.value), "span": span(total.per_field)},
                "known_to": percent(total.known_to),
                "target": percent(total.target),
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
        shown.add_row(name, str(total.count), per_view, percent(total.known_to) or "-", percent(total.target) or "-")
    return Group(shown, _frames(live))


def line(live: Live) -> str:
    """The running totals in total line."""
    counts = ", ".join(
        f"{name} {total.count}" + f" {percent(total.known_to)}" * (total.known_to is not None)
        for name, total in live.totals.classes.items()
    )
    return f"{counts} | {_frames(live)}"


def _frames(live: Live) -> str:
    log, last = live.log, live.last
    frames = f"{log.received} frames, {log.used} used, {log.dropped.total()} dropped, {log.rejected.total()} rejected"
    now = "camera lost, connecting again" if live.capture.lost else "" if last is None else last.reason or last.status
    return f"{frames} | now: {now}" if now else frames


def percent(share: float | None) -> str | None:
    """A half width of an interval as people read it."""
    return None if share is None else f"±{100 * share:.{0 if share >= 0.1 else 1}f} %"
