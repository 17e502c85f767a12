"""Counts beside truth: which field is which, the error of each, and the agreement of all."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from pathlib import Path
from typing import Literal

import numpy as np

from detector.accuracy.agreement import Agreement, agreement, whole
from detector.accuracy.bootstrap import by_smear
from detector.accuracy.counts_table import Counts, CountsTable
from detector.errors import ManifestError
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
    guess: Mapping[str, Agreement]
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
    ever = ({name for one in side.values() for name in one} for side in (mine, theirs))
    missing = [side.smears[name] for side in (counts, truth) for name in side.unread if name in side.smears]
    return Comparison(
        per="smear" if of_smears else "field",
        fields=fields,
        classes={name: _agreement(fields, name) for name in classes},
        guess={name: _guess(fields, name) for name in classes},
        smears=of_smear,
        per_smear={n: _agreement(of_smear, n) for n in classes if sum(n in one.truth for one in of_smear) > 1},
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
    return by_smear([field.field for field in fields], [field.smear for field in fields])


def _totals(counts: Mapping[str, Counts], smears: Mapping[str, str]) -> dict[str, Counts]:
    """Sums over each smear's fields, of the classes that all of them have."""
    of_smear: dict[str, list[Counts]] = {}
    for name in sorted(counts.keys() & smears.keys()):
        of_smear.setdefault(smears[name], []).append(counts[name])
    return {smear: _sum(those) for smear, those in sorted(of_smear.items())}


def _field(name: str, key: str, counted: Counts, truth: Counts, smear: str | None) -> FieldComparison:
    both = [of for of in CLASSES if of in counted and of in truth]
    return FieldComparison(name, smear, key, {of: counted[of] for of in both}, {of: truth[of] for of in both})


def _smears(fields: Sequence[FieldComparison]) -> list[SmearComparison]:
    smears = {field.field: field.smear for field in fields if field.smear is not None}
    counted, truth = (_totals({f.field: side(f) for f in fields}, smears) for side in _SIDES)
    numbers = Counter(smears.values())
    return [SmearComparison(name, numbers[name], counted[name], truth[name]) for name in counted]


def _sum(counts: Sequence[Counts]) -> Counts:
    return {name: sum(one[name] for one in counts) for name in CLASSES if all(name in one for one in counts)}


def _agreement(compared: Sequence[FieldComparison] | Sequence[SmearComparison], name: str) -> Agreement:
    those = [one for one in compared if name in one.truth]
    fields = [one for one in those if isinstance(one, FieldComparison)]
    return agreement(
        [one.counted[name] for one in those], [one.truth[name] for one in those], smears_of(fields) if fields else None
    )


def _guess(fields: Sequence[FieldComparison], name: str) -> Agreement:
    those = [field for field in fields if name in field.truth]
    truth = [field.truth[name] for field in those]
    median = float(np.median(truth))
    guess = round(median) if whole(np.asarray(truth, dtype=np.float64)) else median
    return agreement([guess] * len(truth), truth, smears_of(those))
