"""White cells: kinds told apart by nucleus, cytoplasm and granules."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detector.synthetic import noise
from detector.synthetic.shapes import Drawing, Grid, Outline, Plane, soft, tinted
from detector.synthetic.stain import Stain, shifted


@dataclass(frozen=True)
class Kind:
    """How one kind of white cell is built; lengths of the nucleus are relative to the cell's radius."""

    share: float
    """Of all white cells in a plain field, as in a normal differential (Bain, Blood Cells, 5th ed.); 0 for kinds that lie in varied
    fields alone."""
    radius_um: tuple[float, float]
    lobes: tuple[int, int]
    """Fewest and most."""
    lobe_radius: tuple[float, float]
    neck: float
    """Radius of the bridges over that of the lobes: 1 is a nucleus without lobes."""
    arc: tuple[float, float]
    """Angle in radians along which the lobes are strung."""
    bend: float
    """Radius of that arc."""
    blue: bool
    """Its cytoplasm takes the blue dye."""
    grain: float
    """Strength of its granules."""
    dark: float = 0.0
    """Strength of coarse dark granules, which lie over the nucleus too."""
    uneven: float = 0.0
    """Standard deviation of the lobes' sizes, relative; their outlines are as uneven."""


KINDS: dict[str, Kind] = {
    "neutrophil": Kind(0.58, (5.7, 6.9), (2, 5), (0.27, 0.34), 0.50, (3.0, 4.6), 0.47, False, 0.16),
    "lymphocyte": Kind(0.28, (4.6, 6.0), (1, 1), (0.70, 0.83), 1.0, (0.0, 0.0), 0.10, True, 0.06),
    "monocyte": Kind(0.08, (6.8, 8.0), (3, 3), (0.40, 0.46), 0.92, (1.9, 2.8), 0.36, True, 0.12),
    "eosinophil": Kind(0.06, (6.0, 7.0), (2, 3), (0.34, 0.40), 0.55, (2.0, 3.0), 0.44, False, 1.0),
    "segmented": Kind(0.0, (5.7, 6.9), (3, 5), (0.25, 0.32), 0.12, (3.4, 5.0), 0.46, False, 0.16, uneven=0.25),
    "band": Kind(0.0, (5.6, 6.8), (2, 2), (0.25, 0.32), 0.9, (3.2, 4.6), 0.46, False, 0.14),
    "small_lymphocyte": Kind(0.0, (3.6, 4.4), (1, 1), (0.84, 0.93), 1.0, (0.0, 0.0), 0.04, True, 0.04),
    "basophil": Kind(0.0, (5.0, 6.4), (2, 3), (0.36, 0.42), 0.6, (1.6, 2.6), 0.40, False, 0.2, dark=0.8),
}


def draw(centre_um: tuple[float, float], radius_um: float, name: str, seed: int, stain: Stain, um_per_px: float) -> Drawing:
    """One white cell of the kind `name`; it hides most of what lies below it."""
    rng, kind = np.random.default_rng(seed), KINDS[name]
    outline = Outline.drawn(rng, radius_um, 1 + abs(rng.normal(0, 0.07)), rng.uniform(0.012, 0.035))
    grid = Grid.around(centre_um, outline.reach_um + 0.3, um_per_px)
    _, depth = outline.polar(grid)
    body = soft(depth, um_per_px, 0.3)
    nucleus = _nucleus(rng, kind, radius_um, grid) * soft(depth - 0.25, um_per_px, 0.4)
    density = _cytoplasm(rng, kind, stain, grid, depth) * (body * (1 - nucleus))[:, :, None]
    density += tinted(nucleus * _chromatin(rng, stain, grid), shifted(rng, stain.nucleus, 0.10, 0.03))
    if kind.dark:
        spots = np.clip(noise.patch(rng, grid.shape_hw, grid.side_um, 0.6) - 0.3, 0, 0.8)
        density += tinted(spots * soft(depth - 0.2, um_per_px, 0.4) * kind.dark, stain.nucleus)
    return Drawing(grid, density, depth > 0, body * 0.85)


def _nucleus(rng: np.random.Generator, kind: Kind, radius_um: float, grid: Grid) -> Plane:
    """How much of each pixel is nucleus, of shape (h, w): beads on a bent string, thick at the lobes."""
    lobes = int(rng.integers(kind.lobes[0], kind.lobes[1] + 1))
    lobe_um = rng.uniform(*kind.lobe_radius) * radius_um * (1 if lobes < 4 else 0.86)
    beads = 1 if lobes == 1 else 22 * (lobes - 1) + 1
    along = np.linspace(0, 1, beads)
    string = _string(rng, kind, radius_um, along)
    swell = np.cos(np.pi * (lobes - 1) * along) ** 2
    sizes = lobe_um * (kind.neck + (1 - kind.neck) * swell) * (1 + 0.1 * np.sin(2 * np.pi * (along + rng.random())))
    if kind.uneven:
        sizes *= np.interp(along * (lobes - 1), np.arange(lobes), np.exp(rng.normal(0, kind.uneven, lobes)))
    warp = noise.patch(rng, grid.shape_hw, grid.side_um, radius_um * 0.55) * ((0.055 + 0.15 * kind.uneven) * radius_um)
    depth = np.full(grid.shape_hw, -np.inf, dtype=np.float32)
    for (x, y), size in zip(string, sizes.astype(np.float32), strict=True):
        np.maximum(depth, size - np.sqrt((grid.x_um - x) ** 2 + (grid.y_um - y) ** 2), out=depth)
    return soft(depth + warp, grid.um_per_px, 0.3)


def _string(rng: np.random.Generator, kind: Kind, radius_um: float, along: NDArray[np.float64]) -> NDArray[np.float32]:
    """Centres of the beads in µm, of shape (n, 2)."""
    turn = rng.uniform(0, 2 * np.pi) + rng.uniform(*kind.arc) * along
    bend = kind.bend * radius_um * (1 + 0.18 * np.sin(2 * np.pi * (along * rng.uniform(0.6, 1.4) + rng.random())))
    points = np.stack([bend * np.cos(turn), bend * np.sin(turn)], axis=1)
    if len(points) > 1:
        points -= points.mean(axis=0) * rng.uniform(0.3, 0.8)
    return points.astype(np.float32)


def _chromatin(rng: np.random.Generator, stain: Stain, grid: Grid) -> Plane:
    """Relative density within the nucleus, of shape (h, w): coarse clumps and fine threads."""
    clumps = noise.patch(rng, grid.shape_hw, grid.side_um, 1.1) + noise.patch(rng, grid.shape_hw, grid.side_um, 0.5)
    return np.asarray(np.clip(1 + stain.chromatin * clumps, 0.45, 1.5))


def _cytoplasm(rng: np.random.Generator, kind: Kind, stain: Stain, grid: Grid, depth: Plane) -> NDArray[np.float32]:
    """Optical density of cytoplasm and granules, of shape (h, w, 3), not yet cut to the cell."""
    base = shifted(rng, stain.plasma if kind.blue else stain.cytoplasm, 0.10, 0.03)
    cloud = noise.patch(rng, grid.shape_hw, grid.side_um, 1.8)
    thick = 0.85 + 0.12 * cloud + 0.3 * np.exp(-np.clip(depth, 0, None) / 0.4)
    grain = np.clip(noise.patch(rng, grid.shape_hw, grid.side_um, 0.32 if kind.grain < 1 else 0.5) - 0.1, 0, 1.2)
    return tinted(np.clip(thick, 0.3, None), base) + tinted(grain * kind.grain, stain.granule)
