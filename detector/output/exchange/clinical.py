"""What systems of laboratories are told of each smear, whatever the form: what was counted, how sure it is, and of whom.

It is a count in images, not an analyser's absolute count. So LOINC codes stand only where they fit exactly, which is for cells per µL as
estimated from a smear; all else has codes of our own, `CODE_SYSTEM`. Nothing is said of a patient or specimen but what the user gives.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from detector import texts
from detector.errors import ManifestError, UsageError
from detector.output.exchange.run import Identified, Run
from detector.output.exchange.tables import NOTICE
from detector.output.figures import many
from detector.output.files import seal_holds
from detector.output.results import SMEARS
from detector.shipped import version

CODE_SYSTEM = "urn:uuid:6f0b8d7e-3c50-5a5e-9d5b-2f4c1a7e9b60"
"""Of our own codes, in place of a registered address."""
REPORT = ("smear-report", "Blood cells counted in images of a smear")
"""Code and text of all that is said of a smear together."""
INTERVAL = ("interval-95", "95 % interval")
METHOD = "cells found by a neural network in photographs of a stained smear"
_REVIEWED, _REVIEW = "reviewed", "review.jsonl"
"""Folder and journal that a review leaves in the folder of its count."""
_MOST_BYTES = 2048 * texts.MEBIBYTE
_CELLS = {"RBC": "red cells", "WBC": "white cells", "Platelets": "platelets"}


@dataclass(frozen=True)
class _Quantity:
    """One of the columns of `smears.csv`."""

    column: str
    limits: str
    """How the columns of its interval begin; empty where it has none."""
    code: str
    text: str
    unit: str
    """UCUM."""
    loinc: Mapping[str, tuple[str, str]]
    """Code and name by class, where one fits exactly."""


_QUANTITIES = (
    _Quantity("total", "", "count", "counted in the images", "{cells}", {}),
    _Quantity("mean_per_field", "mean", "per-field", "counted per image", "{cells}/{field}", {}),
    _Quantity("expected_total", "expected_total", "expected", "expected to be truly in the images", "{cells}", {}),
    _Quantity("per_mm2", "per_mm2", "per-mm2", "per mm² of smear", "/mm2", {}),
    _Quantity("per_rbc", "per_rbc", "per-rbc", "per red cell", "{cells}/{RBC}", {}),
    _Quantity(
        *("per_ul", "per_ul", "per-ul", "per µL of blood, estimated from the smear", "/uL"),
        {
            "WBC": ("49498-9", "Leukocytes [#/volume] in Blood by Estimate"),
            "Platelets": ("49497-1", "Platelets [#/volume] in Blood by Estimate"),
        },
    ),
)


@dataclass(frozen=True)
class ClinicalMeasure:
    """One number of a class in a smear."""

    code: str
    text: str
    unit: str
    """UCUM."""
    loinc: tuple[str, str] | None
    """Code and name."""
    value: float | int | None
    """None where nothing could be counted."""
    limits: tuple[float, float] | None
    """Of its 95 % interval."""


@dataclass(frozen=True)
class Report:
    """What is said of a smear."""

    smear: str
    of: Identified
    signed_by: str
    """Who signed its review; empty where nobody did, and the numbers are preliminary."""
    issued: str
    """When, as ISO 8601 in UTC; empty where the count does not say."""
    warning: str
    """What must be known before any number is believed; mostly empty."""
    notes: Sequence[str]
    """What else must be known of it, sentence by sentence; the warning is the first of them."""
    measures: Sequence[ClinicalMeasure]

    def uid(self, run: Run, what: str) -> uuid.UUID:
        """Names a part of it, the same one whenever the count is written out, also once it is signed."""
        model = run.about.get("model") or {}
        parts = [run.cells_sha256, model.get("sha256"), run.about.get("started"), self.smear, what]
        return _uid(json.dumps(parts))


@dataclass(frozen=True)
class Program:
    """What counted."""

    version: str
    model: str
    sha256: str
    """Of the model's file; empty where the count does not say."""

    @classmethod
    def of(cls, run: Run) -> Program:
        """The program and model of a count."""
        about, model = run.about.get("versions") or {}, run.about.get("model") or {}
        return cls(str(about.get("smearcount", version())), str(model.get("name", "")), str(model.get("sha256", "")))

    @property
    def uid(self) -> uuid.UUID:
        """Names the program with this model, the same in all counts."""
        return _uid(str(self))

    def __str__(self) -> str:
        return f"smearcount {self.version}, model {self.model}{f' (SHA-256 {self.sha256})' if self.sha256 else ''}"


