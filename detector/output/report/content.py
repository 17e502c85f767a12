"""What the report says, as text and numbers that the template puts in their places."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from detector.counting.density import PER_LITRE
from detector.counting.fields import FieldCount, UnreadField
from detector.counting.intervals import Interval
from detector.counting.smears import ClassCount, SmearCount
from detector.output.figures import many, percent, short
from detector.output.report import charts
from detector.vision import boxes
from detector.vision.cells import CLASSES
from detector.vision.detections import Detections
from detector.vision.drawing import HEX_COLOURS

if TYPE_CHECKING:
    from detector.output.outcome import Outcome

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


@dataclass(frozen=True)
class FigureRow:
    """One line of a smear's table: a figure and its interval for each class, empty and None where there is none."""

    name: str
    entries: Sequence[tuple[str, tuple[str, str] | None]]


@dataclass
class Sizes:
    """Sizes of the cells clear of the border that were seen in a smear, by class."""

    px: dict[str, array[float]] = field(default_factory=lambda: {name: array("f") for name in CLASSES})
    um: dict[str, array[float]] = field(default_factory=lambda: {name: array("f") for name in CLASSES})
    uncalibrated: int = 0

    def add(self, detections: Detections, um_per_px: float | None) -> None:
        """Take in a field's cells."""
        self.uncalibrated += um_per_px is None
        clear = boxes.clear_of_border(detections.xyxy, detections.size_wh)
        sides_px, labels = boxes.side(detections.xyxy[clear]), detections.label[clear]
        for label, name in enumerate(CLASSES):
            own_px = sides_px[labels == label]
            self.px[name].frombytes(own_px.tobytes())
            if um_per_px is not None:
                self.um[name].frombytes((own_px * np.float32(um_per_px)).tobytes())

    def charts(self) -> list[charts.Chart]:
        """A chart for each class of which there are cells: in µm where all fields are calibrated."""
        by_class, unit = (self.px, "px") if self.uncalibrated else (self.um, "µm")
        drawn = (charts.sizes(name, HEX_COLOURS[name], np.array(by_class[name], dtype=np.float32), unit) for name in CLASSES)
        return [chart for chart in drawn if chart is not None]


def rows(smear: SmearCount) -> list[FigureRow]:
    """A smear's table; lines in which nothing is known are left out."""
    if not smear.fields:
        return []
    classes = [smear.classes[name] for name in CLASSES]
    lines = [
        FigureRow("counted", [(f"{count.total:,}", None) for count in classes]),
        _row("expected true count", [count.expected_total for count in classes]),
        _row("counted per field", [count.mean for count in classes]),
        _row("expected true count per field", [count.expected_mean for count in classes]),
        FigureRow("counting frame", [(f"{count.frame_total:,}", None) for count in classes]),
        _row("per 1,000 red cells", [count.per_1000_rbc for count in classes]),
        _row("per mm²", [count.per_mm2 for count in classes]),
        _row("per µL", [count.per_ul for count in classes]),
        _row("10⁹ per litre", [count.per_ul and count.per_ul.times(PER_LITRE) for count in classes]),
    ]
    return [line for line in lines if any(value for value, _ in line.entries)]


def quality_rows(fields: Sequence[FieldCount]) -> list[tuple[str, str, str]]:
    """Name, median, and least to most of what was measured in the fields."""
    seen = [field.quality for field in fields if field.quality is not None]
    if not seen:
        return []
    taken = [field.scale for field in fields if field.scale is not None and field.scale.rbc_px is not None]
    sources = ", ".join(dict.fromkeys(scale.source for scale in taken))
    measured: list[tuple[str, list[float], bool]] = [
        ("focus: contrasts per cell diameter", [quality.focus for quality in seen if quality.focus is not None], False),
        ("covered by cells", [quality.covered for quality in seen], True),
        ("cells that overlap, of their area", [quality.overlap for quality in seen], True),
        ("dark, but in no counted cell", [quality.unclaimed for quality in seen], True),
        ("contrast of cells to background", [quality.contrast for quality in seen], True),
        ("unevenness of the light", [quality.uneven for quality in seen], True),
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
    doubtful = [isinstance(field, FieldCount) and bool(field.doubt) for field in fields]
    values = {name: [field.raw[name] if isinstance(field, FieldCount) else None for field in fields] for name in CLASSES}
    return [charts.counts(name, HEX_COLOURS[name], values[name], doubtful, smear.classes[name].mean) for name in CLASSES]


def by_smear(fields: Iterable[FieldCount | UnreadField]) -> dict[str, list[FieldCount | UnreadField]]:
    """Fields by their smear, in their order."""
    fields_of: dict[str, list[FieldCount | UnreadField]] = {}
    for member in fields:
        fields_of.setdefault(member.smear, []).append(member)
    return fields_of


def field_row(field: FieldCount | UnreadField) -> list[str]:
    """A field's line in the table of fields: name, counts, focus, cover, and what is to be said of it."""
    if isinstance(field, UnreadField):
        return [field.field, *[""] * (len(CLASSES) + 2), f"unread: {field.reason}"]
    seen = field.quality
    quality = ["", ""] if seen is None else ["" if seen.focus is None else short(seen.focus), percent(seen.covered)]
    remarks = filter(None, ("saturated" * field.saturated, field.doubt, field.note))
    return [field.field, *(str(field.raw[name]) for name in CLASSES), *quality, "; ".join(remarks)]


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


def _total(smear: SmearCount, count: ClassCount) -> str:
    return f"{count.total:,}" if smear.fields else "–"


def _row(name: str, intervals: Sequence[Interval | None]) -> FigureRow:
    return FigureRow(
        name, [("", None) if interval is None else (short(interval.value), _limits(interval)) for interval in intervals]
    )


def _limits(interval: Interval) -> tuple[str, str] | None:
    if interval.limits is None:
        return None
    low, high = interval.limits
    return short(low), short(high)


def _share(value: float, share: bool) -> str:
    return percent(value) if share else short(value)
