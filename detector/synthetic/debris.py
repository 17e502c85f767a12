"""What lies on a smear beside cells, and heaps of which no one can say where a cell ends."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from detector.synthetic import noise
from detector.synthetic.cells import PLATELET_UM
from detector.synthetic.shapes import Drawing, Grid, Outline, Plane, soft, tinted
from detector.synthetic.stain import Colour, Stain, shifted

SPECK_UM = (0.12, 0.34)
"""Smallest and largest radius of a grain of precipitated stain: well below any platelet's."""
STREAK_UM = (4.0, 14.0)
"""Shortest and longest half length of a streak."""
_DYES: tuple[Colour, ...] = ((2.2, 2.2, 2.2), (1.6, 1.0, 0.4), (0.8, 1.0, 1.6))
"""Optical densities of dirt that took no stain: black, blue and brown; a pale lump would look like a red cell."""


def speck(centre_um: tuple[float, float], radius_um: float, seed: int, stain: Stain, um_per_px: float) -> Drawing:
    """A grain of precipitated stain or dust: a small dark dot."""
    rng = np.random.default_rng(seed)
    outline = Outline.drawn(rng, radius_um, min(1 + abs(rng.normal(0, 0.3)), 2.0), 0.05)
    grid = Grid.around(centre_um, outline.reach_um + 0.3, um_per_px)
    _, depth = outline.polar(grid)
    dark = soft(depth, um_per_px, 0.25) * rng.uniform(0.4, 1.0)
    return Drawing(grid, tinted(dark, shifted(rng, stain.nucleus, 0.1, 0.1)), depth > 0)


def streak(centre_um: tuple[float, float], radius_um: float, seed: int, stain: Stain, um_per_px: float) -> Drawing:
    """A faint bent line, such as a fibre or a scratch leaves; `radius_um` is half its length."""
    rng = np.random.default_rng(seed)
    grid = Grid.around(centre_um, radius_um, um_per_px)
    angle, bow = rng.uniform(0, math.pi), rng.normal(0, 0.015)
    along = grid.x_um * math.cos(angle) + grid.y_um * math.sin(angle)
    across = grid.y_um * math.cos(angle) - grid.x_um * math.sin(angle) + bow * along * along
    width_um = rng.uniform(0.12, 0.3) + um_per_px / 2
    fade = np.clip(1 - np.sqrt(along * along + across * across) / radius_um, 0, 1)
    line = np.asarray(np.exp(-((across / width_um) ** 2)) * np.sqrt(fade), dtype=np.float32)
    return Drawing(grid, tinted(line * rng.uniform(0.15, 0.4), stain.platelet), line > 0.5)


def smudge(rng: np.random.Generator, centre_um: tuple[float, float], radius_um: float, stain: Stain, um_per_px: float) -> Drawing:
    """A ghost nucleus: pale, without an edge or a cytoplasm, drawn out in strands."""
    outline = Outline.drawn(rng, radius_um, rng.uniform(1.0, 1.5), rng.uniform(0.08, 0.2))
    grid = Grid.around(centre_um, outline.reach_um + 0.3, um_per_px)
    _, depth = outline.polar(grid)
    coarse, fine = (noise.patch(rng, grid.shape_hw, grid.side_um, size_um) for size_um in (2.2, 0.7))
    body = soft(depth - 0.6, um_per_px, 1.6) * np.clip(0.8 + 0.3 * coarse + 0.07 * fine, 0.1, 1.5)
    density = tinted(body * rng.uniform(0.3, 0.6), shifted(rng, stain.nucleus, 0.1, 0.05))
    return Drawing(grid, density, depth > 0, soft(depth - 0.6, um_per_px, 1.6) * 0.4)


def clump(rng: np.random.Generator, centre_um: tuple[float, float], radius_um: float, stain: Stain, um_per_px: float) -> Drawing:
    """Platelets in a heap, so dense that they cannot be told apart."""
    grid = Grid.around(centre_um, radius_um + 0.3, um_per_px)
    plane = np.zeros(grid.shape_hw, dtype=np.float32)
    for _ in range(round(1.4 * radius_um**2)):
        one_um = rng.uniform(*PLATELET_UM)
        away_um, turn = (radius_um - one_um) * math.sqrt(rng.random()), rng.uniform(0, 2 * np.pi)
        x_um, y_um = away_um * math.cos(turn), away_um * math.sin(turn)
        body = soft(one_um - np.hypot(grid.x_um - x_um, grid.y_um - y_um), um_per_px, 0.5)
        plane = np.maximum(plane, body * rng.uniform(0.6, 1.0)) + 0.12 * np.minimum(plane, body)
    grain = noise.patch(rng, grid.shape_hw, grid.side_um, 0.4)
    density = tinted(plane * np.clip(0.8 + 0.3 * grain, 0.2, 1.6), shifted(rng, stain.platelet, 0.12, 0.04))
    return Drawing(grid, density, plane > 0.3, np.clip(plane, 0, 1) * 0.5)


