"""A plane without bounds of which only the parts that were written take memory, and the area of a smear that was seen."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

Rect = tuple[float, float, float, float]
"""x1, y1, x2, y2."""
Cells = tuple[int, int, int, int]
"""The same in whole elements of a plane, half-open."""


class Plane:
    """Elements of one shape and type at whole coordinates, also negative ones; zero where nothing was written."""

    SIDE = 64
    """Of the square blocks in which memory is taken."""

    def __init__(self, dtype: DTypeLike, channels: tuple[int, ...] = ()) -> None:
        self.dtype, self.channels = np.dtype(dtype), channels
        self.blocks: dict[tuple[int, int], NDArray[Any]] = {}
        """By column and row of blocks; each of shape (64, 64, *channels)."""

    def _pieces(self, at: Cells) -> Iterator[tuple[tuple[int, int], tuple[slice, slice], tuple[slice, slice]]]:
        """Blocks that a rectangle touches, with its part of the block and of the rectangle."""
        x1, y1, x2, y2 = at
        for j in range(y1 // Plane.SIDE, -(-y2 // Plane.SIDE)):
            for i in range(x1 // Plane.SIDE, -(-x2 // Plane.SIDE)):
                u1, v1 = max(x1, i * Plane.SIDE), max(y1, j * Plane.SIDE)
                u2, v2 = min(x2, (i + 1) * Plane.SIDE), min(y2, (j + 1) * Plane.SIDE)
                block = (slice(v1 - j * Plane.SIDE, v2 - j * Plane.SIDE), slice(u1 - i * Plane.SIDE, u2 - i * Plane.SIDE))
                yield (i, j), block, (slice(v1 - y1, v2 - y1), slice(u1 - x1, u2 - x1))

    def read(self, at: Cells) -> NDArray[Any]:
        """A copy of a rectangle, of shape (h, w, *channels)."""
        out = np.zeros((at[3] - at[1], at[2] - at[0], *self.channels), dtype=self.dtype)
        for key, in_block, in_rect in self._pieces(at):
            if (block := self.blocks.get(key)) is not None:
                out[in_rect] = block[in_block]
        return out

    def write(self, at: Cells, values: NDArray[Any]) -> None:
        """Set a rectangle."""
        for key, in_block, in_rect in self._pieces(at):
            if (block := self.blocks.get(key)) is None:
                block = self.blocks[key] = np.zeros((Plane.SIDE, Plane.SIDE, *self.channels), dtype=self.dtype)
            block[in_block] = values[in_rect]

    def bounds(self) -> Cells:
        """The least rectangle of whole blocks that holds all that was written; empty where nothing was."""
        if not self.blocks:
            return 0, 0, 0, 0
        columns, rows = zip(*self.blocks, strict=True)
        return min(columns) * Plane.SIDE, min(rows) * Plane.SIDE, (max(columns) + 1) * Plane.SIDE, (max(rows) + 1) * Plane.SIDE


class Seen:
    """The union of the views that were seen, in squares of `STEP_PX`: one is seen where its middle is."""

    STEP_PX = 4

    def __init__(self) -> None:
        self._plane = Plane(bool)
        self.area_px = 0.0
        """Area of the union, in px²."""

    def _cells(self, rect: Rect) -> Cells:
        x1, y1, x2, y2 = (round(side / self.STEP_PX) for side in rect)
        return x1, y1, x2, y2

    def unseen(self, rect: Rect) -> float:
        """Share of a view that was not seen before."""
        at = self._cells(rect)
        return 1 - float(self._plane.read(at).mean())

    def add(self, rect: Rect) -> NDArray[np.float64]:
        """See a view, and get the middles of the squares that are new, of shape (n, 2) in px."""
        at = self._cells(rect)
        new = ~self._plane.read(at)
        self._plane.write(at, np.ones_like(new))
        rows, columns = np.nonzero(new)
        self.area_px += len(rows) * self.STEP_PX**2
        return np.asarray((np.stack([columns + at[0], rows + at[1]], axis=1) + 0.5) * self.STEP_PX, dtype=np.float64)

    def holds(self, xy: NDArray[np.floating[Any]], within_px: float = 0.0) -> NDArray[np.bool_]:
        """Which points were seen, and farther than `within_px` from what was not; of shape (n,)."""
        held = np.ones(len(xy), dtype=bool)
        steps = [(0, 0)] if not within_px else [(dx, dy) for dx in (-1, 0, 1) for dy in (-1, 0, 1)]
        for dx, dy in steps:
            at = np.floor((xy + np.array([dx, dy]) * within_px) / self.STEP_PX).astype(int).tolist()
            held &= np.array([bool(self._plane.read((x, y, x + 1, y + 1))[0, 0]) for x, y in at], dtype=bool)
        return held
