"""The score from which a detection counts as a cell, chosen for the least error of the count."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detector.accuracy.counts import clear_of_border_zone
from detector.accuracy.intervals import LEVEL, SAMPLES, SEED, Floats, resamples
from detector.annotations.records import Record
from detector.vision.cells import CLASSES
from detector.vision.detections import Detections

GRID = np.arange(10, 91) / 100
"""Thresholds that are tried."""
UNTUNED = 0.25
"""Threshold of a class of which no field has a labelled cell: nothing tells how many of its cells a threshold loses."""
LEAST_SCORE = 0.05
"""Detections for tuning must reach down to this score."""
ALL_WEIGHT = 0.1
"""What the error of all cells weighs beside that of cells clear of the border. Whether slivers at the border are labelled differs
from one stain's annotators to the next, and would else decide; `docs/thresholds.md` has the figures."""
TUNED_ON = f"cells clear of the border (that of all cells weighs {ALL_WEIGHT:g} beside it)"

_PLATEAU = 0.01
_NEAR_ERRORS = 0.5
"""Standard errors by which a threshold near the present one may do worse than the best."""


@dataclass(frozen=True, eq=False)
class Unseen:
    """Fields of laboratories as a model counts them that was trained without these laboratories."""

    records: Sequence[Record]
    detections: Sequence[Detections]
    """Of each record's image, down to `LEAST_SCORE`."""
    domains: Sequence[str]
    """The laboratory of each."""


@dataclass(frozen=True, eq=False)
class DomainTuning:
    """What a class's common threshold does in one domain; errors are mean absolute errors of the count per field."""

    fields: int
    error: Floats
    """Error of cells clear of the border at each threshold of `GRID`, of shape (thresholds,)."""
    all_error: Floats
    """The same of all cells."""
    own: int
    """Index of the threshold that this domain would choose by itself."""


@dataclass(frozen=True, eq=False)
class ClassTuning:
    """The threshold of one class, and what it rests on."""

    chosen: int
    """Index of the threshold in `GRID`."""
    low: float
    """Lower limit of 95 % of the thresholds chosen from resampled fields; far from `high`, it could as well be another."""
    high: float
    domains: dict[str, DomainTuning]
    """By name of the domain, sorted."""

    @property
    def threshold(self) -> float:
        """Score from which a detection counts as a cell."""
        return float(GRID[self.chosen])

    def document(self) -> dict[str, Any]:
        """As plain JSON values: the threshold's limits, and its price in each domain."""
        domains = {
            name: {
                "fields": domain.fields,
                "error": float(domain.error[self.chosen]),
                "own_threshold": float(GRID[domain.own]),
                "own_error": float(domain.error[domain.own]),
            }
            for name, domain in self.domains.items()
        }
        return {"low": self.low, "high": self.high, "domains": domains}


@dataclass(frozen=True)
class Tuned:
    """Thresholds and the error that they leave on the fields they were tuned on."""

    classes: dict[str, ClassTuning]
    """By class name."""
    unfound: tuple[str, ...]
    """Classes of which there are cells and none is found at any threshold: these need longer training or other data."""
    untuned: tuple[str, ...] = ()
    """Classes of which there is no cell: their threshold is `UNTUNED`."""

    @property
    def thresholds(self) -> dict[str, float]:
        """By class name."""
        return {name: tuning.threshold for name, tuning in self.classes.items()}

    @property
    def error(self) -> dict[str, dict[str, float]]:
        """Mean absolute error of the count of all cells per field, by domain and class name."""
        domains = next(iter(self.classes.values())).domains
        return {
            domain: {name: float(tuning.domains[domain].all_error[tuning.chosen]) for name, tuning in self.classes.items()}
            for domain in domains
        }

    def document(self) -> dict[str, Any]:
        """What a model's card says of the thresholds, as plain JSON values."""
        return {
            "val_count_error_per_field": self.error,
            "threshold_tuning": {name: tuning.document() for name, tuning in self.classes.items()},
        }


def tune(
    records: Sequence[Record], detections: Sequence[Detections], domains: Sequence[str], unseen: Unseen | None = None
) -> Tuned:
    """Choose each class's threshold for the least mean absolute error of the count per field, of cells clear of the border first.

    Where these leave a choice, the error of all cells decides, by its weight of `ALL_WEIGHT`. Every domain weighs the same,
    whatever its number of fields and however many cells a field of it holds: errors are taken per labelled cell where there is more
    than one a field, for else fields of a hundred cells would decide alone. Where neighbouring thresholds do about as well, the
    one of them that does best in unseen laboratories is taken; without any, the middle, which other fields upset least.

    Args:
        detections: detections of each record's image, down to `LEAST_SCORE`.
        domains: the domain of each record, such as a dataset, a stain or a camera.
        unseen: fields of other laboratories, for the choice between thresholds that do about as well.

    Raises:
        ValueError: there is no field, or the arguments differ in length.
    """
    if not records or not len(records) == len(detections) == len(domains):
        raise ValueError(
            f"need equal, positive numbers of records, detections and domains: {len(records)}, {len(detections)}, {len(domains)}"
        )
    of_domain = {name: np.flatnonzero(np.array(domains) == name) for name in sorted(set(domains))}
    classes = {
        name: _tuned(records, detections, of_domain, label, None if unseen is None else _unseen_goal(unseen, label))
        for label, name in enumerate(CLASSES)
    }
    untuned = (name for label, name in enumerate(CLASSES) if not any((record.label == label).any() for record in records))
    return Tuned(classes, tuple(_unfound(records, detections)), tuple(untuned))


