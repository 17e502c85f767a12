"""Tables of counts against truth: which field is which, the error of each, and the agreement of all.

The counts may be ours, by hand, by an analyser or by another program: all are compared in the same way.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path
from typing import Literal

import numpy as np

from detector.accuracy.counts import Agreement, Differences, agreement, differences, whole
from detector.accuracy.intervals import groups_by_smear
from detector.accuracy.tables import Counts, CountsTable, read_counts
from detector.errors import ManifestError, NothingToDoError
from detector.vision import names
from detector.vision.cells import CLASSES


@dataclass(frozen=True)
class FieldComparison:
    """One field, or smear, that was counted and for which there is truth."""

    field: str
    smear: str | None
    """None where it is not known, or where this is a smear."""
    truth_name: str
    """What the source of the truth calls it."""
    counted: Counts
    """Every cell seen, of the classes that both have."""
    truth: Counts

    @property
    def error(self) -> dict[str, float]:
        """Counted less truth, by class name."""
        return {name: self.counted[name] - n for name, n in self.truth.items()}


@dataclass(frozen=True)
class SmearComparison:
    """The fields of one smear that were counted and for which there is truth, taken together."""

    smear: str
    fields: int
    counted: Counts
    """Totals over these fields."""
    truth: Counts


_SIDES = (attrgetter("counted"), attrgetter("truth"))


@dataclass(frozen=True)
class Comparison:
    """Counts beside truth; every name of the counts and of the truth is in exactly one of the lists."""

    per: Literal["field", "smear"]
    """What is compared: fields, or whole smears where a table has no fields."""
    fields: Sequence[FieldComparison]
    classes: Mapping[str, Agreement]
    """By name of each class that both have, over the fields in which they have it; the bootstrap is over smears where several are
    known."""
    constant_baseline: Mapping[str, Agreement]
    """The same for the constant baseline: in each field the median of the truth. It could not be known beforehand, and has the least
    mean absolute error of all constants. Counts should beat it."""
    smears: Sequence[SmearComparison]
    """In the order of their names; empty where no smears are known."""
    per_smear: Mapping[str, Agreement]
    """Agreement of the smears' totals, by class; empty where fewer than two smears are known."""
    only_counted: Sequence[str]
    """Fields for which there is no truth."""
    only_truth: Sequence[str]
    """Names of truth for which no field was counted."""
    ambiguous: Sequence[str]
    """Fields and names of truth that could belong together in more than one way; they are in no figure."""
    classes_apart: Sequence[str]
    """Classes that only the counts or only the truth has."""
    incomplete: Sequence[str]
    """Where smears are compared, those with fields that could not be read, which are not in their totals."""

    def left_out(self, remarks: Sequence[str]) -> list[tuple[str, Sequence[str]]]:
        """What is in no figure, under what is to be said of it.

        Args:
            remarks: what of the truth could not be used.
        """
        return [
            ("counted without truth", self.only_counted),
            (f"truth without a counted {self.per}", self.only_truth),
            ("classes on one side only", self.classes_apart),
            ("parts of the truth could not be used", remarks),
            ("name stands for several fields, left out", self.ambiguous),
            ("smears with unread fields, which are not in their totals", self.incomplete),
        ]


