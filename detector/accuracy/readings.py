"""Tables that a laboratory keeps: repeated counts, differentials of two readers, values of an analyser, and smears of our own counts.

Each may have comma, semicolon or tab between its columns, in any case and order. Every fault is told with its line.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from detector import texts
from detector.accuracy.tables import FIELD, SMEAR, number_in
from detector.counting import density
from detector.errors import ManifestError, UnknownClassError, UsageError
from detector.output.files import rearmed
from detector.output.results import RUN, SMEARS
from detector.output.tables import REVIEWED_SMEARS_COLUMNS
from detector.vision.cells import CLASSES, PLATELETS, RBC, WBC, label_of

NAMES = (SMEAR, "sample", FIELD)
"""Columns that name what was counted; the first that there is counts."""
GROUPS = ("day", "run")
_LOOKED_AT = REVIEWED_SMEARS_COLUMNS[0]
READER, SLIDE = "reader", "slide"
_PLAUSIBLE = {CLASSES[WBC]: (50.0, 2e6), CLASSES[PLATELETS]: (1e3, 1e7)}
"""Cells per µL between which a value of an analyser is believed."""
_UNITS = {
    "per_ul": 1.0, "/ul": 1.0, "/μl": 1.0,
    "e3_per_ul": 1e3, "10^3/ul": 1e3, "10³/μl": 1e3, "e9_per_litre": 1e3, "10^9/l": 1e3, "10⁹/l": 1e3,
    "e6_per_ul": 1e6, "10^6/ul": 1e6, "10⁶/μl": 1e6, "e12_per_litre": 1e6, "10^12/l": 1e6, "10¹²/l": 1e6,
}  # fmt: skip
"""Cells per µL in each unit, by how it ends a column's name without case, which makes the sign for micro a Greek letter."""


@dataclass(frozen=True)
class Repeats:
    """One class of one sample, counted again and again."""

    counts: Sequence[float]
    """Of shape (n,)."""
    groups: Mapping[str, Sequence[str]]
    """Day and run of each count, where the table tells them."""


@dataclass(frozen=True)
class Repeated:
    """Samples that were counted repeatedly."""

    samples: Mapping[str, Mapping[str, Repeats]]
    """By sample and class."""
    unit: str
    """Of a count."""
    in_cells: bool
    """Whether all counts are numbers of cells, which at best scatter as Poisson's law says."""
    remarks: Sequence[str]


@dataclass(frozen=True)
class Differentials:
    """Cells that two readers put into classes."""

    readers: tuple[str, str]
    samples: Mapping[str, tuple[Mapping[str, int], Mapping[str, int]]]
    """Cells of each class by either reader, by sample; slides of a sample are added up."""
    remarks: Sequence[str]


@dataclass(frozen=True)
class Values:
    """Values of cell classes by smear; what is not known is not in it."""

    by_smear: Mapping[str, Mapping[str, float]]
    remarks: Sequence[str] = ()
    doubtful: Sequence[str] = ()
    """Smears that were left out, for many of their fields are doubtful."""


class _Columns:
    """The columns of a table, and the cells of its rows."""

    def __init__(self, path: Path, expected: str, needed: Sequence[str] = (), names: Sequence[str] = NAMES) -> None:
        self.expected, self.path = expected, path
        self.table = texts.table(path, expected)
        self.places: dict[str, int] = {}
        for place, name in enumerate(self.table.columns):
            self.places.setdefault(name, place)
        twice = [name for name in self.places if name and self.table.columns.count(name) > 1]
        if twice:
            raise ManifestError(f"{path}, line 1: has two columns {twice[0]!r}; {expected}")
        self.name = next((name for name in names if name in self.places), "")
        missing = [name for name in needed if name not in self.places] + ([] if self.name else [names[0]])
        if missing:
            raise ManifestError(f"{path}, line 1: has no column {' and no column '.join(map(repr, missing))}; {expected}")
        if not self.table.rows:
            raise ManifestError(f"{path}: has no rows below the first line; {expected}")

    def text(self, row: Sequence[str], column: str) -> str:
        return rearmed(row[self.places[column]]) if column in self.places else ""

    def filled(self, line: int, row: Sequence[str], column: str) -> str:
        """What stands in a column that must not be empty."""
        text = self.text(row, column)
        if not text:
            raise ManifestError(f"{self.path}, line {line}: column {column!r} is empty; fill it in, or remove the line")
        return text

    def number(self, line: int, row: Sequence[str], column: str, what: str = "number of cells") -> float | None:
        """The number in a column; None where it is empty."""
        place = self.places[column]
        return number_in(self.table, line, place, row[place], what) if row[place] else None

    def of_classes(self) -> dict[str, str]:
        """Our cell classes by the columns that count them."""
        by_column: dict[str, str] = {}
        for column in self.places:
            try:
                name = CLASSES[label_of(column)]
            except UnknownClassError:
                continue
            if name in by_column.values():
                raise ManifestError(f"{self.path}, line 1: column {column!r} counts {name} a second time; {self.expected}")
            by_column[column] = name
        if not by_column and {"class", "mean_per_field"} <= self.places.keys():
            raise ManifestError(
                f"{self.path}: is the {SMEARS} of one count; give the folder in which the results of all counts are"
            )
        if not by_column:
            raise ManifestError(f"{self.path}, line 1: has no column of {', '.join(CLASSES)} or an alias; {self.expected}")
        return by_column

    def remarks(self, used: Sequence[str]) -> list[str]:
        return [*self.table.remarks, *self.table.unused([self.name, *used])]


