"""Where a detector fails: how each field was counted, which were counted worst, and what cells are missed or invented."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detector.accuracy.counts import clear_of_border_zone
from detector.accuracy.matching import IOU, Match, match
from detector.annotations.records import Record
from detector.errors import ManifestError
from detector.vision import boxes
from detector.vision.cells import CLASSES
from detector.vision.detections import Detections
from detector.vision.names import stem

AT_BORDER, OTHER_CLASS, CROWDED, ALONE = "at the border", "taken for another class", "among touching cells", "by itself"
KINDS = (AT_BORDER, OTHER_CLASS, CROWDED, ALONE)
"""Kinds of failure; each is of the first that fits."""
WORST_OF_CLASS = 3
"""Fields named of each class."""
WORST_SHOWN = 12
"""Fields that are shown with their boxes."""
NO_DOMAIN = "of no known domain"
"""The domain of fields that a list of domains does not name."""

_SHARED = 0.1
"""A cell that another one covers by this share of its own box is among touching cells."""


@dataclass(frozen=True)
class FailedField:
    """A field that is counted badly."""

    field: str
    counted: int
    truth: int
    missed: dict[str, int]
    """Labelled cells that were not found, by kind; kinds without any are left out."""
    false: dict[str, int]
    """Detections that are no labelled cell of their class, by kind."""


@dataclass(frozen=True)
class Failures:
    """How one class fails over all fields."""

    missed: dict[str, int]
    """By kind, zeros included."""
    false: dict[str, int]
    worst: tuple[FailedField, ...]
    """The fields with the largest errors of the count, at most `WORST`, worst first; none that is counted right."""


def failures(records: Sequence[Record], detections: Sequence[Detections]) -> dict[str, Failures]:
    """Failures of each class at the operating thresholds, with matches at `matching.IOU`; `detections` is parallel to `records`."""
    kinds = [_kinds_in(record, cells) for record, cells in zip(records, detections, strict=True)]
    return {
        name: _failures([_failed_field(r, d, k, label) for r, d, k in zip(records, detections, kinds, strict=True)])
        for label, name in enumerate(CLASSES)
    }


_Kinds = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Index into `KINDS` of each labelled cell and of each detection; -1 where it is none of the failures."""


def _kinds_in(record: Record, detections: Detections) -> _Kinds:
    pairs = match(detections, record.xyxy, record.label)
    missed, false = np.full(len(record.label), -1), np.full(len(detections), -1)
    overlap = boxes.iou(detections.xyxy, record.xyxy)
    other = (overlap >= IOU) & (detections.label[:, None] != record.label[None, :])
    among = boxes.intersection(record.xyxy, record.xyxy)
    np.fill_diagonal(among, 0)
    over = boxes.intersection(detections.xyxy, record.xyxy)
    missed[pairs.missed] = _kind(record.xyxy, record.size_wh, other.any(axis=0), among)[pairs.missed]
    false[pairs.false] = _kind(detections.xyxy, detections.size_wh, other.any(axis=1), over)[pairs.false]
    return missed, false


def _kind(
    xyxy: boxes.Boxes, size_wh: tuple[int, int], other: NDArray[np.bool_], shared: NDArray[np.float32]
) -> NDArray[np.int64]:
    """Index into `KINDS` of each box; `shared` is its shared area with each labelled cell, in px², of shape (n, m)."""
    crowded = shared.max(axis=1, initial=0) >= _SHARED * boxes.area(xyxy)
    return np.select([~clear_of_border_zone(xyxy, size_wh), other, crowded], [0, 1, 2], default=3)


def _failed_field(record: Record, detections: Detections, kinds: _Kinds, label: int) -> FailedField:
    missed, false = (
        _counted(kind[label_of == label]) for kind, label_of in zip(kinds, (record.label, detections.label), strict=True)
    )
    return FailedField(record.name, int((detections.label == label).sum()), int((record.label == label).sum()), missed, false)


def _counted(kind: NDArray[np.int64]) -> dict[str, int]:
    counts = np.bincount(kind[kind >= 0], minlength=len(KINDS))
    return {name: int(n) for name, n in zip(KINDS, counts, strict=True) if n}


