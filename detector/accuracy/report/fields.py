"""`fields.csv`: what was right and wrong in each field."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from detector.accuracy.fields import FieldRow
from detector.accuracy.tabled import TableEvaluation
from detector.output.files import write_csv
from detector.vision.detections import Unread

NAME = "fields.csv"
COLUMNS = (
    "field", "smear", "domain", "class", "status", "truth", "counted", "error", "true", "missed", "false",
    "clear_truth", "clear_counted", "clear_error", "saturated", "against_counted", "against_error", "reason",
)  # fmt: skip


def of_evaluation(fields: Iterable[FieldRow], unread: Sequence[Unread]) -> Iterator[Sequence[object]]:
    """A row per field and class; for a field that could not be read one row, without a class, with the reason."""
    for field in fields:
        for name, one in field.classes.items():
            clear = one.clear_truth, one.clear_counted, one.clear_counted - one.clear_truth
            found = one.true, one.missed, one.false
            counts = one.truth, one.counted, one.error
            against = (None, None) if one.other is None else (one.other, one.other - one.truth)
            yield field.field, field.smear, field.domain, name, "ok", *counts, *found, *clear, field.saturated, *against, None
    for lost in unread:
        yield _lone(lost.source, "unread", lost.reason)


def of_tables(result: TableEvaluation) -> Iterator[Sequence[object]]:
    """A row per field, or smear, and class; one row, without a class, for each that is in no figure."""
    of, full = result.comparison, set(result.saturated)
    beside = {} if result.against is None else {one.truth_name: one for one in result.against.fields}
    for field in of.fields:
        other = beside.get(field.truth_name)
        for name, truth in field.truth.items():
            counts = truth, field.counted[name], field.error[name]
            against = (other.counted[name], other.error[name]) if other and name in other.truth else (None, None)
            rest = *[None] * 6, field.field in full, *against, None
            yield field.field, field.smear, None, name, "ok", *counts, *rest
    for status, names in (("only counted", of.only_counted), ("only in truth", of.only_truth), ("ambiguous", of.ambiguous)):
        for lone in names:
            yield _lone(lone, status, None)
    for lost, reason in result.unread.items():
        yield _lone(lost, "unread", reason)


def _lone(name: str, status: str, reason: str | None) -> Sequence[object]:
    return name, None, None, None, status, *[None] * (len(COLUMNS) - 6), reason


def write(target: Path, rows: Iterable[Sequence[object]]) -> None:
    """Write rows of `COLUMNS`.

    Raises:
        OSError: it cannot be written.
    """
    write_csv(target, COLUMNS, rows)
