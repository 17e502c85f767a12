"""Counts beside truth: which field is which, the error of each, and the agreement of all."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from detector.accuracy.agreement import Agreement, agreement
from detector.accuracy.truth import Counts
from detector.counting.fields import FieldCount
from detector.vision.cells import CLASSES
from detector.vision.images import SUFFIXES


@dataclass(frozen=True)
class FieldComparison:
    """One field that was counted and for which there is truth."""

    field: str
    smear: str
    counted: Counts
    """Every cell seen, of the classes that truth has."""
    truth: Counts

    @property
    def error(self) -> dict[str, int]:
        """Counted less truth, by class name."""
        return {name: self.counted[name] - n for name, n in self.truth.items()}


@dataclass(frozen=True)
class Comparison:
    """Counts beside truth; every field and every name of truth is in exactly one of the lists."""

    fields: Sequence[FieldComparison]
    classes: Mapping[str, Agreement]
    """By name of each class that truth has, over the fields in which it has it."""
    only_counted: Sequence[str]
    """Fields for which there is no truth."""
    only_truth: Sequence[str]
    """Names of truth for which no field was counted."""
    ambiguous: Sequence[str]
    """Fields and names of truth that could belong together in more than one way; they are in no figure."""


def compare(counts: Sequence[FieldCount], truth: Mapping[str, Counts]) -> Comparison:
    """Join counts and truth by name, and say how far they agree; lists are in the order of names.

    A name of truth is that of a field if both have the same relative path, else the same path without the image's ending,
    else the same file name without it; in each step only where the name stands once on either side.

    Raises:
        ValueError: two counts are of the same field.
    """
    by_field = {count.field: count for count in counts}
    if len(by_field) < len(counts):
        raise ValueError("two counts are of the same field")
    pairs = _join(list(by_field), list(truth))
    fields = [_field(by_field[name], truth[key]) for name, key in sorted(pairs.items())]
    lone_fields, lone_truth = by_field.keys() - pairs.keys(), truth.keys() - set(pairs.values())
    unclear = {_stem(name) for name in lone_fields} & {_stem(key) for key in lone_truth}
    return Comparison(
        fields=fields,
        classes=_agreements(fields),
        only_counted=sorted(n for n in lone_fields if _stem(n) not in unclear),
        only_truth=sorted(n for n in lone_truth if _stem(n) not in unclear),
        ambiguous=sorted(n for n in lone_fields | lone_truth if _stem(n) in unclear),
    )


def _field(count: FieldCount, truth: Counts) -> FieldComparison:
    return FieldComparison(count.field, count.smear, {name: count.raw[name] for name in truth}, truth)


def _agreements(fields: Sequence[FieldComparison]) -> dict[str, Agreement]:
    of_class = {name: [f for f in fields if name in f.truth] for name in CLASSES}
    return {
        name: agreement([f.counted[name] for f in those], [f.truth[name] for f in those])
        for name, those in of_class.items()
        if those
    }


def _join(fields: Iterable[str], keys: Iterable[str]) -> dict[str, str]:
    """The name of truth of each field that has one."""
    pairs: dict[str, str] = {}
    for reduced in (_path, _bare, _stem):
        of_fields, of_keys = _grouped(fields, reduced), _grouped(keys, reduced)
        taken = set(pairs.values())
        for name in of_fields.keys() & of_keys.keys():
            # Unique among all names, not only among those left over: a leftover would be paired by elimination.
            if len(of_fields[name]) == len(of_keys[name]) == 1:
                (field,), (key,) = of_fields[name], of_keys[name]
                if field not in pairs and key not in taken:
                    pairs[field] = key
    return pairs


def _grouped(names: Iterable[str], reduced: Callable[[str], str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(reduced(name), []).append(name)
    return groups


def _path(name: str) -> str:
    # Names from a Mac may have their accents apart.
    return str(PurePosixPath(unicodedata.normalize("NFC", name).replace("\\", "/")))


def _bare(name: str) -> str:
    path = PurePosixPath(_path(name))
    # A name such as "slide.3" ends in no image suffix: all of it is the name.
    return str(path.with_suffix("")) if path.suffix.lower() in SUFFIXES else str(path)


def _stem(name: str) -> str:
    return PurePosixPath(_bare(name)).name
