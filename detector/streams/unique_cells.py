"""Each cell once: detections of many views merged in the coordinates of the smear.

A detection is the same cell as one that is known where the two overlap within what both views show. A cell that the border of its
view cuts is not decided until it is seen whole; one that is never seen whole counts where its centre seems to lie in the view. What
is known of a place stays known, so a place visited again adds nothing, and memory grows with the area that was seen, not with time.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from detector.counting.neighbours import Rect
from detector.vision import border, boxes
from detector.vision.cells import CLASSES
from detector.vision.detections import Detections

Floats = NDArray[np.float64]

SAME = 0.3
"""Overlap (IoU) within both views from which on two boxes are one cell."""
_INSIDE = 0.6
"""Share of a cut cell's box within the box of a whole one from which on it is a piece of it."""
_DOUBLE = 0.6
"""Overlap of two known cells from which on they are one, of which a view was misplaced."""
_MOSTLY = 0.8
"""Share of a cell's box that must lie in a view for the view to be able to show it."""

_EVERYWHERE: Rect = (-1e9, -1e9, 1e9, 1e9)
_MEMORY = 20
"""Views over which a cell's box is averaged."""
_MORE = 1.2
"""A sight of a cut cell shows more of it than another from this ratio of their areas on."""
_BUCKET_PX = 256


@dataclass(slots=True, eq=False)
class Cell:
    """A cell of the smear, as far as it is known."""

    number: int
    box: Floats
    """x1, y1, x2, y2 in px of its segment; of a cut one, the part that was seen."""
    within: Rect
    """The view of which `box` is a part; unbounded for a cell that was seen whole."""
    whole: bool
    lean: float
    """How far within what was seen its centre seems to lie, in shares of its size; negative outside."""
    votes: list[float] = field(default_factory=lambda: [0.0] * len(CLASSES))
    """Sum of the scores by label."""
    parts: int = 1
    """Views over which `lean` was averaged."""
    hits: int = 0
    """Views in which it was found."""
    chances: int = 0
    """Views that were searched and show most of it."""
    counted: int = -1
    """Label under which it is counted; -1 while it is not."""
    owner: int = -1
    """What it was counted in first (a field); -1 before."""

    @property
    def label(self) -> int:
        """Class for which most speaks."""
        return max(range(len(self.votes)), key=self.votes.__getitem__)

    @property
    def score(self) -> float:
        """Mean score."""
        return sum(self.votes) / max(self.hits, 1)

    @property
    def centred(self) -> bool:
        """Whether its centre lies in what was seen."""
        return self.whole or self.lean >= 0

    @property
    def centre(self) -> tuple[float, float]:
        """x and y, in px of its segment."""
        return float(self.box[0] + self.box[2]) / 2, float(self.box[1] + self.box[3]) / 2


