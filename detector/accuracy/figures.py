"""All figures of a detector on some labelled fields, beside those of another detector, and by the labels of somebody else.

For two detectors the same fields, or smears, are drawn, as `counts` explains.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from detector.accuracy import matching, precision
from detector.accuracy.counts import Agreement, Differences, agreement, clear_of_border_zone, differences
from detector.accuracy.intervals import SHARES_APART, Floats, bootstrap, groups_by_smear, resamples, units
from detector.accuracy.matching import Confusion, Operating, confusion, operating_of
from detector.accuracy.precision import AveragePrecision, Curves, Ranking, Sampled, curves
from detector.accuracy.yardsticks import constant_baseline
from detector.annotations.records import Record
from detector.counting.intervals import Interval
from detector.vision.cells import CLASSES
from detector.vision.detections import Detections

CountArray = NDArray[np.int64]
"""Cells of each field and class, of shape (fields, classes)."""


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
    constant_baseline: dict[str, Agreement] | None
    """The constant baseline against all labelled cells; None without training fields."""
    per_smear: dict[str, Agreement] | None
    """Counts of whole smears against all their labelled cells, in cells per smear; None without two smears."""


class EvaluatedFields:
    """Labelled fields with what was found in each; what several figures need of them is worked out once."""

    def __init__(
        self,
        records: Sequence[Record],
        detections: Sequence[Detections],
        searched: Sequence[Detections],
        smears: Sequence[str | None] | None = None,
    ) -> None:
        """Take parallel sequences.

        Args:
            detections: the cells that count.
            searched: those from `precision.MIN_SCORE` on.
            smears: the smear of each field, or None where that of none is known.
        """
        self.records, self.detections, self.searched, self.smears = records, detections, searched, smears

    def subset(self, chosen: Sequence[int]) -> EvaluatedFields:
        """Some of them, by index."""
        return EvaluatedFields(
            [self.records[i] for i in chosen],
            [self.detections[i] for i in chosen],
            [self.searched[i] for i in chosen],
            None if self.smears is None else [self.smears[i] for i in chosen],
        )

    def with_labels(self, records: Sequence[Record]) -> EvaluatedFields:
        """The same with other labels."""
        return EvaluatedFields(records, self.detections, self.searched, self.smears)

    @cached_property
    def groups(self) -> list[str] | None:
        """What is drawn together; a field of no known smear is drawn by itself."""
        if self.smears is None:
            return None
        return groups_by_smear([record.name for record in self.records], self.smears)

    @cached_property
    def ranking(self) -> Ranking:
        """By the reference."""
        return precision.rank(self.records, self.searched)

    @cached_property
    def sampled(self) -> Sampled:
        """Average precision of all fields and of resampled ones."""
        return precision.sample(self.ranking, self.groups)

    @cached_property
    def confusions(self) -> NDArray[np.int64]:
        """What was taken for what, as `matching.confusions` gives it."""
        return matching.confusions(self.records, self.detections)

    def truth(self, clear: bool = False) -> CountArray:
        """Labelled cells, all or those clear of the border."""
        return count_cells(self.records, clear)

    def counted(self, clear: bool = False) -> CountArray:
        """Cells that were found."""
        return count_cells(self.detections, clear)


def figures(fields: EvaluatedFields, thresholds: Mapping[str, float], train: Sequence[Record] = ()) -> Figures:
    """All figures.

    Args:
        thresholds: from which score a cell counts, by class name.
        train: fields whose median counts are the constant baseline.
    """
    groups, truth, counted = fields.groups, fields.truth(), fields.counted()
    return Figures(
        fields=len(fields.records),
        average_precision=precision.with_intervals(fields.sampled),
        operating=operating_of(fields.confusions, groups),
        confusion=confusion(fields.confusions, groups),
        curves=curves(fields.ranking, thresholds),
        all_cells=agreements(counted, truth, groups),
        clear_cells=agreements(fields.counted(clear=True), fields.truth(clear=True), groups),
        constant_baseline=agreements(_baseline(train, len(truth)), truth, groups) if train else None,
        per_smear=_per_smear(counted, truth, fields.smears),
    )


def agreements(counted: CountArray, truth: CountArray, groups: Sequence[str] | None = None) -> dict[str, Agreement]:
    """Agreement of each class, by name, of counts of shape (fields, classes)."""
    return {name: agreement(counted[:, i].tolist(), truth[:, i].tolist(), groups) for i, name in enumerate(CLASSES)}


def count_cells(fields: Sequence[Record] | Sequence[Detections], clear: bool) -> CountArray:
    """Cells of each field and class, all or those clear of the border; of shape (fields, classes)."""
    labels = [field.label[clear_of_border_zone(field.xyxy, field.size_wh)] if clear else field.label for field in fields]
    return np.array([np.bincount(label, minlength=len(CLASSES)) for label in labels], np.int64).reshape(-1, len(CLASSES))


def _baseline(train: Sequence[Record], fields: int) -> CountArray:
    return np.tile(constant_baseline(count_cells(train, clear=False).tolist()), (fields, 1))


def _per_smear(counted: CountArray, truth: CountArray, smears: Sequence[str | None] | None) -> dict[str, Agreement] | None:
    field_smears = np.array([smear or "" for smear in smears or ()])
    names = sorted(set(field_smears.tolist()) - {""})
    if len(names) < 2:
        return None
    p, t = (np.array([counts[field_smears == name].sum(axis=0) for name in names]) for counts in (counted, truth))
    return agreements(p, t)


@dataclass(frozen=True)
class RateDifferences:
    """Differences in how one class is found at each detector's own thresholds; None where a figure is undefined for either."""

    precision: Interval | None
    recall: Interval | None
    f1: Interval | None
    accuracy: Interval | None
    named_right: Interval | None


