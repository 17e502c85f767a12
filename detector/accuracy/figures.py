"""All figures of a detector on some labelled fields."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from detector.accuracy import confusion as confusions
from detector.accuracy import precision
from detector.accuracy.agreement import Agreement, agreement, clear_of_border, constant_guess
from detector.accuracy.bootstrap import by_smear
from detector.accuracy.confusion import Confusion, confusion
from detector.accuracy.curves import Curves, curves
from detector.accuracy.operating import Operating, of_tally
from detector.accuracy.precision import AveragePrecision, Ranking, Sampled
from detector.annotations.records import Record
from detector.vision.cells import CLASSES
from detector.vision.detections import Detections

Counts = NDArray[np.int64]
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
    guess: dict[str, Agreement] | None
    """The constant baseline against all labelled cells; None without training fields."""
    per_smear: dict[str, Agreement] | None
    """Counts of whole smears against all their labelled cells, in cells per smear; None without two smears."""


class Fields:
    """Labelled fields with what was found in each; what several figures need of them is worked out once."""

    def __init__(
        self,
        records: Sequence[Record],
        found: Sequence[Detections],
        searched: Sequence[Detections],
        smears: Sequence[str | None] | None = None,
    ) -> None:
        """Take parallel sequences.

        Args:
            found: the cells that count.
            searched: those from `precision.MIN_SCORE` on.
            smears: the smear of each field, or None where that of none is known.
        """
        self.records, self.found, self.searched, self.smears = records, found, searched, smears

    def only(self, chosen: Sequence[int]) -> Fields:
        """Some of them, by index."""
        return Fields(
            [self.records[i] for i in chosen],
            [self.found[i] for i in chosen],
            [self.searched[i] for i in chosen],
            None if self.smears is None else [self.smears[i] for i in chosen],
        )

    def labelled(self, records: Sequence[Record]) -> Fields:
        """The same with other labels."""
        return Fields(records, self.found, self.searched, self.smears)

    @cached_property
    def groups(self) -> list[str] | None:
        """What is drawn together; a field of no known smear is drawn by itself."""
        if self.smears is None:
            return None
        return by_smear([record.name for record in self.records], self.smears)

    @cached_property
    def ranking(self) -> Ranking:
        """By the reference."""
        return precision.rank(self.records, self.searched)

    @cached_property
    def sampled(self) -> Sampled:
        """Average precision of all fields and of resampled ones."""
        return precision.sample(self.ranking, self.groups)

    @cached_property
    def tallied(self) -> NDArray[np.int64]:
        """What was taken for what, as `confusion.tally` gives it."""
        return confusions.tally(self.records, self.found)

    def truth(self, clear: bool = False) -> Counts:
        """Labelled cells, all or those clear of the border."""
        return _counts(self.records, clear)

    def counted(self, clear: bool = False) -> Counts:
        """Cells that were found."""
        return _counts(self.found, clear)


def figures(fields: Fields, thresholds: Mapping[str, float], train: Sequence[Record] = ()) -> Figures:
    """All figures.

    Args:
        thresholds: from which score a cell counts, by class name.
        train: fields whose median counts are the constant baseline.
    """
    groups, truth, counted = fields.groups, fields.truth(), fields.counted()
    return Figures(
        fields=len(fields.records),
        average_precision=precision.figures(fields.sampled),
        operating=of_tally(fields.tallied, groups),
        confusion=confusion(fields.tallied, groups),
        curves=curves(fields.ranking, thresholds),
        all_cells=agreements(counted, truth, groups),
        clear_cells=agreements(fields.counted(clear=True), fields.truth(clear=True), groups),
        guess=agreements(_guess(train, len(truth)), truth, groups) if train else None,
        per_smear=_per_smear(counted, truth, fields.smears),
    )


def agreements(counted: Counts, truth: Counts, groups: Sequence[str] | None = None) -> dict[str, Agreement]:
    """Agreement of each class, by name, of counts of shape (fields, classes)."""
    return {name: agreement(counted[:, i].tolist(), truth[:, i].tolist(), groups) for i, name in enumerate(CLASSES)}


def _counts(fields: Sequence[Record] | Sequence[Detections], clear: bool) -> Counts:
    labels = [of.label[clear_of_border(of.xyxy, of.size_wh)] if clear else of.label for of in fields]
    return np.array([np.bincount(label, minlength=len(CLASSES)) for label in labels])


def _guess(train: Sequence[Record], fields: int) -> Counts:
    return np.tile(constant_guess(_counts(train, clear=False).tolist()), (fields, 1))


def _per_smear(counted: Counts, truth: Counts, smears: Sequence[str | None] | None) -> dict[str, Agreement] | None:
    of = np.array([smear or "" for smear in smears or ()])
    names = sorted(set(of.tolist()) - {""})
    if len(names) < 2:
        return None
    p, t = (np.array([counts[of == name].sum(axis=0) for name in names]) for counts in (counted, truth))
    return agreements(p, t)
