"""Smooth random textures that depend on a seed and a place, never on the window they are looked at through."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

Texture = NDArray[np.float32]
"""A texture with mean 0 and standard deviation near 1, of shape (h, w)."""

_UNIFORM_SD = 12**-0.5


def lattice(seed: int, ix: NDArray[np.int64], iy: NDArray[np.int64]) -> NDArray[np.float64]:
    """A value in 0 to 1 for every lattice node, of the broadcast shape of `ix` and `iy`.

    The mixing steps are those of SplitMix64 (Steele, Lea and Flood, OOPSLA 2014); integers only, so alike everywhere.
    """
    with np.errstate(over="ignore"):
        z = ix.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + iy.astype(np.uint64) * np.uint64(0xC2B2AE3D27D4EB4F)
        z = z + np.uint64(seed % 2**64)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray((z ^ (z >> np.uint64(31))) >> np.uint64(11), dtype=np.float64) / 2.0**53


def ground(seed: int, origin_px: tuple[int, int], size_wh: tuple[int, int], scale_px: float) -> Texture:
    """Value noise over a window of the smear, of shape (h, w): the same at the same smear pixel in every window.

    `scale_px` is the distance between its lattice nodes, so about the size of its blotches.
    """
    ix, tx = _nodes(origin_px[0], size_wh[0], scale_px)
    iy, ty = _nodes(origin_px[1], size_wh[1], scale_px)
    xs, ys = np.arange(ix[0], ix[-1] + 2), np.arange(iy[0], iy[-1] + 2)
    node = ((lattice(seed, xs[None, :], ys[:, None]) - 0.5) / _UNIFORM_SD).astype(np.float32)
    rows = node[iy - iy[0]] * (1 - ty)[:, None] + node[iy - iy[0] + 1] * ty[:, None]
    return np.asarray(rows[:, ix - ix[0]] * (1 - tx) + rows[:, ix - ix[0] + 1] * tx, dtype=np.float32)


def _nodes(start_px: int, length_px: int, scale_px: float) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    at = (start_px + np.arange(length_px) + 0.5) / scale_px
    low = np.floor(at)
    t = (at - low).astype(np.float32)
    return low.astype(np.int64), t * t * (3 - 2 * t)


def patch(rng: np.random.Generator, shape_hw: tuple[int, int], side_um: float, feature_um: float) -> Texture:
    """Noise over one cell's patch, of shape (h, w), with blotches of about `feature_um` on a patch `side_um` long."""
    nodes = max(3, round(side_um / feature_um))
    coarse = rng.standard_normal((nodes, nodes), dtype=np.float32)
    return np.asarray(cv2.resize(coarse, shape_hw[::-1], interpolation=cv2.INTER_CUBIC), dtype=np.float32)
