"""`fields.csv`: what was right and wrong in each field."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from detector.accuracy.fields import FieldRow
from detector.output.files import write_csv
from detector.vision.detections import Unread

NAME = "fields.csv"
COLUMNS = (
    "field", "smear", "domain", "class", "status", "truth", "counted", "error", "true", "missed", "false",
    "clear_truth", "clear_counted", "clear_error", "saturated", "reason",
)  # fmt: skip


def of_evaluation(fields: Iterable[FieldRow], unread: Sequence[Unread]) -> Iterator[Sequence[object]]:
    """A row per field and class; for a field that could not be read one row, without a class, with the reason."""
    for field in fields:
        for name, one in field.classes.items():
            clear = one.clear_truth, one.clear_counted, one.clear_counted - one.clear_truth
            found = one.true, one.missed, one.false
            counts = one.truth, one.counted, one.error
            yield field.field, field.smear, field.domain, name, "ok", *counts, *found, *clear, field.saturated, None
    for lost in unread:
        yield lost.source, None, None, None, "unread", *[None] * (len(COLUMNS) - 6), lost.reason


def write(target: Path, rows: Iterable[Sequence[object]]) -> None:
    """Write rows of `COLUMNS`.

    Raises:
        OSError: it cannot be written.
    """
    write_csv(target, COLUMNS, rows)