def _uid(text: str) -> uuid.UUID:
    return uuid.uuid5(uuid.UUID(CODE_SYSTEM), text)


def identifiers(path: Path) -> dict[str, Identified]:
    """Who and what smears are of, by their names, from the columns `smear,subject,specimen` of a table, such as a manifest.

    One row of a smear is enough.

    Raises:
        ManifestError: it cannot be read, has no such columns, or says two things of one smear; the message names the line.
    """
    table = texts.table(path, "give a CSV or .xlsx file with the columns smear,subject,specimen")
    columns = list(table.columns)
    if "smear" not in columns or not {"subject", "specimen"} & set(columns):
        raise ManifestError(
            f"{path}: lacks the column smear, or both subject and specimen; its first line must be smear,subject,specimen"
        )
    known: dict[str, Identified] = {}
    for line, row in table.rows:
        values = dict(zip(columns, row, strict=False))
        smear, above = values["smear"], known.get(values["smear"], Identified())
        given = Identified(values.get("subject") or above.subject, values.get("specimen") or above.specimen)
        if (above.subject or given.subject, above.specimen or given.specimen) != (given.subject, given.specimen):
            raise ManifestError(f"{path}, line {line}: smear {smear} has another subject or specimen above; give each smear one")
        known[smear] = given
    return known


def reports(run: Run) -> tuple[list[Report], list[str]]:
    """A report for each smear, and what a user should know of them.

    The numbers of a signed smear are those of its review; of others they are the program's own.

    Raises:
        ManifestError: a table of the count cannot be read. UsageError: these are the results of a review.
    """
    if run.reviewed:
        raise UsageError(
            f"{run.folder}: give the folder of the count, whose messages hold the numbers of signed smears as reviewed"
        )
    signed = _signed(run)
    made = [_report(run, smear, rows, "", "") for smear, rows in _smears(run, SMEARS).items() if smear not in signed]
    if signed:
        reviewed = _smears(run, f"{_REVIEWED}/{SMEARS}")
        for smear, (by, at) in signed.items():
            rows = reviewed.get(smear, [])
            if [(row.get("signed_by"), row.get("signed_at")) for row in rows[:1]] != [(by, at)]:
                raise ManifestError(
                    f"{run.folder / _REVIEWED / SMEARS}: is older than the signature of {smear}; let the review write its results again"
                )
            made.append(_report(run, smear, rows, by, at))
    remarks = []
    unsigned = [report.smear for report in made if not report.signed_by]
    if unsigned:
        remarks.append(f"preliminary, for want of a signed review: {many(len(unsigned), 'smear')}, first {unsigned[0]}")
    unknown = [report.smear for report in made if run.identifiers and report.of == Identified()]
    if unknown:
        remarks.append(f"without a subject or specimen: {many(len(unknown), 'smear')}, first {unknown[0]}")
    return sorted(made, key=lambda report: report.smear), remarks


def warnings_of(run: Run) -> dict[str, str]:
    """What must be known of each smear before any number of it is believed; mostly empty.

    Raises:
        ManifestError: a table of the count cannot be read.
    """
    return {smear: str(rows[0].get("warning") or "") for smear, rows in _smears(run, SMEARS).items()}


def printable(text: str) -> str:
    """A text as one line without signs that a form of messages does not take."""
    return texts.harmless(text).replace("\n", " ").replace("\t", " ")


def _time(text: object) -> str:
    """A time as ISO 8601 in UTC; empty for what is none."""
    try:
        return datetime.fromisoformat(str(text)).astimezone(UTC).isoformat(timespec="seconds")
    except ValueError:
        return ""


