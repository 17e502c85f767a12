"""Mending the boxes of one field: what can be put right is, what cannot be a cell is left out, and both are told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from detector.annotations.labels import Labels
from detector.annotations.records import Record
from detector.errors import UnknownClassError
from detector.vision import border, boxes, cells

SMALLEST_PX = 1.5
"""A side shorter than this is a slip of the mouse: one pixel, with room for the rounding of fractions."""
_DUPLICATE_IOU = 0.99
_BLOCK = 256
"""Boxes that are compared with their neighbours at a time."""
_PAIRS = 1 << 20
"""Pairs of boxes that are compared at a time, at most; or, where one box has more neighbours, its own."""
_SLACK_PX = 0.01
"""An edge may leave the image by this much through the rounding of fractions alone, which is not worth a line."""

REPAIRED, DROPPED = "repaired", "dropped"
SLIVER = "a sliver of a red cell at the border"
UNKNOWN = "unknown class name"
INVERTED = "corners were inverted"
CLIPPED = "reached outside the image and was clipped"
OUTSIDE = "outside the image"
THIN = "one pixel wide or high"
TWICE = "the same box twice"


@dataclass(frozen=True)
class Change:
    """One box that was repaired or dropped."""

    action: str
    """`repaired` or `dropped`."""
    reason: str
    name: str
    """Class name as the label file has it."""
    xyxy: tuple[float, float, float, float]
    """The box as the label file has it, in pixels."""


@dataclass(frozen=True, eq=False)
class Mended:
    """The boxes that stay, and every change that was made."""

    size_wh: tuple[int, int]
    xyxy: NDArray[np.float32]
    """Boxes inside the image in pixels with half-open edges, of shape (n, 4)."""
    label: NDArray[np.int64]
    """Index into `cells.CLASSES`, of shape (n,)."""
    changes: tuple[Change, ...]
    ignore: NDArray[np.float32]
    """Regions that could not be labelled surely, inside the image, of shape (k, 4)."""

    def record(self, name: str, image: Path | None) -> Record:
        """The record of these boxes."""
        return Record(name, image, self.size_wh, self.xyxy, self.label, ignore=self.ignore)


def is_known(name: str) -> bool:
    """Whether a class name or alias is one of ours, or that of ignore regions."""
    return is_ignore(name) or is_cell(name)


def is_cell(name: str) -> bool:
    """Whether a class name or alias is one of ours."""
    try:
        cells.label_of(name)
    except UnknownClassError:
        return False
    return True


def is_ignore(name: str) -> bool:
    """Whether a class name is that of ignore regions."""
    return name.strip().casefold() == cells.IGNORE


def mend(labels: Labels, size_wh: tuple[int, int], smallest_px: float = SMALLEST_PX) -> Mended:
    """Swap inverted corners and clip boxes to the image `(width, height)`; drop what is left of no cell.

    Dropped are boxes of unknown class, boxes wholly outside, boxes with a side under `smallest_px`, the second of two boxes
    of one class that are the same (IoU of at least 0.99).
    """
    raw = labels.pixels(size_wh)
    changes: list[Change] = []
    kept: list[int] = []
    mended = np.array(raw)
    for i, name in enumerate(labels.names):
        mended[i], repairs, fault = _mend_one(raw[i], name, size_wh, smallest_px)
        box = (float(raw[i, 0]), float(raw[i, 1]), float(raw[i, 2]), float(raw[i, 3]))
        if fault:
            changes.append(Change(DROPPED, fault, name, box))
            continue
        changes += [Change(REPAIRED, repair, name, box) for repair in repairs]
        kept.append(i)
    ignore = mended[[i for i in kept if is_ignore(labels.names[i])]].astype(np.float32).reshape(-1, 4)
    kept = [i for i in kept if not is_ignore(labels.names[i])]
    xyxy = mended[kept].astype(np.float32).reshape(-1, 4)
    label = np.array([cells.label_of(labels.names[i]) for i in kept], dtype=np.int64)
    second = firsts(xyxy, label) != np.arange(len(label))
    for k in np.flatnonzero(second):
        x1, y1, x2, y2 = (float(value) for value in raw[kept[k]])
        changes.append(Change(DROPPED, TWICE, labels.names[kept[k]], (x1, y1, x2, y2)))
    return Mended(size_wh, xyxy[~second], label[~second], tuple(changes), ignore)


def without_slivers(mended: Mended) -> Mended:
    """Drop the slivers of red cells at the border that do not count, where the field shows how large its red cells are."""
    rbc_px = border.rbc_px(mended.xyxy, mended.label, mended.size_wh)
    if rbc_px is None:
        return mended
    sliver = border.slivers(mended.xyxy, mended.label, mended.size_wh, rbc_px)
    dropped = []
    for x1, y1, x2, y2 in mended.xyxy[sliver].tolist():
        dropped.append(Change(DROPPED, SLIVER, cells.CLASSES[cells.RBC], (x1, y1, x2, y2)))
    return Mended(mended.size_wh, mended.xyxy[~sliver], mended.label[~sliver], (*mended.changes, *dropped), mended.ignore)


def _mend_one(
    raw: NDArray[np.float64], name: str, size_wh: tuple[int, int], smallest_px: float
) -> tuple[NDArray[np.float64], list[str], str | None]:
    """The mended box, what was repaired, and why it has to go, if it has."""
    if not is_known(name):
        return raw, [], UNKNOWN
    low, high = np.minimum(raw[:2], raw[2:]), np.maximum(raw[:2], raw[2:])
    repairs = [] if np.array_equal(low, raw[:2]) else [INVERTED]
    inside = np.concatenate([np.clip(low, 0, size_wh), np.clip(high, 0, size_wh)])
    if (inside[2:] <= inside[:2]).any() and (high > low).all():
        return inside, [], OUTSIDE
    if (inside[2:] - inside[:2] < smallest_px).any() or (inside[2:] <= inside[:2]).any():
        return inside, [], THIN
    if np.abs(inside - np.concatenate([low, high])).max() > _SLACK_PX:
        repairs.append(CLIPPED)
    return inside, repairs, None


def firsts(xyxy: NDArray[np.float32], label: NDArray[np.int64]) -> NDArray[np.int64]:
    """Index of the first box that each of (n, 4) boxes repeats, of shape (n,); a box that repeats none has its own.

    Time and memory grow with the number of boxes, not with its square: of two boxes that are the same, the left edges differ by a
    hundredth of the width at most, so each box is compared with its followers in the order of left edges only.
    """
    first = np.arange(len(label), dtype=np.int64)
    earlier = first.copy()
    order = np.argsort(xyxy[:, 0], kind="stable")
    left = xyxy[order, 0].astype(np.float64)
    width = np.maximum(xyxy[order, 2] - left, 0)
    last = np.searchsorted(left, left + width * (1 - _DUPLICATE_IOU) + _SLACK_PX, side="right")
    start = 0
    while start < len(order):
        stop = min(start + max(_PAIRS // max(int(last[start]) - start, _PAIRS // _BLOCK), 1), len(order))
        rows, columns = order[start:stop], order[start : int(last[start:stop].max())]
        same = (boxes.iou(xyxy[rows], xyxy[columns]) >= _DUPLICATE_IOU) & (label[rows][:, None] == label[columns])
        a, b = (index[place] for index, place in zip((rows, columns), np.nonzero(same), strict=True))
        np.minimum.at(earlier, np.maximum(a, b), np.minimum(a, b))
        start = stop
    for i in np.flatnonzero(earlier != first):
        first[i] = first[earlier[i]]
    return first
