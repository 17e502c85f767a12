"""What is measured of a cropped cell: shape, colour and texture, with contrast and noise preprocessed or not.

Shape: areas, axes and hull of the cell's outline, and Hu's moments (IRE Transactions on Information Theory 1962; 8:179-187).
Colour: mean, standard deviation and skewness of each channel (Stricker and Orengo, SPIE 1995; 2420:381-392) in RGB and in CMYK.
Texture: grey level co-occurrence (Haralick et al., IEEE Transactions on Systems, Man and Cybernetics 1973; 3:610-621) and local binary
patterns (Ojala et al., IEEE Transactions on Pattern Analysis and Machine Intelligence 2002; 24:971-987).
Preprocessing: contrast-limited equalization (Zuiderveld, Graphics Gems IV, 1994) and a median filter.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage import feature, filters, measure

from detector.baselines.white_cells import cmyk
from detector.vision.images import Rgb

_SIDE_PX = 64
"""Side to which a crop is brought for its texture."""
_GREYS = 32
_CORNER = 0.12
"""Side of the corners of a crop that show the ground, in its own."""
_TEXTURES = ("contrast", "dissimilarity", "homogeneity", "energy", "correlation")
_DISTANCES_PX = (1, 3)
_CHANNELS = ("red", "green", "blue", "cyan", "magenta", "yellow", "black")
_SHAPE = ("area", "perimeter", "circularity", "eccentricity", "solidity", "extent", "long axis", "short axis", "pallor")
NAMES = (
    *_SHAPE,
    *(f"Hu {i}" for i in range(1, 8)),
    *(f"{moment} of {channel}" for channel in _CHANNELS for moment in ("mean", "deviation", "skewness")),
    *(f"{texture} at {distance} px" for texture in _TEXTURES for distance in _DISTANCES_PX),
    *(f"pattern {i}" for i in range(10)),
)  # fmt: skip
"""What each column of `table` is; lengths in pixels of the crop."""


def table(pictures: Sequence[Rgb], enhanced: bool) -> NDArray[np.float64]:
    """Features of crops, of shape (n, len(NAMES)).

    Args:
        enhanced: with contrast and noise preprocessed.
    """
    return np.array([of_crop(enhance(rgb) if enhanced else rgb) for rgb in pictures]).reshape(-1, len(NAMES))


def enhance(rgb: Rgb) -> Rgb:
    """A crop with its contrast equalized in parts and its noise filtered by a median."""
    lab = cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB)
    light = cv2.createCLAHE(clipLimit=2.0, tileGridSize=(4, 4)).apply(lab[:, :, 0])
    return np.asarray(
        cv2.medianBlur(cv2.cvtColor(cv2.merge([light, lab[:, :, 1], lab[:, :, 2]]), cv2.COLOR_LAB2RGB), 3), dtype=np.uint8
    )


def of_crop(rgb: Rgb) -> NDArray[np.float64]:
    """Features of one crop of shape (h, w, 3), uint8, in the order of `NAMES`."""
    cell = outline(rgb)
    grey = np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), dtype=np.uint8)
    square = np.asarray(cv2.resize(grey, (_SIDE_PX, _SIDE_PX), interpolation=cv2.INTER_AREA), dtype=np.uint8)
    return np.asarray(np.nan_to_num(np.concatenate([_shape(cell, grey), _colour(rgb, cell), _texture(square)])))


def outline(rgb: Rgb) -> NDArray[np.bool_]:
    """Pixels of the cell in the middle of a crop: what differs from the ground in its corners; all where nothing does."""
    lab = cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB).astype(np.float32)
    h, w = (max(1, round(side * _CORNER)) for side in lab.shape[:2])
    corners = np.concatenate([part.reshape(-1, 3) for part in (lab[:h, :w], lab[:h, -w:], lab[-h:, :w], lab[-h:, -w:])])
    away = np.linalg.norm(lab - np.median(corners, axis=0), axis=2)
    if float(np.ptp(away)) < 1:
        return np.ones(away.shape, dtype=np.bool_)
    cells = ndimage.binary_fill_holes(away > filters.threshold_otsu(away))
    labelled, number = ndimage.label(ndimage.binary_opening(cells, iterations=1))
    if not number:
        return np.ones(away.shape, dtype=np.bool_)
    y, x = np.array(np.nonzero(labelled))
    middle = int(np.argmin((y - (away.shape[0] - 1) / 2) ** 2 + (x - (away.shape[1] - 1) / 2) ** 2))
    return np.asarray(labelled == labelled[y[middle], x[middle]])


def _shape(cell: NDArray[np.bool_], grey: NDArray[np.uint8]) -> NDArray[np.float64]:
    region = measure.regionprops(cell.astype(np.int64))[0]
    perimeter = max(float(region.perimeter), 1.0)
    hull = cv2.contourArea(cv2.convexHull(region.coords[:, ::-1].astype(np.float32))) + perimeter / 2 + 1
    y1, x1, y2, x2 = region.bbox
    h, w = y2 - y1, x2 - x1
    middle = grey[y1 + h // 3 : y2 - h // 3, x1 + w // 3 : x2 - w // 3]
    pallor = float(middle.mean() - grey[cell].mean()) if middle.size else 0.0
    moments = cv2.HuMoments(cv2.moments(cell.astype(np.uint8), binaryImage=True)).ravel()
    scaled = -np.sign(moments) * np.log10(np.abs(moments) + 1e-30)
    area = float(region.area)
    return np.array([
        area, perimeter, 4 * np.pi * area / perimeter**2, region.eccentricity, area / hull, area / (h * w),
        region.axis_major_length, region.axis_minor_length, pallor, *scaled,
    ])  # fmt: skip


def _colour(rgb: Rgb, cell: NDArray[np.bool_]) -> NDArray[np.float64]:
    channels = np.concatenate([rgb, cmyk(rgb)], axis=2)[cell].astype(np.float64)
    mean, deviation = channels.mean(axis=0), channels.std(axis=0)
    skewness = np.cbrt(((channels - mean) ** 3).mean(axis=0))
    return np.stack([mean, deviation, skewness], axis=1).ravel()


def _texture(square: NDArray[np.uint8]) -> NDArray[np.float64]:
    angles = (0.0, np.pi / 4, np.pi / 2, 3 * np.pi / 4)
    together = feature.graycomatrix(square // (256 // _GREYS), _DISTANCES_PX, angles, _GREYS, symmetric=True, normed=True)
    textures = [feature.graycoprops(together, name).mean(axis=1) for name in _TEXTURES]
    patterns = feature.local_binary_pattern(square, 8, 1, "uniform")
    shares = np.bincount(patterns.astype(np.int64).ravel(), minlength=10) / patterns.size
    return np.concatenate([*textures, shares])