@dataclass(frozen=True)
class DetectorDifferences:
    """Figures of a detector less those of another on the same fields, by class name; positive where the first has more."""

    ap50: dict[str, Interval | None]
    ap50_95: dict[str, Interval | None]
    mean_ap50: Interval | None
    mean_ap50_95: Interval | None
    operating: dict[str, RateDifferences]
    all_cells: dict[str, Differences]
    """Of the counts of all cells."""
    clear_cells: dict[str, Differences]
    """Of the counts of cells clear of the border."""
    other: Figures
    """The other detector by itself."""
    other_saturated: list[str]
    """Fields in which the other found as many cells as it may."""


def compare_detectors(
    fields: EvaluatedFields, other: EvaluatedFields, other_thresholds: Mapping[str, float]
) -> DetectorDifferences:
    """Compare what two detectors found in the same records; `fields` is of the first.

    Raises:
        ValueError: the records are not the same.
    """
    if [r.name for r in fields.records] != [r.name for r in other.records]:
        raise ValueError("detectors can only be compared on the same fields")
    at50 = _apart(fields, fields.sampled.ap50(), other.sampled.ap50())
    at50_95 = _apart(fields, fields.sampled.ap50_95(), other.sampled.ap50_95())
    return DetectorDifferences(
        ap50=dict(zip(CLASSES, at50, strict=False)),
        ap50_95=dict(zip(CLASSES, at50_95, strict=False)),
        mean_ap50=at50[-1],
        mean_ap50_95=at50_95[-1],
        operating=_rate_differences(fields, other),
        all_cells=_count_differences(fields, other, clear=False),
        clear_cells=_count_differences(fields, other, clear=True),
        other=figures(other, other_thresholds),
        other_saturated=[r.name for r, cells in zip(other.records, other.detections, strict=True) if cells.saturated],
    )


def _apart(fields: EvaluatedFields, a: tuple[Floats, Floats], b: tuple[Floats, Floats]) -> list[Interval | None]:
    """Differences of figures that are given as values of shape (n,) and samples of shape (samples, n)."""
    value, drawn = a[0] - b[0], a[1] - b[1]
    drawn_from = units(len(fields.records), fields.groups)
    return [bootstrap(float(v), drawn[:, i], drawn_from, SHARES_APART) for i, v in enumerate(value)]


def _rate_differences(fields: EvaluatedFields, other: EvaluatedFields) -> dict[str, RateDifferences]:
    weights = resamples(len(fields.records), groups=fields.groups)
    of_both = [matching.match_counts(side.confusions) for side in (fields, other)]
    made = {}
    for label, name in enumerate(CLASSES):
        a, b = (
            (matching.operating_rates(counts.sum(axis=0)[None].astype(np.float64))[0], matching.operating_rates(weights @ counts))
            for counts in (numbers[:, :, label] for numbers in of_both)
        )
        made[name] = RateDifferences(*_apart(fields, a, b))
    return made


def _count_differences(fields: EvaluatedFields, other: EvaluatedFields, clear: bool) -> dict[str, Differences]:
    a, b, truth = fields.counted(clear), other.counted(clear), fields.truth(clear)
    return {
        name: differences(a[:, i].tolist(), b[:, i].tolist(), truth[:, i].tolist(), fields.groups)
        for i, name in enumerate(CLASSES)
    }


@dataclass(frozen=True)
class Relabelled:
    """Fields that stand in both label sets; all figures are of these."""

    first: Figures
    """By the labels of the evaluation."""
    second: Figures
    """By the other labels."""
    labels: dict[str, Agreement]
    """Cells that the other labels have against those that the first have, by class name: what differs before any detector looks."""
    only_first: Sequence[str]
    """Fields that were evaluated and are not among the other labels."""
    only_second: Sequence[str]
    """Fields of the other labels that were not evaluated."""
    other_size: Sequence[str]
    """Fields whose images are of another size in the other set; they are in no figure."""


def relabelled(fields: EvaluatedFields, others: Sequence[Record], thresholds: Mapping[str, float]) -> Relabelled | None:
    """Figures by both label sets, joined by the names of fields; None where no field stands in both.

    Args:
        others: the records of the other labels.
        thresholds: from which score a cell counts, by class name.
    """
    by_name = {record.name: record for record in others}
    names = [record.name for record in fields.records]
    sized = {record.name: record.size_wh for record in fields.records}
    unlike = [name for name in names if name in by_name and by_name[name].size_wh != sized[name]]
    shared = [i for i, name in enumerate(names) if name in by_name and name not in unlike]
    if not shared:
        return None
    first = fields.subset(shared)
    second = first.with_labels([by_name[record.name] for record in first.records])
    return Relabelled(
        first=figures(first, thresholds),
        second=figures(second, thresholds),
        labels=agreements(second.truth(), first.truth(), first.groups),
        only_first=[name for name in names if name not in by_name],
        only_second=sorted(by_name.keys() - set(names)),
        other_size=unlike,
    )