def _tuned(
    records: Sequence[Record],
    detections: Sequence[Detections],
    of_domain: dict[str, NDArray[np.intp]],
    label: int,
    unseen: Floats | None,
) -> ClassTuning:
    clear, every = _errors(records, detections, label, clear=True), _errors(records, detections, label, clear=False)
    goal = clear + ALL_WEIGHT * every
    domains = {
        name: DomainTuning(
            len(fields), clear[fields].mean(axis=0), every[fields].mean(axis=0), middle_of_best(goal[fields].mean(axis=0))
        )
        for name, fields in of_domain.items()
    }
    if not any((record.label == label).any() for record in records):
        return ClassTuning(int(np.abs(GRID - UNTUNED).argmin()), float(GRID[0]), float(GRID[-1]), domains)
    goals = _alike(goal, records, of_domain, label)
    chosen = middle_of_best(np.mean([domain_goal.mean(axis=0) for domain_goal in goals], axis=0), unseen)
    return ClassTuning(chosen, *_spread(goals, unseen), domains)


def _alike(goal: Floats, records: Sequence[Record], of_domain: dict[str, NDArray[np.intp]], label: int) -> list[Floats]:
    """Goals of each domain, of shape (fields, thresholds), in cells of the domain that has the fewest a field."""
    cells = [max(float(np.mean([(records[i].label == label).sum() for i in fields])), 1.0) for fields in of_domain.values()]
    return [goal[fields] * (min(cells) / own) for fields, own in zip(of_domain.values(), cells, strict=True)]


def _unseen_goal(unseen: Unseen, label: int) -> Floats | None:
    """Mean over the laboratories that have a cell of the class, of shape (thresholds,); None where none has."""
    has = [name for name, record in zip(unseen.domains, unseen.records, strict=True) if (record.label == label).any()]
    of_domain = {name: np.flatnonzero(np.array(unseen.domains) == name) for name in sorted(set(has))}
    if not of_domain:
        return None
    error = [_errors(unseen.records, unseen.detections, label, clear) for clear in (True, False)]
    goals = _alike(error[0] + ALL_WEIGHT * error[1], unseen.records, of_domain, label)
    return np.asarray(np.mean([goal.mean(axis=0) for goal in goals], axis=0))


def nearest(records: Sequence[Record], detections: Sequence[Detections], present: Mapping[str, float]) -> dict[str, float]:
    """Thresholds of one laboratory, by class: each the nearest to the present one that counts its fields about as well as the best.

    All cells count, for what is labelled at the border is this laboratory's own choice. About as well is within half a standard error
    of the difference, so that few fields, or few cells, move a threshold little. Of a class without a cell it stays.

    Args:
        detections: detections of each record's image, down to `LEAST_SCORE`.
        present: thresholds of the model, by class.
    """
    near = dict(present)
    for label, name in enumerate(CLASSES):
        if not any((record.label == label).any() for record in records):
            continue
        error = _errors(records, detections, label, clear=False)
        more = error - error[:, [error.mean(axis=0).argmin()]]
        limit = _NEAR_ERRORS * more.std(axis=0, ddof=1) / np.sqrt(len(error)) if len(error) > 1 else np.zeros(len(GRID))
        good = GRID[more.mean(axis=0) <= limit + 1e-9]
        near[name] = float(good[np.abs(good - present[name]).argmin()])
    return near


def _spread(goals: Sequence[Floats], unseen: Floats | None) -> tuple[float, float]:
    """Limits of the thresholds chosen from resampled fields; `goals` of each domain, of shape (fields, thresholds)."""
    means = []
    for i, goal in enumerate(goals):
        fields = len(goal)
        # One field has nothing to be drawn from, and is in every sample.
        weights = resamples(fields, seed=SEED + i) if fields > 1 else np.ones((SAMPLES, 1))
        means.append(weights @ goal / fields)
    thresholds = GRID[[middle_of_best(mean, unseen) for mean in np.mean(means, axis=0)]]
    low, high = np.quantile(thresholds, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return float(low), float(high)


def _unfound(records: Sequence[Record], detections: Sequence[Detections]) -> Iterator[str]:
    for label, name in enumerate(CLASSES):
        there = any((record.label == label).any() for record in records)
        if there and not any((cells.score[cells.label == label] >= GRID[0]).any() for cells in detections):
            yield name


def _errors(records: Sequence[Record], detections: Sequence[Detections], label: int, clear: bool) -> Floats:
    """Absolute error of the count of each field at each threshold of the grid, of shape (fields, thresholds)."""
    errors = np.empty((len(records), len(GRID)))
    for i, (record, cells) in enumerate(zip(records, detections, strict=True)):
        labelled, seen = record.label == label, cells.label == label
        if clear:
            labelled &= clear_of_border_zone(record.xyxy, record.size_wh)
            seen &= clear_of_border_zone(cells.xyxy, cells.size_wh)
        score = np.sort(cells.score[seen].astype(np.float64))
        counted = len(score) - np.searchsorted(score, GRID - 1e-9)
        errors[i] = np.abs(counted - int(labelled.sum()))
    return errors


def middle_of_best(error: Floats, other: Floats | None = None) -> int:
    """Index in the middle of the run of thresholds around the best that are about as good.

    Args:
        other: another error, of shape (thresholds,); given, the middle of the best of that run by it is taken.
    """
    best = int(error.argmin())
    good = error <= error[best] + _PLATEAU
    low = high = best
    while low > 0 and good[low - 1]:
        low -= 1
    while high < len(error) - 1 and good[high + 1]:
        high += 1
    return (low + high) // 2 if other is None else low + middle_of_best(other[low : high + 1])