def compare(counts: CountsTable, truth: CountsTable) -> Comparison:
    """Join counts and truth by name, and say how far they agree; lists are in the order of names.

    Names are joined as `names.joined` does. Where one side's rows are whole smears, smears are compared, with the other side's totals
    over its fields.

    Raises:
        ManifestError: one side's rows are whole smears, and the other's fields are of no known smear.
    """
    of_smears = counts.of_smears or truth.of_smears
    mine, theirs = (in_smears(side).counts if of_smears else side.counts for side in (counts, truth))
    pairs = names.joined(mine, theirs)
    smears = {} if of_smears else {n: counts.smears.get(n) or truth.smears.get(key) for n, key in pairs.items()}
    fields = [_field(name, key, mine[name], theirs[key], smears.get(name)) for name, key in sorted(pairs.items())]
    lone_fields, lone_truth = mine.keys() - pairs.keys(), theirs.keys() - set(pairs.values())
    unclear = {names.stem(name) for name in lone_fields} & {names.stem(key) for key in lone_truth}
    of_smear = _smears(fields)
    classes = [name for name in CLASSES if any(name in f.truth for f in fields)]
    ever = ({name for field_counts in side.values() for name in field_counts} for side in (mine, theirs))
    missing = [side.smears[name] for side in (counts, truth) for name in side.unread if name in side.smears]
    return Comparison(
        per="smear" if of_smears else "field",
        fields=fields,
        classes={name: _agreement(fields, name) for name in classes},
        constant_baseline={name: _baseline(fields, name) for name in classes},
        smears=of_smear,
        per_smear={n: _agreement(of_smear, n) for n in classes if sum(n in smear.truth for smear in of_smear) > 1},
        only_counted=sorted(n for n in lone_fields if names.stem(n) not in unclear),
        only_truth=sorted(n for n in lone_truth if names.stem(n) not in unclear),
        ambiguous=sorted(n for n in lone_fields | lone_truth if names.stem(n) in unclear),
        classes_apart=sorted(set.symmetric_difference(*ever), key=CLASSES.index),
        incomplete=sorted(set(missing)) if of_smears else [],
    )


def in_smears(table: CountsTable, path: Path | None = None) -> CountsTable:
    """The table with a row for each smear: the totals of its fields.

    Raises:
        ManifestError: a field is of no known smear; the message names `path`.
    """
    if table.of_smears:
        return table
    lost = sorted(table.counts.keys() - table.smears.keys())
    if lost:
        raise ManifestError(
            f"{path or 'the counts'}: field {lost[0]!r} is of no known smear, and what it is compared with has a row for each smear; "
            "give the fields a column 'smear'"
        )
    return replace(table, counts=_totals(table.counts, table.smears), of_smears=True)


def smears_of(fields: Sequence[FieldComparison]) -> list[str] | None:
    """The smear of each field, for the bootstrap; None where that of none is known."""
    return groups_by_smear([field.field for field in fields], [field.smear for field in fields])


def _totals(counts: Mapping[str, Counts], smears: Mapping[str, str]) -> dict[str, Counts]:
    """Sums over each smear's fields, of the classes that all of them have."""
    of_smear: dict[str, list[Counts]] = {}
    for name in sorted(counts.keys() & smears.keys()):
        of_smear.setdefault(smears[name], []).append(counts[name])
    return {smear: _sum_of(fields) for smear, fields in sorted(of_smear.items())}


def _field(name: str, key: str, counted: Counts, truth: Counts, smear: str | None) -> FieldComparison:
    both = [class_name for class_name in CLASSES if class_name in counted and class_name in truth]
    return FieldComparison(
        name,
        smear,
        key,
        {class_name: counted[class_name] for class_name in both},
        {class_name: truth[class_name] for class_name in both},
    )


def _smears(fields: Sequence[FieldComparison]) -> list[SmearComparison]:
    smears = {field.field: field.smear for field in fields if field.smear is not None}
    counted, truth = (_totals({f.field: side(f) for f in fields}, smears) for side in _SIDES)
    numbers = Counter(smears.values())
    return [SmearComparison(name, numbers[name], counted[name], truth[name]) for name in counted]


def _sum_of(fields: Sequence[Counts]) -> Counts:
    return {name: sum(counts[name] for counts in fields) for name in CLASSES if all(name in counts for counts in fields)}


def _agreement(compared: Sequence[FieldComparison] | Sequence[SmearComparison], name: str) -> Agreement:
    having = [row for row in compared if name in row.truth]
    fields = [row for row in having if isinstance(row, FieldComparison)]
    counted, truth = ([side(row)[name] for row in having] for side in _SIDES)
    return agreement(counted, truth, smears_of(fields) if fields else None)


