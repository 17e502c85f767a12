"""Counts of fields from tables and labels: ours, those of people who count by hand, of an analyser, of another program."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from detector.annotations import sources
from detector.annotations.records import Record
from detector.errors import ManifestError, UnknownClassError
from detector.output.files import rearmed
from detector.vision.cells import CLASSES, label_of

FIELD = "field"
"""The column that names the image."""
SMEAR = "smear"
"""The column that names the smear; where there is none that names the image, a row is a whole smear."""
TABLE_SUFFIXES = (".csv", ".tsv", ".txt")
"""Endings of files that are tables."""

Counts = Mapping[str, float]
"""Cells of one field or smear by class name, ints where they are whole numbers; a class that was not counted is not in it."""


@dataclass(frozen=True)
class CountsTable:
    """Counts by field or by smear, and what of their source could not be used."""

    counts: Mapping[str, Counts]
    """By the name that the source has for the field, or for the smear."""
    of_smears: bool = False
    """Whether each row is a whole smear."""
    smears: Mapping[str, str] = field(default_factory=dict)
    """The smear of each field of which the source says it."""
    unread: Mapping[str, str] = field(default_factory=dict)
    """Fields that could not be read, with the reason; they are in no count."""
    saturated: Sequence[str] = ()
    """Fields that hold more cells than could be counted: their counts may be too low."""
    remarks: Sequence[str] = ()
    """What else of the source is in no count, a line each."""


def read_table(path: Path) -> CountsTable:
    """Read counts from a CSV file, such as our own `counts.csv`.

    Columns stand apart by comma, semicolon or tab. There is a column `field` (a relative path or a name), or else `smear`, and at
    least one of the cell classes, under any name that `cells.label_of` knows; other columns are left alone. A count is a number of
    0 or more, with a decimal comma too where it cannot be taken for one between thousands. Every row must hold one for each class,
    for an empty place could mean none or not counted; but for rows of our own whose `status` is `unread`.

    Raises:
        ManifestError: the file cannot be read, lacks a column, has no row, names a field twice, or holds something that is no count;
            the message names file, line and column.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            first = lines.readline()
            lines.seek(0)
            rows = csv.reader(lines, delimiter=max(",;\t", key=first.count))
            header = [name.strip() for name in next(rows, [])]
            return _Reader(path, header).read(rows)
    except OSError as error:
        told = f"give a CSV file with a column {FIELD!r} and columns of counts, such as {', '.join(CLASSES)}"
        raise ManifestError(f"{path}: cannot be read ({error.strerror}); {told}") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise ManifestError(f"{path}: is not a CSV file in UTF-8 ({error})") from None


class _Reader:
    """The columns of one file."""

    def __init__(self, path: Path, header: list[str]) -> None:
        self.path, self.header = path, header
        self.name = FIELD if FIELD in header else SMEAR
        if header.count(self.name) != 1:
            raise ManifestError(
                f"{path}, line 1: needs one column {FIELD!r}, or {SMEAR!r} where each row is a whole smear; "
                f"found columns {', '.join(header) or 'none'}"
            )
        self.classes = self._classes()

    def _classes(self) -> dict[str, int]:
        """Place of each class's column, by class name, in the order of `CLASSES`."""
        found: dict[int, int] = {}
        for place, name in enumerate(self.header):
            try:
                label = label_of(name)
            except UnknownClassError:
                continue
            if label in found:
                raise ManifestError(
                    f"{self.path}, line 1: columns {self.header[found[label]]!r} and {name!r} both count {CLASSES[label]}"
                )
            found[label] = place
        if not found:
            raise ManifestError(
                f"{self.path}, line 1: needs a column of counts: {', '.join(CLASSES)} or an alias; found {', '.join(self.header)}"
            )
        return {CLASSES[label]: found[label] for label in sorted(found)}

    def read(self, rows: Iterable[list[str]]) -> CountsTable:
        counts: dict[str, Counts] = {}
        smears: dict[str, str] = {}
        unread: dict[str, str] = {}
        saturated: list[str] = []
        first: dict[str, int] = {}
        # Counted by hand: a quoted name with a line break is rarer than a reader that looks for the line in an editor.
        for line, row in enumerate(rows, start=2):
            if not any(text.strip() for text in row):
                continue
            name = rearmed(self._text(row, self.name))
            if not name:
                what = "image" if self.name == FIELD else "smear"
                raise ManifestError(f"{self.path}, line {line}: column {self.name!r} is empty; it names the {what}")
            if name in first:
                raise ManifestError(
                    f"{self.path}, line {line}: {self.name} {name!r} is counted twice, first in line {first[name]}"
                )
            first[name] = line
            if self.name == FIELD and self._text(row, SMEAR):
                smears[name] = rearmed(self._text(row, SMEAR))
            if self._text(row, "status") == "unread":
                unread[name] = self._text(row, "reason")
                continue
            counts[name] = {of: self._count(line, row, place) for of, place in self.classes.items()}
            if self._text(row, "saturated") == "true":
                saturated.append(name)
        if not first:
            raise ManifestError(f"{self.path}: holds no counts; below the first line, each line must be of a {self.name}")
        return CountsTable(counts, self.name == SMEAR, smears, unread, saturated)

    def _text(self, row: list[str], column: str) -> str:
        place = self.header.index(column) if column in self.header else len(row)
        return row[place].strip() if place < len(row) else ""

    def _count(self, line: int, row: list[str], place: int) -> float:
        text = row[place].strip() if place < len(row) else ""
        value = _number(text)
        if value is None:
            shown = (repr(text) if text else "nothing") + ("; leave the comma out" if "," in text else "")
            raise ManifestError(
                f"{self.path}, line {line}, column {self.header[place]!r}: needs a number of cells, 0 or more, found {shown}"
            )
        return value


def _number(text: str) -> float | None:
    """A count; None where the text is none, or where its comma could stand for thousands as well as for a decimal point."""
    decimal = re.fullmatch(r"(0,\d+|\d+,(\d{1,2}|\d{4,}))", text)
    try:
        value = float(text.replace(",", ".") if decimal else text)
    except ValueError:
        return None
    if not 0 <= value < float("inf"):
        return None
    return int(value) if value.is_integer() else value


def read_counts(path: Path) -> CountsTable:
    """Read counts from a CSV file, or from labelled boxes in any layout that conversion reads.

    Raises:
        ManifestError: a table that is not valid, or a folder that holds one. AnnotationError: no label set, or none with known classes.
    """
    if path.suffix.lower() in TABLE_SUFFIXES and not path.is_dir():
        return read_table(path)
    if (path / "counts.csv").is_file():
        raise ManifestError(f"{path}: is a folder of results; give {path / 'counts.csv'}")
    labelled = sources.load_truth(path)
    unknown = [f"{n} boxes of the unknown class {name!r}" for name, n in labelled.unknown.items()]
    counts = {key: counts_of_records([record])[record.name] for key, record in labelled.records.items()}
    return CountsTable(counts, remarks=[*labelled.broken, *unknown])


def counts_of_records(records: Iterable[Record]) -> dict[str, Counts]:
    """Counts of labelled fields by name, every class named, zeros included."""
    counts: dict[str, Counts] = {}
    for record in records:
        totals = np.bincount(record.label, minlength=len(CLASSES))
        counts[record.name] = {name: int(n) for name, n in zip(CLASSES, totals, strict=True)}
    return counts
