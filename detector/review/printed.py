"""The reviewed report as a PDF to print and sign: who looked at what and when, counts with their intervals, and lines to sign on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from detector.counting.smears import SmearCount
from detector.output.figures import many
from detector.output.pdf import MOST_ROWS, NOT_KNOWN, Document, moment
from detector.output.report import content
from detector.output.report.printed import USE, counts, doubts, left_out, made
from detector.output.tables import Table
from detector.review.review import FieldState, Review
from detector.shipped import version
from detector.vision.cells import CLASSES

if TYPE_CHECKING:
    from detector.review.outcome import Mark, Snapshot

_SMEAR_MM = 100.0
"""Room that a smear's table and its lines to sign on take together."""


def write(
    target: Path, taken: Snapshot, review: Review, written: str, confusion: Table, field_rows: Sequence[Sequence[str]]
) -> None:
    """Write the report of a review.

    Args:
        written: when its results were written, in UTC.
        confusion: what the model and the readers called the cells.
        field_rows: lines of fields as in the page's report, in the order of `taken.states`; some of the first are enough.

    Raises:
        MissingExtraError: the packages that write PDF are not installed. OutputError: it cannot be written.
    """
    document = Document("Reviewed blood cell count", f"smearcount {version()}, reviewed results of {moment(written)}")
    read = [state for state in taken.states if state.source.is_read]
    looked_at = sum(state.looked is not None for state in read)
    for remark in review.remarks:
        document.sentence(f"Warning: {remark}.", warning=True)
    document.sentence(f"{looked_at:,} of {many(len(read), 'field')} of {many(len(taken.smears), 'smear')} were looked at.")
    if looked_at < len(read):
        why = "Expected counts are given only for smears of which each field was looked at."
        document.sentence(f"The review is not complete. {why}", warning=True)
    document.sentence(made(review.run.document), small=True)
    document.sentence(USE, small=True)
    for smear in taken.smears[: content.MOST_SMEARS]:
        _smear(document, smear, taken)
    left_out(document, len(taken.smears) - content.MOST_SMEARS, "smear", "smears.csv")
    reviewed = "Where each field was looked at, the expected true count is the reviewed count itself."
    document.sentence(f"Intervals are 95 % intervals, from the scatter between a smear's fields. {reviewed}", small=True)
    document.heading("The model against the readers", _SMEAR_MM / 2)
    document.sentence(
        "Cells of the fields that were looked at. Rows: what the model called them; columns: what the readers called them."
    )
    rows = [[str(row[0]), *(NOT_KNOWN if number is None else f"{number:,}" for number in row[1:])] for row in confusion.rows]
    document.table(list(confusion.columns), rows, [1.4, *(1 for _ in confusion.columns[1:])])
    document.heading("Fields", _SMEAR_MM / 3)
    columns = ["field", *CLASSES, "looked at", "cells changed", "remarks"]
    shown = [_field(state, row) for state, row in zip(taken.states[:MOST_ROWS], field_rows, strict=False)]
    document.table(columns, shown, (3, 0.9, 0.9, 1.4, 2.6, 1.8, 2.6), words=3)
    left_out(document, len(taken.states) - MOST_ROWS, "field", "counts.csv")
    document.write(target)


def _field(state: FieldState, row: Sequence[str]) -> list[str]:
    looked = f"{state.looked['by']}, {moment(state.looked['at'])}" if state.looked else "no"
    return [*row[: len(CLASSES) + 1], looked, *row[len(CLASSES) + 2 :]]


def _smear(document: Document, smear: SmearCount, taken: Snapshot) -> None:
    own = taken.of_smear(smear.smear)
    document.heading(smear.smear, _SMEAR_MM)
    counts(document, smear)
    for line in doubts([state.counted for state in own if state.looked is None]):
        document.sentence(line, small=True)
    document.signature(_facts(own, taken.signed[smear.smear]))


def _facts(own: list[FieldState], signed: Mark) -> list[str]:
    """Who looked at a smear, what was changed, and who marked it."""
    readable = [state for state in own if state.source.is_read]
    looked = [state.looked for state in readable if state.looked]
    last = {name: max(mark["at"] for mark in looked if mark["by"] == name) for name in sorted({mark["by"] for mark in looked})}
    fields = Counter(mark["by"] for mark in looked)
    readers = [f"by {name}: {many(fields[name], 'field')}, last {moment(at)}" for name, at in last.items()]
    facts = [f"{len(looked):,} of {many(len(readable), 'field')} looked at{'; '.join(['', *readers])}."]
    edits: Counter[str] = Counter()
    for state in own:
        edits.update(state.edits())
    mark = f"by {signed['by']}, {moment(signed['at'])}" if signed else "no"
    changed = ", ".join(f"{number:,} {what}" for what, number in edits.items())
    return [*facts, f"Cells: {changed}.", f"Marked as reviewed on the page: {mark}."]
