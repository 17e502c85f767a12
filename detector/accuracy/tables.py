"""Counts of fields from tables and labels: ours, those of people who count by hand, of an analyser, of another program."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from detector import texts
from detector.annotations import sources
from detector.annotations.records import Record
from detector.errors import ManifestError, UnknownClassError
from detector.output.files import rearmed
from detector.output.tables import COUNTS_COLUMNS, REVIEWED_COUNTS_COLUMNS, REVIEWED_SMEARS_COLUMNS, SMEARS_COLUMNS
from detector.vision.cells import CLASSES, label_of

FIELD = "field"
"""The column that names the image."""
SMEAR = "smear"
"""The column that names the smear; where there is none that names the image, a row is a whole smear."""
_LOOKED_AT = REVIEWED_COUNTS_COLUMNS[0]
_NOT_LOOKED_AT = "nobody looked at it, so its counts are those of the model"
_SHOWN = 5
_THOUSANDS = re.compile(r"[1-9]\d{0,2}(\.\d{3})+")
"""A number whose points may stand between thousands, as in tables whose columns stand apart by semicolons, and texts in workbooks."""
TABLE_SUFFIXES = (".csv", ".tsv", ".txt", ".xlsx", ".xlsm", ".xls", ".ods")
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
    """Read counts from a CSV file or a workbook of Excel, such as our own `counts.csv`.

    There is a column `field` (a relative path or a name), or else `smear`, and at least one of the cell classes, under any name that
    `cells.label_of` knows, in any case; other columns are named in a remark. A count is a number of 0 or more, with a decimal comma
    too where it cannot be taken for one between thousands. An empty value was not counted: it is in no count and in a remark. The same
    holds for the fields of a review that nobody looked at: they are with those that were not read.

    Raises:
        ManifestError: the file cannot be read, lacks a column, has no count, names a field twice, or holds a value that is no count;
            the message names file, line and column.
    """
    expected = f"give a CSV or .xlsx file with a column {FIELD!r} and columns of counts, such as {', '.join(CLASSES)}"
    return _Reader(texts.table(path, expected)).read()


class _Reader:
    """The columns of one file."""

    def __init__(self, table: texts.TextTable) -> None:
        self.table, self.path = table, table.path
        self.header = list(table.columns)
        self.name = FIELD if FIELD in self.header else SMEAR
        if self.header.count(self.name) != 1:
            raise ManifestError(
                f"{self.path}, line 1: needs one column {FIELD!r}, or {SMEAR!r} where each row is a whole smear; "
                f"found columns {', '.join(table.written) or 'none'}"
            )
        self.classes = self._classes()
        self.empty: dict[str, list[int]] = {}
        """Lines in which a class has no count, by the name of its column."""

    def _classes(self) -> dict[str, int]:
        """Place of each class's column, by class name, in the order of `CLASSES`."""
        places: dict[int, int] = {}
        for place, name in enumerate(self.table.written):
            try:
                label = label_of(name)
            except UnknownClassError:
                continue
            if label in places:
                raise ManifestError(
                    f"{self.path}, line 1: columns {self.table.written[places[label]]!r} and {name!r} both count {CLASSES[label]}"
                )
            places[label] = place
        if not places and {"class", "total"} <= set(self.header):
            raise ManifestError(
                f"{self.path}: has a row for each class, as the smears.csv of a count; give the counts.csv beside it"
            )
        if not places:
            raise ManifestError(
                f"{self.path}, line 1: needs a column of counts: {', '.join(CLASSES)} or an alias; found {', '.join(self.table.written)}"
            )
        return {CLASSES[label]: places[label] for label in sorted(places)}

    def read(self) -> CountsTable:
        counts: dict[str, Counts] = {}
        smears: dict[str, str] = {}
        unread: dict[str, str] = {}
        saturated: list[str] = []
        first: dict[str, int] = {}
        for line, row in self.table.rows:
            name = self._name(line, row, first)
            if self.name == FIELD and self._text(row, SMEAR):
                smears[name] = rearmed(self._text(row, SMEAR))
            if self._text(row, "status") == "unread":
                unread[name] = self._text(row, "reason")
                continue
            if _LOOKED_AT in self.header and not self._text(row, _LOOKED_AT):
                unread[name] = _NOT_LOOKED_AT
                continue
            counts[name] = self._counts(line, row)
            if self._text(row, "saturated") == "true":
                saturated.append(name)
        if unread and set(unread.values()) == {_NOT_LOOKED_AT} and not counts:
            raise ManifestError(
                f"{self.path}: nobody looked at any of its {len(unread)} fields, so that its counts are those of the model; "
                "mark fields as looked at and write the results again, or give the counts.csv of the count itself"
            )
        if not any(counts.values()) and not unread:
            empty = f" (all cells of {', '.join(map(repr, self.empty))} are empty)" if self.empty else ""
            raise ManifestError(f"{self.path}: holds no counts{empty}; below the first line, each line must be of a {self.name}")
        remarks = self._remarks()
        if left_out := sum(reason == _NOT_LOOKED_AT for reason in unread.values()):
            remarks.append(f"{left_out} of {len(counts) + left_out} fields are left out: {_NOT_LOOKED_AT}")
        return CountsTable(counts, self.name == SMEAR, smears, unread, saturated, remarks)

    def _name(self, line: int, row: Sequence[str], first: dict[str, int]) -> str:
        """The name of a row, which is put into `first` with its line."""
        name = rearmed(self._text(row, self.name))
        if not name:
            what = "image" if self.name == FIELD else "smear"
            raise ManifestError(f"{self.path}, line {line}: column {self.name!r} is empty; it names the {what}")
        if name in first:
            raise ManifestError(f"{self.path}, line {line}: {self.name} {name!r} is counted twice, first in line {first[name]}")
        first[name] = line
        return name

    def _remarks(self) -> list[str]:
        ours = {*COUNTS_COLUMNS, *SMEARS_COLUMNS, *REVIEWED_COUNTS_COLUMNS, *REVIEWED_SMEARS_COLUMNS}
        used = {*ours, *(self.header[place] for place in self.classes.values())}
        left_out = []
        for name, lines in self.empty.items():
            shown = ", ".join(map(str, lines[:_SHOWN])) + (", ..." if len(lines) > _SHOWN else "")
            left_out.append(
                f"column {name!r} is empty in {len(lines)} row{'s' * (len(lines) > 1)} (line {shown}): not counted there"
            )
        return [*self.table.remarks, *self.table.unused(map(str.casefold, used)), *left_out]

    def _text(self, row: Sequence[str], column: str) -> str:
        return row[self.header.index(column)] if column in self.header else ""

    def _counts(self, line: int, row: Sequence[str]) -> dict[str, float]:
        """What was counted in a row, by class."""
        counts = {}
        for class_name, place in self.classes.items():
            if row[place]:
                counts[class_name] = number_in(self.table, line, place, row[place])
            else:
                self.empty.setdefault(self.table.written[place], []).append(line)
        return counts