def _smears(run: Run, name: str) -> dict[str, list[dict[str, Any]]]:
    """The rows of a table by smear."""
    columns, rows = run.table(name)
    smears: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        values: dict[str, Any] = dict(zip(columns, row, strict=False))
        smears.setdefault(str(values.get("smear") or ""), []).append(values)
    return smears


def _report(run: Run, smear: str, rows: Sequence[Mapping[str, Any]], by: str, at: str) -> Report:
    warning = str(rows[0].get("warning") or "")
    measures = [measure for row in rows for measure in _measures(row)]
    return Report(
        smear,
        run.identifiers.get(smear, Identified()),
        by,
        _time(at or run.about.get("finished")),
        warning,
        _notes(
            run, rows, warning, f"Signed by {by} on {at}" if by else "Preliminary: no person has signed a review of this smear"
        ),
        measures,
    )


def _measures(row: Mapping[str, Any]) -> list[ClinicalMeasure]:
    name = str(row["class"])
    made = []
    for quantity in _QUANTITIES:
        value = row.get(quantity.column)
        # What was counted is always told, also that it could not be.
        if value is None and quantity.column != "total":
            continue
        low, high = (row.get(f"{quantity.limits}_{end}") for end in ("low", "high"))
        code, text = f"{name.lower()}-{quantity.code}", f"{_CELLS.get(name, name)} {quantity.text}"
        limits = None if low is None or high is None else (low, high)
        made.append(ClinicalMeasure(code, text[0].upper() + text[1:], quantity.unit, quantity.loinc.get(name), value, limits))
    return made


def _notes(run: Run, rows: Sequence[Mapping[str, Any]], warning: str, state: str) -> list[str]:
    first = rows[0]
    fields, unread, doubtful, saturated = (
        int(first.get(name) or 0) for name in ("fields", "unread", "fields_doubtful", "saturated")
    )
    # The warning tells of doubtful fields itself, but where it is another one.
    lines = [
        warning and f"WARNING: {warning}",
        "" if fields else "WARNING: no image of this smear could be read, so nothing was counted",
        f"Doubtful images: {doubtful} of {fields}" if doubtful and "doubt" not in warning else "",
        f"Images that could not be read and are in no count: {unread}" if unread and fields else "",
        f"Images in which as many cells were found as can be, so that counts may be too low: {saturated}" if saturated else "",
        next((f"Cells per µL: {row['per_ul_source']}" for row in rows if row.get("per_ul_source")), ""),
        state,
        f"Counted by {Program.of(run)} in {many(fields, 'image')}; a count in images, not an analyser's absolute count",
        NOTICE,
    ]
    return [line for line in lines if line]


def _signed(run: Run) -> dict[str, tuple[str, str]]:
    """By whom and when each smear was signed by the journal of a review; empty where there is none of these cells.

    Raises:
        ManifestError: the journal cannot be read, or lines of it are damaged of which the review has not told yet.
    """
    journal = run.folder / _REVIEW
    if not texts.is_there(journal):
        return {}
    try:
        # A last line without an end was never answered.
        lines = [line for line in texts.content(journal, _MOST_BYTES).splitlines(keepends=True) if line.endswith(b"\n")]
        if not lines or (seal_holds(lines[0]) and json.loads(lines[0])["cells_sha256"] != run.cells_sha256):
            return {}
        marks = _marks([json.loads(line) for line in lines if seal_holds(line)], sum(not seal_holds(line) for line in lines))
        return {smear: (str(mark["by"]), str(mark["at"])) for smear, mark in marks.items() if mark}
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise ManifestError(f"{journal}: cannot be read; open it with the review, which tells what is damaged") from None


def _marks(changes: Sequence[Mapping[str, Any]], damaged: int) -> dict[str, Any]:
    """The last mark of each smear.

    Raises:
        ValueError: more lines are damaged than the review has told of, which takes all marks away.
    """
    marks: dict[str, Any] = {}
    known = 0
    for change in changes:
        if "damaged" in change:
            known = max(known, change["damaged"])
            marks.clear()
        marks |= {smear: after for kind, smear, _, _, after in change.get("sets", ()) if kind == "signed"}
    if damaged > known:
        raise ValueError(damaged)
    return marks
