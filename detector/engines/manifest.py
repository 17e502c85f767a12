"""A table that says which images are the fields of which smear."""

from __future__ import annotations

import csv
import posixpath
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

from detector.errors import ManifestError, UsageError
from detector.vision import scale as scales


@dataclass(frozen=True)
class Row:
    """One line of a manifest."""

    line: int
    field: str
    smear: str
    """Empty where the manifest has domains instead."""
    um_per_px: float | None
    domain: str = ""
    """Empty where the manifest has none, or was not asked for them."""


@dataclass(frozen=True)
class Manifest:
    """A manifest that was read and found valid."""

    path: Path
    rows: tuple[Row, ...]


def read(path: Path, domains: bool = False) -> Manifest:
    """Read a CSV file with the columns `field,smear[,um_per_px]`; comma, semicolon or tab between them.

    Args:
        domains: whether to read a column `domain` too, with which `smear` may be left out.

    Raises:
        ManifestError: the file cannot be read, lacks a column, is empty, names a field twice, or holds a value that is not
            valid; the message names the line.
    """
    first = "field,smear, field,domain or field,smear,domain" if domains else "field,smear[,um_per_px]"
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read ({error.strerror}); give a CSV file with the columns {first}") from None
    except UnicodeDecodeError:
        raise ManifestError(f"{path}: is not UTF-8 text; save it as CSV in UTF-8") from None
    try:
        rows = _rows(path, text, domains, first)
    except csv.Error as error:
        raise ManifestError(f"{path}: is not a CSV file ({error})") from None
    _refuse_repeated(path, rows)
    return Manifest(path, rows)


def _rows(path: Path, text: str, domains: bool, first: str) -> tuple[Row, ...]:
    """The rows of a manifest whose first line is to be `first`."""
    lines = text.splitlines()
    header = lines[0] if lines else ""
    delimiter = max(",;\t", key=header.count)
    table = csv.DictReader(lines, delimiter=delimiter, skipinitialspace=True)
    columns = [name.strip() for name in table.fieldnames or []]
    parted = [name for name in ("smear", "domain") if name in columns] if domains else []
    needed = ("field", *(parted or ["smear"]))
    missing = [name for name in needed if name not in columns]
    if missing:
        raise ManifestError(f"{path}: has no column {' and no column '.join(missing)}; its first line must be {first}")
    table.fieldnames = columns
    rows = tuple(_row(path, table.line_num, values, needed) for values in table)
    if not rows:
        raise ManifestError(f"{path}: names no field; below the first line, each line must name a field and its {needed[-1]}")
    return rows


def _row(path: Path, line: int, values: Mapping[str, str | None], needed: Sequence[str]) -> Row:
    texts = {name: (values[name] or "").strip() for name in needed}
    if not all(texts.values()):
        told = f"{', '.join(needed[:-1])} and {needed[-1]}"
        raise ManifestError(f"{path}, line {line}: {told} must {'both' if len(needed) == 2 else 'all'} be filled in")
    field = texts["field"]
    # A manifest written on Windows may separate folders with backslashes.
    posix = PureWindowsPath(field).as_posix() if "\\" in field else field
    scale = _scale(path, line, (values.get("um_per_px") or "").strip())
    return Row(line, posixpath.normpath(posix), texts.get("smear", ""), scale, texts.get("domain", ""))


def _scale(path: Path, line: int, text: str) -> float | None:
    if not text:
        return None
    try:
        scale = float(text.replace(",", "."))
        scales.check(scale, f"{path}, line {line}")
    except UsageError as error:
        raise ManifestError(str(error)) from None
    except ValueError:
        raise ManifestError(
            f"{path}, line {line}: um_per_px is {text!r}; give micrometres per pixel, for example 0.075, or leave it empty"
        ) from None
    return scale


def _refuse_repeated(path: Path, rows: tuple[Row, ...]) -> None:
    first: dict[str, int] = {}
    for row in rows:
        if row.field in first:
            raise ManifestError(
                f"{path}, line {row.line}: {row.field} stands in line {first[row.field]} already; name each field once"
            )
        first[row.field] = row.line
