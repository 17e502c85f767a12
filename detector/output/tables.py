"""The tables of a count: `counts.csv`, a row per field, and `smears.csv`, a row per smear and cell class."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from detector.counting.density import PerMicrolitre
from detector.counting.fields import FieldCount, UnreadField
from detector.counting.intervals import Interval
from detector.counting.smears import WITHHELD, SmearCount
from detector.output.files import write_csv
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
)


def write_counts(
    target: Path, fields: Iterable[FieldCount | UnreadField], notes: Mapping[str, str], doubts: Mapping[str, str]
) -> None:
    """Write a row per field, in the order given.

    Args:
        notes: what goes into `reason` for a field that was read, by field.
        doubts: what goes into `doubt`, by field.
    """
    write_csv(target, COUNTS_COLUMNS, (_field_row(field, notes, doubts) for field in fields))


def counts_frame(fields: Iterable[FieldCount | UnreadField], notes: Mapping[str, str], doubts: Mapping[str, str]) -> pd.DataFrame:
    """The rows and columns of `counts.csv`; what is not known is missing."""
    import pandas as pd

    return pd.DataFrame([_field_row(field, notes, doubts) for field in fields], columns=list(COUNTS_COLUMNS)).convert_dtypes()


def smears_frame(smears: Sequence[SmearCount]) -> pd.DataFrame:
    """The rows of `smears.csv` and its columns but for those per µL; what is not known is missing."""
    import pandas as pd

    # In a column in which nothing is known, None would stay None.
    rows = [[pd.NA if cell is None else cell for cell in row] for smear in smears for row in _smear_rows(smear, ())]
    frame = pd.DataFrame(rows, columns=list(SMEARS_COLUMNS)).convert_dtypes()
    return frame.drop(columns=[name for name in SMEARS_COLUMNS if name.startswith("per_ul")])


def _field_row(field: FieldCount | UnreadField, notes: Mapping[str, str], doubts: Mapping[str, str]) -> list[object]:
    if isinstance(field, UnreadField):
        return [field.field, field.smear, "unread", field.reason, *[None] * (2 * len(CLASSES) + 8)]
    raw = [field.raw[name] for name in CLASSES]
    frame = [field.frame[name] for name in CLASSES]
    seen = field.quality
    return [
        field.field,
        field.smear,
        "ok",
        notes.get(field.field, ""),
        *raw,
        *frame,
        *field.size_wh,
        *(_SCALE_UNKNOWN if field.scale is None else (field.scale.rbc_px, field.scale.source)),
        field.saturated,
        None if seen is None else seen.focus,
        None if seen is None else seen.covered,
        doubts.get(field.field, ""),
    ]


def document(outcome: Outcome, per_ul: Mapping[str, Sequence[PerMicrolitre]], folder: Path) -> dict[str, object]:
    """The rows of both tables as JSON takes them, under the names of the files; what is not known is None.

    Args:
        folder: where the results were written.
    """
    smears = (row for smear in outcome.smears for row in _smear_rows(smear, per_ul.get(smear.smear, ())))
    fields = (_field_row(field, outcome.notes, outcome.doubts) for field in outcome.fields)
    return {
        "format": "smearcount",
        "version": 1,
        "out": str(folder),
        "warnings": list(outcome.warnings),
        "counts": [dict(zip(COUNTS_COLUMNS, row, strict=True)) for row in fields],
        "smears": [dict(zip(SMEARS_COLUMNS, row, strict=True)) for row in smears],
    }


def write_smears(target: Path, smears: Sequence[SmearCount], per_ul: Mapping[str, Sequence[PerMicrolitre]]) -> None:
    """Write a row per smear and class; `per_ul` holds the estimates per µL by smear, where there are any."""
    write_csv(target, SMEARS_COLUMNS, (row for smear in smears for row in _smear_rows(smear, per_ul.get(smear.smear, ()))))


def _smear_rows(smear: SmearCount, per_ul: Sequence[PerMicrolitre]) -> Iterable[list[object]]:
    estimates = {one.class_name: one for one in per_ul}
    for name, count in smear.classes.items():
        per_microlitre = estimates.get(name)
        yield [
            smear.smear,
            name,
            smear.fields,
            smear.unread,
            smear.saturated,
            smear.doubtful,
            f"{smear.warning}; {WITHHELD}" if smear.warning else None,
            count.total if smear.fields else None,
            *_three(count.mean),
            *_three(count.expected_total),
            *_three(count.expected_mean),
            count.frame_total if smear.fields else None,
            *_three(count.per_mm2),
            *_three(count.per_rbc),
            *_three(per_microlitre.estimate if per_microlitre else None),
            per_microlitre.source if per_microlitre else None,
        ]


def _three(estimate: Interval | None) -> list[object]:
    return [None] * 3 if estimate is None else [estimate.value, estimate.low, estimate.high]
