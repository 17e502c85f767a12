"""What was seen of the smear: its area, and a picture of it with the cells on it.

Both lie on planes without bounds, of which only what was written takes memory. The picture stays of bounded size however far the
stage went.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import cv2
import numpy as np
from numpy.typing import DTypeLike, NDArray

from detector.counting.neighbours import Rect
from detector.streams.unique_cells import Cell
from detector.vision.cells import CLASSES
from detector.vision.drawing import COLOURS

WholeRect = tuple[int, int, int, int]
"""x1, y1, x2, y2 in whole elements of a plane, half-open."""

MOST_PX = 24_000_000
"""Pixels that are kept; when there are more, all are made smaller by half."""
MOST_SIDE_PX = 6000
"""Longest side of the picture."""

_FIRST_SCALE = 0.5
_GAP_PX = 12
_AROUND = (236, 236, 236)


class Plane:
    """Elements of one shape and type at whole coordinates, also negative ones; zero where nothing was written."""

    SIDE = 64
    """Of the square blocks in which memory is taken."""

    def __init__(self, dtype: DTypeLike, channels: tuple[int, ...] = ()) -> None:
        self.dtype, self.channels = np.dtype(dtype), channels
        self.blocks: dict[tuple[int, int], NDArray[Any]] = {}
        """By column and row of blocks; each of shape (64, 64, *channels)."""

    def _pieces(self, at: WholeRect) -> Iterator[tuple[tuple[int, int], tuple[slice, slice], tuple[slice, slice]]]:
        """Blocks that a rectangle touches, with its part of the block and of the rectangle."""
        x1, y1, x2, y2 = at
        for j in range(y1 // Plane.SIDE, -(-y2 // Plane.SIDE)):
            for i in range(x1 // Plane.SIDE, -(-x2 // Plane.SIDE)):
                u1, v1 = max(x1, i * Plane.SIDE), max(y1, j * Plane.SIDE)
                u2, v2 = min(x2, (i + 1) * Plane.SIDE), min(y2, (j + 1) * Plane.SIDE)
                block = (slice(v1 - j * Plane.SIDE, v2 - j * Plane.SIDE), slice(u1 - i * Plane.SIDE, u2 - i * Plane.SIDE))
                yield (i, j), block, (slice(v1 - y1, v2 - y1), slice(u1 - x1, u2 - x1))

    def read(self, at: WholeRect) -> NDArray[Any]:
        """A copy of a rectangle, of shape (h, w, *channels)."""
        out = np.zeros((at[3] - at[1], at[2] - at[0], *self.channels), dtype=self.dtype)
        for key, in_block, in_rect in self._pieces(at):
            if (block := self.blocks.get(key)) is not None:
                out[in_rect] = block[in_block]
        return out

    def write(self, at: WholeRect, values: NDArray[Any]) -> None:
        """Set a rectangle."""
        for key, in_block, in_rect in self._pieces(at):
            if (block := self.blocks.get(key)) is None:
                block = self.blocks[key] = np.zeros((Plane.SIDE, Plane.SIDE, *self.channels), dtype=self.dtype)
            block[in_block] = values[in_rect]

    def bounds(self) -> WholeRect:
        """The least rectangle of whole blocks that holds all that was written; empty where nothing was."""
        if not self.blocks:
            return 0, 0, 0, 0
        columns, rows = zip(*self.blocks, strict=True)
        return min(columns) * Plane.SIDE, min(rows) * Plane.SIDE, (max(columns) + 1) * Plane.SIDE, (max(rows) + 1) * Plane.SIDE


class SeenArea:
    """The union of the views that were seen, in squares of `STEP_PX`: one is seen where its middle is."""

    STEP_PX = 4

    def __init__(self) -> None:
        self._plane = Plane(bool)
        self.area_px = 0.0
        """Area of the union, in px²."""

    def _squares(self, rect: Rect) -> WholeRect:
        x1, y1, x2, y2 = (round(side / self.STEP_PX) for side in rect)
        return x1, y1, x2, y2

    def unseen(self, rect: Rect) -> float:
        """Share of a view that was not seen before."""
        at = self._squares(rect)
        return 1 - float(self._plane.read(at).mean())

    def add(self, rect: Rect) -> NDArray[np.float64]:
        """See a view, and get the middles of the squares that are new, of shape (n, 2) in px."""
        at = self._squares(rect)
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


class Mosaic:
    """The views of all segments, each segment in its own place."""

    def __init__(self) -> None:
        self.scale = _FIRST_SCALE
        """Pixels of the picture per pixel of a view."""
        self._planes: dict[int, Plane] = {}

    def add(self, segment: int, rgb: NDArray[np.uint8], place: tuple[float, float]) -> None:
        """Lay a view of shape (h, w, 3), RGB, whose upper left corner lies there, over what was seen before."""
        h, w = rgb.shape[:2]
        x1, y1, x2, y2 = (round(side * self.scale) for side in (place[0], place[1], place[0] + w, place[1] + h))
        if x2 <= x1 or y2 <= y1:
            return
        plane = self._planes.setdefault(segment, Plane(np.uint8, (4,)))
        small = cv2.resize(rgb, (x2 - x1, y2 - y1), interpolation=cv2.INTER_AREA)
        # The fourth channel says where something was seen.
        plane.write((x1, y1, x2, y2), np.dstack([small, np.full(small.shape[:2], 255, np.uint8)]))
        while sum(len(plane.blocks) for plane in self._planes.values()) * Plane.SIDE**2 > MOST_PX:
            self._halve()

    def _halve(self) -> None:
        self.scale /= 2
        for segment, plane in self._planes.items():
            smaller = Plane(np.uint8, (4,))
            for u, v in {(i // 2, j // 2) for i, j in plane.blocks}:
                side = Plane.SIDE
                whole = plane.read((2 * u * side, 2 * v * side, 2 * (u + 1) * side, 2 * (v + 1) * side))
                at = (u * side, v * side, (u + 1) * side, (v + 1) * side)
                smaller.write(at, np.asarray(cv2.resize(whole, (side, side), interpolation=cv2.INTER_AREA), dtype=np.uint8))
            self._planes[segment] = smaller

    def crop(self, segment: int, rect: Rect) -> NDArray[np.uint8]:
        """A rectangle of the smear, given in px of the views, as RGB at the mosaic's scale; grey where nothing was seen."""
        x1, y1, x2, y2 = (round(side * self.scale) for side in rect)
        return self._read(segment, (x1, y1, max(x2, x1 + 1), max(y2, y1 + 1)))

    def _read(self, segment: int, at: WholeRect) -> NDArray[np.uint8]:
        plane = self._planes.get(segment)
        if plane is None:
            return np.full((at[3] - at[1], at[2] - at[0], 3), _AROUND, dtype=np.uint8)
        pixels = plane.read(at)
        return np.where(pixels[..., 3:] > 0, pixels[..., :3], np.array(_AROUND, dtype=np.uint8))

    def draw(self, cells: Mapping[int, Iterable[Cell]]) -> NDArray[np.uint8]:
        """The picture, of shape (h, w, 3), RGB: segments below each other, with the counted cells of each."""
        parts = []
        for segment, plane in self._planes.items():
            at = _trimmed(plane)
            picture = self._read(segment, at)
            for cell in cells.get(segment, ()):
                if cell.counted >= 0:
                    x1, y1, x2, y2 = (round(float(side) * self.scale) for side in cell.box)
                    corners = (x1 - at[0], y1 - at[1]), (x2 - at[0] - 1, y2 - at[1] - 1)
                    cv2.rectangle(picture, *corners, COLOURS[CLASSES[cell.counted]], 1)
            parts.append(picture)
        return _bounded(_stacked(parts))


