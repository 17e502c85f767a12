"""Counting red cells as circles: by the Hough transform, and one largest circle after the other."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from detector.baselines.methods import Classical, LabelledField, best_setting, detections_of
from detector.baselines.segmentation import CellThreshold, NucleusColour
from detector.vision.cells import PLATELETS, RBC, WBC
from detector.vision.detections import Detections
from detector.vision.images import Rgb

Circles = NDArray[np.float64]
"""Centre x and y, radius in pixels, and score of each circle, of shape (n, 4)."""

_SIZES = (0.7, 1.35)
"""Smallest and largest radius of a red cell, in the typical one."""
_MOST_STAINED = 0.25
"""Share of a red cell's circle that may have the colour of a nucleus."""
_VOTES = (8.0, 10.0, 12.0, 14.0, 17.0, 20.0, 24.0, 28.0, 34.0, 40.0)
_EDGE = 60.0
"""Upper threshold of Canny's edges."""
_RADII = (0.35, 0.45, 0.55, 0.65, 0.75, 0.85)
_MOST_CIRCLES = 2000
_WIPED = 1.15
"""Radius that is wiped out around a circle, in its own."""


class RedCircles(Classical):
    """What both have in common: red cells are round and of like size, and have no nucleus."""

    seeks = (RBC,)
    _settings: tuple[float, ...]

    def learn(self, fields: Sequence[LabelledField], _classes: Sequence[int]) -> None:
        """Learn the colours of nuclei and ground, and the setting that counts best."""
        self.radius_px = self.width_px / 2
        stained = sum(int(np.isin(field.record.label, (WBC, PLATELETS)).sum()) for field in fields)
        self.colour = NucleusColour.learnt(fields) if stained else None
        self.ground = CellThreshold.learnt(fields)
        self.setting = best_setting(self._settings, fields, lambda rgb, setting: len(self._red(rgb, setting)))

    @abstractmethod
    def circles(self, rgb: Rgb, setting: float) -> Circles:
        """Circles of any size."""

    def _red(self, rgb: Rgb, setting: float) -> Circles:
        circles = self.circles(rgb, setting)
        if self.colour is None or not len(circles):
            return circles
        nuclei = self.colour.nuclei(rgb).astype(np.uint8)
        stained = [_share(nuclei, circle) for circle in circles]
        return circles[np.array(stained) <= _MOST_STAINED]

    def find(self, rgb: Rgb) -> Detections:
        """The red cells of a field."""
        x, y, radius, score = self._red(rgb, self.setting).T
        xyxy = np.stack([x - radius, y - radius, x + radius, y + radius], axis=1).astype(np.float32)
        return detections_of(xyxy, score.tolist(), [RBC] * len(xyxy), (rgb.shape[1], rgb.shape[0]))


class HoughCircles(RedCircles):
    """Circles that many edges point to."""

    name = "Hough circles"
    source = (
        "after Mazalan SM et al., Blood cells counting using modified circular Hough transform, International Journal of Engineering and "
        "Technology 2019; 8, doi:10.14419/ijet.v8i1.12.28841; transform by Yuen HK et al., Image and Vision Computing 1990; 8:71-77"
    )
    _settings = _VOTES

    def circles(self, rgb: Rgb, setting: float) -> Circles:
        """Circles with so many votes; a score is the votes over the votes and the setting."""
        grey = cv2.medianBlur(rgb[:, :, 1], 5)
        low, high = (max(2, round(self.radius_px * size)) for size in _SIZES)
        rows = cv2.HoughCirclesWithAccumulator(
            grey, cv2.HOUGH_GRADIENT, 1, max(2.0, self.radius_px), None, _EDGE, setting, low, max(high, low + 1)
        )
        if rows is None:
            return np.zeros((0, 4))
        circles = np.asarray(rows, dtype=np.float64).reshape(-1, 4)[:_MOST_CIRCLES]
        circles[:, 3] = circles[:, 3] / (circles[:, 3] + setting)
        return circles


class IterativeCircles(RedCircles):
    """The largest circle that fits into the cells, again and again, each wiped out before the next."""

    name = "iterative circles"
    source = (
        "after Alomari YM et al., Automatic detection and quantification of WBCs and RBCs using iterative structured circle detection "
        "algorithm, Computational and Mathematical Methods in Medicine 2014; 979302"
    )
    _settings = _RADII

    def circles(self, rgb: Rgb, setting: float) -> Circles:
        """Circles down to so many typical radii; a score is the radius in the largest of a red cell."""
        least_px, most_px = setting * self.radius_px, _SIZES[1] * self.radius_px
        depth = self.depth(rgb)
        circles = []
        for _ in range(_MOST_CIRCLES):
            _, radius, _, (x, y) = cv2.minMaxLoc(depth)
            if radius < max(least_px, 1.0):
                break
            if radius <= most_px:
                circles.append((x + 0.5, y + 0.5, radius, radius / most_px))
            cv2.circle(depth, (x, y), round(max(radius, self.radius_px) * _WIPED), 0.0, cv2.FILLED)
        return np.array(circles, dtype=np.float64).reshape(-1, 4)

    def depth(self, rgb: Rgb) -> NDArray[np.float32]:
        """How far each pixel of a cell lies from the ground, of shape (h, w)."""
        cells = self.ground.cells(rgb).astype(np.uint8)
        contours, _ = cv2.findContours(cells, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_SIMPLE)
        # Only what lies outside all cells is no cell: their pallor belongs to them.
        filled = np.asarray(cv2.drawContours(cells, contours, -1, 1, cv2.FILLED), dtype=np.uint8)
        if filled.all():
            # Without any ground there is no distance from it.
            return np.zeros(filled.shape, np.float32)
        return np.asarray(cv2.distanceTransform(filled, cv2.DIST_L2, 5), dtype=np.float32)


def _share(mask: NDArray[np.uint8], circle: NDArray[np.float64]) -> float:
    """Share of a circle that lies in a mask."""
    x, y, radius, _ = circle
    top, left = max(0, int(y - radius)), max(0, int(x - radius))
    part = mask[top : int(y + radius) + 1, left : int(x + radius) + 1]
    disc = np.asarray(
        cv2.circle(np.zeros_like(part), (int(x) - left, int(y) - top), max(1, int(radius)), 1, cv2.FILLED), dtype=np.uint8
    )
    return float((part & disc).sum()) / max(1.0, float(disc.sum()))
