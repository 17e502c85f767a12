"""Each cell once: detections of many views merged in the coordinates of the smear.

A detection is the same cell as one that is known where the two overlap within what both views show. A cell that the border of its
view cuts is not decided until it is seen whole; one that is never seen whole counts where its centre seems to lie in the view. What
is known of a place stays known, so a place visited again adds nothing, and memory grows with the area that was seen, not with time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from detector.counting.fields import edge_px
from detector.streams.cell import EVERYWHERE, MEMORY, Cell, Floats, bucket_of, lean, see_part
from detector.streams.sparse import Rect
from detector.vision import boxes
from detector.vision.detections import Detections

SAME = 0.3
"""Overlap (IoU) within both views from which on two boxes are one cell."""
_INSIDE = 0.6
"""Share of a cut cell's box within the box of a whole one from which on it is a piece of it."""
_DOUBLE = 0.6
"""Overlap of two known cells from which on they are one, of which a view was misplaced."""
_MOSTLY = 0.8
"""Share of a cell's box that must lie in a view for the view to be able to show it."""


class Unique:
    """The cells of one segment."""

    def __init__(self, confirmations: int, changed: Callable[[Cell, int], None] = lambda _cell, _before: None) -> None:
        """Begin without cells.

        Args:
            confirmations: views in which a cell must be found, and at least half of those that could show it.
            changed: called with a cell and the label under which it was counted before (-1: not) where that changes.
        """
        self.confirmations = confirmations
        self._changed = changed
        self._buckets: dict[tuple[int, int], list[Cell]] = defaultdict(list)
        self._made = 0
        self._reach_px = 0.0
        self._view: Rect = (0.0, 0.0, 0.0, 0.0)

    def __iter__(self) -> Iterator[Cell]:
        """All cells that are known, in the order of their numbers."""
        return iter(sorted((cell for bucket in self._buckets.values() for cell in bucket), key=lambda cell: cell.number))

    def within(self, view: Rect) -> list[Cell]:
        """Cells that reach into a view, in the order of their numbers."""
        x1, y1, x2, y2 = view
        low, high = bucket_of(x1 - self._reach_px, y1 - self._reach_px), bucket_of(x2 + self._reach_px, y2 + self._reach_px)
        keys = [(i, j) for i in range(low[0], high[0] + 1) for j in range(low[1], high[1] + 1)]
        near = [cell for key in keys for cell in self._buckets.get(key, ())]
        return sorted((cell for cell in near if _reaches(cell.box, view)), key=lambda cell: cell.number)

    def undecided(self, view: Rect, ahead: tuple[float, float] | None = None) -> bool:
        """Whether a view shows most of a cell of which it is open whether it counts, for want of views.

        Args:
            ahead: where the view's upper left corner is going to be: only cells that it then shows no more are asked for.
        """
        later = None if ahead is None else (*ahead, ahead[0] + view[2] - view[0], ahead[1] + view[3] - view[1])
        for cell in self.within(view):
            open_yet = cell.centred and cell.hits < self.confirmations and 2 * cell.hits >= cell.chances
            leaves = later is None or _visible(cell.box, later) < _MOSTLY
            if open_yet and leaves and _visible(cell.box, view) >= _MOSTLY:
                return True
        return False

    def add(
        self,
        found: Detections,
        place: tuple[float, float],
        owner: Callable[[Cell], int] = lambda _cell: 0,
        taken: NDArray[np.bool_] | None = None,
    ) -> None:
        """Merge what was found in a view whose upper left corner lies there.

        Args:
            owner: what a cell that counts from now on is counted in.
            taken: which detections may become new cells, of shape (n,); None for all.
        """
        w, h = found.size_wh
        view = (place[0], place[1], place[0] + w, place[1] + h)
        xyxy = found.xyxy.astype(np.float64) + np.array([*place, *place])
        cut = boxes.touches(found.xyxy, found.size_wh, edge_px(found.size_wh))
        leaning = lean(found, cut)
        known = self.within(view)
        touched = {cell.number: cell for cell in known}
        pairs = _pairs(known, xyxy, view, found.label)
        for i, j in pairs:
            self._see(known[i], xyxy[j], int(found.label[j]), float(found.score[j]), bool(cut[j].any()), float(leaning[j]), view)
        matched = {j for _, j in pairs}
        hit = {i for i, _ in pairs}
        for i, cell in enumerate(known):
            cell.chances += i in hit or _visible(cell.box, view) >= _MOSTLY
        for j in range(len(found)):
            if j not in matched and (taken is None or taken[j]):
                cell = self._new(xyxy[j], view, bool(cut[j].any()), float(leaning[j]))
                cell.votes[int(found.label[j])] += float(found.score[j])
                touched[cell.number] = cell
        for gone in _repeated(list(touched.values())):
            self._drop(touched.pop(gone))
        for cell in touched.values():
            self._judge(cell, owner)
        for cell in self.within(self._view):
            # What was found by chance is let go of once it is out of sight.
            if 2 * cell.hits < cell.chances and not _reaches(cell.box, view):
                self._drop(cell)
        self._view = view

    def _new(self, box: Floats, view: Rect, cut: bool, lean: float) -> Cell:
        self._made += 1
        cell = Cell(self._made, box, view if cut else EVERYWHERE, not cut, lean, hits=1, chances=1)
        self._buckets[bucket_of(*cell.centre)].append(cell)
        self._reach_px = max(self._reach_px, float(box[2] - box[0]), float(box[3] - box[1]))
        return cell

    def _see(self, cell: Cell, box: Floats, label: int, score: float, cut: bool, lean: float, view: Rect) -> None:
        cell.hits += 1
        cell.votes[label] += score
        before = bucket_of(*cell.centre)
        if not cut:
            share = 1 / min(cell.hits, MEMORY) if cell.whole else 1.0
            cell.box = cell.box + (box - cell.box) * share
            cell.whole, cell.within = True, EVERYWHERE
        elif not cell.whole:
            see_part(cell, box, lean, view)
        self._reach_px = max(self._reach_px, float(cell.box[2] - cell.box[0]), float(cell.box[3] - cell.box[1]))
        if bucket_of(*cell.centre) != before:
            self._buckets[before].remove(cell)
            self._buckets[bucket_of(*cell.centre)].append(cell)

    def _drop(self, cell: Cell) -> None:
        bucket = self._buckets[bucket_of(*cell.centre)]
        bucket.remove(cell)
        if not bucket:
            del self._buckets[bucket_of(*cell.centre)]
        self._count(cell, -1)

    def _judge(self, cell: Cell, owner: Callable[[Cell], int]) -> None:
        sure = cell.hits >= self.confirmations and 2 * cell.hits >= cell.chances and cell.centred
        if sure and cell.owner < 0:
            cell.owner = owner(cell)
        self._count(cell, cell.label if sure else -1)

    def _count(self, cell: Cell, label: int) -> None:
        before, cell.counted = cell.counted, label
        if before != label:
            self._changed(cell, before)


