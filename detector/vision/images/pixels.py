"""What pixels are here (upright, 8-bit RGB), and how deeper values, transparency and size become that."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

Rgb = NDArray[np.uint8]
"""A picture of shape (h, w, 3), channels red, green, blue."""

_DEPTHS = (8, 10, 12, 14, 16)
"""Usual depths of cameras, in bits."""
_BAND_VALUES = 1 << 22
"""Values that are worked on at a time, so that a large picture is not held several times over."""


FLOATING = "holds floating-point values; save it with 8 or 16 bits a channel"


def most_pixels() -> int:
    """Pixels of the largest picture that is read whole: Pillow's guard against decompression bombs."""
    return 2 * (Image.MAX_IMAGE_PIXELS or 0)


def too_many_pixels() -> str:
    """Why a larger picture is not read, and what would work."""
    return f"has more than {most_pixels() // 10**6} million pixels; save it as a tiled TIFF, or cut it into smaller fields"


def as_jpeg(rgb: Rgb, quality: int) -> bytes:
    """A picture as a JPEG file, of a quality from 0 to 100."""
    return cv2.imencode(".jpg", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def shrink(rgb: Rgb, factor: float) -> Rgb:
    """A picture made smaller, or as it is where `factor` is 1; by whole steps first, which is quick and takes in every pixel."""
    h, w = rgb.shape[:2]
    wh = (max(1, round(w * factor)), max(1, round(h * factor)))
    step = int(1 / factor)
    if 1 < step <= min(h, w):
        whole = rgb[: h // step * step, : w // step * step]
        rgb = np.asarray(cv2.resize(whole, (w // step, h // step), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    if wh == (rgb.shape[1], rgb.shape[0]):
        return rgb
    return np.asarray(cv2.resize(rgb, wh, interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


def over_white(rgba: NDArray[Any]) -> NDArray[Any]:
    """Colour of shape (h, w, 3) of a picture of shape (h, w, 4), whatever the order of its colours, laid over white."""
    white = int(np.iinfo(rgba.dtype).max)
    return _laid(rgba, white, white, None)


def whole_over_white(rgba: NDArray[Any], weighed: bool = False, depth: int = 0) -> NDArray[Any]:
    """The same of a whole picture, whose values tell what its alpha means.

    Its largest alpha is opaque: some write 1 for it, and one that is 0 everywhere was never filled. White is that of the depth.

    Args:
        weighed: the file says that its colours are multiplied by alpha. One that is brighter than its alpha shows that they are not.
        depth: bits of the colours; 0 takes the smallest usual camera depth that holds the brightest of those that are seen.
    """
    colours, alpha = rgba[:, :, :3], rgba[:, :, 3:]
    most = int(alpha.max())
    weighed = weighed and not (colours > alpha).any()
    if not most or (not weighed and int(alpha.min()) == most):
        return colours
    if rgba.dtype == np.uint8:
        depth = 8
    white = (1 << (depth or camera_depth(brightest(np.where(alpha > 0, colours, 0))))) - 1
    return _laid(rgba, white, most, max(white / most, 1) if weighed else None)


def _laid(rgba: NDArray[Any], white: int, opaque: int, factor: float | None) -> NDArray[Any]:
    """Colours over white; `factor` is for those that are multiplied by alpha already."""
    if (rgba[:, :, 3] == opaque).all() and factor in (None, 1):
        return rgba[:, :, :3]

    def laid(band: NDArray[Any]) -> NDArray[Any]:
        alpha = band[:, :, 3:] / np.float64(opaque)
        seen = band[:, :, :3] * (alpha if factor is None else factor)
        return np.minimum(np.rint(seen + white * (1 - alpha)), np.iinfo(rgba.dtype).max)

    return _by_bands(laid, rgba, np.empty((*rgba.shape[:2], 3), dtype=rgba.dtype))


def camera_depth(brightest: int) -> int:
    """Bits of the smallest usual camera depth that holds a value."""
    return next((bits for bits in _DEPTHS if brightest < 1 << bits), _DEPTHS[-1])


def brightest(values: NDArray[Any]) -> int:
    """The brightest value of a picture of shape (h, w) or (h, w, n), but for single pixels and lines one pixel wide.

    Such are faults of a camera's sensor, and one of them at full level would tell a depth that the camera does not have.
    """
    planes = values.reshape(*values.shape[:2], -1)
    return max(int(cv2.medianBlur(np.ascontiguousarray(planes[:, :, i]), 3).max()) for i in range(planes.shape[2]))


def to_eight_bits(values: NDArray[Any], depth: int) -> NDArray[np.uint8]:
    """Values of so many bits as 8 bits; larger ones are white."""
    if values.dtype == np.uint8:
        return values

    def scaled(band: NDArray[Any]) -> NDArray[Any]:
        return (band.astype(np.uint32) * 255 // ((1 << depth) - 1)).clip(0, 255)

    return _by_bands(scaled, values, np.empty(values.shape, dtype=np.uint8))


def to_camera_depth(values: NDArray[Any]) -> NDArray[np.uint8]:
    """Values of a whole picture as 8 bits, scaled by the smallest usual camera depth that holds the brightest of them."""
    return values if values.dtype == np.uint8 else to_eight_bits(values, camera_depth(brightest(values)))


def upright(rgb: NDArray[Any], orientation: int) -> NDArray[Any]:
    """A picture turned and mirrored as EXIF's and TIFF's orientation (1 to 8) says; other numbers leave it as it is."""
    if orientation in (5, 6, 7, 8):
        rgb = rgb.transpose(1, 0, 2)
    if orientation in (3, 4, 7, 8):
        rgb = rgb[::-1]
    if orientation in (2, 3, 6, 7):
        rgb = rgb[:, ::-1]
    return np.ascontiguousarray(rgb)


def _by_bands(work: Callable[[NDArray[Any]], NDArray[Any]], values: NDArray[Any], into: NDArray[Any]) -> NDArray[Any]:
    rows = max(1, _BAND_VALUES * len(values) // max(values.size, 1))
    for top in range(0, len(values), rows):
        into[top : top + rows] = work(values[top : top + rows])
    return into
