"""How much alike neighbouring parts of a smear are, and by how much that makes their total less sure.

Cells lie denser in some stretches of a smear than in others, and these are longer than a view. The rates of two parts a distance d apart
are taken to be correlated by g^d (exponential covariance; Cressie, Statistics for Spatial Data, 1993, 2.3), d in sides of a part. The
correlation of counts of parts that touch is measured. By its sampling variance it is weighed against a prior of g, with a density
proportional to √(1 - g). So few parts, which tell little of g, give a wide interval.

Two things follow (Cressie 1993, 1.3). The total of like parts varies more than that of independent ones. And their scatter about
their own mean is less than the scatter over the smear. The factors of `LikenessSpread` hold both.

Coverage by simulation (`benchmarks/field_intervals.py`, 17 cells a field, variation between fields 0.3 of the mean, nominal 0.95), with
places known, and in brackets as if the parts were random over the smear:

    g                  0               0.3             0.6             0.9
    10 in a row        0.996 (0.946)   0.982 (0.916)   0.957 (0.810)   0.824 (0.581)
    30 in a row        0.989 (0.959)   0.977 (0.904)   0.941 (0.799)   0.726 (0.470)
    5 x 5              0.998 (0.958)   0.984 (0.822)   0.949 (0.563)   0.729 (0.331)
    10 x 10            0.980 (0.954)   0.934 (0.768)   0.906 (0.475)   0.727 (0.221)

Where the density changes over stretches as long as the area seen (g = 0.9), that area cannot tell what the rest of the smear is like.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Rect = tuple[float, float, float, float]
"""x1, y1, x2, y2 in px."""

MOST_PARTS = 300
"""Parts that are held against each other; more are joined to larger ones, of which correlations are as well seen."""
_TOUCH = 1.5
"""Distance up to which two parts are neighbours, in sides: those at corners too."""
_FEWEST = 3
"""Parts below which nothing is seen of correlations."""
_GRID = (np.arange(24) + 0.5) / 25
"""Correlations of the rate at a distance of one side; at 1 all parts would be one."""
_PRIOR = np.sqrt(1 - _GRID)
_MOST_LOST = 0.98
"""Most of the variance that the scatter of the parts may be thought not to show."""
_STEP = 0.25
"""Distances are told apart to this, in sides."""


@dataclass(frozen=True)
class Places:
    """Where the parts of a smear lie."""

    surface: NDArray[np.int64]
    """Number of the slide, or stretch of a stream, in which each lies, of shape (n,); parts of two are independent."""
    xy: Floats
    """Centre of each, in sides of a part, of shape (n, 2)."""

    @classmethod
    def of(cls, rects: Sequence[Rect], surfaces: Sequence[str]) -> Places:
        """Places of parts from their corners and the names of what they lie in."""
        corners = np.array(rects, dtype=np.float64).reshape(-1, 4)
        sides = np.sqrt(np.prod(corners[:, 2:] - corners[:, :2], axis=1))
        side_px = float(np.median(sides)) if len(sides) else 1.0
        surface = np.unique(np.array(surfaces, dtype=str), return_inverse=True)[1]
        return cls(surface.astype(np.int64), (corners[:, :2] + corners[:, 2:]) / 2 / max(side_px, 1.0))

    def joined(self) -> tuple[Places, NDArray[np.intp]]:
        """At most about `MOST_PARTS` larger parts, and the number of the one that each part is in, of shape (n,)."""
        blocks, side = np.arange(len(self.xy)), 1.0
        while len(np.unique(blocks)) > MOST_PARTS:
            side *= 2
            keys = np.column_stack([self.surface, np.floor(self.xy / side)])
            blocks = np.unique(keys, axis=0, return_inverse=True)[1].reshape(-1)
            if side > float(np.ptp(self.xy, axis=0).max()):
                break
        if side == 1.0:
            return self, blocks
        number = np.bincount(blocks)
        xy = np.column_stack([np.bincount(blocks, weights=self.xy[:, i]) / number for i in (0, 1)]) / side
        surface = np.zeros(len(number), dtype=np.int64)
        surface[blocks] = self.surface
        return Places(surface, xy), blocks


@dataclass(frozen=True)
class LikenessSpread:
    """What likeness of neighbours does to the variance of a total."""

    of_rate: float = 1.0
    """Variance of the total that comes of unlike rates, over what their scatter would make it with independent parts."""
    of_all: float = 1.0
    """The same of the whole variance, that of Poisson's law in it."""
    parts: float = 0.0
    """Independent parts that tell as much as these."""


def spread(residual: Floats, areas: Floats, places: Places, excess: float, effective: float) -> LikenessSpread:
    """What likeness of neighbours does to the variance of a total.

    Args:
        residual: counts less what the mean rate gives for each part, of shape (n,).
        areas: of each part.
        excess: scatter that comes of unlike rates, over that of Poisson's law.
        effective: number of equal parts that tell as much as these if they are independent.
    """
    if len(areas) < _FEWEST or effective < _FEWEST or not excess or not residual.any():
        return LikenessSpread(parts=effective)
    first, second = np.triu_indices(len(areas), 1)
    together = places.surface[first] == places.surface[second]
    first, second = first[together], second[together]
    apart = np.linalg.norm(places.xy[first] - places.xy[second], axis=1)
    weight = areas[first] * areas[second]
    near = apart <= _TOUCH
    if not near.any():
        return LikenessSpread(parts=effective)
    squares = float(np.sum(areas**2))
    share = areas / areas.sum()
    scatter = float(np.sum(residual**2 / (1 - share))) / squares
    seen = float(residual[first][near] @ residual[second][near]) / float(weight[near].sum()) / scatter
    shared = float(weight[near].sum() ** 2 / (weight[near] ** 2).sum())
    distance = float(apart[near] @ weight[near] / weight[near].sum())
    # Sum of the correlations of all pairs, for each g, over the squares of the areas; of shape (grid,).
    binned = np.bincount(np.rint(apart / _STEP).astype(np.int64), weights=weight)
    alike = 2 * (_GRID[:, None] ** (np.arange(len(binned)) * _STEP)) @ binned / squares
    # What the scatter about the parts' own mean shows of the smear's.
    shown = 1 - np.minimum(alike / (effective - 1), _MOST_LOST)
    unlike = excess / shown
    of_mean = 1 + unlike * (1 + alike)
    expected = (unlike * _GRID**distance - of_mean / effective) / (1 + excess)
    misfit = (seen - expected) ** 2 * shared / 2
    # Less the least one, so that not all of them vanish where none fits.
    posterior = _PRIOR * np.exp(misfit.min() - misfit)
    posterior /= posterior.sum()
    return LikenessSpread(
        of_rate=float(posterior @ ((1 + alike) / shown)),
        of_all=float(posterior @ of_mean) / (1 + excess),
        parts=max(effective / float(posterior @ (of_mean / (1 + unlike))), 2.0),
    )
