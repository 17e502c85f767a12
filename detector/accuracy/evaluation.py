"""A detector against labelled fields: average precision, precision and recall, and agreement of counts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detector.accuracy.agreement import Agreement, agreement, clear_of_border, constant_guess
from detector.accuracy.operating import Operating, operating
from detector.accuracy.precision import AveragePrecision, average_precision, reference
from detector.annotations.records import Record
from detector.errors import ImageError, NothingToDoError
from detector.vision import images
from detector.vision.boxes import Boxes
from detector.vision.cells import CLASSES
from detector.vision.detections import Detections, Unread

Find = Callable[[images.Rgb], Detections]
"""Cells of a field of shape (h, w, 3), uint8 RGB."""


@dataclass(frozen=True)
class Evaluation:
    """What a detector is worth on labelled fields."""

    fields: int
    """Fields that were read and evaluated."""
    unread: Sequence[Unread]
    """Fields without an image that can be read; they are in no figure."""
    saturated: Sequence[str]
    """Fields in which as many cells were found as may be: their counts may be too low."""
    average_precision: AveragePrecision
    operating: dict[str, Operating]
    """By class name."""
    all_cells: dict[str, Agreement]
    """Counts by class name, against all labelled cells."""
    clear_cells: dict[str, Agreement]
    """The same of cells clear of the border, found and labelled ones each by their own box."""
    guess: dict[str, Agreement] | None
    """The constant guess against all labelled cells; None without training fields."""


def evaluate(records: Iterable[Record], find: Find, search: Find, train: Sequence[Record] = ()) -> Evaluation:
    """Run a detector over labelled fields and compare.

    Args:
        records: labelled fields with their images.
        find: the detector as counting uses it, at its thresholds.
        search: the same from `precision.MIN_SCORE` on, for average precision.
        train: fields whose median counts are the constant guess.

    Raises:
        MissingExtraError: pycocotools is not installed.
        NothingToDoError: no field has an image that can be read.
    """
    reference()
    read: list[Record] = []
    found: list[Detections] = []
    searched: list[Detections] = []
    unread: list[Unread] = []
    for record in records:
        try:
            rgb = _pixels(record)
        except ImageError as error:
            unread.append(Unread(record.name, str(error)))
            continue
        read.append(record)
        found.append(find(rgb))
        searched.append(search(rgb))
    if not read:
        raise NothingToDoError("none of the labelled fields has an image that can be read")
    return Evaluation(
        fields=len(read),
        unread=unread,
        saturated=[r.name for r, d in zip(read, found, strict=True) if d.saturated],
        average_precision=average_precision(read, searched),
        operating=operating(read, found),
        all_cells=_agreements(_counts(found), _counts(read)),
        clear_cells=_agreements(_counts(found, clear=True), _counts(read, clear=True)),
        guess=_agreements(_guess(train, len(read)), _counts(read)) if train else None,
    )


def _pixels(record: Record) -> images.Rgb:
    if record.image is None:
        raise ImageError("labels without an image")
    rgb = images.read(record.image)
    if (rgb.shape[1], rgb.shape[0]) != record.size_wh:
        w, h = record.size_wh
        raise ImageError(f"is {rgb.shape[1]}x{rgb.shape[0]} px, its labels are for {w}x{h} px")
    return rgb


def _counts(fields: Sequence[Record] | Sequence[Detections], clear: bool = False) -> NDArray[np.int64]:
    """Cells of each field and class, of shape (fields, classes)."""
    return np.array([_count(f.xyxy, f.label, f.size_wh, clear) for f in fields])


def _count(xyxy: Boxes, label: NDArray[np.int64], size_wh: tuple[int, int], clear: bool) -> NDArray[np.int64]:
    chosen = label[clear_of_border(xyxy, size_wh)] if clear else label
    return np.bincount(chosen, minlength=len(CLASSES))


def _guess(train: Sequence[Record], fields: int) -> NDArray[np.int64]:
    return np.tile(constant_guess(_counts(train).tolist()), (fields, 1))


def _agreements(counted: NDArray[np.int64], truth: NDArray[np.int64]) -> dict[str, Agreement]:
    return {name: agreement(counted[:, i].tolist(), truth[:, i].tolist()) for i, name in enumerate(CLASSES)}
