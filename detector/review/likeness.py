"""How alike cells look: a short description of each, the order in which like ones stand together, and who is nearest to one.

A cell is described by how it darkens the light of its field, in rings around its middle, which says the same of a cell however it is
turned; by how uneven it is along the rings; by its edges; and by its size beside the field's other cells and its form.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from detector.errors import ImageError
from detector.review.pictures import read
from detector.review.review import FieldState
from detector.vision import boxes
from detector.vision.images import Rgb

Vectors = NDArray[np.float32]

SIDE_PX = 24
"""Side to which a cell is brought before it is described."""
FEATURES = 40
_MARGIN = 0.1
"""Share of a box's longer side that is looked at on each side of it."""
_RINGS, _SECTORS = 4, 8
_AT_ONCE = 1024
"""Cells of which pixels are in memory at a time: 7 MB."""
_GROUND = 90
"""Percentile of a field's pixels that is taken for its empty ground."""
_DIMENSIONS = 12
"""Principal components by which cells are put in order."""
_LEAF = 16
"""Cells that are not parted any more."""
_FURTHEST = 4.0
"""Standard deviations beyond which a feature counts no further."""


def describe(rgb: Rgb, xyxy: NDArray[np.floating], rbc_px: float | None = None) -> Vectors:
    """Features of the cells of one field, of shape (n, `FEATURES`), for boxes of shape (n, 4) in px.

    Args:
        rbc_px: how wide red cells are in it; where it is not known, the median cell stands for them.
    """
    ground = np.percentile(rgb[::4, ::4].reshape(-1, 3), _GROUND, axis=0) + 1
    sides = np.maximum(boxes.side(xyxy), 1.0)
    size = np.log2(sides / (rbc_px or np.median(sides))) if len(sides) else sides
    wh = np.maximum(xyxy[:, 2:] - xyxy[:, :2], 1.0)
    form = np.abs(np.log2(wh[:, 0] / wh[:, 1]))
    parts = [np.zeros((0, FEATURES - 2), np.float32)]
    for start in range(0, len(xyxy), _AT_ONCE):
        crops = np.stack([_crop(rgb, box) for box in xyxy[start : start + _AT_ONCE]]).astype(np.float32)
        parts.append(_of_density(np.log((ground.astype(np.float32)) / (crops + 1))))
    return np.column_stack([np.concatenate(parts), size, form]).astype(np.float32)


def _of_density(density: NDArray[np.float32]) -> Vectors:
    """Features of optical densities, of shape (n, side, side, 3)."""
    n = len(density)
    rings, sectors = _masks()
    flat = density.reshape(n, -1, 3)
    mean = np.einsum("npc,pr->nrc", flat, rings, optimize=True)
    square = np.einsum("npc,pr->nrc", flat * flat, rings, optimize=True)
    spread = np.sqrt(np.maximum(square - mean**2, 0))
    grey = density.mean(axis=3)
    uneven = np.stack([(grey.reshape(n, -1) @ part).std(axis=1) for part in sectors], axis=1)
    across, down = np.gradient(grey, axis=2), np.gradient(grey, axis=1)
    edges = np.hypot(across, down).reshape(n, -1) @ rings
    inside = flat[:, rings[:, :3].any(axis=1)]
    quantiles = np.quantile(inside, (0.1, 0.9), axis=1).transpose(1, 0, 2)
    return np.concatenate([part.reshape(n, -1) for part in (mean, spread, uneven, edges, quantiles)], axis=1).astype(np.float32)


@cache
def _masks() -> tuple[NDArray[np.float32], list[NDArray[np.float32]]]:
    """Weights of pixels, of shape (pixels, rings), for means over rings; and (pixels, sectors) of each ring for means over its sectors."""
    y, x = np.mgrid[:SIDE_PX, :SIDE_PX] - (SIDE_PX - 1) / 2
    ring = np.minimum(np.hypot(x, y) / (SIDE_PX / 2) * _RINGS, _RINGS - 1e-6).astype(int).ravel()
    sector = ((np.arctan2(y, x) / (2 * np.pi) + 0.5) * _SECTORS).astype(int).ravel() % _SECTORS

    def means(groups: NDArray[np.bool_]) -> NDArray[np.float32]:
        return np.asarray(groups / np.maximum(groups.sum(axis=0), 1), dtype=np.float32)

    rings = ring[:, None] == np.arange(_RINGS)
    parts = [means(rings[:, [number]] & (sector[:, None] == np.arange(_SECTORS))) for number in range(_RINGS)]
    return means(rings), parts


