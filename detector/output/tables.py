"""The tables of a count: `counts.csv`, a row per field, and `smears.csv`, a row per smear and cell class."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from detector.counting.density import PER_LITRE
from detector.counting.fields import FieldCount, UnreadField
from detector.counting.intervals import Interval
from detector.counting.shapes import ShapeShares, shortfall
from detector.counting.smears import LONE, WITHHELD, SmearCount
from detector.output.files import readable, write_csv
from detector.vision.cells import CLASSES

if TYPE_CHECKING:
    import pandas as pd

    from detector.output.outcome import Outcome

COUNTS_COLUMNS = (
    "field",
    "smear",
    "status",
    "reason",
    *CLASSES,
    *(f"{name}_frame" for name in CLASSES),
    "width_px",
    "height_px",
    "rbc_px",
    "scale",
    "saturated",
    "focus",
    "covered",
    "doubt",
)
REVIEWED_COUNTS_COLUMNS = ("looked_at_by", "looked_at", "added", "removed", "relabelled", "moved")
"""Columns that `counts.csv` of a review has beside those of a count."""
REVIEWED_SMEARS_COLUMNS = ("fields_looked_at", "signed_by", "signed_at", "readers")
"""The same of `smears.csv`."""
_SCALE_UNKNOWN = (None, None)
SMEARS_COLUMNS = (
    "smear",
    "class",
    "fields",
    "unread",
    "saturated",
    "fields_doubtful",
    "warning",
    "total",
    "mean_per_field",
    "mean_low",
    "mean_high",
    "expected_total",
    "expected_total_low",
    "expected_total_high",
    "expected_mean",
    "expected_mean_low",
    "expected_mean_high",
    "total_frame",
    "per_mm2",
    "per_mm2_low",
    "per_mm2_high",
    "per_rbc",
    "per_rbc_low",
    "per_rbc_high",
    "per_ul",
    "per_ul_low",
    "per_ul_high",
    "per_ul_source",
    "per_1000_rbc",
    "per_1000_rbc_low",
    "per_1000_rbc_high",
    "e9_per_litre",
    "e9_per_litre_low",
    "e9_per_litre_high",
)
SHAPES_COLUMNS = (
    "smear",
    "shape",
    "fields",
    "fields_unlike",
    "cells_unlike",
    "warning",
    "rbc_clear",
    "called",
    "share",
    "share_low",
    "share_high",
    "true_low",
    "true_high",
    "false_least",
    "false_most",
    "found_least",
    "found_most",
    "graded_from",
    "verdict",
    "shortfall",
)


@dataclass(frozen=True)
class Table:
    """Rows under the names of their columns; None is what is not known."""

    columns: tuple[str, ...]
    rows: Sequence[Sequence[object]]

    def write(self, target: Path) -> None:
        """Write it as CSV.

        Raises:
            OSError: it cannot be written.
        """
        write_csv(target, self.columns, self.rows)

    def frame(self) -> pd.DataFrame:
        """The same for pandas; what is not known is missing."""
        import pandas as pd

        # In a column in which nothing is known, None would stay None; and Arrow's strings take no undecodable name.
        rows = [
            [pd.NA if value is None else readable(value) if isinstance(value, str) else value for value in row]
            for row in self.rows
        ]
        return pd.DataFrame(rows, columns=list(self.columns)).convert_dtypes()

    def records(self) -> list[dict[str, object]]:
        """Each row by its columns."""
        return [dict(zip(self.columns, row, strict=True)) for row in self.rows]


def of_fields(fields: Iterable[FieldCount | UnreadField]) -> Table:
    """A row per field, in the order given."""
    return Table(COUNTS_COLUMNS, [_field_row(field) for field in fields])


def of_smears(smears: Iterable[SmearCount]) -> Table:
    """A row per smear and class."""
    return Table(SMEARS_COLUMNS, [row for smear in smears for row in _smear_rows(smear)])


def of_shapes(shares: ShapeShares) -> Table:
    """A row per smear and shape of red cells."""
    rows: list[list[object]] = []
    for smear in shares.smears:
        for name, own in smear.shapes.items():
            errors = shares.card.errors.get(name)
            known: list[object] = [None] * 5
            if errors is not None:
                spans = (limits for shares_ in (errors.false, errors.found) for limits in _span(shares_))
                known = [*spans, errors.graded_from]
            about = [smear.smear, name, smear.fields, smear.unlike, smear.strange, smear.warning or None, smear.cells, own.cells]
            lacks = None if errors is None else shortfall(name, errors) or None
            rows.append([*about, *_three(own.share), *(own.true or (None, None)), *known, own.verdict or None, lacks])
    return Table(SHAPES_COLUMNS, rows)


def _span(values: Sequence[float]) -> tuple[float | None, float | None]:
    return (min(values), max(values)) if values else (None, None)


def _field_row(field: FieldCount | UnreadField) -> list[object]:
    if isinstance(field, UnreadField):
        return [field.field, field.smear, "unread", field.reason, *[None] * (2 * len(CLASSES) + 8)]
    raw = [field.raw[name] for name in CLASSES]
    frame = [field.frame[name] for name in CLASSES]
    seen = field.quality
    return [
        field.field,
        field.smear,
        "ok",
        field.note,
        *raw,
        *frame,
        *field.size_wh,
        *(_SCALE_UNKNOWN if field.scale is None else (field.scale.rbc_px, field.scale.source)),
        field.saturated,
        None if seen is None else seen.focus,
        None if seen is None else seen.covered,
        field.doubt,
    ]


def document(outcome: Outcome, folder: Path) -> dict[str, object]:
    """The rows of both tables as JSON takes them, under the names of the files; what is not known is None.

    Args:
        folder: where the results were written.
    """
    content: dict[str, object] = {
        "format": "smearcount",
        "version": 1,
        "out": str(folder),
        "warnings": list(outcome.warnings),
        "counts": of_fields(outcome.fields).records(),
        "smears": of_smears(outcome.smears).records(),
    }
    return content if outcome.shapes is None else {**content, "shapes": of_shapes(outcome.shapes).records()}


def _smear_rows(smear: SmearCount) -> Iterator[list[object]]:
    for name, count in smear.classes.items():
        yield [
            smear.smear,
            name,
            smear.fields,
            smear.unread,
            smear.saturated,
            smear.doubtful,
            "; ".join(filter(None, (smear.warning and f"{smear.warning}; {WITHHELD}", LONE * smear.lone))) or None,
            count.total if smear.fields else None,
            *_three(count.mean),
            *_three(count.expected_total),
            *_three(count.expected_mean),
            count.frame_total if smear.fields else None,
            *_three(count.per_mm2),
            *_three(count.per_rbc),
            *_three(count.per_ul),
            count.per_ul_source or None,
            *_written_down(count.per_1000_rbc),
            *_written_down(count.per_ul and count.per_ul.times(PER_LITRE)),
        ]


def _written_down(estimate: Interval | None) -> list[object]:
    """As a laboratory notes it: three digits."""
    return _three(estimate and estimate.mapped(lambda value: float(f"{value:.3g}")))


def _three(estimate: Interval | None) -> list[object]:
    return [None] * 3 if estimate is None else [estimate.value, estimate.low, estimate.high]
