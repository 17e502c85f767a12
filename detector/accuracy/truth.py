"""Manual counts, and counts of labelled fields."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from detector.annotations import sources
from detector.annotations.records import Record
from detector.errors import ManifestError, UnknownClassError
from detector.vision.cells import CLASSES, label_of

FIELD = "field"
"""The column that names the image."""

Counts = Mapping[str, int]
"""Cells of one field by class name; a class that was not counted is not in it."""


@dataclass(frozen=True)
class Truth:
    """True counts by field, and what of their source could not be used."""

    counts: Mapping[str, Counts]
    """By the name that the source has for the field."""
    remarks: Sequence[str] = ()
    """Label files and classes that are in no count, a line each."""


def read(path: Path) -> Truth:
    """Read true counts from a CSV file of manual counts, or from boxes in any layout that conversion reads.

    Raises:
        ManifestError: a table that is not valid. AnnotationError: no label set, or none with known classes.
    """
    if path.suffix.lower() == ".csv":
        return Truth(read_counts(path))
    labelled = sources.load_truth(path)
    unknown = [f"{n} boxes of class {name!r}, which is none of ours" for name, n in labelled.unknown.items()]
    counts = {key: of_records([record])[record.name] for key, record in labelled.records.items()}
    return Truth(counts, [*labelled.broken, *unknown])


def read_counts(path: Path) -> dict[str, Counts]:
    """Read manual counts from a CSV file: counts by field, as the file names fields.

    Columns stand apart by comma, semicolon or tab. There is a column `field` (a relative path or a name) and at least one of the
    cell classes, under any name that `cells.label_of` knows; other columns are left alone. A count is a whole number, and every
    cell must hold one: an empty cell could mean none or not counted.

    Raises:
        ManifestError: the file cannot be read, lacks a column, names a field twice, or holds a cell that is no count; the
            message names file, line and column.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            first = lines.readline()
            lines.seek(0)
            rows = csv.reader(lines, delimiter=max(",;\t", key=first.count))
            header = [name.strip() for name in next(rows, [])]
            columns = _columns(path, header)
            return _read(path, rows, header, columns)
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read ({error.strerror})") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise ManifestError(f"{path}: is not a CSV file in UTF-8 ({error})") from None


def of_records(records: Iterable[Record]) -> dict[str, Counts]:
    """Counts of labelled fields by name, every class named, zeros included."""
    counts: dict[str, Counts] = {}
    for record in records:
        totals = np.bincount(record.label, minlength=len(CLASSES))
        counts[record.name] = {name: int(n) for name, n in zip(CLASSES, totals, strict=True)}
    return counts


def _columns(path: Path, header: list[str]) -> dict[str, int]:
    """Place of each class's column, by class name, in the order of `CLASSES`."""
    if header.count(FIELD) != 1:
        raise ManifestError(f"{path}, line 1: needs one column {FIELD!r}, found columns {', '.join(header) or 'none'}")
    found: dict[int, int] = {}
    for place, name in enumerate(header):
        try:
            label = label_of(name)
        except UnknownClassError:
            continue
        if label in found:
            raise ManifestError(f"{path}, line 1: columns {header[found[label]]!r} and {name!r} both count {CLASSES[label]}")
        found[label] = place
    if not found:
        raise ManifestError(
            f"{path}, line 1: needs a column of counts: {', '.join(CLASSES)} or an alias; found {', '.join(header)}"
        )
    return {CLASSES[label]: found[label] for label in sorted(found)}


def _read(path: Path, rows: Iterable[list[str]], header: list[str], columns: Mapping[str, int]) -> dict[str, Counts]:
    counts: dict[str, Counts] = {}
    first: dict[str, int] = {}
    at = header.index(FIELD)
    # Counted by hand: a quoted name with a line break is rarer than a reader that looks for the line in an editor.
    for line, row in enumerate(rows, start=2):
        if not any(cell.strip() for cell in row):
            continue
        field = row[at].strip() if at < len(row) else ""
        if not field:
            raise ManifestError(f"{path}, line {line}: column {FIELD!r} is empty; it names the image")
        if field in first:
            raise ManifestError(f"{path}, line {line}: field {field!r} is counted twice, first in line {first[field]}")
        first[field] = line
        counts[field] = {name: _count(path, line, header[place], row, place) for name, place in columns.items()}
    return counts


def _count(path: Path, line: int, column: str, row: list[str], place: int) -> int:
    text = row[place].strip() if place < len(row) else ""
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not (value >= 0 and value.is_integer()):
        shown = repr(text) if text else "an empty cell"
        raise ManifestError(f"{path}, line {line}, column {column!r}: needs a whole number of cells, 0 or more, found {shown}")
    return int(value)