class UniqueCells:
    """The cells of one segment."""

    def __init__(
        self,
        confirmations: int,
        changed: Callable[[Cell, int], None] = lambda _cell, _before: None,
        refined: Callable[[Cell], None] = lambda _cell: None,
    ) -> None:
        """Begin without cells.

        Args:
            confirmations: views in which a cell must be found, and at least half of those that could show it.
            changed: called with a cell and the label under which it was counted before (-1: not) where that changes.
            refined: called with a cell that is counted where its box and score change.
        """
        self.confirmations = confirmations
        self._changed = changed
        self._refined = refined
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
        low, high = _bucket_of(x1 - self._reach_px, y1 - self._reach_px), _bucket_of(x2 + self._reach_px, y2 + self._reach_px)
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
        detections: Detections,
        place: tuple[float, float],
        owner: Callable[[Cell], int] = lambda _cell: 0,
        taken: NDArray[np.bool_] | None = None,
    ) -> None:
        """Merge the detections of a view whose upper left corner lies there.

        Args:
            owner: what a cell that counts from now on is counted in.
            taken: which detections may become new cells, of shape (n,); None for all.
        """
        w, h = detections.size_wh
        view = (place[0], place[1], place[0] + w, place[1] + h)
        xyxy = detections.xyxy.astype(np.float64) + np.array([*place, *place])
        cut = boxes.touches(detections.xyxy, detections.size_wh, border.edge_px(detections.size_wh))
        leaning = border.leaning(detections.xyxy, detections.label, cut)
        known = self.within(view)
        touched = {cell.number: cell for cell in known}
        pairs = _pairs(known, xyxy, view, detections.label)
        for i, j in pairs:
            self._see(
                known[i],
                xyxy[j],
                int(detections.label[j]),
                float(detections.score[j]),
                bool(cut[j].any()),
                float(leaning[j]),
                view,
            )
        matched = {j for _, j in pairs}
        hit = {i for i, _ in pairs}
        for i, cell in enumerate(known):
            cell.chances += i in hit or _visible(cell.box, view) >= _MOSTLY
        for j in range(len(detections)):
            if j not in matched and (taken is None or taken[j]):
                cell = self._new(xyxy[j], view, bool(cut[j].any()), float(leaning[j]))
                cell.votes[int(detections.label[j])] += float(detections.score[j])
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

    def put(self, number: int, box: Floats, label: int, score: float, owner: int) -> None:
        """Know a cell that is counted already, as a journal holds it."""
        votes = [score if name == label else 0.0 for name in range(len(CLASSES))]
        cell = Cell(number, box, _EVERYWHERE, True, 1.0, votes, hits=1, chances=1, counted=label, owner=owner)
        self._buckets[_bucket_of(*cell.centre)].append(cell)

    def _new(self, box: Floats, view: Rect, cut: bool, lean: float) -> Cell:
        self._made += 1
        cell = Cell(self._made, box, view if cut else _EVERYWHERE, not cut, lean, hits=1, chances=1)
        self._buckets[_bucket_of(*cell.centre)].append(cell)
        self._reach_px = max(self._reach_px, float(box[2] - box[0]), float(box[3] - box[1]))
        return cell

    def _see(self, cell: Cell, box: Floats, label: int, score: float, cut: bool, lean: float, view: Rect) -> None:
        cell.hits += 1
        cell.votes[label] += score
        before = _bucket_of(*cell.centre)
        if not cut:
            share = 1 / min(cell.hits, _MEMORY) if cell.whole else 1.0
            cell.box = cell.box + (box - cell.box) * share
            cell.whole, cell.within = True, _EVERYWHERE
        elif not cell.whole:
            _see_part(cell, box, lean, view)
        self._reach_px = max(self._reach_px, float(cell.box[2] - cell.box[0]), float(cell.box[3] - cell.box[1]))
        if _bucket_of(*cell.centre) != before:
            self._buckets[before].remove(cell)
            self._buckets[_bucket_of(*cell.centre)].append(cell)
        if cell.counted >= 0:
            self._refined(cell)

    def _drop(self, cell: Cell) -> None:
        bucket = self._buckets[_bucket_of(*cell.centre)]
        bucket.remove(cell)
        if not bucket:
            del self._buckets[_bucket_of(*cell.centre)]
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


def _see_part(cell: Cell, box: Floats, lean: float, view: Rect) -> None:
    """Work in another sight of a cell that was only seen cut: what shows most of it is believed, and such sights are averaged."""
    more = float(np.prod(box[2:] - box[:2]) / np.prod(cell.box[2:] - cell.box[:2]))
    if more > _MORE:
        cell.box, cell.within, cell.lean, cell.parts = box, view, lean, 1
    elif more > 1 / _MORE:
        # The best of many sights would lean inwards by their scatter.
        cell.parts = min(cell.parts + 1, _MEMORY)
        cell.lean += (lean - cell.lean) / cell.parts
        cell.box, cell.within = cell.box + (box - cell.box) / cell.parts, view


def _bucket_of(x: float, y: float) -> tuple[int, int]:
    """Column and row of the part of the smear that holds a point, for finding cells by place."""
    return int(x // _BUCKET_PX), int(y // _BUCKET_PX)