def repeated(path: Path) -> Repeated:
    """Repeated counts from a table, or from a folder whose subfolders are results of counts of the same smears.

    The table has a column `smear`, `sample` or `field`, columns of counts, and may have `day` and `run`; a row is one count. Of
    folders, a class's count is its mean per field, and its day that on which the count was started.

    Raises:
        ManifestError: it cannot be read, or lacks or holds what it must not; the message names the line.
    """
    return _of_results(path) if texts.is_there(path) and path.is_dir() else _of_table(path)


def _of_table(path: Path) -> Repeated:
    columns = _Columns(path, "give a CSV file with columns smear,day,run and RBC, WBC or Platelets, a row for each count")
    classes = columns.of_classes()
    groups = [name for name in GROUPS if name in columns.places]
    counts: dict[str, dict[str, list[tuple[float, list[str]]]]] = {}
    empty: list[int] = []
    for line, row in columns.table.rows:
        sample = columns.filled(line, row, columns.name)
        group = [columns.filled(line, row, name) for name in groups]
        for column, name in classes.items():
            count = columns.number(line, row, column)
            if count is None:
                empty.append(line)
            else:
                counts.setdefault(sample, {}).setdefault(name, []).append((count, group))
    remarks = columns.remarks([*groups, *classes])
    remarks += [f"empty, so not counted: line {', '.join(map(str, sorted(set(empty))[:5]))}"] * bool(empty)
    whole = all(isinstance(count, int) for by_class in counts.values() for rows in by_class.values() for count, _ in rows)
    return Repeated(_repeats(counts, groups), f"cells per {columns.name}", whole, remarks)


def _of_results(path: Path) -> Repeated:
    counts: dict[str, dict[str, list[tuple[float, list[str]]]]] = {}
    remarks: list[str] = []
    folders = [folder for folder in sorted(path.iterdir()) if (folder / SMEARS).is_file()]
    if not folders:
        raise ManifestError(
            f"{path}: no folder in it holds {SMEARS}; give a folder of results of counts of the same smears, or a CSV file"
        )
    for folder in folders:
        day = _day_of(folder)
        counted = of_smears(folder / SMEARS, "mean_per_field")
        remarks += [f"{folder.name}: {remark}" for remark in counted.remarks]
        for smear, values in counted.by_smear.items():
            for name, value in values.items():
                counts.setdefault(smear, {}).setdefault(name, []).append((value, [day]))
    return Repeated(_repeats(counts, ["day"]), "mean cells per field", False, remarks)


def _day_of(folder: Path) -> str:
    try:
        started = str(json.loads((folder / RUN).read_text(encoding="utf-8"))["started"])
    except (OSError, ValueError, KeyError, TypeError):
        raise ManifestError(f"{folder / RUN}: does not tell when the count was started; take this folder out") from None
    return started[:10]


def _repeats(
    counts: Mapping[str, Mapping[str, Sequence[tuple[float, list[str]]]]], groups: Sequence[str]
) -> dict[str, dict[str, Repeats]]:
    return {
        sample: {
            name: Repeats(
                [count for count, _ in by_class[name]],
                {group: [labels[i] for _, labels in by_class[name]] for i, group in enumerate(groups)},
            )
            for name in CLASSES
            if name in by_class
        }
        for sample, by_class in counts.items()
    }


