"""What the report says, as text and numbers that the template puts in their places."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np

from detector.counting.fields import FieldCount, UnreadField
from detector.counting.intervals import Interval
from detector.counting.smears import ClassCount, SmearCount
from detector.output import overlay
from detector.output.figures import many, percent, short
from detector.output.outcome import Outcome
from detector.output.report import charts
from detector.vision import boxes
from detector.vision.cells import CLASSES
from detector.vision.detections import Detections

MOST_SMEARS = 200
"""Smears with a section of their own."""
MOST_CHARTS = 60
"""Smears with charts."""
MOST_MAPS = 20
"""Slides of which the density is drawn."""
MOST_ROWS = 2000
"""Rows of the table of fields."""
MOST_NAMED = 300
"""Fields named in a list of those with a fault."""

COLOURS = {name: "#{:02x}{:02x}{:02x}".format(*colour) for name, colour in overlay.COLOURS.items()}


@dataclass(frozen=True)
class Row:
    """One line of a smear's table: a figure and its interval for each class, empty and None where there is none."""

    name: str
    cells: Sequence[tuple[str, tuple[str, str] | None]]


@dataclass
class Sizes:
    """Sizes of the cells clear of the border that were seen in a smear, by class."""

    px: dict[str, array[float]] = field(default_factory=lambda: {name: array("f") for name in CLASSES})
    um: dict[str, array[float]] = field(default_factory=lambda: {name: array("f") for name in CLASSES})
    uncalibrated: int = 0

    def add(self, found: Detections, um_per_px: float | None) -> None:
        """Take in a field's cells."""
        self.uncalibrated += um_per_px is None
        clear = boxes.clear_of_border(found.xyxy, found.size_wh)
        sides_px, labels = boxes.side(found.xyxy[clear]), found.label[clear]
        for label, name in enumerate(CLASSES):
            own_px = sides_px[labels == label]
            self.px[name].frombytes(own_px.tobytes())
            if um_per_px is not None:
                self.um[name].frombytes((own_px * np.float32(um_per_px)).tobytes())

    def charts(self) -> list[charts.Chart]:
        """A chart for each class of which there are cells: in µm where all fields are calibrated."""
        by_class, unit = (self.px, "px") if self.uncalibrated else (self.um, "µm")
        drawn = (charts.sizes(name, COLOURS[name], np.array(by_class[name], dtype=np.float32), unit) for name in CLASSES)
        return [one for one in drawn if one is not None]


def rows(smear: SmearCount) -> list[Row]:
    """A smear's table; lines in which nothing is known are left out."""
    if not smear.fields:
        return []
    of = [smear.classes[name] for name in CLASSES]
    lines = [
        Row("counted", [(f"{one.total:,}", None) for one in of]),
        _row("expected true count", [one.expected_total for one in of]),
        _row("counted per field", [one.mean for one in of]),
        _row("expected true count per field", [one.expected_mean for one in of]),
        Row("counting frame", [(f"{one.frame_total:,}", None) for one in of]),
        _row("per red cell", [one.per_rbc for one in of]),
        _row("per mm²", [one.per_mm2 for one in of]),
        _row("per µL", [one.per_ul for one in of]),
    ]
    return [line for line in lines if any(value for value, _ in line.cells)]


def quality_rows(fields: Sequence[FieldCount]) -> list[tuple[str, str, str]]:
    """Name, median, and least to most of what was measured in the fields."""
    seen = [one.quality for one in fields if one.quality is not None]
    if not seen:
        return []
    taken = [one.scale for one in fields if one.scale is not None and one.scale.rbc_px is not None]
    sources = ", ".join(dict.fromkeys(scale.source for scale in taken))
    measured: list[tuple[str, list[float], bool]] = [
        ("focus: contrasts per cell diameter", [one.focus for one in seen if one.focus is not None], False),
        ("covered by cells", [one.covered for one in seen], True),
        ("cells that overlap, of their area", [one.overlap for one in seen], True),
        ("dark, but in no counted cell", [one.unclaimed for one in seen], True),
        ("contrast of cells to background", [one.contrast for one in seen], True),
        ("unevenness of the light", [one.uneven for one in seen], True),
        (f"width of red cells in px, from: {sources}", [scale.rbc_px for scale in taken if scale.rbc_px is not None], False),
    ]
    return [
        (name, _share(float(np.median(values)), share), f"{_share(min(values), share)}–{_share(max(values), share)}")
        for name, values, share in measured
        if values
    ]


def counts_charts(smear: SmearCount, fields: Sequence[FieldCount | UnreadField]) -> list[charts.Chart]:
    """A chart of each class's count per field; none where the smear has one field."""
    if len(fields) < 2:
        return []
    doubtful = [isinstance(one, FieldCount) and bool(one.doubt) for one in fields]
    values = {name: [one.raw[name] if isinstance(one, FieldCount) else None for one in fields] for name in CLASSES}
    return [charts.counts(name, COLOURS[name], values[name], doubtful, smear.classes[name].mean) for name in CLASSES]


def by_smear(fields: Iterable[FieldCount | UnreadField]) -> dict[str, list[FieldCount | UnreadField]]:
    """Fields by their smear, in their order."""
    found: dict[str, list[FieldCount | UnreadField]] = {}
    for one in fields:
        found.setdefault(one.smear, []).append(one)
    return found


def field_row(one: FieldCount | UnreadField) -> list[str]:
    """A field's line in the table of fields: name, counts, focus, cover, and what is to be said of it."""
    if isinstance(one, UnreadField):
        return [one.field, *[""] * (len(CLASSES) + 2), f"unread: {one.reason}"]
    seen = one.quality
    quality = ["", ""] if seen is None else ["" if seen.focus is None else short(seen.focus), percent(seen.covered)]
    remarks = filter(None, ("saturated" * one.saturated, one.doubt, one.note))
    return [one.field, *(str(one.raw[name]) for name in CLASSES), *quality, "; ".join(remarks)]


def sentence(outcome: Outcome) -> str:
    """The whole count in one sentence."""
    parts = [f"{many(len(outcome.read), 'field')} of {many(len(outcome.smears), 'smear')} counted"]
    parts += [f"{len(outcome.unread):,} unread"] * bool(outcome.unread)
    parts += [f"{len(outcome.saturated):,} saturated"] * bool(outcome.saturated)
    doubtful = len(outcome.doubtful)
    return ", ".join([*parts, f"{doubtful:,} doubtful" if doubtful else "none doubtful"]) + "."


def summary(smear: SmearCount) -> list[str]:
    """A smear's line in the table of smears."""
    totals = [_total(smear, smear.classes[name]) for name in CLASSES]
    return [smear.smear, f"{smear.fields:,}", *totals, f"{smear.unread:,}", f"{smear.doubtful:,}"]


def _total(smear: SmearCount, one: ClassCount) -> str:
    return f"{one.total:,}" if smear.fields else "–"


def _row(name: str, of: Sequence[Interval | None]) -> Row:
    return Row(name, [("", None) if one is None else (short(one.value), _limits(one)) for one in of])


def _limits(interval: Interval) -> tuple[str, str] | None:
    if interval.limits is None:
        return None
    low, high = interval.limits
    return short(low), short(high)


def _share(value: float, share: bool) -> str:
    return percent(value) if share else short(value)
