"""Which detection is which labelled cell, which class is taken for which, and precision and recall at the model's own thresholds.

Detections at the operating thresholds are paired with labelled cells one to one at an overlap of `IOU`, in two steps:
first within their class, by the rule of `match`; then what is left over on either side, by the same rule whatever
the class. The first step decides what is right, so the diagonal is `Operating.true`, the rest of a row adds up to what was
missed of its class, and the rest of a column to what was found falsely. A cell that is found twice, once under
its own name and once under another, is found rightly, and the other find stands where nothing is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detector.accuracy.intervals import Floats, divide, share
from detector.annotations.records import Record
from detector.counting import intervals
from detector.counting.intervals import Interval
from detector.vision import boxes
from detector.vision.cells import CLASSES
from detector.vision.detections import Detections
from detector.vision.sums import FieldSums, ValSums

Indices = NDArray[np.int64]

IOU = 0.5
"""Overlap from which a detection is the labelled cell."""
NOTHING, MISSED = "nothing there", "missed"
RATES = ("precision", "recall", "f1", "accuracy", "named_right")


@dataclass(frozen=True, eq=False)
class Match:
    """Detections and truth of one field, paired; all arrays are indices."""

    matched: Indices
    """Paired detections, best score first, of shape (m,)."""
    truth: Indices
    """The labelled cell of each, of shape (m,)."""
    false: Indices
    """Detections that are no labelled cell, of shape (len(detections) - m,)."""
    missed: Indices
    """Labelled cells that no detection is, of shape (len(truth) - m,)."""


def match(detections: Detections, xyxy: boxes.Boxes, label: Indices, iou_threshold: float = IOU) -> Match:
    """Pair detections with labelled cells of their class, one to one.

    In order of score, equal scores in their given order, each detection takes the free cell of its class that it overlaps most,
    if by `iou_threshold` or more. This is the rule of COCO's evaluation (Lin et al., ECCV 2014).

    Args:
        detections: what was found in a field.
        xyxy: labelled boxes in pixels, half-open edges, of shape (n, 4).
        label: their classes, of shape (n,).
    """
    overlap = boxes.iou(detections.xyxy, xyxy)
    matched, truth = _pairs(np.where(detections.label[:, None] == label[None, :], overlap, -1.0), detections.score, iou_threshold)
    return Match(matched, truth, _others(len(detections), matched), _others(len(label), truth))


def misnamed(detections: Detections, xyxy: boxes.Boxes, pairs: Match, iou_threshold: float = IOU) -> tuple[Indices, Indices]:
    """Pair false detections with missed cells by the same rule, whatever their class: cells that were found under a wrong name.

    Returns:
        Indices of the detections and of the labelled cell of each, both of shape (m,).
    """
    overlap = boxes.iou(detections.xyxy[pairs.false], xyxy[pairs.missed])
    wrong, truth = _pairs(overlap, detections.score[pairs.false], iou_threshold)
    return pairs.false[wrong], pairs.missed[truth]


def _pairs(overlap: NDArray[np.float32], score: NDArray[np.float32], iou_threshold: float) -> tuple[Indices, Indices]:
    """Rows and columns that are paired; `overlap` is of shape (detections, cells)."""
    left = np.array(overlap)
    pairs: list[tuple[int, int]] = []
    if left.shape[1]:
        for i in np.argsort(-score, kind="stable"):
            j = int(np.argmax(left[i]))
            if left[i, j] >= iou_threshold:
                pairs.append((int(i), j))
                left[:, j] = -1.0
    rows, columns = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return rows, columns


def _others(n: int, taken: Indices) -> Indices:
    return np.setdiff1d(np.arange(n, dtype=np.int64), taken)


@dataclass(frozen=True)
class Confusion:
    """Labelled cells by what they were found as."""

    truth: tuple[str, ...]
    """What is labelled, a row each: the classes, and `NOTHING`."""
    found: tuple[str, ...]
    """What was found, a column each: the classes, and `MISSED`."""
    cells: tuple[tuple[int, ...], ...]
    """How many, a tuple a row. What is not there and was not found is not counted: the last of all is 0."""
    named_right: Interval | None
    """Of the cells that were found under whatever name, the share found under their own; None where none was."""


def confusion(confused: NDArray[np.int64], groups: Sequence[str] | None = None) -> Confusion:
    """All fields together.

    Args:
        confused: of each field, as `confusions` gives them.
        groups: the smear of each field, as `intervals.share` takes it.
    """
    located = confused[:, :-1, :-1]
    right = np.trace(located, axis1=1, axis2=2)
    cells = tuple(tuple(row) for row in confused.sum(axis=0).tolist())
    return Confusion((*CLASSES, NOTHING), (*CLASSES, MISSED), cells, share(right, located.sum(axis=(1, 2)) - right, groups))


def confusions(records: Sequence[Record], detections: Sequence[Detections]) -> NDArray[np.int64]:
    """Cells of each field by what is labelled (rows) and what was found (columns), in the order of `Confusion`.

    Args:
        detections: detections of each record's image that are counted.

    Returns:
        Whole numbers of shape (fields, classes + 1, classes + 1).
    """
    none = len(CLASSES)
    confused = np.zeros((len(records), none + 1, none + 1), dtype=np.int64)
    for of_field, record, cells in zip(confused, records, detections, strict=True):
        pairs = match(cells, record.xyxy, record.label)
        wrong, taken = misnamed(cells, record.xyxy, pairs)
        named, alone = np.full(len(record.label), none), np.ones(len(cells), dtype=bool)
        for paired, labelled in ((pairs.matched, pairs.truth), (wrong, taken)):
            named[labelled], alone[paired] = cells.label[paired], False
        np.add.at(of_field, (record.label, named), 1)
        of_field[none, :none] = np.bincount(cells.label[alone], minlength=none)
    return confused


@dataclass(frozen=True)
class Operating:
    """How one class is found at the operating thresholds, with matches at `IOU`."""

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
    records: Sequence[Record], detections: Sequence[Detections], groups: Sequence[str] | None = None
) -> dict[str, Operating]:
    """Figures of each class over fields, intervals by the scatter between fields (`intervals.share`).

    Args:
        detections: detections of each record's image that are counted.
        groups: the smear of each field; where there are two or more, the scatter is that between smears.
    """
    return operating_of(confusions(records, detections), groups)


def operating_of(confused: NDArray[np.int64], groups: Sequence[str] | None = None) -> dict[str, Operating]:
    """The same from what `confusions` gives."""
    counts = match_counts(confused)
    return {name: _operating(counts[:, :, label], groups) for label, name in enumerate(CLASSES)}


def hit_counts(records: Sequence[Record], detections: Sequence[Detections]) -> NDArray[np.int64]:
    """How many were found truly, found falsely and missed in each field, by class; of shape (fields, 3, classes)."""
    return match_counts(confusions(records, detections))[:, :3]


def operating_rates(numbers: Floats) -> Floats:
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


def match_counts(confused: NDArray[np.int64]) -> NDArray[np.int64]:
    """Found truly, falsely, missed, and found under another name, of shape (fields, 4, classes)."""
    true = np.diagonal(confused, axis1=1, axis2=2)[:, :-1]
    labelled, counted = confused[:, :-1].sum(axis=2), confused[:, :, :-1].sum(axis=1)
    renamed = confused[:, :-1, :-1].sum(axis=2) - true
    return np.stack([true, counted - true, labelled - true, renamed], axis=1)


def _operating(numbers: NDArray[np.int64], groups: Sequence[str] | None) -> Operating:
    """From numbers of shape (fields, 4)."""
    true, false, missed, renamed = numbers.T
    accuracy = share(true, false + missed, groups)
    return Operating(
        true=int(true.sum()),
        false=int(false.sum()),
        missed=int(missed.sum()),
        precision=share(true, false, groups),
        recall=share(true, missed, groups),
        # F1 rises with accuracy, and is told by it alone.
        f1=accuracy and accuracy.mapped(lambda value: 2 * value / (1 + value)),
        accuracy=accuracy,
        named_right=share(true, renamed, groups),
    )


def val_sums(records: Sequence[Record], detections: Sequence[Detections], domains: Sequence[str]) -> ValSums:
    """What counts of validation fields tell of a detector's error, as sums of each class and domain that a model file carries.

    Args:
        detections: the detections of each record's image that are counted.
        domains: the domain of each record, such as a dataset, a stain or a camera.

    Raises:
        ValueError: the arguments differ in length.
    """
    if not len(records) == len(detections) == len(domains):
        raise ValueError(
            f"need equal numbers of records, detections and domains: {len(records)}, {len(detections)}, {len(domains)}"
        )
    hits, domain_of_field = hit_counts(records, detections), np.array(domains)
    return {
        name: {domain: _field_sums(hits[domain_of_field == domain][:, :, label].T.tolist()) for domain in sorted(set(domains))}
        for label, name in enumerate(CLASSES)
    }


def precision_recall(records: Sequence[Record], detections: Sequence[Detections]) -> dict[str, dict[str, Interval | None]]:
    """`precision` and `recall` of each class over fields, with intervals from a single field too.

    None where there is nothing to be right or wrong about.
    """
    hits = hit_counts(records, detections)
    by_class = {}
    for label, name in enumerate(CLASSES):
        true, false, missed = hits[:, :, label].T.tolist()
        by_class[name] = {"precision": intervals.share(true, false), "recall": intervals.share(true, missed)}
    return by_class


def _field_sums(fields: Sequence[Sequence[int]]) -> FieldSums:
    true, false, missed = fields
    counted = [a + b for a, b in zip(true, false, strict=True)]
    truth = [a + b for a, b in zip(true, missed, strict=True)]
    return FieldSums(
        fields=len(true),
        true=sum(true),
        false=sum(false),
        missed=sum(missed),
        counted_squared=sum(n * n for n in counted),
        truth_squared=sum(n * n for n in truth),
        counted_truth=sum(a * b for a, b in zip(counted, truth, strict=True)),
    )