def differentials(path: Path) -> Differentials:
    """Differentials of two readers from a table: `sample`, `reader`, perhaps `slide`, and a column for each class of cells.

    Raises:
        ManifestError: it cannot be read, does not have two readers, or an entry holds no whole number; the message names the line.
    """
    expected = "give a CSV file with columns sample,reader,slide and one for each class, with numbers of cells"
    columns = _Columns(path, expected, [READER], ("sample", SMEAR))
    classes = [name for name in columns.places if name and name not in (columns.name, READER, SLIDE)]
    if len(classes) < 2:
        raise ManifestError(f"{path}, line 1: has {len(classes)} columns of classes, and a differential needs two; {expected}")
    of_per_cent = next((columns.table.written[columns.places[name]] for name in classes if "%" in name), None)
    if of_per_cent is not None:
        raise ManifestError(f"{path}, line 1: column {of_per_cent!r} is of per cent; {expected}")
    _refuse_total(columns, classes)
    cells: dict[str, dict[str, dict[str, int]]] = {}
    seen: set[tuple[str, str, str]] = set()
    for line, row in columns.table.rows:
        sample, reader = (columns.filled(line, row, name) for name in (columns.name, READER))
        slide = columns.text(row, SLIDE)
        if (sample, reader, slide) in seen:
            twice = f"reader {reader} has {'slide ' + slide + ' of ' if slide else ''}sample {sample} twice"
            raise ManifestError(f"{path}, line {line}: {twice}; tell its slides apart by a column {SLIDE!r}")
        seen.add((sample, reader, slide))
        of_reader = cells.setdefault(reader, {}).setdefault(sample, dict.fromkeys(classes, 0))
        for name, number in _cells(columns, line, row, classes).items():
            of_reader[name] += number
    if len(cells) != 2:
        raise ManifestError(f"{path}: has {len(cells)} readers ({', '.join(cells)}), and this protocol compares two; {expected}")
    first, second = sorted(cells)
    return Differentials(
        (first, second),
        {sample: (of, cells[second][sample]) for sample, of in cells[first].items() if sample in cells[second]},
        [*columns.table.remarks, *_alone(cells, first, second), *_short(cells)],
    )


def _refuse_total(columns: _Columns, classes: Sequence[str]) -> None:
    """Refuse a column that is the sum of the others: as a class of its own it would halve all shares."""
    numbers = [[columns.number(line, row, name) or 0 for name in classes] for line, row in columns.table.rows]
    for place, name in enumerate(classes):
        if len(classes) > 2 and all(row[place] and 2 * row[place] == sum(row) for row in numbers):
            written = columns.table.written[columns.places[name]]
            raise ManifestError(f"{columns.path}, line 1: column {written!r} is the sum of the others in each row; leave it out")


def _cells(columns: _Columns, line: int, row: Sequence[str], classes: Sequence[str]) -> dict[str, int]:
    numbers: dict[str, int] = {}
    for name in classes:
        number = columns.number(line, row, name)
        if not isinstance(number, int):
            written = columns.table.written[columns.places[name]]
            what = (
                "is empty; write 0 where there was none"
                if number is None
                else f"is {number:g}; give numbers of cells, not per cent"
            )
            raise ManifestError(f"{columns.path}, line {line}, column {written!r}: {what}")
        numbers[name] = number
    if not any(numbers.values()):
        raise ManifestError(f"{columns.path}, line {line}: all classes are 0, so that there are no shares; remove the line")
    return numbers


def _alone(cells: Mapping[str, Mapping[str, object]], first: str, second: str) -> list[str]:
    return [
        f"read by {reader} only, and in no figure: {', '.join(sorted(lone))}"
        for reader, other in ((first, second), (second, first))
        if (lone := cells[reader].keys() - cells[other].keys())
    ]


def _short(cells: Mapping[str, Mapping[str, Mapping[str, int]]]) -> list[str]:
    short = {sample for of_samples in cells.values() for sample, numbers in of_samples.items() if sum(numbers.values()) < 200}
    return [f"fewer than the 200 cells of H20 by a reader: {', '.join(sorted(short))}"] if short else []


def analyser(path: Path) -> Values:
    """Values of an analyser in cells per µL, from a table with `smear` and columns such as `platelets_per_ul` or `PLT 10^9/L`.

    Raises:
        ManifestError: it cannot be read, a column has no unit, a smear comes twice, or a value cannot be in its unit.
    """
    expected = "give a CSV file with columns smear and, for example, platelets_per_ul or platelets_e9_per_litre"
    columns = _Columns(path, expected)
    units = _units(columns)
    by_smear: dict[str, dict[str, float]] = {}
    empty: dict[str, list[str]] = {}
    for line, row in columns.table.rows:
        smear = columns.filled(line, row, columns.name)
        if smear in by_smear:
            raise ManifestError(f"{path}, line {line}: {columns.name} {smear!r} has a value already; give each one line")
        by_smear[smear] = {}
        for column, (name, factor) in units.items():
            value = columns.number(line, row, column, "value of the analyser")
            if value is None:
                empty.setdefault(columns.table.written[columns.places[column]], []).append(smear)
            else:
                by_smear[smear][name] = _plausible(value * factor, name, f"{path}, line {line}, column {column!r}")
    remarks = [f"column {column!r} is empty, so without a value there: {', '.join(smears)}" for column, smears in empty.items()]
    return Values(by_smear, [*columns.remarks(list(units)), *remarks])


