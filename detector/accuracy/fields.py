"""Each field by itself: how it was counted, and the fields that were counted worst."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detector.accuracy.agreement import clear_of_border
from detector.accuracy.matching import Match, match
from detector.annotations.records import Record
from detector.errors import ManifestError
from detector.vision.cells import CLASSES
from detector.vision.detections import Detections
from detector.vision.names import stem

WORST = 12
"""Fields that are shown."""
NO_DOMAIN = "of no known domain"
"""The domain of fields that a list of domains does not name."""


@dataclass(frozen=True)
class FieldClass:
    """One class in one field, at the operating thresholds."""

    truth: int
    """Labelled cells."""
    counted: int
    """Cells found."""
    error: int
    """Counted less truth."""
    clear_truth: int
    """Labelled cells clear of the border, by their own box."""
    clear_counted: int
    true: int
    """Detections that are labelled cells."""
    false: int
    missed: int
    other: int | None = None
    """Cells that the other detector found; None without one."""


@dataclass(frozen=True)
class FieldRow:
    """One field."""

    field: str
    smear: str | None
    """None where no smears were given, or none for this field."""
    domain: str | None
    """None where all fields are of one."""
    classes: dict[str, FieldClass]
    """By class name."""
    saturated: bool

    @property
    def off(self) -> int:
        """Cells by which the counts are wrong: the sum over classes of the absolute error."""
        return sum(abs(one.error) for one in self.classes.values())

    @property
    def mistakes(self) -> int:
        """Cells that were missed and finds that are no cell, of all classes."""
        return sum(one.missed + one.false for one in self.classes.values())


@dataclass(frozen=True, eq=False)
class WorstField:
    """A field that was counted badly, with what it takes to draw what went wrong."""

    row: FieldRow
    record: Record
    """The labelled cells, and the image."""
    found: Detections
    """The cells that were counted."""
    match: Match
    """Which of them are which labelled cells."""


def rows(
    records: Sequence[Record],
    found: Sequence[Detections],
    smears: Sequence[str | None] | None = None,
    domains: Sequence[str] | None = None,
    other: Sequence[Detections] | None = None,
) -> list[FieldRow]:
    """A row a field, in their order; all arguments are parallel, `other` being what another detector found."""
    of_none = [None] * len(records)
    parallel = zip(records, found, smears or of_none, domains or of_none, other or of_none, strict=True)
    return [
        FieldRow(record.name, smear, domain, _classes(record, one, theirs), one.saturated)
        for record, one, smear, domain, theirs in parallel
    ]


def worst(fields: Sequence[FieldRow], records: Sequence[Record], found: Sequence[Detections]) -> list[WorstField]:
    """The fields whose counts are wrong by the most cells (`FieldRow.off`), at most `WORST`, worst first.

    Of equal ones the first is that with the most mistakes (`FieldRow.mistakes`), then that which comes first by name. A field without
    any mistake is not among them.
    """
    order = sorted(range(len(fields)), key=lambda i: (-fields[i].off, -fields[i].mistakes, fields[i].field))
    wrong = [i for i in order if fields[i].mistakes][:WORST]
    return [WorstField(fields[i], records[i], found[i], match(found[i], records[i].xyxy, records[i].label)) for i in wrong]


def by_name(pairs: Iterable[tuple[str, str]], what: str) -> dict[str, str]:
    """The smear, or the domain, of each field by the name that a dataset has for it: the file's, without folders and image ending.

    Args:
        pairs: path of each field, and its smear or domain or an empty word, as a manifest has them.
        what: which of the two, for the message.

    Raises:
        ManifestError: two fields of one name belong to different ones.
    """
    of: dict[str, str] = {}
    for path, group in pairs:
        if not group:
            continue
        name = stem(path)
        if of.setdefault(name, group) != group:
            raise ManifestError(
                f"{path}: a field named {name!r} is of {what} {of[name]!r} and of {what} {group!r}; name each field once"
            )
    return of


def _classes(record: Record, one: Detections, other: Detections | None) -> dict[str, FieldClass]:
    pairs = match(one, record.xyxy, record.label)
    true, false, missed = (
        _per_class(label) for label in (record.label[pairs.truth], one.label[pairs.false], record.label[pairs.missed])
    )
    clear_truth, clear_counted = (_per_class(of.label[clear_of_border(of.xyxy, of.size_wh)]) for of in (record, one))
    of_other = _per_class(other.label) if other is not None else [None] * len(CLASSES)
    parallel = zip(CLASSES, true, false, missed, clear_truth, clear_counted, of_other, strict=True)
    return {name: FieldClass(t + m, t + f, f - m, ct, cc, t, f, m, theirs) for name, t, f, m, ct, cc, theirs in parallel}


def _per_class(label: NDArray[np.int64]) -> list[int]:
    counts: list[int] = np.bincount(label, minlength=len(CLASSES)).tolist()
    return counts
