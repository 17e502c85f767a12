"""Red cells that are no plain disc: burr cells, sickles, targets, tear-drops, fragments, parasitised ones and others."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from detector.synthetic.shapes import ANGLES, Drawing, Grid, Outline, Plane, soft, tinted
from detector.synthetic.stain import Stain, mixed, shifted

Range = tuple[float, float]
Bends = Callable[[np.random.Generator], NDArray[np.float64]]
"""Radius relative to the ellipse's at even angles from -pi, of shape (1024,); angle 0 is the long axis."""
Pale = Callable[[np.random.Generator, Outline, Grid], Plane]
"""Share of its density that the cell lacks at each pixel, of shape (h, w)."""
DensityMap = NDArray[np.float32]
Inclusion = Callable[[np.random.Generator, float, Grid, Stain], DensityMap]
"""Optical density of what lies in a cell of that radius in µm, of shape (h, w, 3)."""

_THETA = np.linspace(-np.pi, np.pi, ANGLES, endpoint=False)


def _even(rng: np.random.Generator) -> NDArray[np.float64]:
    """Broad shallow waves alone."""
    return 1 + rng.uniform(0.0, 0.03) * np.cos(rng.integers(2, 5) * _THETA + rng.uniform(0, 6))


def _bump(at: float, height: float, width: float) -> NDArray[np.float64]:
    away = np.abs((_THETA - at + np.pi) % (2 * np.pi) - np.pi)
    return np.asarray(height * np.exp(-away / width))


def _crenated(rng: np.random.Generator) -> NDArray[np.float64]:
    """Many short spikes at even distances, as of a burr cell."""
    number = int(rng.integers(11, 22))
    wave = np.abs(np.cos(number / 2 * _THETA + 0.5 * np.sin(2 * _THETA + rng.uniform(0, 6))))
    return np.asarray(1 - rng.uniform(0.06, 0.13) * wave)


def _thorny(rng: np.random.Generator) -> NDArray[np.float64]:
    """A few spikes of any length at any place, as of an acanthocyte."""
    line = _even(rng)
    for at in rng.uniform(-np.pi, np.pi, rng.integers(5, 10)):
        line += _bump(at, rng.uniform(0.10, 0.35), rng.uniform(0.08, 0.16))
    return line


def _tailed(rng: np.random.Generator) -> NDArray[np.float64]:
    """One tail, as of a tear-drop."""
    tail = 0.6 * np.exp(-((_THETA / 0.20) ** 2)) + 0.4 * np.exp(-((_THETA / 0.65) ** 2))
    return np.asarray(_even(rng) + rng.uniform(0.45, 0.85) * tail)


def _pointed(rng: np.random.Generator) -> NDArray[np.float64]:
    """Two pointed ends."""
    return _even(rng) + _bump(0, rng.uniform(0.0, 0.2), 0.25) + _bump(np.pi, rng.uniform(0.0, 0.2), 0.25)


def _cut(rng: np.random.Generator) -> NDArray[np.float64]:
    """A disc with one to three pieces cut off straight, as of a fragment."""
    line = _even(rng)
    for at in rng.uniform(-np.pi, np.pi, rng.integers(1, 4)):
        facing = np.clip(np.cos(_THETA - at), 1e-3, None)
        line = np.minimum(line, rng.uniform(0.25, 0.7) / facing)
    return line


def _dip(u: Plane, width: float, steep: float) -> Plane:
    return np.asarray(1 / (1 + (u / width) ** steep))


def _disc(rng: np.random.Generator, outline: Outline, grid: Grid) -> Plane:
    """A pale middle such as most cells have."""
    off_um = 0.07 * outline.radius_um
    u, _ = outline.polar(grid.moved(rng.normal(0, off_um), rng.normal(0, off_um)))
    return _dip(u, rng.uniform(0.35, 0.55), rng.uniform(3.5, 7)) * np.float32(rng.uniform(0.0, 0.7))


def _wide(rng: np.random.Generator, outline: Outline, grid: Grid) -> Plane:
    """Pale but for a thin rim: hypochromic."""
    u, _ = outline.polar(grid)
    return _dip(u, rng.uniform(0.62, 0.8), rng.uniform(6, 12)) * np.float32(rng.uniform(0.55, 0.85))


def _ring(rng: np.random.Generator, outline: Outline, grid: Grid) -> Plane:
    """A pale ring around a dark middle: a target cell."""
    off_um = 0.06 * outline.radius_um
    u, _ = outline.polar(grid.moved(rng.normal(0, off_um), rng.normal(0, off_um)))
    pale = np.exp(-(((u - rng.uniform(0.45, 0.58)) / rng.uniform(0.13, 0.2)) ** 2))
    return np.asarray(pale * rng.uniform(0.35, 0.8), dtype=np.float32)


