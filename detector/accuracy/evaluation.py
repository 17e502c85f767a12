"""A detector run over labelled fields: which fields these are, and figures of all, of domains, of parts and of single fields."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from detector.accuracy import precision
from detector.accuracy.failures import Failures, FieldRow, WorstField, failures, field_rows, worst_fields
from detector.accuracy.figures import (
    DetectorDifferences,
    EvaluatedFields,
    Figures,
    Relabelled,
    compare_detectors,
    figures,
    relabelled,
)
from detector.accuracy.slices import Slice, slices
from detector.annotations import dataset
from detector.annotations.dataset import DomainOf
from detector.annotations.labels import SPLITS
from detector.annotations.records import Record
from detector.errors import ConfigError, ImageError, NothingToDoError
from detector.vision import finder, images
from detector.vision.cells import CLASSES
from detector.vision.detections import Detections, Unread
from detector.vision.model import Model

Finder = Callable[[images.Rgb], tuple[Detections, Detections]]
"""Cells of a field of shape (h, w, 3), uint8 RGB: those that count, and all from `precision.MIN_SCORE` on."""


@dataclass(frozen=True)
class Candidate:
    """A detector to evaluate."""

    find: Finder
    thresholds: Mapping[str, float]
    """Score from which a cell counts, by class name."""

    @classmethod
    def of(cls, model: Model) -> Candidate:
        """A model as counting uses it."""
        thresholds = dict(zip(CLASSES, model.card.minimum(), strict=True))
        return cls(lambda rgb: finder.find_and_search(model, rgb, precision.MIN_SCORE), thresholds)


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
    """By name of the domain; the constant baseline is that of its own training fields. Empty where all fields are of one."""
    failures: dict[str, Failures]
    """By class name."""
    slices: list[Slice]
    per_field: list[FieldRow]
    """A row a field, in their order."""
    worst: list[WorstField]
    """The fields counted worst, worst first."""
    truncated: Sequence[str]
    """Fields in which the search for average precision ended at the most cells a model reports: it may be too low."""
    against: DetectorDifferences | None
    """The other detector on the same fields; None without one."""
    relabelled: Relabelled | None
    """The same by other labels; None where there are none of these fields."""

    def document(self) -> dict[str, Any]:
        """All figures as plain JSON values; of the worst fields their names, and without the rows of single fields."""
        everything = asdict(replace(self, worst=[], per_field=[]))
        del everything["per_field"]
        return {**everything, "worst": [{"field": w.row.field, "off": w.row.off, "mistakes": w.row.mistakes} for w in self.worst]}


def evaluate(  # noqa: PLR0913
    records: Iterable[Record],
    candidate: Candidate,
    train: Sequence[Record] = (),
    domain_of: DomainOf | None = None,
    smears: Mapping[str, str] | None = None,
    unread: Sequence[Unread] = (),
    against: Candidate | None = None,
    other_labels: Sequence[Record] = (),
) -> Evaluation:
    """Run a detector over labelled fields and compare.

    Args:
        records: labelled fields with their images.
        train: fields whose median counts are the constant baseline.
        domain_of: the domain of a field by its name; None where all are of one.
        smears: the smear of each field by its name, where that is known; whole smears are then drawn for the intervals.
        unread: fields that are known beforehand to be of no use; they are listed with those found here.
        against: another detector, to see the same fields.
        other_labels: other labels of these fields, joined by name.

    Raises:
        MissingExtraError: pycocotools is not installed.
        NothingToDoError: no field has an image that can be read.
    """
    precision.reference()
    (fields, other), of_no_use = _searched(records, candidate, against, smears)
    if not fields.records:
        raise NothingToDoError("none of the labelled fields has an image that can be read")
    of_domain = _domains(fields.records, domain_of)
    per_field = field_rows(fields.records, fields.detections, fields.smears, of_domain, other.detections if against else None)
    return Evaluation(
        **vars(figures(fields, candidate.thresholds, train)),
        unread=[*unread, *of_no_use],
        saturated=[row.field for row in per_field if row.saturated],
        without_smear=[row.field for row in per_field if row.smear is None] if smears is not None else [],
        domains=_by_domain(fields, of_domain, candidate, train, domain_of) if of_domain and domain_of else {},
        failures=failures(fields.records, fields.detections),
        slices=slices(fields.records, fields.detections, fields.groups),
        per_field=per_field,
        worst=worst_fields(per_field, fields.records, fields.detections),
        truncated=[record.name for record, cells in zip(fields.records, fields.searched, strict=True) if cells.saturated],
        against=compare_detectors(fields, other, against.thresholds) if against else None,
        relabelled=relabelled(fields, other_labels, candidate.thresholds),
    )


def _searched(
    records: Iterable[Record], candidate: Candidate, against: Candidate | None, smears: Mapping[str, str] | None
) -> tuple[tuple[EvaluatedFields, EvaluatedFields], list[Unread]]:
    """Fields that could be read as either detector sees them, the other's without finds where there is none, and the others."""
    read: list[Record] = []
    unread: list[Unread] = []
    seen_by: list[list[tuple[Detections, Detections]]] = [[], []]
    for record in records:
        try:
            rgb = _pixels(record)
        except ImageError as error:
            unread.append(Unread(record.name, str(error)))
            continue
        read.append(record)
        for detector, seen in zip((candidate, against), seen_by, strict=True):
            if detector is not None:
                counted, searched = detector.find(rgb)
                seen.append((record.judged(counted), record.judged(searched)))
    field_smears = [smears.get(record.name) for record in read] if smears is not None else None
    mine, other = (
        EvaluatedFields(read, [counted for counted, _ in seen], [searched for _, searched in seen], field_smears)
        for seen in seen_by
    )
    return (mine, other), unread