def _units(columns: _Columns) -> dict[str, tuple[str, float]]:
    """Class and factor to cells per µL of each column that has a value."""
    units: dict[str, tuple[str, float]] = {}
    for column in columns.places:
        plain = re.sub(r"(?<=10)[*x](?=\d)", "^", re.sub(r"[()\[\]\s]", "", column))
        unit = max((unit for unit in _UNITS if plain.endswith(unit)), key=len, default="")
        try:
            name = CLASSES[label_of(plain.removesuffix(unit))]
        except UnknownClassError:
            continue
        if not unit:
            raise ManifestError(f"{columns.path}, line 1: column {column!r} has no unit; {columns.expected}")
        if name in (known for known, _ in units.values()):
            raise ManifestError(f"{columns.path}, line 1: column {column!r} holds {name} a second time; {columns.expected}")
        units[column] = name, _UNITS[unit]
    if not units:
        raise ManifestError(f"{columns.path}, line 1: has no column of {', '.join(CLASSES)} with a unit; {columns.expected}")
    return units


def _plausible(per_ul: float, name: str, where: str) -> float:
    if name == CLASSES[RBC]:
        try:
            density.check_red_cells(per_ul, f"{where}: red cells per µL")
        except UsageError as error:
            raise ManifestError(str(error)) from None
        return per_ul
    least, most = _PLAUSIBLE[name]
    if not least <= per_ul <= most:
        raise ManifestError(
            f"{where}: {per_ul:g} {name} per µL is not possible (between {least:,.0f} and {most:,.0f}); "
            "check the value, and the unit in the column's name"
        )
    return per_ul


def of_smears(path: Path, column: str) -> Values:
    """One figure of our own `smears.csv`; smears with a warning are left out, and named in a remark.

    Raises:
        ManifestError: it cannot be read, is no `smears.csv`, or has no value in that column.
    """
    expected = f"give the {SMEARS} of a count"
    columns = _Columns(path, expected, ["class", column], (SMEAR,))
    by_smear: dict[str, dict[str, float]] = {}
    doubtful: dict[str, None] = {}
    partly: dict[str, None] = {}
    for line, row in columns.table.rows:
        smear = columns.filled(line, row, SMEAR)
        if columns.text(row, "warning"):
            doubtful[smear] = None
            continue
        if columns.text(row, _LOOKED_AT) not in ("", columns.text(row, "fields")):
            partly[smear] = None
        value = columns.number(line, row, column, "number")
        if value is not None:
            by_smear.setdefault(smear, {})[columns.filled(line, row, "class")] = value
    if not by_smear and not doubtful:
        raise ManifestError(f"{path}: has no value in column {column!r}; {_needed_for(column)}")
    remarks = [f"many doubtful fields, and left out: {', '.join(doubtful)}"] if doubtful else []
    if partly:
        remarks.append(
            f"looked at in a part of the fields only, so that the rest of the counts is the model's: {', '.join(partly)}"
        )
    return Values(by_smear, [*columns.table.remarks, *remarks], list(doubtful))


def _needed_for(column: str) -> str:
    if column == "per_mm2":
        return "count again with the scale, --um-per-px"
    return "count again with --rbc-per-ul, --ul-factor or a manifest with rbc_per_ul" if column == "per_ul" else "count again"


def is_of_smears(path: Path) -> bool:
    """Whether a file is the `smears.csv` of a count."""
    if not (texts.is_there(path) and path.is_file()):
        return False
    return {SMEAR, "class", "per_ul"} <= set(texts.table(path, "give a CSV file").columns)


def both(mine: Values, other: Values) -> Iterator[tuple[str, list[str], list[float], list[float]]]:
    """For each class its smears, and the values of both sides, for the smears that both have."""
    for name in CLASSES:
        smears = [smear for smear, values in mine.by_smear.items() if name in values and name in other.by_smear.get(smear, {})]
        if smears:
            values_mine, values_other = ([side.by_smear[smear][name] for smear in smears] for side in (mine, other))
            yield name, smears, values_mine, values_other


def unmatched(mine: Values, other: Values) -> list[str]:
    """What to say of smears that one side alone has."""
    sides = (
        ("counted, but without a value of the analyser", mine, other),
        ("with a value of the analyser, but not counted", other, mine),
    )
    return [
        f"{what}: {', '.join(lone)}"
        for what, side, rest in sides
        if (lone := sorted(side.by_smear.keys() - rest.by_smear.keys() - set(rest.doubtful)))
    ]
