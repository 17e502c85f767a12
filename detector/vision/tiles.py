"""Cutting a large field into tiles so that each cell is counted exactly once.

Every tile sees a window and owns a part of it. The owned parts divide the field without gap or overlap; the window is
the owned part with a margin of context around it. A box belongs to the tile that owns its centre.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from detector.vision import boxes
from detector.vision.detections import Detections

TILE_PX = 960
"""Side of the tiles of slides and large fields in the model's own pixels."""
SEAM_OVERLAP = 0.6
"""Two boxes of one class from two tiles that overlap by more than this (IoU), at a seam, are one cell seen twice."""


@dataclass(frozen=True)
class Tile:
    """One crop of a field; both rectangles are x1, y1, x2, y2 in field pixels, half-open."""

    window: tuple[int, int, int, int]
    owned: tuple[int, int, int, int]


def cut(size_wh: tuple[int, int], tile_px: int, margin_px: int) -> list[Tile]:
    """Tiles that cover a field, row by row.

    Args:
        tile_px: longest side of a window.
        margin_px: context around the owned part; for each cell to be seen whole by every tile that may keep it, this must be
            at least half of the longest cell and twice the `band_px` of `own`.

    Raises:
        ValueError: the margins leave no area to own.
    """
    if margin_px < 0 or tile_px <= 2 * margin_px:
        raise ValueError(f"tile_px must be more than twice margin_px, got {tile_px} and {margin_px}")
    w, h = size_wh
    columns, rows = _spans(w, tile_px, margin_px), _spans(h, tile_px, margin_px)
    return [
        Tile((wx1, wy1, wx2, wy2), (ox1, oy1, ox2, oy2)) for (oy1, oy2), (wy1, wy2) in rows for (ox1, ox2), (wx1, wx2) in columns
    ]


def _spans(length: int, tile_px: int, margin_px: int) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    if length <= tile_px:
        return [((0, length), (0, length))]
    # The outer tiles have a margin on one side only, so they own up to one margin more.
    count = math.ceil((length - 2 * margin_px) / (tile_px - 2 * margin_px))
    seams = [0, *(margin_px + round(i * (length - 2 * margin_px) / count) for i in range(1, count)), length]
    return [((a, b), (max(0, a - margin_px), min(length, b + margin_px))) for a, b in pairwise(seams)]


def own(tiles: Sequence[Tile], detections: Sequence[Detections], size_wh: tuple[int, int], band_px: float) -> Detections:
    """Detections of the tiles, each in its window's coordinates, as detections of the field with every cell once.

    A cell's centre is estimated a little differently by two tiles. So a tile keeps what lies up to `band_px` outside its
    part, and where two tiles then hold the same cell, the one that owns the centre wins, else the better score.
    """
    parts = [kept(tile, seen, size_wh, band_px) for tile, seen in zip(tiles, detections, strict=True)]
    return joined([part[stays] for part, stays in zip(parts, settle(tiles, parts, band_px), strict=True)], size_wh)


def kept(tile: Tile, detections: Detections, size_wh: tuple[int, int], band_px: float) -> Detections:
    """What a tile found in its window, in the field's coordinates, less what lies outside its part by more than `band_px`."""
    x, y = tile.window[:2]
    xyxy = detections.xyxy + np.array([x, y, x, y], dtype=np.float32)
    near = _within(boxes.centre(xyxy), tile.owned, band_px)
    # None of the other tiles confirms what is unsure, so each keeps those in its part alone.
    unsure = None if detections.unsure is None else kept(tile, detections.unsure, size_wh, 0)
    return Detections(
        xyxy[near], detections.score[near], detections.label[near], size_wh, detections.class_names, detections.saturated, unsure
    )