def _trimmed(plane: Plane) -> WholeRect:
    """The least rectangle that holds all that was seen."""
    x1, y1, x2, y2 = plane.bounds()
    rows, columns = np.zeros(y2 - y1, dtype=bool), np.zeros(x2 - x1, dtype=bool)
    for (i, j), block in plane.blocks.items():
        seen = block[..., 3] > 0
        rows[j * Plane.SIDE - y1 : (j + 1) * Plane.SIDE - y1] |= seen.any(axis=1)
        columns[i * Plane.SIDE - x1 : (i + 1) * Plane.SIDE - x1] |= seen.any(axis=0)
    ys, xs = np.flatnonzero(rows), np.flatnonzero(columns)
    return x1 + int(xs[0]), y1 + int(ys[0]), x1 + int(xs[-1]) + 1, y1 + int(ys[-1]) + 1


def _stacked(parts: list[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    if not parts:
        return np.full((64, 64, 3), _AROUND, dtype=np.uint8)
    width = max(part.shape[1] for part in parts)
    gap = np.full((_GAP_PX, width, 3), _AROUND, dtype=np.uint8)
    rows: list[NDArray[np.uint8]] = []
    for part in parts:
        aside = np.full((part.shape[0], width - part.shape[1], 3), _AROUND, dtype=np.uint8)
        rows += [gap] * bool(rows) + [np.concatenate([part, aside], axis=1)]
    return np.concatenate(rows)


def _bounded(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    share = MOST_SIDE_PX / max(picture.shape[:2])
    if share >= 1:
        return picture
    wh = (max(1, round(picture.shape[1] * share)), max(1, round(picture.shape[0] * share)))
    return np.asarray(cv2.resize(picture, wh, interpolation=cv2.INTER_AREA), dtype=np.uint8)
