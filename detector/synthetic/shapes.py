"""Patches and outlines: where a cell's pixels lie, and how deep within the cell each one is."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

Plane = NDArray[np.float32]
"""One value a pixel, of shape (h, w)."""

ANGLES = 1024
"""Directions in which the distance of an outline is kept."""
EDGE_UM = 0.14
"""Distance over which a cell's edge fades; a lens of aperture 1.25 blurs a step about as much (0.5 wavelength / NA)."""


@dataclass(frozen=True)
class Grid:
    """The pixels around one cell: part of the smear's own pixel grid, so alike for every window."""

    left_px: int
    top_px: int
    x_um: Plane
    """Distance of each column's centre from the cell's centre, of shape (1, w)."""
    y_um: Plane
    """Distance of each row's centre from the cell's centre, of shape (h, 1)."""
    um_per_px: float

    @classmethod
    def around(cls, centre_um: tuple[float, float], reach_um: float, um_per_px: float) -> Grid:
        """All pixels within `reach_um` of the centre along each axis."""
        x, y = (c / um_per_px for c in centre_um)
        reach = reach_um / um_per_px
        left, top = int(np.floor(x - reach)), int(np.floor(y - reach))
        columns = np.arange(left, int(np.ceil(x + reach)) + 1) + 0.5 - x
        rows = np.arange(top, int(np.ceil(y + reach)) + 1) + 0.5 - y
        x_um, y_um = ((v * um_per_px).astype(np.float32) for v in (columns, rows))
        return cls(left, top, x_um[None, :], y_um[:, None], um_per_px)

    def moved(self, x_um: float, y_um: float) -> Grid:
        """The same pixels around a centre that lies so far to the right and down."""
        return replace(self, x_um=self.x_um - x_um, y_um=self.y_um - y_um)

    @property
    def shape_hw(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.y_um.shape[0], self.x_um.shape[1]

    @property
    def side_um(self) -> float:
        """The longer side."""
        return max(self.shape_hw) * self.um_per_px


@dataclass(frozen=True)
class Outline:
    """A closed line around (0, 0): an ellipse with ripples."""

    radius_um: float
    """Geometric mean of the two half axes."""
    ratio: float
    """Long over short axis."""
    angle: float
    """Direction of the long axis in radians."""
    ripple: Plane
    """Radius over that of the ellipse at even angles from -pi, of shape (1024,)."""

    @classmethod
    def drawn(cls, rng: np.random.Generator, radius_um: float, ratio: float, roughness: float, spikes: float = 0.0) -> Outline:
        """A random outline: `roughness` bends it in broad waves, `spikes` gives it a burr cell's; both relative to the radius."""
        theta = np.linspace(-np.pi, np.pi, ANGLES, endpoint=False)
        ripple = np.ones(ANGLES)
        for waves in (2, 3, 4, 5, 7):
            height = roughness * min(abs(rng.normal()), 2.0) * 2 / waves
            ripple += height * np.cos(waves * theta + rng.uniform(0, 2 * np.pi))
        if spikes:
            ripple += spikes * np.cos(rng.integers(10, 15) * theta + 0.7 * np.sin(2 * theta + rng.uniform(0, 6)))
        ripple /= ripple.mean()
        return cls(radius_um, ratio, float(rng.uniform(0, np.pi)), ripple.astype(np.float32))

    @property
    def reach_um(self) -> float:
        """No point of the line is farther from (0, 0) than this."""
        return float(self.radius_um * math.sqrt(self.ratio) * self.ripple.max())

    def polar(self, grid: Grid) -> tuple[Plane, Plane]:
        """Distance from the centre relative to the outline's (1 on the line), and depth within it in µm (below 0 outside)."""
        c, s, stretch = math.cos(self.angle), math.sin(self.angle), math.sqrt(self.ratio)
        along = (grid.x_um * c + grid.y_um * s) / stretch
        across = (grid.y_um * c - grid.x_um * s) * stretch
        distance = np.sqrt(along * along + across * across)
        turn = ((np.arctan2(across, along) + np.pi) * (ANGLES / (2 * np.pi))).astype(np.int32)
        limit = self.ripple[turn & (ANGLES - 1)] * self.radius_um
        return distance / limit, limit - distance


def soft(depth_um: Plane, um_per_px: float, width_um: float = EDGE_UM) -> Plane:
    """0 outside to 1 inside, one half on the line; never sharper than a pixel."""
    t = np.clip(depth_um / max(width_um, um_per_px) + 0.5, 0, 1)
    return np.asarray(t * t * (3 - 2 * t), dtype=np.float32)


def tinted(plane: Plane, colour: tuple[float, float, float]) -> NDArray[np.float32]:
    """A plane of thickness as optical density per channel, of shape (h, w, 3)."""
    return np.asarray(plane[:, :, None] * np.array(colour, dtype=np.float32), dtype=np.float32)


@dataclass(frozen=True)
class Drawing:
    """One cell as it is laid into the smear."""

    grid: Grid
    density: NDArray[np.float32]
    """Optical density that it adds, of shape (h, w, 3)."""
    inside: NDArray[np.bool_]
    """Pixels whose centre is within the outline, of shape (h, w): the truth."""
    cover: Plane | None = None
    """Share of what lies below that it hides, of shape (h, w); None for a part that hides nothing."""