def _slit(rng: np.random.Generator, outline: Outline, grid: Grid) -> Plane:
    """A pale slit: a stomatocyte."""
    turn = rng.uniform(0, np.pi)
    along = (grid.x_um * math.cos(turn) + grid.y_um * math.sin(turn)) / outline.radius_um
    across = (grid.y_um * math.cos(turn) - grid.x_um * math.sin(turn)) / outline.radius_um
    pale = np.exp(-((across / rng.uniform(0.12, 0.2)) ** 2) - (along / rng.uniform(0.4, 0.6)) ** 4)
    return np.asarray(pale * rng.uniform(0.4, 0.8), dtype=np.float32)


def _bar(rng: np.random.Generator, outline: Outline, grid: Grid) -> Plane:
    """A pale middle with a dark bar through it: a folded cell."""
    turn, width = rng.uniform(0, np.pi), rng.uniform(0.12, 0.25) * outline.radius_um
    across = grid.y_um * math.cos(turn) - grid.x_um * math.sin(turn)
    u, _ = outline.polar(grid)
    pale = _dip(u, rng.uniform(0.55, 0.75), 6) * (1 - np.exp(-((across / width) ** 2)))
    return np.asarray(pale * rng.uniform(0.4, 0.8), dtype=np.float32)


def _spot(rng: np.random.Generator, radius_um: float, grid: Grid) -> Grid:
    """The pixels around a random point well within the cell."""
    turn, away_um = rng.uniform(0, 2 * np.pi), radius_um * 0.55 * math.sqrt(rng.random())
    return grid.moved(away_um * math.cos(turn), away_um * math.sin(turn))


def _away(grid: Grid) -> Plane:
    """Distance from the centre in µm, of shape (h, w)."""
    return np.asarray(np.hypot(grid.x_um, grid.y_um), dtype=np.float32)


def _rings(rng: np.random.Generator, radius_um: float, grid: Grid, stain: Stain) -> DensityMap:
    """One to three ring forms of a parasite: a thin blue ring around a pale middle, with a dark dot on it."""
    density = np.zeros((*grid.shape_hw, 3), dtype=np.float32)
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        spot, ring_um, turn = _spot(rng, radius_um, grid), rng.uniform(0.5, 1.1), rng.uniform(0, 2 * np.pi)
        away_um = _away(spot)
        density += tinted(np.exp(-(((away_um - ring_um) / 0.2) ** 2)), mixed(stain.plasma, stain.nucleus, 0.3))
        density -= tinted(0.3 * np.exp(-((away_um / (0.7 * ring_um)) ** 4)), stain.red)
        dot_um = _away(spot.moved(ring_um * math.cos(turn), ring_um * math.sin(turn)))
        density += tinted(soft(rng.uniform(0.25, 0.45) - dot_um, grid.um_per_px, 0.2), stain.nucleus)
    return density


def _grown(rng: np.random.Generator, radius_um: float, grid: Grid, stain: Stain) -> DensityMap:
    """A grown parasite: a blue body of uneven outline with dark chromatin."""
    spot = _spot(rng, 0.6 * radius_um, grid)
    body = Outline.drawn(rng, radius_um * rng.uniform(0.35, 0.6), rng.uniform(1.0, 1.6), 0.18)
    _, depth_um = body.polar(spot)
    chromatin = soft(rng.uniform(0.5, 0.8) - _away(_spot(rng, body.radius_um, spot)), grid.um_per_px, 0.3)
    return tinted(soft(depth_um, grid.um_per_px, 0.4), stain.plasma) + tinted(0.8 * chromatin, stain.nucleus)


def _dots(rng: np.random.Generator, radius_um: float, grid: Grid, stain: Stain) -> DensityMap:
    """One or two round dark dots such as Howell-Jolly bodies, or many fine ones."""
    fine = rng.random() < 0.3
    plane = np.zeros(grid.shape_hw, dtype=np.float32)
    for _ in range(rng.integers(12, 30) if fine else rng.integers(1, 3)):
        dot_um = rng.uniform(0.1, 0.18) if fine else rng.uniform(0.25, 0.55)
        plane = np.maximum(plane, soft(dot_um - _away(_spot(rng, 1.3 * radius_um, grid)), grid.um_per_px, 0.2))
    return tinted(plane * rng.uniform(0.5, 1.0), stain.nucleus)