def _failures(fields: Sequence[FailedField]) -> Failures:
    totals = [{kind: sum(getattr(f, which).get(kind, 0) for f in fields) for kind in KINDS} for which in ("missed", "false")]
    wrong = [f for f in fields if f.counted != f.truth]
    worst = sorted(wrong, key=lambda f: (-abs(f.counted - f.truth), f.field))[:WORST_OF_CLASS]
    return Failures(totals[0], totals[1], tuple(worst))


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
        return sum(abs(counts.error) for counts in self.classes.values())

    @property
    def mistakes(self) -> int:
        """Cells that were missed and finds that are no cell, of all classes."""
        return sum(counts.missed + counts.false for counts in self.classes.values())


@dataclass(frozen=True, eq=False)
class WorstField:
    """A field that was counted badly, with what it takes to draw what went wrong."""

    row: FieldRow
    record: Record
    """The labelled cells, and the image."""
    detections: Detections
    """The cells that were counted."""
    match: Match
    """Which of them are which labelled cells."""


def field_rows(
    records: Sequence[Record],
    detections: Sequence[Detections],
    smears: Sequence[str | None] | None = None,
    domains: Sequence[str] | None = None,
    other: Sequence[Detections] | None = None,
) -> list[FieldRow]:
    """A row a field, in their order; all arguments are parallel, `other` being what another detector found."""
    of_none = [None] * len(records)
    parallel = zip(records, detections, smears or of_none, domains or of_none, other or of_none, strict=True)
    return [
        FieldRow(record.name, smear, domain, _classes(record, cells, others), cells.saturated)
        for record, cells, smear, domain, others in parallel
    ]


def worst_fields(fields: Sequence[FieldRow], records: Sequence[Record], detections: Sequence[Detections]) -> list[WorstField]:
    """The fields whose counts are wrong by the most cells (`FieldRow.off`), at most `WORST`, worst first.

    Of equal ones the first is that with the most mistakes (`FieldRow.mistakes`), then that which comes first by name. A field without
    any mistake is not among them.
    """
    order = sorted(range(len(fields)), key=lambda i: (-fields[i].off, -fields[i].mistakes, fields[i].field))
    wrong = [i for i in order if fields[i].mistakes][:WORST_SHOWN]
    return [
        WorstField(fields[i], records[i], detections[i], match(detections[i], records[i].xyxy, records[i].label)) for i in wrong
    ]


def groups_by_name(pairs: Iterable[tuple[str, str]], what: str) -> dict[str, str]:
    """The smear, or the domain, of each field by the name that a dataset has for it: the file's, without folders and image ending.

    Args:
        pairs: path of each field, and its smear or domain or an empty word, as a manifest has them.
        what: which of the two, for the message.

    Raises:
        ManifestError: two fields of one name belong to different ones.
    """
    group_of: dict[str, str] = {}
    for path, group in pairs:
        if not group:
            continue
        name = stem(path)
        if group_of.setdefault(name, group) != group:
            raise ManifestError(
                f"{path}: a field named {name!r} is of {what} {group_of[name]!r} and of {what} {group!r}; name each field once"
            )
    return group_of


def _classes(record: Record, detections: Detections, other: Detections | None) -> dict[str, FieldClass]:
    pairs = match(detections, record.xyxy, record.label)
    true, false, missed = (
        _per_class(label) for label in (record.label[pairs.truth], detections.label[pairs.false], record.label[pairs.missed])
    )
    clear_truth, clear_counted = (
        _per_class(side.label[clear_of_border_zone(side.xyxy, side.size_wh)]) for side in (record, detections)
    )
    of_other = _per_class(other.label) if other is not None else [None] * len(CLASSES)
    parallel = zip(CLASSES, true, false, missed, clear_truth, clear_counted, of_other, strict=True)
    return {name: FieldClass(t + m, t + f, f - m, ct, cc, t, f, m, theirs) for name, t, f, m, ct, cc, theirs in parallel}


def _per_class(label: NDArray[np.int64]) -> list[int]:
    counts: list[int] = np.bincount(label, minlength=len(CLASSES)).tolist()
    return counts
