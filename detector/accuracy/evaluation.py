"""A detector against labelled fields: average precision, precision and recall, and agreement of counts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detector.accuracy import confusion as confusions
from detector.accuracy import precision
from detector.accuracy.agreement import Agreement, agreement, clear_of_border, constant_guess
from detector.accuracy.confusion import Confusion, confusion
from detector.accuracy.curves import Curves, curves
from detector.accuracy.failures import Failures, failures
from detector.accuracy.fields import FieldRow, WorstField, rows, worst
from detector.accuracy.operating import Operating, of_tally
from detector.accuracy.precision import AveragePrecision
from detector.accuracy.slices import Slice, slices
from detector.annotations.domains import DomainOf
from detector.annotations.records import Record
from detector.errors import ImageError, NothingToDoError
from detector.vision import finder, images
from detector.vision.boxes import Boxes
from detector.vision.cells import CLASSES
from detector.vision.detections import Detections, Unread
from detector.vision.model import Model

Look = Callable[[images.Rgb], tuple[Detections, Detections]]
"""Cells of a field of shape (h, w, 3), uint8 RGB: those that count, and all from `precision.MIN_SCORE` on."""


@dataclass(frozen=True)
class Candidate:
    """A detector to evaluate."""

    look: Look
    thresholds: Mapping[str, float]
    """Score from which a cell counts, by class name."""

    @classmethod
    def of(cls, model: Model) -> Candidate:
        """A model as counting uses it."""
        thresholds = dict(zip(CLASSES, model.card.minimum(), strict=True))
        return cls(lambda rgb: finder.find_and_search(model, rgb, precision.MIN_SCORE), thresholds)


@dataclass(frozen=True)
class Figures:
    """What a detector is worth on some labelled fields."""

    fields: int
    """Fields that were read and evaluated."""
    average_precision: AveragePrecision
    operating: dict[str, Operating]
    """By class name."""
    confusion: Confusion
    curves: dict[str, Curves | None]
    """By class name; None for a class without labelled cells."""
    all_cells: dict[str, Agreement]
    """Counts by class name, against all labelled cells."""
    clear_cells: dict[str, Agreement]
    """The same of cells clear of the border, found and labelled ones each by their own box."""
    guess: dict[str, Agreement] | None
    """The constant guess against all labelled cells; None without training fields."""
    per_smear: dict[str, Agreement] | None
    """Counts of whole smears against all their labelled cells, in cells per smear; None without two smears."""


@dataclass(frozen=True)
class Evaluation(Figures):
    """What a detector is worth on labelled fields, in all and in each domain."""

    unread: Sequence[Unread]
    """Fields that could not be used, for want of an image or of labels; they are in no figure."""
    saturated: Sequence[str]
    """Fields in which as many cells were found as may be: their counts may be too low."""
    without_smear: Sequence[str]
    """Fields of which no smear is known, though of others it is: each is drawn by itself, and they are not in `per_smear`."""
    domains: dict[str, Figures]
    """By name of the domain; the guess is that of its own training fields. Empty where all fields are of one."""
    failures: dict[str, Failures]
    """By class name."""
    slices: list[Slice]
    per_field: list[FieldRow]
    """A row a field, in their order."""
    worst: list[WorstField]
    """The fields counted worst, worst first."""

    def document(self) -> dict[str, Any]:
        """All figures as plain JSON values; of the worst fields their names, and without the rows of single fields."""
        figures = asdict(replace(self, worst=[], per_field=[]))
        del figures["per_field"]
        return {**figures, "worst": [{"field": w.row.field, "off": w.row.off, "mistakes": w.row.mistakes} for w in self.worst]}


def evaluate(
    records: Iterable[Record],
    candidate: Candidate,
    train: Sequence[Record] = (),
    domain_of: DomainOf | None = None,
    smears: Mapping[str, str] | None = None,
    unread: Sequence[Unread] = (),
) -> Evaluation:
    """Run a detector over labelled fields and compare.

    Args:
        records: labelled fields with their images.
        train: fields whose median counts are the constant guess.
        domain_of: the domain of a field by its name; None where all are of one.
        smears: the smear of each field by its name, where that is known; intervals are then by bootstrap over smears.
        unread: fields that are known beforehand to be of no use; they are listed with those found here.

    Raises:
        MissingExtraError: pycocotools is not installed.
        NothingToDoError: no field has an image that can be read.
    """
    precision.reference()
    read, found, searched, of_no_use = _look(records, candidate)
    if not read:
        raise NothingToDoError("none of the labelled fields has an image that can be read")
    known = [smears.get(record.name) for record in read] if smears is not None else None
    fields = _Fields(read, found, searched, known)
    of_domain = _domains(read, domain_of)
    per_field = rows(read, found, known, of_domain)
    return Evaluation(
        **vars(_figures(fields, candidate, train)),
        unread=[*unread, *of_no_use],
        saturated=[r.name for r, d in zip(read, found, strict=True) if d.saturated],
        without_smear=[r.name for r, smear in zip(read, known or (), strict=False) if smear is None],
        domains=_by_domain(fields, of_domain, candidate, train, domain_of) if of_domain and domain_of else {},
        failures=failures(read, found),
        slices=slices(read, found, fields.groups),
        per_field=per_field,
        worst=worst(per_field, read, found),
    )


@dataclass(frozen=True)
class _Fields:
    """Fields that were read, with what was found in each."""

    records: Sequence[Record]
    found: Sequence[Detections]
    searched: Sequence[Detections]
    smears: Sequence[str | None] | None

    @property
    def groups(self) -> list[str] | None:
        """What is drawn together; a field of no known smear is drawn by itself."""
        if self.smears is None:
            return None
        return [smear or f"{record.name} (of no smear)" for record, smear in zip(self.records, self.smears, strict=True)]

    def only(self, chosen: Sequence[int]) -> _Fields:
        return _Fields(
            [self.records[i] for i in chosen],
            [self.found[i] for i in chosen],
            [self.searched[i] for i in chosen],
            None if self.smears is None else [self.smears[i] for i in chosen],
        )


def _look(
    records: Iterable[Record], candidate: Candidate
) -> tuple[list[Record], list[Detections], list[Detections], list[Unread]]:
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
        counted, every = candidate.look(rgb)
        read.append(record)
        found.append(counted)
        searched.append(every)
    return read, found, searched, unread


def _domains(records: Sequence[Record], domain_of: DomainOf | None) -> list[str] | None:
    """The domain of each field, or None where all are of one."""
    of = [domain_of(record.name) for record in records] if domain_of else []
    return of if len(set(of)) > 1 else None


def _by_domain(
    fields: _Fields, of_domain: Sequence[str], candidate: Candidate, train: Sequence[Record], domain_of: DomainOf
) -> dict[str, Figures]:
    made = {}
    for domain in sorted(set(of_domain)):
        chosen = [i for i, name in enumerate(of_domain) if name == domain]
        made[domain] = _figures(fields.only(chosen), candidate, [record for record in train if domain_of(record.name) == domain])
    return made


def _figures(fields: _Fields, candidate: Candidate, train: Sequence[Record]) -> Figures:
    read, found, groups = fields.records, fields.found, fields.groups
    ranking = precision.rank(read, fields.searched)
    tallied = confusions.tally(read, found)
    truth, counted = _counts(read), _counts(found)
    return Figures(
        fields=len(read),
        average_precision=precision.figures(precision.sample(ranking, groups)),
        operating=of_tally(tallied, groups),
        confusion=confusion(tallied, groups),
        curves=curves(ranking, candidate.thresholds),
        all_cells=_agreements(counted, truth, groups),
        clear_cells=_agreements(_counts(found, clear=True), _counts(read, clear=True), groups),
        guess=_agreements(_guess(train, len(read)), truth, groups) if train else None,
        per_smear=_per_smear(counted, truth, fields.smears),
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


def _per_smear(
    counted: NDArray[np.int64], truth: NDArray[np.int64], smears: Sequence[str | None] | None
) -> dict[str, Agreement] | None:
    of = np.array([smear or "" for smear in smears or ()])
    names = sorted(set(of.tolist()) - {""})
    if len(names) < 2:
        return None
    p, t = (np.array([counts[of == name].sum(axis=0) for name in names]) for counts in (counted, truth))
    return _agreements(p, t)


def _agreements(
    counted: NDArray[np.int64], truth: NDArray[np.int64], groups: Sequence[str] | None = None
) -> dict[str, Agreement]:
    return {name: agreement(counted[:, i].tolist(), truth[:, i].tolist(), groups) for i, name in enumerate(CLASSES)}
