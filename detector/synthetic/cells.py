"""How red cells, white cells and platelets look: each is drawn from its own seed."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from detector.synthetic import noise
from detector.synthetic.shapes import Drawing, Grid, Outline, Plane, soft, tinted
from detector.synthetic.stain import Stain, shifted

RED_UM = (3.8, 0.27)
"""Mean and standard deviation of a red cell's radius: 7.6 µm wide as labelled in the data sets, with a normal spread in width of 13 to
15 % in area."""
_LARGEST_RED_UM, _SMALLEST_RED_UM = 4.7, 2.9
PLATELET_UM = (1.2, 1.85)
"""Smallest and largest mean radius: 2.4 to 3.7 µm wide, 3 µm in the middle, as labelled in the data sets."""
_HALO_UM = 0.5
"""Width of the pale fringe of a platelet that lies on a red cell."""


def red_radius_um(rng: np.random.Generator) -> float:
    """A red cell's mean radius."""
    return float(np.clip(rng.normal(*RED_UM), _SMALLEST_RED_UM, _LARGEST_RED_UM))


def red(centre_um: tuple[float, float], radius_um: float, seed: int, stain: Stain, um_per_px: float) -> Drawing:
    """One red cell: a disc with a pale middle, some oval, some without pallor, some crenated."""
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


@dataclass(frozen=True)
class WhiteKind:
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


WHITE_KINDS: dict[str, WhiteKind] = {
    "neutrophil": WhiteKind(0.58, (5.7, 6.9), (2, 5), (0.27, 0.34), 0.50, (3.0, 4.6), 0.47, False, 0.16),
    "lymphocyte": WhiteKind(0.28, (4.6, 6.0), (1, 1), (0.70, 0.83), 1.0, (0.0, 0.0), 0.10, True, 0.06),
    "monocyte": WhiteKind(0.08, (6.8, 8.0), (3, 3), (0.40, 0.46), 0.92, (1.9, 2.8), 0.36, True, 0.12),
    "eosinophil": WhiteKind(0.06, (6.0, 7.0), (2, 3), (0.34, 0.40), 0.55, (2.0, 3.0), 0.44, False, 1.0),
    "segmented": WhiteKind(0.0, (5.7, 6.9), (3, 5), (0.25, 0.32), 0.12, (3.4, 5.0), 0.46, False, 0.16, uneven=0.25),
    "band": WhiteKind(0.0, (5.6, 6.8), (2, 2), (0.25, 0.32), 0.9, (3.2, 4.6), 0.46, False, 0.14),
    "small_lymphocyte": WhiteKind(0.0, (3.6, 4.4), (1, 1), (0.84, 0.93), 1.0, (0.0, 0.0), 0.04, True, 0.04),
    "basophil": WhiteKind(0.0, (5.0, 6.4), (2, 3), (0.36, 0.42), 0.6, (1.6, 2.6), 0.40, False, 0.2, dark=0.8),
}


def white(centre_um: tuple[float, float], radius_um: float, name: str, seed: int, stain: Stain, um_per_px: float) -> Drawing:
    """One white cell of the kind `name`; it hides most of what lies below it."""
    rng, kind = np.random.default_rng(seed), WHITE_KINDS[name]
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


def _nucleus(rng: np.random.Generator, kind: WhiteKind, radius_um: float, grid: Grid) -> Plane:
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


def _string(rng: np.random.Generator, kind: WhiteKind, radius_um: float, along: NDArray[np.float64]) -> NDArray[np.float32]:
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


def _cytoplasm(rng: np.random.Generator, kind: WhiteKind, stain: Stain, grid: Grid, depth: Plane) -> NDArray[np.float32]:
    """Optical density of cytoplasm and granules, of shape (h, w, 3), not yet cut to the cell."""
    base = shifted(rng, stain.plasma if kind.blue else stain.cytoplasm, 0.10, 0.03)
    cloud = noise.patch(rng, grid.shape_hw, grid.side_um, 1.8)
    thick = 0.85 + 0.12 * cloud + 0.3 * np.exp(-np.clip(depth, 0, None) / 0.4)
    grain = np.clip(noise.patch(rng, grid.shape_hw, grid.side_um, 0.32 if kind.grain < 1 else 0.5) - 0.1, 0, 1.2)
    return tinted(np.clip(thick, 0.3, None), base) + tinted(grain * kind.grain, stain.granule)


def platelet(centre_um: tuple[float, float], radius_um: float, seed: int, stain: Stain, um_per_px: float) -> Drawing:
    """One platelet: a pale rim around a granular middle."""
    rng = np.random.default_rng(seed)
    ratio = min(1 + abs(rng.normal(0, 0.18)), 1.5)
    outline = Outline.drawn(rng, radius_um, ratio, rng.uniform(0.03, 0.06))
    grid = Grid.around(centre_um, outline.reach_um + 0.3, um_per_px)
    u, depth = outline.polar(grid)
    fine, coarse = (noise.patch(rng, grid.shape_hw, grid.side_um, size_um) for size_um in (0.32, 0.8))
    granules = 0.40 + 0.6 * np.clip(1.25 - u, 0, 1) + 0.16 * fine + 0.14 * coarse
    body = soft(depth, um_per_px, 0.35)
    density = tinted(body * np.clip(granules, 0.25, 1.7), shifted(rng, stain.platelet, 0.12, 0.04))
    return Drawing(grid, density, depth > 0, body * 0.5)


def overlying(centre_um: tuple[float, float], radius_um: float, seed: int, stain: Stain, um_per_px: float) -> Drawing:
    """A platelet that lies on a red cell, pressed into it: the cell is thinner beneath it and around it."""
    plain = platelet(centre_um, radius_um, seed, stain, um_per_px)
    away_um = cv2.distanceTransform((~plain.inside).astype(np.uint8), cv2.DIST_L2, 5) * um_per_px
    halo = np.clip(1 - away_um / _HALO_UM, 0, 1)
    return replace(plain, cover=np.asarray(0.6 * halo, dtype=np.float32))
