"""Cells at the border of a field: which red ones are too little seen to count, and of which cells the centre lies in the field.

The first is one rule for labels, training and counting.
A red cell that the border cuts counts where at least a fifth of a red cell's diameter of it is seen, measured across that
border. Thinner slivers are no cells to count: people who label every cell take them in or leave them out as they please. In the
fields of PBC, BCCD and Raabin-WBC half of the slivers are labelled at 0.17, 0.22 and 0.27 of a diameter. White cells and
platelets always count.

The second decides which of adjoining fields a cell belongs to.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from detector.vision import boxes, cells

LEAST_SEEN = 0.2
"""Share of a red cell's diameter that must be seen of a cut one."""

EDGE_SHARE = 0.004
"""How near to an edge a box counts as cut by it, as a share of the field's shorter side.

Boxes of cut cells end within this of the edge and those of whole cells seldom do: of the labelled boxes of BCCD, PBC and
Raabin fields that lie within 1 % of an edge, most lie within 0.2 % and few between 0.3 and 0.6 %.
"""
EDGE_LIMITS_PX = (1.0, 8.0)
"""The same in pixels, at least and at most: small fields have rounded boxes, and large ones are read in tiles."""
TYPICAL_SIZES = (1.0, 1.85, 0.39)
"""Sides of whole cells by label, in red cells: medians over the completely labelled fields of BCCD, PBC and Raabin-WBC."""

_REACH = 0.03
"""A box ends at the border where it comes as near as this, as a share of a red cell's diameter."""
_LEAST_TO_MEASURE = 3
"""Whole red cells that give the diameter in a field."""


def rbc_px(xyxy: boxes.Boxes, label: NDArray[np.int64], size_wh: tuple[int, int], least: int = _LEAST_TO_MEASURE) -> float | None:
    """Diameter of red cells in pixels: median side of those clear of the border, or None where fewer than `least` are."""
    sides_px = boxes.sides_clear_of_border(xyxy[label == cells.RBC], size_wh)
    return boxes.median(sides_px) if len(sides_px) >= least else None


def slivers(xyxy: boxes.Boxes, label: NDArray[np.int64], size_wh: tuple[int, int], rbc_px: float) -> NDArray[np.bool_]:
    """Which boxes show too little of a red cell that the border cuts; of shape (n,)."""
    cut = boxes.touches(xyxy, size_wh, _REACH * rbc_px)
    width, height = xyxy[:, 2] - xyxy[:, 0], xyxy[:, 3] - xyxy[:, 1]
    across_x = (cut[:, 0] | cut[:, 2]) & (width < LEAST_SEEN * rbc_px)
    across_y = (cut[:, 1] | cut[:, 3]) & (height < LEAST_SEEN * rbc_px)
    return np.asarray((label == cells.RBC) & (across_x | across_y))


def edge_px(size_wh: tuple[int, int]) -> float:
    """How near to an edge a box counts as cut by it, in pixels."""
    low, high = EDGE_LIMITS_PX
    return min(max(EDGE_SHARE * min(size_wh), low), high)


def leaning(xyxy: boxes.Boxes, label: NDArray[np.int64], cut: NDArray[np.bool_]) -> NDArray[np.float64]:
    """How far within a field the centre of each box's cell seems to lie, in shares of its size; negative outside; of shape (n,).

    A round cell that one edge cuts shows its centre where what is seen is at least half as wide as it is high. In a corner neither
    side is whole, and the typical size of the class stands for it: in this field, else of its red cells times `TYPICAL_SIZES`.

    Args:
        cut: which edges cut each box, left, top, right and bottom, of shape (n, 4).
    """
    sides = (xyxy[:, 2:] - xyxy[:, :2]).astype(np.float64)
    cut_xy = np.stack([cut[:, 0] | cut[:, 2], cut[:, 1] | cut[:, 3]], axis=1)
    whole = ~cut_xy.any(axis=1)
    corner = cut_xy.all(axis=1)
    typical_px = np.zeros(len(cells.CLASSES))
    for wanted in np.unique(label[corner]).tolist():
        typical_px[wanted] = _typical_px(sides[whole], label[whole], wanted)
    across = np.where(corner, sides.min(axis=1), np.where(cut_xy[:, 0], sides[:, 0], sides[:, 1]))
    full = np.where(corner, np.maximum(typical_px[label], sides.max(axis=1)), np.where(cut_xy[:, 0], sides[:, 1], sides[:, 0]))
    return np.asarray(np.where(whole, 1.0, 2 * across / np.maximum(full, 1e-9) - 1))


def _typical_px(sides: NDArray[np.float64], label: NDArray[np.int64], wanted: int) -> float:
    """Typical side of a class from those of whole cells, of shape (m, 2); 0 without."""
    for known, factor in ((wanted, 1.0), (cells.RBC, TYPICAL_SIZES[wanted])):
        if (label == known).any():
            return float(np.median(sides[label == known])) * factor
    return 0.0
