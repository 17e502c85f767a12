"""A detector against labelled fields: average precision, precision and recall, and agreement of counts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detector.accuracy.agreement import Agreement, agreement, clear_of_border, constant_guess
from detector.accuracy.failures import Failures, failures
from detector.accuracy.operating import Operating, operating
from detector.accuracy.precision import AveragePrecision, average_precision, reference
from detector.annotations.domains import DomainOf
from detector.annotations.records import Record
from detector.errors import ImageError, NothingToDoError
from detector.vision import images
from detector.vision.boxes import Boxes
from detector.vision.cells import CLASSES
from detector.vision.detections import Detections, Unread

Find = Callable[[images.Rgb], Detections]
"""Cells of a field of shape (h, w, 3), uint8 RGB."""


@dataclass(frozen=True)
class Figures:
    """What a detector is worth on some labelled fields."""

    fields: int
    """Fields that were read and evaluated."""
    average_precision: AveragePrecision
    operating: dict[str, Operating]
    """By class name."""
    all_cells: dict[str, Agreement]
    """Counts by class name, against all labelled cells."""
    clear_cells: dict[str, Agreement]
    """The same of cells clear of the border, found and labelled ones each by their own box."""
    guess: dict[str, Agreement] | None
    """The constant guess against all labelled cells; None without training fields."""


@dataclass(frozen=True)
class Evaluation(Figures):
    """What a detector is worth on labelled fields, in all and in each domain."""

    unread: Sequence[Unread]
    """Fields without an image that can be read; they are in no figure."""
    saturated: Sequence[str]
    """Fields in which as many cells were found as may be: their counts may be too low."""
    domains: dict[str, Figures]
    """By name of the domain; the guess is that of its own training fields. Empty where all fields are of one."""
    failures: dict[str, Failures]
    """By class name."""


def evaluate(
    records: Iterable[Record], find: Find, search: Find, train: Sequence[Record] = (), domain_of: DomainOf | None = None
) -> Evaluation:
    """Run a detector over labelled fields and compare.

    Args:
        records: labelled fields with their images.
        find: the detector as counting uses it, at its thresholds.
        search: the same from `precision.MIN_SCORE` on, for average precision.
        train: fields whose median counts are the constant guess.
        domain_of: the domain of a field by its name; None where all are of one.

    Raises:
        MissingExtraError: pycocotools is not installed.
        NothingToDoError: no field has an image that can be read.
    """
    reference()
    read: list[Record] = []
    found: list[Detections] = []
    searched: list[Detections] = []
    unread: list[Unread] = []
    for record in records:
        try:
            rgb = _pixels(record)
        except ImageError as error:
            unread.append(Unread(record.name, str(error)))
            continue
        read.append(record)
        found.append(find(rgb))
        searched.append(search(rgb))
    if not read:
        raise NothingToDoError("none of the labelled fields has an image that can be read")
    fields = _Fields(read, found, searched)
    return Evaluation(
        **vars(_figures(fields, train)),
        unread=unread,
        saturated=[r.name for r, d in zip(read, found, strict=True) if d.saturated],
        domains=_by_domain(fields, train, domain_of) if domain_of else {},
        failures=failures(read, found),
    )


@dataclass(frozen=True)
class _Fields:
    """Fields that were read, with what was found in each."""

    records: Sequence[Record]
    found: Sequence[Detections]
    searched: Sequence[Detections]

    def only(self, chosen: Sequence[int]) -> _Fields:
        return _Fields([self.records[i] for i in chosen], [self.found[i] for i in chosen], [self.searched[i] for i in chosen])


def _by_domain(fields: _Fields, train: Sequence[Record], domain_of: DomainOf) -> dict[str, Figures]:
    of = [domain_of(record.name) for record in fields.records]
    if len(set(of)) < 2:
        return {}
    made = {}
    for domain in sorted(set(of)):
        chosen = [i for i, name in enumerate(of) if name == domain]
        made[domain] = _figures(fields.only(chosen), [record for record in train if domain_of(record.name) == domain])
    return made


def _figures(fields: _Fields, train: Sequence[Record]) -> Figures:
    read, found = fields.records, fields.found
    return Figures(
        fields=len(read),
        average_precision=average_precision(read, fields.searched),
        operating=operating(read, found),
        all_cells=_agreements(_counts(found), _counts(read)),
        clear_cells=_agreements(_counts(found, clear=True), _counts(read, clear=True)),
        guess=_agreements(_guess(train, len(read)), _counts(read)) if train else None,
    )


def _pixels(record: Record) -> images.Rgb:
    if record.image is None:
        raise ImageError("labels without an image")
    rgb = images.read(record.image)
    if (rgb.shape[1], rgb.shape[0]) != record.size_wh:
        w, h = record.size_wh
        raise ImageError(f"is {rgb.shape[1]}x{rgb.shape[0]} px, its labels are for {w}x{h} px")
    return rgb


def _counts(fields: Sequence[Record] | Sequence[Detections], clear: bool = False) -> NDArray[np.int64]:
    """Cells of each field and class, of shape (fields, classes)."""
    return np.array([_count(f.xyxy, f.label, f.size_wh, clear) for f in fields])


def _count(xyxy: Boxes, label: NDArray[np.int64], size_wh: tuple[int, int], clear: bool) -> NDArray[np.int64]:
    chosen = label[clear_of_border(xyxy, size_wh)] if clear else label
    return np.bincount(chosen, minlength=len(CLASSES))


def _guess(train: Sequence[Record], fields: int) -> NDArray[np.int64]:
    return np.tile(constant_guess(_counts(train).tolist()), (fields, 1))


def _agreements(counted: NDArray[np.int64], truth: NDArray[np.int64]) -> dict[str, Agreement]:
    return {name: agreement(counted[:, i].tolist(), truth[:, i].tolist()) for i, name in enumerate(CLASSES)}