def _reaches(box: Floats, view: Rect) -> bool:
    return bool(box[0] < view[2] and box[2] > view[0] and box[1] < view[3] and box[3] > view[1])


def _visible(box: Floats, view: Rect) -> float:
    """Share of a box that lies in a view."""
    wide = min(box[2], view[2]) - max(box[0], view[0])
    high = min(box[3], view[3]) - max(box[1], view[1])
    return float(max(wide, 0) * max(high, 0) / max((box[2] - box[0]) * (box[3] - box[1]), 1e-9))


def _pairs(known: list[Cell], xyxy: Floats, view: Rect, label: NDArray[np.int64]) -> list[tuple[int, int]]:
    """Which known cell is which detection: each once, so that their overlaps together are the largest."""
    if not known or not len(xyxy):
        return []
    here = np.array([cell.box for cell in known])  # (cells, 4)
    there = np.array([cell.within for cell in known])
    clipped = np.concatenate([np.maximum(here[:, :2], view[:2]), np.minimum(here[:, 2:], view[2:])], axis=1)[
        :, None
    ]  # (cells, 1, 4)
    low = np.maximum(xyxy[None, :, :2], there[:, None, :2])
    high = np.minimum(xyxy[None, :, 2:], there[:, None, 2:])  # (cells, found, 2)
    shared = _area(np.minimum(high, clipped[..., 2:]) - np.maximum(low, clipped[..., :2]))
    union = _area(high - low) + _area(clipped[..., 2:] - clipped[..., :2]) - shared
    overlap = shared / np.maximum(union, 1e-9)
    # Of two that overlap as much, the one of the same class.
    alike = np.array([cell.label for cell in known])[:, None] == label[None]
    rows, columns = linear_sum_assignment(-(np.where(overlap > SAME, overlap + 0.05 * alike, 0.0)))
    return [(int(i), int(j)) for i, j in zip(rows, columns, strict=True) if overlap[i, j] > SAME]


def _area(sides: Floats) -> Floats:
    return np.asarray(np.prod(np.maximum(sides, 0.0), axis=-1))


def _repeated(near: list[Cell]) -> list[int]:
    """Numbers of cells that are another one over again: pieces of a whole one, and all but the best known of doubles."""
    if len(near) < 2:
        return []
    box = np.array([cell.box for cell in near])
    shared = _area(np.minimum(box[:, None, 2:], box[None, :, 2:]) - np.maximum(box[:, None, :2], box[None, :, :2]))
    area = _area(box[:, 2:] - box[:, :2])
    union = area[:, None] + area[None] - shared
    gone: set[int] = set()
    for i, j in np.argwhere(np.triu(shared > SAME * np.minimum(area[:, None], area[None]), 1)).tolist():
        a, b = sorted((near[i], near[j]), key=lambda cell: (cell.whole, cell.hits, -cell.number))
        piece = not a.whole and b.whole and shared[i, j] > _INSIDE * min(area[i], area[j]) and _fits(a, b)
        double = a.whole == b.whole and a.label == b.label and shared[i, j] > _DOUBLE * union[i, j]
        if (piece or double) and b.number not in gone:
            gone.add(a.number)
    return sorted(gone)


def _fits(piece: Cell, whole: Cell) -> bool:
    """Whether a piece is of a whole cell's class, or no larger than it."""
    return (
        piece.label == whole.label
        or float(np.prod(piece.box[2:] - piece.box[:2])) <= float(np.prod(whole.box[2:] - whole.box[:2])) / 2
    )
