"""A folder of results as other tools are to have it: fields with their cells, and where their pictures lie."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detector import texts
from detector.errors import ImageError, OutputError, UsageError
from detector.output import coco
from detector.output.files import portable, rearmed
from detector.output.results import CELLS, RUN
from detector.output.tables import REVIEWED_SMEARS_COLUMNS
from detector.vision import boxes, images
from detector.vision.detections import Detections
from detector.vision.slides import formats

_MOST_BYTES = 4096 * texts.MEBIBYTE
_TEXTS = frozenset(("field", "smear", "status", "reason", "scale", "doubt", "class", "warning", "per_ul_source")) | {
    *REVIEWED_SMEARS_COLUMNS[1:]
}
"""Columns of the tables that hold text; all others hold numbers and truth values."""


@dataclass(frozen=True, eq=False)
class RunField:
    """A field that was read."""

    name: str
    """As `counts.csv` has it."""
    smear: str
    cells: Detections
    picture: Path | None = None
    """None where it was not found, or is not of the size that was counted."""
    orientation: int = 1
    """How the stored picture is turned for display, as EXIF numbers it; 1 where the picture is not known."""

    @cached_property
    def path(self) -> str:
        """The name as a path that stays below any folder: what other tools get to see."""
        return portable(self.name)

    @property
    def is_slide(self) -> bool:
        """Whether the picture is a slide, which is never copied."""
        return self.picture is not None and formats.is_slide(self.picture)

    @property
    def names(self) -> list[str]:
        """The class of each cell."""
        return [self.cells.class_names[label] for label in self.cells.label.tolist()]

    @property
    def scores(self) -> list[float]:
        """The score of each cell, to the ten-thousandth."""
        return _rounded(self.cells.score, 4)

    @property
    def corners(self) -> list[list[float]]:
        """Boxes `x1, y1, x2, y2` of the picture as it is displayed, to the hundredth of a pixel."""
        return _rounded(self.cells.xyxy, 2)

    @property
    def stored_corners(self) -> list[list[float]]:
        """The same of the picture as it is stored, which programs show that do not look at EXIF."""
        return _rounded(boxes.turned_back(self.cells.xyxy.astype(np.float64), self.orientation, self.cells.size_wh), 2)


@dataclass(frozen=True)
class Identified:
    """What a user says of whom a smear is; empty where nothing was said."""

    subject: str = ""
    specimen: str = ""


@dataclass(frozen=True, eq=False)
class Run:
    """What a count, or a stream, left in its folder."""

    folder: Path
    fields: Sequence[RunField]
    unread: Mapping[str, str]
    """Fields that could not be read, with the reason."""
    about: Mapping[str, Any]
    """What `run.json` holds."""
    remarks: Sequence[str] = ()
    """What a user should know of the pictures."""
    identifiers: Mapping[str, Identified] = field(default_factory=dict)
    """Of whom each smear is, by its name, as far as the user says; nothing else says so."""

    @property
    def reviewed(self) -> bool:
        """Whether its cells and numbers are those of a review."""
        return "review" in self.about

    @cached_property
    def cells_sha256(self) -> str:
        """Of its `detections.json`: what tells it from all other runs.

        Raises:
            OutputError: the file cannot be read.
        """
        try:
            return hashlib.sha256(texts.content(self.folder / CELLS, _MOST_BYTES)).hexdigest()
        except OSError as error:
            raise OutputError(f"{self.folder / CELLS}: cannot be read ({error.strerror})") from None

    def table(self, name: str) -> tuple[list[str], list[list[object]]]:
        """Columns and rows of one of its tables; numbers are numbers, and None is what is not known.

        Raises:
            ManifestError: it cannot be read.
        """
        table = texts.table(self.folder / name, f"give a folder with the {name} that a count wrote")
        kinds = [_text if column in _TEXTS else _number for column in table.columns]
        return list(table.written), [[kind(text) for kind, text in zip(kinds, row, strict=False)] for _, row in table.rows]


def fields_of(folder: Path) -> tuple[list[str], Mapping[str, Any]]:
    """Names of the fields in a folder of results that were read, and its `run.json`.

    Raises:
        UsageError: it is no folder of results. OutputError: a file in it cannot be read.
    """
    return [field.name for field in coco.read(_file(folder, CELLS)).fields], coco.document_of(_file(folder, RUN))


def read(folder: Path, places: Mapping[str, Path]) -> Run:
    """Read a folder of results.

    Args:
        places: where pictures lie, by the names of their fields, as far as they are known.

    Raises:
        UsageError: it is no folder of results. OutputError: a file in it cannot be read, or holds something else.
    """
    written, about = coco.read(_file(folder, CELLS)), coco.document_of(_file(folder, RUN))
    looked = [_with_picture(RunField(f.name, f.smear, f.cells), places.get(f.name)) for f in written.fields]
    return Run(folder, [field for field, _ in looked], written.unread, about, [remark for _, remark in looked if remark])


def _file(folder: Path, name: str) -> Path:
    if not texts.is_there(folder / name):
        raise UsageError(f"{folder}: is no folder of results, for it has no {name}; give one that a count has written")
    return folder / name


def _with_picture(field: RunField, picture: Path | None) -> tuple[RunField, str]:
    """The field with its picture, and what is wrong with that; no picture where something is."""
    if picture is None:
        return field, ""
    if formats.is_slide(picture):
        return RunField(field.name, field.smear, field.cells, picture), ""
    try:
        header = images.header_of(picture)
    except ImageError as error:
        return field, f"{field.name}: its picture {picture} {error}"
    if header.size_wh != field.cells.size_wh:
        (w, h), (counted_w, counted_h) = header.size_wh, field.cells.size_wh
        why = f"is another one than was counted: {w}x{h} pixels, not {counted_w}x{counted_h}"
        return field, f"{field.name}: the picture {picture} {why}"
    return RunField(field.name, field.smear, field.cells, picture, header.orientation), ""


def _rounded(values: NDArray[Any], decimals: int) -> list[Any]:
    return list(values.astype(np.float64).round(decimals).tolist())


def _text(text: str) -> object:
    return rearmed(text) or None


def _number(text: str) -> object:
    if text in ("true", "false"):
        return text == "true"
    try:
        return None if not text else int(text) if text.isdecimal() else float(text)
    except ValueError:
        return text
