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
_RIM_PX = 3.0
"""Width over which the edge of an eyepiece's view fades."""
_GREY = np.array([[0.299], [0.587], [0.114]], dtype=np.float32)
"""Share of red, green and blue in a grey level (ITU-R BT.601)."""
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
    gamma: float = 1.0
    """Exponent of the light as the file has it: below 1 is brighter in the middle tones."""
    mono: bool = False
    """Sees grey levels alone."""
    eyepiece: tuple[float, float, float] | None = None
    """Round view through an eyepiece, black beyond: centre (x, y) and radius, as shares of the field's width."""

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

    @classmethod
    def at_random(cls, um_per_px: float, rng: np.random.Generator) -> Camera:
        """Any camera over any microscope, whatever the stain."""
        r, g, b = 1 + rng.normal(0, 0.02, 3)
        tilt = rng.normal(0, 0.03, 2)
        x, y = rng.normal(0.5, 0.03, 2)
        return cls(
            vignetting=float(rng.uniform(0, 0.35)) if rng.random() < 0.4 else float(rng.uniform(0, 0.1)),
            tilt=(float(tilt[0]), float(tilt[1])),
            balance=(float(r), float(g), float(b)),
            defocus_um=float(max(rng.uniform(0.05, 0.22), rng.uniform(0.3, 0.9) * um_per_px)),
            halo=float(rng.uniform(0, 0.5)),
            noise=float(rng.uniform(0.5, 3.5)),
            gamma=float(np.exp(rng.normal(0, 0.15))),
            mono=bool(rng.random() < 0.05),
            eyepiece=(float(x), float(y), float(rng.uniform(0.47, 0.62))) if rng.random() < 0.1 else None,
        )

    def seen(self, size_wh: tuple[int, int]) -> NDArray[np.bool_]:
        """Pixels that light reaches, of shape (h, w)."""
        if self.eyepiece is None:
            return np.ones(size_wh[::-1], dtype=np.bool_)
        return _lit(self.eyepiece, size_wh[0], 0, size_wh[1]) >= 0.5


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
        image[top:bottom] = np.clip(_developed(light, camera, (width, height), top) + 0.5, 0, 255).astype(np.uint8)
    return image


def _developed(light: NDArray[np.float32], camera: Camera, size_wh: tuple[int, int], top: int) -> NDArray[np.float32]:
    """The rows from `top` on as the file has them, of shape (h, w, 3)."""
    if camera.gamma != 1:
        light = np.asarray(255 * (np.clip(light, 0, 255) / 255) ** np.float32(camera.gamma), dtype=np.float32)
    if camera.mono:
        light = np.repeat(light @ _GREY, 3, axis=2)
    if camera.eyepiece:
        light = light * _lit(camera.eyepiece, size_wh[0], top, top + len(light))[:, :, None]
    return light


def _lit(eyepiece: tuple[float, float, float], width: int, top: int, bottom: int) -> NDArray[np.float32]:
    """1 where the eyepiece lets light through to 0 where not, on rows `top` to `bottom`, of shape (bottom - top, width)."""
    x, y, radius = (share * width for share in eyepiece)
    across = (np.arange(width, dtype=np.float32) + 0.5 - x)[None, :]
    down = (np.arange(top, bottom, dtype=np.float32) + 0.5 - y)[:, None]
    return np.asarray(np.clip((radius - np.hypot(across, down)) / _RIM_PX + 0.5, 0, 1), dtype=np.float32)


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