def _bubble(rng: np.random.Generator, radius_um: float, grid: Grid, stain: Stain) -> DensityMap:
    """A bubble of water dried in: a bright point with a dark edge."""
    away_um, edge_um = _away(_spot(rng, radius_um, grid)), rng.uniform(0.2, 0.7)
    dark = np.exp(-(((away_um - edge_um) / 0.18) ** 2)) * rng.uniform(0.3, 1.0)
    bright = soft(edge_um - 0.1 - away_um, grid.um_per_px, 0.2) * rng.uniform(0.4, 1.0)
    return tinted(dark, (0.6, 0.6, 0.6)) - tinted(bright, stain.red)


@dataclass(frozen=True)
class Form:
    """How one form of red cell is built; ranges are lowest and highest."""

    bends: Bends = _even
    pale: Pale | None = _disc
    """None where no part is pale."""
    inclusion: Inclusion | None = None
    size: Range = (0.9, 1.1)
    """Mean radius over that of a plain red cell."""
    ratio: Range = (1.0, 1.15)
    """Long over short axis."""
    bow: Range = (0.0, 0.0)
    """How far the ends of the long axis are bent aside, over the mean radius."""
    strength: Range = (0.85, 1.15)
    """Density over that of a plain red cell."""
    blue: Range = (0.0, 0.0)
    """Share of its colour that is that of cytoplasm full of RNA: polychromasia."""


FORMS: dict[str, Form] = {
    "burr": Form(_crenated, ratio=(1.0, 1.2)),
    "acanthocyte": Form(_thorny, None, size=(0.75, 0.95), strength=(0.95, 1.25)),
    "sickle": Form(_pointed, None, ratio=(2.1, 3.4), bow=(0.0, 0.9), size=(0.85, 1.05), strength=(1.0, 1.4)),
    "target": Form(pale=_ring, size=(0.95, 1.2)),
    "teardrop": Form(_tailed, ratio=(1.0, 1.3), size=(0.8, 1.0)),
    "elliptocyte": Form(ratio=(1.3, 2.3)),
    "spherocyte": Form(pale=None, ratio=(1.0, 1.08), size=(0.72, 0.92), strength=(1.1, 1.5)),
    "stomatocyte": Form(pale=_slit),
    "folded": Form(pale=_bar, ratio=(1.0, 1.3)),
    "hypochromic": Form(pale=_wide, size=(0.85, 1.15), strength=(0.7, 1.0)),
    "fragment": Form(_cut, None, ratio=(1.0, 1.5), size=(0.45, 0.8)),
    "polychromatic": Form(pale=None, size=(1.05, 1.3), blue=(0.1, 0.3)),
    "ringed": Form(inclusion=_rings),
    "parasitised": Form(pale=None, inclusion=_grown, size=(0.95, 1.25), strength=(0.7, 1.0)),
    "dotted": Form(inclusion=_dots),
    "bubbled": Form(inclusion=_bubble),
}


def draw(centre_um: tuple[float, float], radius_um: float, name: str, seed: int, stain: Stain, um_per_px: float) -> Drawing:
    """One red cell of the form `name`."""
    rng, form = np.random.default_rng(seed), FORMS[name]
    bends = form.bends(rng)
    ripple = (bends / bends.mean()).astype(np.float32)
    outline = Outline(radius_um, rng.uniform(*form.ratio), float(rng.uniform(0, np.pi)), ripple)
    bow = rng.uniform(*form.bow)
    straight = Grid.around(centre_um, outline.reach_um + 0.7 * bow * radius_um + 0.3, um_per_px)
    grid = _bent(straight, outline, bow)
    _, depth = outline.polar(grid)
    fall = np.sqrt(np.clip(depth / rng.uniform(0.6, 1.3), 0, 1))
    body = soft(depth, um_per_px) * (0.45 + 0.55 * fall) * rng.uniform(*form.strength)
    if form.pale:
        body = body * (1 - form.pale(rng, outline, grid))
    colour = mixed(stain.red, stain.plasma, rng.uniform(*form.blue))
    density = tinted(body, shifted(rng, colour, 0.07, 0.03))
    if form.inclusion:
        density += form.inclusion(rng, radius_um, straight, stain) * soft(depth - 0.3, um_per_px, 0.3)[:, :, None]
        np.clip(density, 0, None, out=density)
    return Drawing(straight, density, depth > 0)


def _bent(grid: Grid, outline: Outline, bow: float) -> Grid:
    """The pixels as they would lie were the cell's long axis straight."""
    c, s = math.cos(outline.angle), math.sin(outline.angle)
    along = (grid.x_um * c + grid.y_um * s) / outline.radius_um
    aside = (bow * outline.radius_um * (along * along / outline.ratio - 0.35)).astype(np.float32)
    return replace(grid, x_um=grid.x_um - s * aside, y_um=grid.y_um + c * aside)
