"""Where a detector fails: the cells that it misses and those that it invents, by what is to be seen there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detector.accuracy.agreement import clear_of_border
from detector.accuracy.matching import IOU, match
from detector.annotations.records import Record
from detector.vision import boxes
from detector.vision.cells import CLASSES
from detector.vision.detections import Detections

AT_BORDER, OTHER_CLASS, CROWDED, ALONE = "at the border", "taken for another class", "among touching cells", "by itself"
KINDS = (AT_BORDER, OTHER_CLASS, CROWDED, ALONE)
"""Kinds of failure; each is of the first that fits."""
WORST = 3
"""Fields named of each class."""

_SHARED = 0.1
"""A cell that another one covers by this share of its own box is among touching cells."""


@dataclass(frozen=True)
class Worst:
    """A field that is counted badly."""

    field: str
    counted: int
    truth: int
    missed: dict[str, int]
    """Labelled cells that were not found, by kind; kinds without any are left out."""
    false: dict[str, int]
    """Detections that are no labelled cell of their class, by kind."""


@dataclass(frozen=True)
class Failures:
    """How one class fails over all fields."""

    missed: dict[str, int]
    """By kind, zeros included."""
    false: dict[str, int]
    worst: tuple[Worst, ...]
    """The fields with the largest errors of the count, at most `WORST`, worst first; none that is counted right."""


def failures(records: Sequence[Record], found: Sequence[Detections]) -> dict[str, Failures]:
    """Failures of each class at the operating thresholds, with matches at `matching.IOU`; `found` is parallel to `records`."""
    kinds = [_field(record, one) for record, one in zip(records, found, strict=True)]
    return {
        name: _class([_worst(r, d, k, label) for r, d, k in zip(records, found, kinds, strict=True)])
        for label, name in enumerate(CLASSES)
    }


_Kinds = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Index into `KINDS` of each labelled cell and of each detection; -1 where it is none of the failures."""


def _field(record: Record, one: Detections) -> _Kinds:
    pairs = match(one, record.xyxy, record.label)
    missed, false = np.full(len(record.label), -1), np.full(len(one), -1)
    overlap = boxes.iou(one.xyxy, record.xyxy)
    other = (overlap >= IOU) & (one.label[:, None] != record.label[None, :])
    among = boxes.intersection(record.xyxy, record.xyxy)
    np.fill_diagonal(among, 0)
    over = boxes.intersection(one.xyxy, record.xyxy)
    missed[pairs.missed] = _kind(record.xyxy, record.size_wh, other.any(axis=0), among)[pairs.missed]
    false[pairs.false] = _kind(one.xyxy, one.size_wh, other.any(axis=1), over)[pairs.false]
    return missed, false


def _kind(
    xyxy: boxes.Boxes, size_wh: tuple[int, int], other: NDArray[np.bool_], shared: NDArray[np.float32]
) -> NDArray[np.int64]:
    """Index into `KINDS` of each box; `shared` is its shared area with each labelled cell, in px², of shape (n, m)."""
    crowded = shared.max(axis=1, initial=0) >= _SHARED * boxes.area(xyxy)
    return np.select([~clear_of_border(xyxy, size_wh), other, crowded], [0, 1, 2], default=3)


def _worst(record: Record, one: Detections, kinds: _Kinds, label: int) -> Worst:
    missed, false = (_counted(kind[label_of == label]) for kind, label_of in zip(kinds, (record.label, one.label), strict=True))
    return Worst(record.name, int((one.label == label).sum()), int((record.label == label).sum()), missed, false)


def _counted(kind: NDArray[np.int64]) -> dict[str, int]:
    counts = np.bincount(kind[kind >= 0], minlength=len(KINDS))
    return {name: int(n) for name, n in zip(KINDS, counts, strict=True) if n}


def _class(fields: Sequence[Worst]) -> Failures:
    totals = [{kind: sum(getattr(f, which).get(kind, 0) for f in fields) for kind in KINDS} for which in ("missed", "false")]
    wrong = [f for f in fields if f.counted != f.truth]
    worst = sorted(wrong, key=lambda f: (-abs(f.counted - f.truth), f.field))[:WORST]
    return Failures(totals[0], totals[1], tuple(worst))
