"""Precision, recall and F1 at the model's own thresholds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from detector.accuracy.bootstrap import Figure, Floats, divide, figure, resamples
from detector.accuracy.matching import match
from detector.annotations.records import Record
from detector.vision.cells import CLASSES
from detector.vision.detections import Detections


@dataclass(frozen=True)
class Operating:
    """How one class is found at the operating thresholds, with matches at `matching.IOU`."""

    true: int
    """Detections that are labelled cells."""
    false: int
    """Detections that are none."""
    missed: int
    """Labelled cells that were not found."""
    precision: Figure | None
    """true / (true + false); None without detections."""
    recall: Figure | None
    """true / (true + missed); None without labelled cells."""
    f1: Figure | None
    """2 true / (2 true + false + missed); None where there is neither."""


def operating(records: Sequence[Record], found: Sequence[Detections]) -> dict[str, Operating]:
    """Figures of each class over fields, intervals by bootstrap over fields; `found` is parallel to `records`."""
    tallied = tally(records, found)
    weights = resamples(len(records))
    return {name: _class(tallied[:, :, label], weights) for label, name in enumerate(CLASSES)}


def tally(records: Sequence[Record], found: Sequence[Detections]) -> Floats:
    """How many were found truly, found falsely and missed in each field, by class; of shape (fields, 3, classes)."""
    tallied = np.zeros((len(records), 3, len(CLASSES)))
    for i, (record, detections) in enumerate(zip(records, found, strict=True)):
        pairs = match(detections, record.xyxy, record.label)
        for j, labels in enumerate((record.label[pairs.truth], detections.label[pairs.false], record.label[pairs.missed])):
            tallied[i, j] = np.bincount(labels, minlength=len(CLASSES))
    return tallied


def _class(tally: Floats, weights: Floats) -> Operating:
    total, drawn = tally.sum(axis=0), weights @ tally
    figures = [figure(float(value[0]), samples) for value, samples in zip(_rates(total[None]), _rates(drawn), strict=True)]
    true, false, missed = (int(n) for n in total)
    return Operating(true, false, missed, *figures)


def _rates(tally: Floats) -> tuple[Floats, Floats, Floats]:
    """Precision, recall and F1 of tallies of shape (samples, 3)."""
    true, false, missed = tally.T
    return divide(true, true + false), divide(true, true + missed), divide(2 * true, 2 * true + false + missed)