def _baseline(fields: Sequence[FieldComparison], name: str) -> Agreement:
    having = [field for field in fields if name in field.truth]
    truth = [field.truth[name] for field in having]
    median = float(np.median(truth))
    constant = round(median) if whole(np.asarray(truth, dtype=np.float64)) else median
    return agreement([constant] * len(truth), truth, smears_of(having))


@dataclass(frozen=True)
class TableEvaluation:
    """How far one table of counts agrees with truth, and how another does beside it."""

    comparison: Comparison
    unread: Mapping[str, str]
    """Fields that the counts say could not be read, with the reason; they are in no figure."""
    saturated: Sequence[str]
    """Fields in which the counts may be too low, because they hold more cells than could be counted."""
    against: Comparison | None
    """The other table with the same truth; None without one."""
    against_unread: Mapping[str, str]
    against_saturated: Sequence[str]
    paired: Mapping[str, Differences]
    """Figures of the counts less those of the other table, by class, over the fields that both have; empty without one."""
    unpaired: Sequence[str]
    """Names of truth that only one of the two has counted; they are in its own comparison, and in no difference."""
    remarks: Sequence[str]
    """Parts of the sources that are in no count, a line each."""


def evaluate_tables(counts: Path, truth: Path, against: Path | None = None) -> TableEvaluation:
    """Compare counts with truth, and with `against`, other counts of the same fields.

    Each is a table, or a folder or file of labels (`tables.read_counts`). Where one of them has a row for each smear instead of each
    field, smears are compared.

    Raises:
        ManifestError: a table that is not valid. AnnotationError: a folder that is no label set.
        NothingToDoError: no field, or no class, stands in both the counts and the truth.
    """
    paths = [counts, truth, *([against] if against is not None else [])]
    tables = [read_counts(path) for path in paths]
    if any(table.of_smears for table in tables):
        tables = [in_smears(table, path) for table, path in zip(tables, paths, strict=True)]
    mine, truth_table, other = tables[0], tables[1], tables[2] if against is not None else None
    first = _compared(mine, truth_table, counts, truth)
    # A table of another program mostly does not say which smear a field is of.
    smears = {field.truth_name: field.smear for field in first.fields if field.smear is not None}
    truth_table = replace(truth_table, smears={**smears, **truth_table.smears})
    second = None if other is None or against is None else _compared(other, truth_table, against, truth)
    return TableEvaluation(
        comparison=first,
        unread=mine.unread,
        saturated=mine.saturated,
        against=second,
        against_unread={} if other is None else other.unread,
        against_saturated=[] if other is None else other.saturated,
        paired={} if second is None else _paired(first, second),
        unpaired=[] if second is None else sorted(_by_truth(first).keys() ^ _by_truth(second).keys()),
        remarks=[f"{path}: {line}" for path, table in zip(paths, tables, strict=True) for line in table.remarks],
    )


def _compared(counts: CountsTable, truth: CountsTable, of_counts: Path, of_truth: Path) -> Comparison:
    compared = compare(counts, truth)
    if not compared.fields:
        names = [min(table.counts, default=None) for table in (counts, truth)]
        examples = [
            f"{path} has {'none' if n is None else repr(n)}" for path, n in zip((of_counts, of_truth), names, strict=True)
        ]
        raise NothingToDoError(f"no {compared.per} stands in both tables under one name; for example, {' and '.join(examples)}")
    if not compared.classes:
        raise NothingToDoError(f"{of_counts} and {of_truth} count no class in common: {', '.join(compared.classes_apart)}")
    return compared


def _paired(first: Comparison, second: Comparison) -> dict[str, Differences]:
    a, b = _by_truth(first), _by_truth(second)
    made = {}
    for name in CLASSES:
        both = [key for key in sorted(a.keys() & b.keys()) if name in a[key].truth and name in b[key].truth]
        if both:
            of_a, of_b = ([side[key].counted[name] for key in both] for side in (a, b))
            made[name] = differences(of_a, of_b, [a[key].truth[name] for key in both], smears_of([a[key] for key in both]))
    return made


def _by_truth(comparison: Comparison) -> dict[str, FieldComparison]:
    return {field.truth_name: field for field in comparison.fields}
