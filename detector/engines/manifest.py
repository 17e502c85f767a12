"""A table that says which images are the fields of which smear."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath

from detector import texts
from detector.accuracy.failures import groups_by_name
from detector.counting import density
from detector.errors import ManifestError, UsageError
from detector.vision import scale as scales

_COLUMNS = ("field", "smear", "um_per_px", "rbc_per_ul", "domain")


@dataclass(frozen=True)
class ManifestRow:
    """One line of a manifest."""

    line: int
    field: str
    smear: str
    """Empty where the manifest has domains instead."""
    um_per_px: float | None
    rbc_per_ul: float | None = None
    """Red cells per µL of the smear's blood by an analyser."""
    domain: str = ""
    """Empty where the manifest has none, or was not asked for them."""


@dataclass(frozen=True)
class Manifest:
    """A manifest that was read and found valid."""

    path: Path
    rows: tuple[ManifestRow, ...]
    remarks: tuple[str, ...] = ()
    """What a user should know of how it was read: its encoding, and columns that are not used."""

    @property
    def rbc_per_ul(self) -> dict[str, float]:
        """Red cells per µL by smear, where the manifest gives them."""
        return {row.smear: row.rbc_per_ul for row in self.rows if row.rbc_per_ul is not None}


def read(path: Path, domains: bool = False) -> Manifest:
    """Read a CSV file or a workbook of Excel with the columns `field,smear[,um_per_px][,rbc_per_ul]`, in any case and order.

    Between the columns of a CSV file are commas, semicolons or tabs.

    `rbc_per_ul` may stand in one row of a smear or in several; the values of a smear must be equal.

    Args:
        domains: whether to read a column `domain` too, with which `smear` may be left out.

    Raises:
        ManifestError: the file cannot be read, lacks a column, is empty, names a field twice, gives a smear two red cell counts, or
            holds a value that is not valid; the message names the line.
    """
    first = "field,smear, field,domain or field,smear,domain" if domains else "field,smear[,um_per_px][,rbc_per_ul]"
    table = texts.table(path, f"give a CSV or .xlsx file with the columns {first}")
    columns = list(table.columns)
    parted = [name for name in ("smear", "domain") if name in columns] if domains else []
    needed = ("field", *(parted or ["smear"]))
    missing = [name for name in needed if name not in columns]
    if missing:
        raise ManifestError(f"{path}: has no column {' and no column '.join(missing)}; its first line must be {first}")
    twice = [name for name in _COLUMNS if columns.count(name) > 1]
    if twice:
        raise ManifestError(f"{path}: has two columns {twice[0]}; its first line must be {first}")
    rows = tuple(_row(path, line, dict(zip(columns, row, strict=False)), needed) for line, row in table.rows)
    if not rows:
        raise ManifestError(f"{path}: names no field; below the first line, each line must name a field and its {needed[-1]}")
    _refuse_repeated(path, rows)
    _refuse_contradicting(path, rows)
    return Manifest(path, rows, (*table.remarks, *table.unused(_COLUMNS), *_partly_scaled(rows)))


def groups(path: Path | None, names: Sequence[str]) -> tuple[dict[str, str], dict[str, str], tuple[str, ...]]:
    """Smear and domain of labelled fields by their names, and what is to be said of the manifest; empty where there is none.

    Raises:
        ManifestError: the manifest is not valid. UsageError: it names none of these fields.
    """
    if path is None:
        return {}, {}, ()
    listed = read(path, domains=True)
    of_smear, of_domain = (
        groups_by_name(((row.field, getattr(row, what)) for row in listed.rows), what) for what in ("smear", "domain")
    )
    if not any(name in of_smear or name in of_domain for name in names):
        raise UsageError(f"{path}: names none of the fields to evaluate; they are named like {names[0]!r}")
    return of_smear, of_domain, listed.remarks


def _row(path: Path, line: int, values: Mapping[str, str], needed: Sequence[str]) -> ManifestRow:
    filled = {name: values[name] for name in needed}
    if not all(filled.values()):
        column_names = f"{', '.join(needed[:-1])} and {needed[-1]}"
        raise ManifestError(f"{path}, line {line}: {column_names} must {'both' if len(needed) == 2 else 'all'} be filled in")
    field = filled["field"]
    # A manifest written on Windows may separate folders with backslashes.
    posix = PureWindowsPath(field).as_posix() if "\\" in field else field
    scale = _scale(path, line, values.get("um_per_px", ""))
    red_cells = _red_cells(path, line, values.get("rbc_per_ul", ""))
    return ManifestRow(line, posixpath.normpath(posix), filled.get("smear", ""), scale, red_cells, filled.get("domain", ""))


def _scale(path: Path, line: int, text: str) -> float | None:
    wanted = f"um_per_px is {text!r}; give micrometres per pixel, for example 0.075, or leave it empty"
    return _checked(f"{path}, line {line}", text, wanted, lambda scale, place: scales.check(scale, place))


def _red_cells(path: Path, line: int, text: str) -> float | None:
    wanted = f"rbc_per_ul is {text!r}; give red cells per µL, for example 4600000, or leave it empty"
    return _checked(
        f"{path}, line {line}", text, wanted, lambda cells, place: density.check_red_cells(cells, f"{place}: rbc_per_ul")
    )


def _checked(place: str, text: str, wanted: str, check: Callable[[float, str], None]) -> float | None:
    """The number in a cell that may be empty, once `check` let it pass."""
    if not text:
        return None
    try:
        value = float(text.replace(",", "."))
        check(value, place)
    except UsageError as error:
        raise ManifestError(str(error)) from None
    except ValueError:
        raise ManifestError(f"{place}: {wanted}") from None
    return value


def _partly_scaled(rows: tuple[ManifestRow, ...]) -> Iterator[str]:
    """A line for each smear of which some fields have a scale and others have none."""
    without: dict[str, list[ManifestRow]] = {}
    for row in rows:
        if row.um_per_px is None:
            without.setdefault(row.smear, []).append(row)
    for smear in sorted(without.keys() & {row.smear for row in rows if row.um_per_px is not None}):
        first = without[smear][0]
        yield (
            f"smear {smear!r}: um_per_px is empty for {len(without[smear])} of its fields (first {first.field!r}, line {first.line}) "
            "and given for others; a smear has counts per mm² only where all of its fields have a scale"
        )


def _refuse_contradicting(path: Path, rows: tuple[ManifestRow, ...]) -> None:
    first: dict[str, ManifestRow] = {}
    for row in rows:
        if row.rbc_per_ul is None:
            continue
        other = first.setdefault(row.smear, row)
        if row.rbc_per_ul != other.rbc_per_ul:
            raise ManifestError(
                f"{path}, line {row.line}: rbc_per_ul of smear {row.smear} is {row.rbc_per_ul:g}, but {other.rbc_per_ul:g} in line "
                f"{other.line}; give each smear one red cell count"
            )


def _refuse_repeated(path: Path, rows: tuple[ManifestRow, ...]) -> None:
    first: dict[str, int] = {}
    for row in rows:
        if row.field in first:
            raise ManifestError(
                f"{path}, line {row.line}: {row.field} stands in line {first[row.field]} already; name each field once"
            )
        first[row.field] = row.line