def _pixels(record: Record) -> images.Rgb:
    if record.image is None:
        raise ImageError("labels without an image")
    rgb = images.read(record.image)
    if (rgb.shape[1], rgb.shape[0]) != record.size_wh:
        w, h = record.size_wh
        raise ImageError(f"is {rgb.shape[1]}x{rgb.shape[0]} px, its labels are for {w}x{h} px")
    return rgb


def _domains(records: Sequence[Record], domain_of: DomainOf | None) -> list[str] | None:
    """The domain of each field, or None where all are of one."""
    domains = [domain_of(record.name) for record in records] if domain_of else []
    return domains if len(set(domains)) > 1 else None


def _by_domain(
    fields: EvaluatedFields, of_domain: Sequence[str], candidate: Candidate, train: Sequence[Record], domain_of: DomainOf
) -> dict[str, Figures]:
    made = {}
    for domain in sorted(set(of_domain)):
        chosen = [i for i, name in enumerate(of_domain) if name == domain]
        of_train = [record for record in train if domain_of(record.name) == domain]
        made[domain] = figures(fields.subset(chosen), candidate.thresholds, of_train)
    return made


@dataclass(frozen=True)
class LabelledSplit:
    """Fields to evaluate: a split of a dataset folder, less those that are to be left out."""

    records: Sequence[Record]
    """At least one."""
    unusable: Sequence[Unread]
    """Fields of the split whose image or labels are missing or cannot be understood."""
    left_out: int
    """Fields of the split that were not asked for."""
    absent: Sequence[str]
    """Names that were to be left out and are not in the split."""


def load_split(data: Path, split: str, exclude: Path | None = None) -> LabelledSplit:
    """Fields of a split.

    Args:
        exclude: a text file of field names to leave out, one a line.

    Raises:
        AnnotationError: `data` is no dataset's. ConfigError: `exclude` cannot be read. NothingToDoError: no field is left.
    """
    loaded, out = dataset.load(data, split), names_in(exclude) if exclude else set()
    records = [record for record in loaded.records if record.name not in out]
    unusable = [field for field in loaded.unusable if field.source not in out]
    if not records:
        sizes = ", ".join(f"{name} has {n}" for name, n in loaded.splits.items()) or "no split has any"
        reasons = "".join(f"; {field.source}: {field.reason}" for field in unusable[:3])
        raise NothingToDoError(f"{data}: split {split!r} has no fields to evaluate (of images {sizes}){reasons}")
    names = {record.name for record in loaded.records} | {field.source for field in loaded.unusable}
    return LabelledSplit(records, unusable, len(out & names), sorted(out - names))


def load_all_splits(data: Path) -> list[Record]:
    """The records of all splits, as other labels of fields that are joined by name.

    Raises:
        AnnotationError: `data` is no dataset's.
    """
    return [record for split in SPLITS for record in dataset.load(data, split).records]


def names_in(path: Path) -> set[str]:
    """Names of fields in a text file, one a line.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        return {line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()} - {""}
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"{path}: cannot be read as a list of names, one a line ({reason})") from None
