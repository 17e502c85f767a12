"""The report as a PDF to print and sign: counts with their intervals, what is doubtful, and lines to sign on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from detector.counting.fields import FieldCount, UnreadField
from detector.counting.smears import SmearCount
from detector.output.figures import many
from detector.output.outcome import Outcome
from detector.output.pdf import MOST_ROWS, Document, moment
from detector.output.report import content
from detector.shipped import version
from detector.vision.cells import CLASSES

USE = "For people who count cells and check the counts. Not for diagnosis, and not a medical device."
_SMEAR_MM = 75.0
"""Room that a smear's table takes together with its heading."""
_MOST_DOUBTS = 20
"""Fields of a smear whose doubts stand below its table."""


def write(target: Path, outcome: Outcome, run: Mapping[str, Any]) -> None:
    """Write the report of a count.

    Args:
        run: what `run.json` holds.

    Raises:
        MissingExtraError: the packages that write PDF are not installed. OutputError: it cannot be written.
    """
    document = Document("Blood cell count", f"smearcount {version()}, counted {moment(run['finished'])}")
    for warning in outcome.warnings:
        document.sentence(f"Warning: {warning}.", warning=True)
    document.sentence(content.sentence(outcome))
    document.sentence(made(run), small=True)
    document.sentence(USE, small=True)
    of_smear = content.by_smear(outcome.fields)
    for smear in outcome.smears[: content.MOST_SMEARS]:
        document.heading(smear.smear, _SMEAR_MM)
        document.sentence(f"{many(smear.fields, 'field')} counted, {smear.unread:,} unread, {smear.doubtful:,} doubtful.")
        counts(document, smear)
        for line in doubts(of_smear.get(smear.smear, ())):
            document.sentence(line, small=True)
        document.signature(())
    left_out(document, len(outcome.smears) - content.MOST_SMEARS, "smear", "smears.csv")
    document.sentence("Intervals are 95 % intervals, from the scatter between a smear's fields.", small=True)
    document.heading("Fields", _SMEAR_MM / 3)
    rows = [content.field_row(field) for field in outcome.fields[:MOST_ROWS]]
    document.table(
        ["field", *CLASSES, "remarks"], [[*row[: len(CLASSES) + 1], row[-1]] for row in rows], (3, 0.9, 0.9, 1.4, 4), words=1
    )
    left_out(document, len(outcome.fields) - MOST_ROWS, "field", "counts.csv")
    document.write(target)


def made(run: Mapping[str, Any]) -> str:
    """Of what and with what a count was made."""
    program = run.get("versions", {}).get("smearcount", version())
    inputs = run["settings"].get("inputs") or ["those of the manifest"]
    more = f" and {len(inputs) - 1:,} more" if len(inputs) > 1 else ""
    return (
        f"Pictures: {inputs[0]}{more}. Counted {moment(run['finished'])} by smearcount {program}, model {run['model']['name']}."
    )


def counts(document: Document, smear: SmearCount) -> None:
    """A smear's warning, its table, and where its counts per µL come from."""
    if smear.warning:
        document.sentence(smear.warning, warning=True)
    rows = content.rows(smear)
    if not rows:
        document.sentence("No field of this smear was read.")
        return
    document.counts(CLASSES, rows)
    source = next((count.per_ul_source for count in smear.classes.values() if count.per_ul_source), "")
    if source:
        document.sentence(f"Per µL: {source}.", small=True)


def doubts(fields: Sequence[FieldCount | UnreadField]) -> list[str]:
    """A line for each field of a smear that is doubtful, saturated or unread, up to a bound."""
    lines = []
    for field in fields:
        if isinstance(field, UnreadField):
            lines.append(f"Unread: {field.field}: {field.reason}")
        elif field.doubt or field.saturated:
            lines.append(f"Doubtful: {field.field}: {'; '.join(filter(None, ('saturated' * field.saturated, field.doubt)))}")
    more = len(lines) - _MOST_DOUBTS
    return [
        *lines[:_MOST_DOUBTS],
        *([f"{many(more, 'field')} more are doubtful or unread; all stand in counts.csv."] if more > 0 else []),
    ]


def left_out(document: Document, number: int, what: str, table: str) -> None:
    """Tell what is not in the document, where something is not."""
    if number > 0:
        document.sentence(f"{many(number, what)} more stand in {table}.")
