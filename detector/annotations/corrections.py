"""Corrections of labels: a reviewed table of boxes to remove, to give another class, or to add; `revision` applies it."""

from __future__ import annotations

import csv
import hashlib
import io
import math
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from detector.annotations.labels import Box
from detector.errors import AnnotationError, UnknownClassError
from detector.vision import cells

COLUMNS = ("image", "action", "label", "x1", "y1", "x2", "y2", "new_label", "reason")
REMOVE, RELABEL, ADD = ACTIONS = ("remove", "relabel", "add")


@dataclass(frozen=True)
class Correction:
    """One row of a corrections file."""

    line: int
    image: str
    """Image name without its extension."""
    action: str
    """One of `ACTIONS`."""
    label: int
    """Class of the labelled box, or of the one to add."""
    xyxy: Box
    """Pixels of the displayed image, half-open edges."""
    new_label: int | None
    """Class that the box is to have; only with `relabel`."""
    reason: str


@dataclass(frozen=True)
class CorrectionSheet:
    """A corrections file that was read and found valid."""

    path: Path
    sha256: str
    rows: tuple[Correction, ...]


@dataclass(frozen=True)
class Applied:
    """How many rows of one kind were applied."""

    action: str
    name: str
    """Class of the box."""
    new_name: str | None
    """Class that it was given, with `relabel`."""
    rows: int


@dataclass(frozen=True)
class Refused:
    """A row that could not be applied, and why."""

    line: int
    image: str
    action: str
    name: str
    xyxy: Box
    reason: str


@dataclass(frozen=True)
class CorrectionOutcome:
    """What became of a corrections file."""

    file: str
    sha256: str
    applied: tuple[Applied, ...]
    not_applied: tuple[Refused, ...]
    absent: dict[str, int]
    """Rows by image name, for images that are not among the fields."""

    def rows(self, action: str) -> int:
        """How many rows of an action were applied."""
        return sum(kind.rows for kind in self.applied if kind.action == action)


def read(path: Path) -> CorrectionSheet:
    """Read a CSV file in UTF-8 with the columns `COLUMNS`, in any order.

    Raises:
        AnnotationError: the file cannot be read, lacks a column, or holds a row that is not valid; the message names the line.
    """
    expected = f"its first line must be {','.join(COLUMNS)}"
    try:
        content = path.read_bytes()
        lines = csv.reader(io.StringIO(content.decode("utf-8-sig"), newline=""), strict=True)
        header = [name.strip() for name in next(lines, [])]
        if sorted(header) != sorted(COLUMNS):
            wrong = [f"has no column {name}" for name in COLUMNS if name not in header]
            wrong += [
                f"has a column {name!r} too many" for name in dict.fromkeys(header) if header.count(name) > (name in COLUMNS)
            ]
            raise AnnotationError(f"{path}: {' and '.join(wrong)}; {expected}")
        rows = []
        for texts in lines:
            if any(text.strip() for text in texts):
                rows.append(_row(f"{path}, line {lines.line_num}", lines.line_num, header, texts))
    except OSError as error:
        raise AnnotationError(f"{path}: cannot be read ({error.strerror}); give a CSV file: {expected}") from None
    except UnicodeDecodeError:
        raise AnnotationError(f"{path}: is not UTF-8 text; save it as CSV in UTF-8") from None
    except csv.Error as error:
        raise AnnotationError(f"{path}, line {lines.line_num}: not readable as CSV: {error}") from None
    return CorrectionSheet(path, hashlib.sha256(content).hexdigest(), tuple(rows))


def _row(where: str, line: int, header: Sequence[str], texts: Sequence[str]) -> Correction:
    if len(texts) != len(header):
        raise AnnotationError(f"{where}: has {len(texts)} cells, expected {len(header)}: {','.join(header)}")
    row = {name: text.strip() for name, text in zip(header, texts, strict=True)}
    action = row["action"]
    if action not in ACTIONS:
        raise AnnotationError(f"{where}: action is {action!r}, expected {', '.join(ACTIONS[:-1])} or {ACTIONS[-1]}")
    for name, what in (("image", "the image's name without its extension"), ("reason", "why, in a few words")):
        if not row[name]:
            raise AnnotationError(f"{where}: {name} is empty, expected {what}")
    label = _label(where, row["label"])
    new_label = None
    if action == RELABEL:
        new_label = _label(where, row["new_label"])
        if new_label == label:
            raise AnnotationError(f"{where}: new_label is the class that the box has; give another, or leave the row out")
    elif row["new_label"]:
        raise AnnotationError(f"{where}: new_label is {row['new_label']!r}, expected nothing, as the action is {action}")
    image = unicodedata.normalize("NFC", row["image"])
    return Correction(line, image, action, label, _box(where, row), new_label, row["reason"])


def _label(where: str, name: str) -> int:
    try:
        return cells.label_of(name)
    except UnknownClassError as error:
        raise UnknownClassError(f"{where}: {error}") from None


def _box(where: str, row: Mapping[str, str]) -> Box:
    x1, y1, x2, y2 = (_number(where, name, row[name]) for name in ("x1", "y1", "x2", "y2"))
    if x2 <= x1 or y2 <= y1:
        raise AnnotationError(
            f"{where}: the box [{x1:g}, {y1:g}, {x2:g}, {y2:g}] is inverted or empty, expected x1 < x2 and y1 < y2"
        )
    return x1, y1, x2, y2


def _number(where: str, name: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise AnnotationError(f"{where}: {name} is {text!r}, expected a number of pixels such as 104.5")
    return value
