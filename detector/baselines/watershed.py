"""Counting by HSV segmentation, watershed and blob analysis.

White cells and platelets are blobs of a nucleus' colour, told apart by their area. Red cells are what else differs from the ground;
those that touch are parted by a watershed of the distance from the ground (Beucher and Meyer, The morphological approach to
segmentation: the watershed transformation, 1993).
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage import feature, segmentation
from skimage.morphology import remove_small_holes

from detector.baselines.methods import Classical, LabelledField, best_setting, detections_of
from detector.baselines.segmentation import Blob, CellThreshold, Mask, NucleusColour, NucleusSizes, blobs, learn_nuclei, regions
from detector.vision import boxes
from detector.vision.cells import PLATELETS, RBC, WBC
from detector.vision.detections import Detections
from detector.vision.images import Rgb

_APART = (0.125, 0.175, 0.225, 0.3, 0.4)
"""Least distance between the middles of two red cells that are tried, in their width."""
_AREA = (0.3, 3.0)
"""Smallest and largest area of a red cell, in areas of the typical one."""
_SHORTEST_PX = 4
"""Sides of the smallest segment."""
_CUT = 0.08
"""Smallest area of a red cell that the border cuts."""


class Watershed(Classical):
    """Learns colours, sizes, and how far apart two red cells are at least."""

    name = "HSV and watershed"
    source = (
        "after Cruz D et al., Determination of blood components (WBCs, RBCs, and platelets) count in microscopic images using image "
        "processing and analysis, IEEE HNICEM 2017"
    )
    seeks = (RBC, WBC, PLATELETS)

    def learn(self, fields: Sequence[LabelledField], classes: Sequence[int]) -> None:
        """Learn from fields of the working size."""
        self.ground = CellThreshold.learnt(fields)
        self.colour: NucleusColour | None = None
        self.sizes = NucleusSizes({}, {})
        if {WBC, PLATELETS} & set(classes):
            self.colour, self.sizes = learn_nuclei(fields, classes, self.width_px)
        self.apart = best_setting(_APART, fields, lambda rgb, apart: len(self.red(rgb, apart))) if RBC in classes else _APART[0]
        self.sought = tuple(classes)

    def stained(self, rgb: Rgb) -> list[Blob]:
        """Blobs of a nucleus' colour."""
        return [] if self.colour is None else blobs(self.colour.nuclei(rgb), self.width_px)

    def nuclei(self, rgb: Rgb) -> list[tuple[Blob, int]]:
        """The blobs that are white cells or platelets, with their labels."""
        return [(blob, label) for blob in self.stained(rgb) if (label := self.sizes.label_of(blob)) is not None]

    def red(self, rgb: Rgb, apart: float) -> list[Blob]:
        """Red cells, their middles so many widths apart at least."""
        h, w = rgb.shape[:2]
        whites = [self.sizes.box(blob, label) for blob, label in self.nuclei(rgb)]
        cells = self._filled(self.ground.cells(rgb)) & ~boxes.mask(boxes.clip(np.array(whites).reshape(-1, 4), (w, h)), (w, h))
        area_px = np.pi / 4 * self.width_px**2
        return [blob for blob in regions(self._parted(cells, apart)) if self._is_red(blob, area_px, (w, h))]

    def _filled(self, cells: Mask) -> Mask:
        """Without the pallor in the middle of cells, and without specks."""
        filled = remove_small_holes(cells, max_size=int(self.width_px**2 / 2))
        size = max(1, round(self.width_px / 8)) | 1
        return np.asarray(
            cv2.morphologyEx(filled.astype(np.uint8), cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (size, size)))
            > 0
        )

    def _parted(self, cells: Mask, apart: float) -> NDArray[np.int64]:
        """Touching cells parted, as a labelled picture."""
        # The border is no ground: a cut cell goes on beyond it, so that its middle may lie at it.
        depth = ndimage.gaussian_filter(cv2.distanceTransform(cells.astype(np.uint8), cv2.DIST_L2, 5), 1)
        middles = feature.peak_local_max(
            depth, min_distance=max(1, round(apart * self.width_px)), labels=cells.astype(np.int32), exclude_border=False
        )
        markers = np.zeros(cells.shape, dtype=np.int32)
        markers[tuple(middles.T)] = np.arange(1, len(middles) + 1)
        return np.asarray(segmentation.watershed(-depth, markers, mask=cells), dtype=np.int64)

    @staticmethod
    def _is_red(blob: Blob, area_px: float, size_wh: tuple[int, int]) -> bool:
        cut = bool(boxes.touches(np.array([blob.xyxy], dtype=np.float32), size_wh, 1.0).any())
        return (_CUT if cut else _AREA[0]) <= blob.area_px / area_px <= _AREA[1]

    def find(self, rgb: Rgb) -> Detections:
        """The cells of a field; a score is how far a blob fills its convex hull."""
        nuclei = self.nuclei(rgb)
        red = self.red(rgb, self.apart) if RBC in self.sought else []
        xyxy = [*(self.sizes.box(blob, label) for blob, label in nuclei), *(blob.xyxy for blob in red)]
        score = [blob.solidity for blob, _ in nuclei] + [blob.solidity for blob in red]
        return detections_of(xyxy, score, [label for _, label in nuclei] + [RBC] * len(red), (rgb.shape[1], rgb.shape[0]))

    def segments(self, rgb: Rgb) -> NDArray[np.float32]:
        """Boxes of all that may be a cell, of shape (n, 4): red cells, and blobs of a nucleus' colour of any size as each class."""
        stained = [self.sizes.box(blob, label) for blob in self.stained(rgb) for label in self.sizes.growth]
        red = [blob.xyxy for blob in self.red(rgb, self.apart)]
        placed = boxes.clip(np.array([*stained, *red], dtype=np.float32).reshape(-1, 4), (rgb.shape[1], rgb.shape[0]))
        return placed[(placed[:, 2:] - placed[:, :2] >= _SHORTEST_PX).all(axis=1)]
