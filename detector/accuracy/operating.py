"""Precision, recall, F1 and accuracy at the model's own thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detector.accuracy import confusion
from detector.accuracy.bootstrap import Floats, divide
from detector.accuracy.shares import share
from detector.annotations.records import Record
from detector.counting.intervals import Interval
from detector.vision.cells import CLASSES
from detector.vision.detections import Detections

RATES = ("precision", "recall", "f1", "accuracy", "named_right")


@dataclass(frozen=True)
class Operating:
    """How one class is found at the operating thresholds, with matches at `matching.IOU`."""

    true: int
    """Detections that are labelled cells."""
    false: int
    """Detections that are none."""
    missed: int
    """Labelled cells that were not found."""
    precision: Interval | None
    """true / (true + false); None without detections."""
    recall: Interval | None
    """true / (true + missed); None without labelled cells."""
    f1: Interval | None
    """2 true / (2 true + false + missed); None where there is neither."""
    accuracy: Interval | None
    """true / (true + false + missed); None where there is neither. Accuracy as a paper on classification has it, (TP + TN) / all, needs
    true negatives, places where rightly no cell was found, and these cannot be counted in a field; without them it is this."""
    named_right: Interval | None
    """Of the class's labelled cells that were found under whatever name, the share found under their own; None where none was."""


def operating(
    records: Sequence[Record], found: Sequence[Detections], groups: Sequence[str] | None = None
) -> dict[str, Operating]:
    """Figures of each class over fields, intervals by the scatter between fields (`shares`).

    Args:
        found: detections of each record's image that are counted.
        groups: the smear of each field; where there are two or more, the scatter is that between smears.
    """
    return of_tally(confusion.tally(records, found), groups)


def of_tally(tallied: NDArray[np.int64], groups: Sequence[str] | None = None) -> dict[str, Operating]:
    """The same from what `confusion.tally` gives."""
    numbers_of = numbers(tallied)
    return {name: _class(numbers_of[:, :, label], groups) for label, name in enumerate(CLASSES)}


def tally(records: Sequence[Record], found: Sequence[Detections]) -> NDArray[np.int64]:
    """How many were found truly, found falsely and missed in each field, by class; of shape (fields, 3, classes)."""
    return numbers(confusion.tally(records, found))[:, :3]


def rates(numbers: Floats) -> Floats:
    """`RATES` of shape (samples, rates), nan where undefined.

    Args:
        numbers: found truly, falsely, missed, and found under another name, of shape (samples, 4).
    """
    true, false, missed, renamed = numbers.T
    return np.stack(
        [
            divide(true, true + false),
            divide(true, true + missed),
            divide(2 * true, 2 * true + false + missed),
            divide(true, true + false + missed),
            divide(true, true + renamed),
        ],
        axis=1,
    )


def numbers(tallied: NDArray[np.int64]) -> NDArray[np.int64]:
    """Found truly, falsely, missed, and found under another name, of shape (fields, 4, classes)."""
    true = np.diagonal(tallied, axis1=1, axis2=2)[:, :-1]
    labelled, counted = tallied[:, :-1].sum(axis=2), tallied[:, :, :-1].sum(axis=1)
    renamed = tallied[:, :-1, :-1].sum(axis=2) - true
    return np.stack([true, counted - true, labelled - true, renamed], axis=1)


def _class(numbers: NDArray[np.int64], groups: Sequence[str] | None) -> Operating:
    """From numbers of shape (fields, 4)."""
    true, false, missed, renamed = numbers.T
    accuracy = share(true, false + missed, groups)
    return Operating(
        true=int(true.sum()),
        false=int(false.sum()),
        missed=int(missed.sum()),
        precision=share(true, false, groups),
        recall=share(true, missed, groups),
        f1=accuracy and _f1(accuracy),
        accuracy=accuracy,
        named_right=share(true, renamed, groups),
    )


def _f1(accuracy: Interval) -> Interval:
    """F1, which rises with accuracy and is told by it alone."""
    low, high = (None if limit is None else 2 * limit / (1 + limit) for limit in (accuracy.low, accuracy.high))
    return Interval(2 * accuracy.value / (1 + accuracy.value), low, high)