def _crop(rgb: Rgb, box: NDArray[np.floating]) -> Rgb:
    """A cell with a margin, in a square of `SIDE_PX`; what lies beyond the border repeats it."""
    x1, y1, x2, y2 = box.tolist()
    side = max(x2 - x1, y2 - y1) * (1 + 2 * _MARGIN)
    scale = SIDE_PX / max(side, 1.0)
    left, top = (x1 + x2) / 2 - side / 2, (y1 + y2) / 2 - side / 2
    h, w = rgb.shape[:2]
    from_x, from_y = min(max(int(left), 0), w - 1), min(max(int(top), 0), h - 1)
    part = rgb[from_y : max(int(top + side) + 1, from_y + 1), from_x : max(int(left + side) + 1, from_x + 1)]
    if scale < 0.5:  # so that no pixel of a large cell is left out
        ratio = 2 * scale
        part = np.asarray(cv2.resize(part, None, fx=ratio, fy=ratio, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        scale, from_x, from_y, left, top = scale / ratio, from_x * ratio, from_y * ratio, left * ratio, top * ratio
    matrix = np.array([[scale, 0, (from_x - left) * scale], [0, scale, (from_y - top) * scale]])
    return np.asarray(cv2.warpAffine(part, matrix, (SIDE_PX, SIDE_PX), borderMode=cv2.BORDER_REPLICATE), dtype=np.uint8)


def standardised(vectors: Vectors) -> Vectors:
    """Features as multiples of their standard deviation from their mean, over all cells."""
    spread = vectors.std(axis=0)
    scaled = (vectors - vectors.mean(axis=0)) / np.where(spread > 1e-6, spread, 1)
    return np.asarray(np.clip(scaled, -_FURTHEST, _FURTHEST), dtype=np.float32)


def in_order(vectors: Vectors) -> NDArray[np.int64]:
    """Indices of cells in an order in which like ones stand near each other.

    Cells are parted again and again at the median of their first principal component. The axis of each part points as that of the whole
    that it is a part of, so that the end of one part is near the beginning of the next.
    """
    if len(vectors) < 2:
        return np.arange(len(vectors))
    centred = vectors - vectors.mean(axis=0)
    axes = np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :_DIMENSIONS]
    points = (centred @ axes).astype(np.float64)
    order: list[NDArray[np.int64]] = []
    todo = [(np.arange(len(points)), np.eye(points.shape[1])[0])]
    while todo:
        own, before = todo.pop()
        part = points[own] - points[own].mean(axis=0)
        axis = np.linalg.eigh(part.T @ part)[1][:, -1]
        axis = axis * (1.0 if axis @ before >= 0 else -1.0)
        own = own[np.argsort(part @ axis, kind="stable")]
        if len(own) <= _LEAF:
            order.append(own)
        else:
            half = len(own) // 2
            todo += [(own[half:], axis), (own[:half], axis)]
    return np.concatenate(order)


def distances(vectors: Vectors, index: int) -> NDArray[np.float64]:
    """How unlike each cell is to the one at `index`, of shape (n,)."""
    return np.asarray(np.linalg.norm(vectors - vectors[index], axis=1), dtype=np.float64)


@dataclass(frozen=True)
class _Described:
    """What is known of the cells of one field."""

    places: Mapping[int, tuple[float, ...]]
    """Box of each cell by number."""
    vectors: Vectors
    """In the order of `places`."""


class Likeness:
    """Describes the cells of a review when somebody asks, on a thread of its own; every method may be called from any thread.

    A description takes 160 bytes. The picture of one field is in memory at a time.
    """

    def __init__(self) -> None:
        """Describe nothing yet."""
        self._lock = threading.Lock()
        self._known: dict[str, _Described] = {}
        self._done, self._total = 0, 0
        self._thread: threading.Thread | None = None

    def progress(self, states: Sequence[FieldState]) -> tuple[int, int] | None:
        """Fields that are described and all that are to be; None where nothing is left to do. What is left is begun."""
        left = [state for state in states if not state.source.problem and not self._has(state)]
        if not left:
            return None
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._done, self._total = 0, len(left)
                self._thread = threading.Thread(target=self._describe, args=(left,), name="likeness", daemon=True)
                self._thread.start()
            return self._done, self._total

    def of(self, state: FieldState, numbers: Sequence[int]) -> Vectors:
        """Features of cells of a field for which nothing is left to do, of shape (n, `FEATURES`)."""
        known = self._known[state.name]
        rows = {number: row for row, number in enumerate(known.places)}
        return known.vectors[[rows[number] for number in numbers]]

    def _has(self, state: FieldState) -> bool:
        known = self._known.get(state.name)
        if known is None:
            return False
        return all(cell is None or known.places.get(number) == cell[:4] for number, cell in state.cells.items())

    def _describe(self, states: Sequence[FieldState]) -> None:
        for state in states:
            there = {number: cell[:4] for number, cell in state.cells.items() if cell is not None}
            try:
                xyxy = np.array(list(there.values()), dtype=np.float64).reshape(-1, 4)
                scale = state.source.result.scale
                vectors = describe(read(state.source), xyxy, None if scale is None else scale.rbc_px)
                self._known[state.name] = _Described(there, vectors)
            except ImageError:
                pass  # the field has a problem now, and its cells are not shown
            with self._lock:
                self._done += 1
