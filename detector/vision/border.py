"""Which red cells at the border of a field count: one rule for labels, training and counting.

A red cell that the border cuts counts where at least a fifth of a red cell's diameter of it is seen, measured across that
border. Thinner slivers are no cells to count: people who label every cell take them in or leave them out as they please. In the
fields of PBC, BCCD and Raabin-WBC half of the slivers are labelled at 0.17, 0.22 and 0.27 of a diameter. White cells and
platelets always count.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from detector.vision import boxes, cells

LEAST_SEEN = 0.2
"""Share of a red cell's diameter that must be seen of a cut one."""

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
