"""A picture of what was seen of the smear, with the cells on it, of bounded size however far the stage went."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import cv2
import numpy as np
from numpy.typing import NDArray

from detector.output.overlay import COLOURS
from detector.streams.cell import Cell
from detector.streams.sparse import Cells, Plane
from detector.vision.cells import CLASSES

MOST_PX = 24_000_000
"""Pixels that are kept; when there are more, all are made smaller by half."""
MOST_SIDE_PX = 6000
"""Longest side of the picture."""

_FIRST_SCALE = 0.5
_GAP_PX = 12
_AROUND = (236, 236, 236)


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
        while sum(len(one.blocks) for one in self._planes.values()) * Plane.SIDE**2 > MOST_PX:
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

    def crop(self, segment: int, rect: tuple[float, float, float, float]) -> NDArray[np.uint8]:
        """A rectangle of the smear, given in px of the views, as RGB at the mosaic's scale; grey where nothing was seen."""
        x1, y1, x2, y2 = (round(side * self.scale) for side in rect)
        return self._read(segment, (x1, y1, max(x2, x1 + 1), max(y2, y1 + 1)))

    def _read(self, segment: int, at: Cells) -> NDArray[np.uint8]:
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


def _trimmed(plane: Plane) -> Cells:
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
