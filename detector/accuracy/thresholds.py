"""The score from which a detection counts as a cell, chosen for the least error of the count."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detector.annotations.records import Record
from detector.vision.cells import CLASSES
from detector.vision.detections import Detections

GRID = np.arange(10, 91) / 100
"""Thresholds that are tried."""
LEAST_SCORE = 0.05
"""Detections for tuning must reach down to this score."""

_PLATEAU = 0.01


@dataclass(frozen=True)
class Tuned:
    """Thresholds and the error that they leave on the fields they were tuned on."""

    thresholds: dict[str, float]
    """By class name."""
    error: dict[str, dict[str, float]]
    """Mean absolute error of the count per field, by group of fields and class name."""
    unfound: tuple[str, ...]
    """Classes of which there are cells and none is found at any threshold: these need longer training or other data."""


def tune(records: Sequence[Record], found: Sequence[Detections], groups: Sequence[str]) -> Tuned:
    """Choose each class's threshold for the least mean absolute error of the count per field.

    Every group of fields (a dataset, a stain) weighs the same, whatever its number of fields. Where neighbouring thresholds
    do about as well, the middle of them is taken, which other fields upset least.

    Args:
        found: detections of each record's image, down to `LEAST_SCORE`.
        groups: the group of each record.

    Raises:
        ValueError: there is no field, or the arguments differ in length.
    """
    if not records or not len(records) == len(found) == len(groups):
        raise ValueError(
            f"need equal, positive numbers of records, detections and groups: {len(records)}, {len(found)}, {len(groups)}"
        )
    names = sorted(set(groups))
    group = np.array([names.index(one) for one in groups])
    thresholds: dict[str, float] = {}
    error: dict[str, dict[str, float]] = {name: {} for name in names}
    for label, class_name in enumerate(CLASSES):
        by_field = _errors(records, found, label)
        by_group = np.stack([by_field[group == i].mean(axis=0) for i in range(len(names))])
        chosen = _middle_of_best(by_group.mean(axis=0))
        thresholds[class_name] = float(GRID[chosen])
        for i, name in enumerate(names):
            error[name][class_name] = float(by_group[i, chosen])
    return Tuned(thresholds, error, tuple(_unfound(records, found)))


def _unfound(records: Sequence[Record], found: Sequence[Detections]) -> Iterator[str]:
    for label, name in enumerate(CLASSES):
        there = any((record.label == label).any() for record in records)
        if there and not any((one.score[one.label == label] >= GRID[0]).any() for one in found):
            yield name


def _errors(records: Sequence[Record], found: Sequence[Detections], label: int) -> NDArray[np.float64]:
    """Absolute error of the count of each field at each threshold of the grid, of shape (fields, thresholds)."""
    errors = np.empty((len(records), len(GRID)))
    for i, (record, one) in enumerate(zip(records, found, strict=True)):
        score = np.sort(one.score[one.label == label].astype(np.float64))
        counted = len(score) - np.searchsorted(score, GRID - 1e-9)
        errors[i] = np.abs(counted - int((record.label == label).sum()))
    return errors


def _middle_of_best(error: NDArray[np.float64]) -> int:
    """Index in the middle of the run of thresholds around the best that are about as good."""
    best = int(error.argmin())
    good = error <= error[best] + _PLATEAU
    low = high = best
    while low > 0 and good[low - 1]:
        low -= 1
    while high < len(error) - 1 and good[high + 1]:
        high += 1
    return (low + high) // 2
