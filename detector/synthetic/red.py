"""Red cells: discs with a pale middle, some oval, some without pallor, some crenated."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from detector.synthetic.shapes import Drawing, Grid, Outline, Plane, soft, tinted
from detector.synthetic.stain import Stain, shifted

RADIUS_UM = (3.8, 0.27)
"""Mean and standard deviation: 7.6 µm wide as labelled in the data sets, with a normal spread in width of 13 to 15 % in area."""
LARGEST_UM, SMALLEST_UM = 4.7, 2.9


def radius_um(rng: np.random.Generator) -> float:
    """A red cell's mean radius."""
    return float(np.clip(rng.normal(*RADIUS_UM), SMALLEST_UM, LARGEST_UM))


def draw(centre_um: tuple[float, float], radius_um: float, seed: int, stain: Stain, um_per_px: float) -> Drawing:
    """One red cell."""
    rng = np.random.default_rng(seed)
    kind = rng.random()
    ratio = 1 + abs(rng.normal(0, 0.06)) + (rng.uniform(0.1, 0.35) if kind < 0.14 else 0)
    spikes = rng.uniform(0.015, 0.03) if kind > 0.94 else 0.0
    outline = Outline.drawn(rng, radius_um, ratio, rng.uniform(0.006, 0.02), spikes)
    grid = Grid.around(centre_um, outline.reach_um + 0.3, um_per_px)
    thickness, inside = _thickness(rng, outline, grid, stain)
    return Drawing(grid, tinted(thickness, shifted(rng, stain.red, 0.09, 0.03)), inside)


def _thickness(rng: np.random.Generator, outline: Outline, grid: Grid, stain: Stain) -> tuple[Plane, NDArray[np.bool_]]:
    """Thickness relative to that of the ring, and the pixels inside; both of shape (h, w)."""
    u, depth = outline.polar(grid)
    off_um = 0.07 * outline.radius_um
    middle, _ = outline.polar(grid.moved(rng.normal(0, off_um), rng.normal(0, off_um)))
    pallor = rng.uniform(*stain.pallor) if rng.random() > 0.1 else 0.0
    width, steep = rng.uniform(0.36, 0.60), rng.uniform(3.5, 7.0)
    dip = 1 / (1 + (middle / width) ** steep)
    rim = rng.uniform(0.0, 0.25) * np.exp(-(((u - 0.93) / 0.06) ** 2))
    fall = np.sqrt(np.clip(depth / rng.uniform(0.7, 1.3), 0.0, 1.0))
    lean = (grid.x_um * rng.normal(0, 0.05) + grid.y_um * rng.normal(0, 0.05)) / outline.radius_um
    body = (0.42 + 0.58 * fall) * (1 - pallor * dip) * (1 + lean) + rim
    return soft(depth, grid.um_per_px) * body, depth > 0
