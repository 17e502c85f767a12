"""Tables of counts against truth: ours, by hand, by an analyser or by another program, all in the same way."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from detector.accuracy import truth as truths
from detector.accuracy.comparison import Comparison, FieldComparison, compare, in_smears, smears_of
from detector.accuracy.counts_table import CountsTable
from detector.accuracy.paired import Differences, differences
from detector.errors import NothingToDoError
from detector.vision.cells import CLASSES


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

    Each is a table (`counts_table.read`), or a folder or file of labels (`truth.read`). Where one of them has a row for each smear
    instead of each field, smears are compared.

    Raises:
        ManifestError: a table that is not valid. AnnotationError: a folder that is no label set.
        NothingToDoError: no field, or no class, stands in both the counts and the truth.
    """
    paths = [counts, truth, *([against] if against is not None else [])]
    tables = [truths.read(path) for path in paths]
    if any(table.of_smears for table in tables):
        tables = [in_smears(table, path) for table, path in zip(tables, paths, strict=True)]
    mine, known, other = tables[0], tables[1], tables[2] if against is not None else None
    first = _compared(mine, known, counts, truth)
    # A table of another program mostly does not say which smear a field is of.
    smears = {field.truth_name: field.smear for field in first.fields if field.smear is not None}
    known = replace(known, smears={**smears, **known.smears})
    second = None if other is None or against is None else _compared(other, known, against, truth)
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
        told = [f"{path} has {'none' if n is None else repr(n)}" for path, n in zip((of_counts, of_truth), names, strict=True)]
        raise NothingToDoError(f"no {compared.per} stands in both tables under one name; for example, {' and '.join(told)}")
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
