"""Which class is taken for which, with what is missed and what is found where nothing is.

Detections at the operating thresholds are paired with labelled cells one to one at an overlap of `matching.IOU`, in two steps:
first within their class, by the rule of `matching.match`; then what is left over on either side, by the same rule whatever
the class. The first step decides what is right, so the diagonal is `Operating.true`, a row's other cells add up to what was
missed of its class, and a column's other cells to what was found falsely. A cell that is found twice, once under
its own name and once under another, is found rightly, and the other find stands where nothing is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detector.accuracy.matching import match, misnamed
from detector.accuracy.shares import share
from detector.annotations.records import Record
from detector.counting.intervals import Interval
from detector.vision.cells import CLASSES
from detector.vision.detections import Detections

NOTHING, MISSED = "nothing there", "missed"


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


def confusion(tallied: NDArray[np.int64], groups: Sequence[str] | None = None) -> Confusion:
    """All fields together.

    Args:
        tallied: of each field, as `tally` gives them.
        groups: the smear of each field, as `shares.share` takes it.
    """
    located = tallied[:, :-1, :-1]
    right = np.trace(located, axis1=1, axis2=2)
    cells = tuple(tuple(row) for row in tallied.sum(axis=0).tolist())
    return Confusion((*CLASSES, NOTHING), (*CLASSES, MISSED), cells, share(right, located.sum(axis=(1, 2)) - right, groups))


def tally(records: Sequence[Record], found: Sequence[Detections]) -> NDArray[np.int64]:
    """Cells of each field by what is labelled (rows) and what was found (columns), in the order of `Confusion`.

    Args:
        found: detections of each record's image that are counted.

    Returns:
        Whole numbers of shape (fields, classes + 1, classes + 1).
    """
    none = len(CLASSES)
    tallied = np.zeros((len(records), none + 1, none + 1), dtype=np.int64)
    for of_field, record, one in zip(tallied, records, found, strict=True):
        pairs = match(one, record.xyxy, record.label)
        wrong, taken = misnamed(one, record.xyxy, pairs)
        named, alone = np.full(len(record.label), none), np.ones(len(one), dtype=bool)
        for detections, cells in ((pairs.found, pairs.truth), (wrong, taken)):
            named[cells], alone[detections] = one.label[detections], False
        np.add.at(of_field, (record.label, named), 1)
        of_field[none, :none] = np.bincount(one.label[alone], minlength=none)
    return tallied