def precipitate(
    rng: np.random.Generator, centre_um: tuple[float, float], radius_um: float, stain: Stain, um_per_px: float
) -> Drawing:
    """Grains of dye of many sizes, strewn."""
    grid = Grid.around(centre_um, radius_um, um_per_px)
    number = int(rng.integers(5, 60))
    sizes = 0.1 + rng.uniform(0.15, 0.55) * rng.random(number) ** 3
    plane = _strewn(rng, grid, radius_um, sizes, np.zeros(number))
    return Drawing(grid, tinted(plane * rng.uniform(0.6, 1.4), shifted(rng, stain.nucleus, 0.2, 0.15)), plane > 0.5)


def bacteria(
    rng: np.random.Generator, centre_um: tuple[float, float], radius_um: float, stain: Stain, um_per_px: float
) -> Drawing:
    """Rods or dots of one size, strewn."""
    grid = Grid.around(centre_um, radius_um, um_per_px)
    number = int(rng.integers(3, 25))
    length = np.full(number, rng.uniform(0.3, 0.9) if rng.random() < 0.6 else 0.0)
    plane = _strewn(rng, grid, radius_um, np.full(number, rng.uniform(0.2, 0.35)), length)
    return Drawing(grid, tinted(plane * rng.uniform(0.5, 0.9), shifted(rng, stain.nucleus, 0.1, 0.1)), plane > 0.5)


def _strewn(
    rng: np.random.Generator, grid: Grid, radius_um: float, sizes_um: NDArray[np.float64], lengths_um: NDArray[np.float64]
) -> Plane:
    """Dots, or rods of half the length given, dense in the middle and none beyond the radius; of shape (h, w)."""
    plane = np.zeros(grid.shape_hw, dtype=np.float32)
    for size_um, length_um in zip(sizes_um, lengths_um, strict=True):
        away_um, (turn, lie) = (radius_um - size_um - length_um) * rng.random(), rng.uniform(0, 2 * np.pi, 2)
        x_um, y_um = grid.x_um - away_um * math.cos(turn), grid.y_um - away_um * math.sin(turn)
        along = np.clip(x_um * math.cos(lie) + y_um * math.sin(lie), -length_um, length_um)
        rim = size_um - np.hypot(x_um - along * math.cos(lie), y_um - along * math.sin(lie))
        plane = np.maximum(plane, soft(rim, grid.um_per_px, 0.2))
    return plane


def dirt(rng: np.random.Generator, centre_um: tuple[float, float], radius_um: float, _stain: Stain, um_per_px: float) -> Drawing:
    """A lump of any colour, sharp or above the plane of focus."""
    outline = Outline.drawn(rng, radius_um, rng.uniform(1.0, 2.2), rng.uniform(0.1, 0.3))
    grid = Grid.around(centre_um, outline.reach_um + 0.8, um_per_px)
    _, depth = outline.polar(grid)
    body = soft(depth, um_per_px, rng.uniform(0.2, 1.5))
    # Never of the stain's violet: a violet lump would be called a platelet.
    density = tinted(body, shifted(rng, _DYES[rng.integers(len(_DYES))], 0.3, 0.1))
    return Drawing(grid, density, depth > 0, body * 0.6)


def fibre(rng: np.random.Generator, centre_um: tuple[float, float], radius_um: float, stain: Stain, um_per_px: float) -> Drawing:
    """A thick bent thread; `radius_um` is half its length."""
    grid = Grid.around(centre_um, radius_um, um_per_px)
    turn, bow = rng.uniform(0, np.pi), rng.normal(0, 0.03)
    width_um = float(rng.uniform(0.2, 0.7)) + um_per_px / 2
    along = grid.x_um * math.cos(turn) + grid.y_um * math.sin(turn)
    across = grid.y_um * math.cos(turn) - grid.x_um * math.sin(turn) + bow * along * along
    within = np.minimum(radius_um - 0.5 - np.hypot(along, across), width_um - np.abs(across))
    line = soft(within.astype(np.float32), um_per_px, 0.4)
    return Drawing(grid, tinted(line * rng.uniform(0.2, 0.8), (*_DYES, stain.platelet)[rng.integers(len(_DYES) + 1)]), line > 0.5)


Draw = Callable[[np.random.Generator, tuple[float, float], float, Stain, float], Drawing]
THINGS: dict[str, Draw] = {f.__name__: f for f in (smudge, clump, precipitate, bacteria, dirt, fibre)}
"""By name. Of a smudge and a clump, what was drawn is an ignore region; the others are no cells."""


def draw(centre_um: tuple[float, float], radius_um: float, name: str, seed: int, stain: Stain, um_per_px: float) -> Drawing:
    """One thing of that name."""
    return THINGS[name](np.random.default_rng(seed), centre_um, radius_um, stain, um_per_px)