def settle(tiles: Sequence[Tile], parts: Sequence[Detections], band_px: float) -> list[NDArray[np.bool_]]:
    """Which of the cells that each tile kept stay, so that every cell of the field stays once; tiles in the order of `cut`."""
    whole = joined(parts, (1, 1))
    tile_of = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    centre = boxes.centre(whole.xyxy)
    at_seam = np.flatnonzero(_near_seam(centre, tiles, tile_of, 2 * band_px))
    pairs = _seen_twice(tiles, whole.xyxy, whole.label, tile_of, at_seam)
    owned = np.array([tile.owned for tile in tiles], dtype=np.float32).reshape(-1, 4)[tile_of]
    inside = ((centre >= owned[:, :2]) & (centre < owned[:, 2:])).all(axis=1)
    keep = np.ones(len(whole), dtype=bool)
    # A box outside its tile's part that no owner confirmed stays: its owner may have put the centre across the seam.
    for i in np.lexsort((-whole.score, ~inside)):
        if keep[i]:
            keep[pairs.get(int(i), [])] = False
    return np.split(keep, np.cumsum([len(part) for part in parts])[:-1]) if parts else []


def joined(parts: Sequence[Detections], size_wh: tuple[int, int]) -> Detections:
    """Cells of several parts of a field, all in its coordinates, as those of the field."""
    none = Detections.none(size_wh)
    together = [none, *parts]
    unsure = [part.unsure for part in parts if part.unsure is not None]
    return Detections(
        np.concatenate([part.xyxy for part in together]),
        np.concatenate([part.score for part in together]),
        np.concatenate([part.label for part in together]),
        size_wh,
        parts[0].class_names if parts else none.class_names,
        any(part.saturated for part in parts),
        joined(unsure, size_wh) if unsure else None,
    )


def _within(centre: NDArray[np.float32], area: tuple[int, int, int, int], band_px: float) -> NDArray[np.bool_]:
    low = np.array(area[:2], dtype=np.float32) - band_px
    high = np.array(area[2:], dtype=np.float32) + band_px
    return np.asarray(((centre >= low) & (centre < high)).all(axis=1))


def _near_seam(
    centre: NDArray[np.float32], tiles: Sequence[Tile], tile_of: NDArray[np.int64], reach_px: float
) -> NDArray[np.bool_]:
    if not len(centre):
        return np.zeros(0, dtype=bool)
    owned = np.array([tile.owned for tile in tiles], dtype=np.float32)[tile_of]
    gap = np.abs(np.concatenate([centre - owned[:, :2], owned[:, 2:] - centre], axis=1))
    return np.asarray(gap.min(axis=1) <= reach_px)


def _seen_twice(
    tiles: Sequence[Tile],
    xyxy: NDArray[np.float32],
    label: NDArray[np.int64],
    tile_of: NDArray[np.int64],
    at_seam: NDArray[np.int64],
) -> dict[int, list[int]]:
    """For each box at a seam, the boxes of other tiles that are the same cell; tile by tile, so that memory stays small."""
    held, starts = np.unique(tile_of[at_seam], return_index=True)
    members = dict(zip(held.tolist(), np.split(at_seam, starts[1:]), strict=True)) if len(held) else {}
    windows = np.array([tile.window for tile in tiles], dtype=np.float32)
    pairs: dict[int, list[int]] = {}
    for t, mine in members.items():
        # Windows come row by row, so those that begin below this one need not be looked at.
        last = int(np.searchsorted(windows[:, 1], windows[t, 3]))
        for u in np.flatnonzero(boxes.intersection(windows[t : t + 1], windows[t + 1 : last])[0] > 0) + t + 1:
            theirs = members.get(int(u))
            if theirs is None:
                continue
            same = (boxes.iou(xyxy[mine], xyxy[theirs]) > SEAM_OVERLAP) & (label[mine][:, None] == label[theirs][None, :])
            for i, j in zip(*np.nonzero(same), strict=True):
                pairs.setdefault(int(mine[i]), []).append(int(theirs[j]))
                pairs.setdefault(int(theirs[j]), []).append(int(mine[i]))
    return pairs