def number_in(table: texts.TextTable, line: int, place: int, text: str, what: str = "number of cells") -> float:
    """What an entry of a table says, an int where it is a whole number.

    Args:
        line: of the entry, for messages; `place` is that of its column, and `text` what stands in it.
        what: what it should be, for messages.

    Raises:
        ManifestError: it is no number of 0 or more, or could be read as two numbers.
    """
    where = f"{table.path}, line {line}, column {table.written[place]!r}"
    if table.separator in (";", "\t", "") and _THOUSANDS.fullmatch(text):
        digits = text.replace(".", "")
        raise ManifestError(
            f"{where}: {text!r} can be {digits} or, with a decimal point, {text}; write {digits}, or a comma for the decimal point"
        )
    value = _number(text)
    if value is None:
        advice = "; leave the comma out" if "," in text else ""
        raise ManifestError(f"{where}: needs a {what}, 0 or more, found {text[:60]!r}{advice}")
    return value


def _number(text: str) -> float | None:
    """A count; None where the text is none, or where its comma could stand for thousands as well as for a decimal point."""
    decimal = re.fullmatch(r"(0,\d+|\d+,(\d{1,2}|\d{4,}))", text)
    try:
        # Python takes 1_6 for 16.
        value = float("" if "_" in text else text.replace(",", ".") if decimal else text)
    except ValueError:
        return None
    if not 0 <= value < float("inf"):
        return None
    return int(value) if value.is_integer() else value


def read_counts(path: Path) -> CountsTable:
    """Read counts from a CSV file, a workbook of Excel, or from labelled boxes in any layout that conversion reads.

    Raises:
        ManifestError: a table that is not valid, or a folder that holds one. AnnotationError: no label set, or none with known classes.
    """
    if path.suffix.lower() in TABLE_SUFFIXES and not (texts.is_there(path) and path.is_dir()):
        return read_table(path)
    if texts.is_there(path / "counts.csv"):
        raise ManifestError(f"{path}: is a folder of results; give {path / 'counts.csv'}")
    labelled = sources.load_truth(path)
    unknown = [f"{n} boxes of the unknown class {name!r}" for name, n in labelled.unknown.items()]
    counts = {key: counts_of_records([record])[record.name] for key, record in labelled.records.items()}
    return CountsTable(counts, remarks=[*labelled.broken, *labelled.remarks, *unknown])


def counts_of_records(records: Iterable[Record]) -> dict[str, Counts]:
    """Counts of labelled fields by name, every class named, zeros included."""
    counts: dict[str, Counts] = {}
    for record in records:
        totals = np.bincount(record.label, minlength=len(CLASSES))
        counts[record.name] = {name: int(n) for name, n in zip(CLASSES, totals, strict=True)}
    return counts
