"""The ground that cells are laid on: how near two of them may come."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from itertools import product

from detector.vision.cells import CLASSES, PLATELETS, RBC, WBC

_BIN_UM = 16.5
"""At least the sum of the two largest radii times their spacing, so that only neighbouring bins matter."""

APART: Mapping[tuple[int, int], float] = {
    (RBC, RBC): 1.04,
    (RBC, WBC): 0.98,
    (WBC, WBC): 1.03,
    (RBC, PLATELETS): 1.12,
    (WBC, PLATELETS): 1.08,
    (PLATELETS, PLATELETS): 1.15,
}
"""Least distance of two centres, by label, as a multiple of the sum of both radii."""
JOINED = 0.78
"""The same for a red cell laid over others: two equal discs so near share a sixth of their area."""


class Ground:
    """The cells laid so far, found by place."""

    def __init__(self) -> None:
        self.placed: list[list[tuple[float, float, float]]] = [[] for _ in CLASSES]
        """Centre and radius in µm of every cell, by label, in the order of laying."""
        self._bins: dict[tuple[int, int], list[tuple[int, float, float, float]]] = defaultdict(list)

    def add(self, label: int, x_um: float, y_um: float, radius_um: float) -> None:
        """Lay a cell."""
        self.placed[label].append((x_um, y_um, radius_um))
        self._bins[int(x_um // _BIN_UM), int(y_um // _BIN_UM)].append((label, x_um, y_um, radius_um))

    def free(
        self, label: int, x_um: float, y_um: float, radius_um: float, apart: Mapping[tuple[int, int], float] = APART
    ) -> bool:
        """Whether a cell has room there."""
        bx, by = int(x_um // _BIN_UM), int(y_um // _BIN_UM)
        for i, j in product((bx - 1, bx, bx + 1), (by - 1, by, by + 1)):
            for other, x, y, r in self._bins.get((i, j), ()):
                spacing = apart[min(label, other), max(label, other)]
                if (x - x_um) ** 2 + (y - y_um) ** 2 < (spacing * (r + radius_um)) ** 2:
                    return False
        return True
