"""The camera: from what a smear absorbs to a photograph of it."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from detector.synthetic.stain import Colour, Stain

_BAND_PX = 512
"""Rows worked on at a time, so that a slide region needs little more memory than its density and its pixels."""
_HALO_UM = 0.45
_GRAIN = np.array([0.3, 0.9, 0.3], dtype=np.float32)
"""Filter that spreads a grain of noise over its neighbours; its squares sum to 1, so the strength stays."""


@dataclass(frozen=True)
class Camera:
    """How a smear is lit and photographed; as it stands, evenly, in focus and without noise."""

    vignetting: float = 0.0
    """Share of the light that is lost in the corners."""
    tilt: tuple[float, float] = (0.0, 0.0)
    """Relative gain of light from the middle to the right and to the lower edge."""
    balance: Colour = (1.0, 1.0, 1.0)
    """White balance: gain of each channel."""
    defocus_um: float = 0.0
    """Blur, as the standard deviation of a Gaussian."""
    halo: float = 0.0
    """Strength of the bright fringe around what is dark."""
    noise: float = 0.0
    """Standard deviation of the sensor's noise in grey levels at full light; it falls with the root of the light."""

    @classmethod
    def drawn(cls, stain: Stain, rng: np.random.Generator) -> Camera:
        """A camera such as the fields of that stain were taken with."""
        r, g, b = 1 + rng.normal(0, 0.008, 3)
        tilt = rng.normal(0, 0.012, 2)
        return cls(
            vignetting=float(rng.uniform(*stain.vignetting)),
            tilt=(float(tilt[0]), float(tilt[1])),
            balance=(float(r), float(g), float(b)),
            defocus_um=float(rng.uniform(*stain.defocus_um)),
            halo=stain.halo,
            noise=stain.noise,
        )


def photograph(
    density: NDArray[np.float32], glass: Colour, camera: Camera, um_per_px: float, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """The photograph of an optical density of shape (h, w, 3): RGB of shape (h, w, 3)."""
    height, width = density.shape[:2]
    image = np.empty((height, width, 3), dtype=np.uint8)
    colour = (np.array(glass) * camera.balance).astype(np.float32)
    pad = int(np.ceil(4 * (camera.defocus_um + (_HALO_UM if camera.halo else 0)) / um_per_px)) + 1
    for top in range(0, height, _BAND_PX):
        bottom = min(top + _BAND_PX, height)
        above = max(top - pad, 0)
        seen = _focused(density[above : min(bottom + pad, height)], camera, um_per_px)[top - above : bottom - above]
        light = np.exp(-seen) * colour * _light(camera, (height, width), top, bottom)[:, :, None]
        if camera.noise:
            light += _noise(light, camera.noise, rng)
        image[top:bottom] = np.clip(light + 0.5, 0, 255).astype(np.uint8)
    return image


def _focused(density: NDArray[np.float32], camera: Camera, um_per_px: float) -> NDArray[np.float32]:
    """The density as the lens shows it: blurred, with a fringe on both sides of every edge."""
    if camera.defocus_um:
        density = np.asarray(cv2.GaussianBlur(density, (0, 0), max(camera.defocus_um / um_per_px, 0.1)), dtype=np.float32)
    if camera.halo:
        wide = cv2.GaussianBlur(density, (0, 0), max(_HALO_UM / um_per_px, 0.1))
        fringe = np.clip(density - wide, -0.12, 0.12)
        density = np.asarray(density + camera.halo * fringe, dtype=np.float32)
    return density


def _light(camera: Camera, shape_hw: tuple[int, int], top: int, bottom: int) -> NDArray[np.float32]:
    """Relative light on rows `top` to `bottom`, of shape (bottom - top, w)."""
    height, width = shape_hw
    x = (np.arange(width, dtype=np.float32) + 0.5)[None, :] * (2 / width) - 1
    y = (np.arange(top, bottom, dtype=np.float32) + 0.5)[:, None] * (2 / height) - 1
    fall = 1 - camera.vignetting / 2 * (x * x + y * y)
    return np.asarray(fall * (1 + camera.tilt[0] * x + camera.tilt[1] * y), dtype=np.float32)


def _noise(light: NDArray[np.float32], level: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """Noise of shape (h, w, 3): half of it common to the channels, grainy over two pixels as after demosaicing."""
    own = rng.standard_normal((*light.shape[:2], 3), dtype=np.float32)
    common = rng.standard_normal((*light.shape[:2], 1), dtype=np.float32)
    grains = np.asarray(cv2.sepFilter2D((own + common) * 0.5**0.5, -1, _GRAIN, _GRAIN), dtype=np.float32)
    return np.asarray(grains * np.sqrt(np.clip(light, 0, 255) / 255) * level, dtype=np.float32)
