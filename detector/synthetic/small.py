"""The small things: platelets, and debris that is no cell."""

from __future__ import annotations

import math
from dataclasses import replace

import cv2
import numpy as np

from detector.synthetic import noise
from detector.synthetic.shapes import Drawing, Grid, Outline, soft, tinted
from detector.synthetic.stain import Stain, shifted

PLATELET_UM = (1.2, 1.85)
"""Smallest and largest mean radius: 2.4 to 3.7 µm wide, 3 µm in the middle, as labelled in the data sets."""
_HALO_UM = 0.5
"""Width of the pale fringe of a platelet that lies on a red cell."""
SPECK_UM = (0.12, 0.34)
"""Smallest and largest radius of a grain of precipitated stain: well below any platelet's."""
STREAK_UM = (4.0, 14.0)
"""Shortest and longest half length of a streak."""


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
