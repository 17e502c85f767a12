"""Localizing white cells by their nucleus: by thresholds of hue and saturation, and by moments in CMYK."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage import filters

from detector.baselines.methods import Classical, LabelledField, detections_of
from detector.baselines.segmentation import Blob, Mask, NucleusColour, NucleusSizes, blobs, hsv
from detector.vision import boxes
from detector.vision.cells import WBC
from detector.vision.detections import Detections
from detector.vision.images import Rgb

_LEVELS = 256


class WhiteCells(Classical):
    """What both have in common: a nucleus is a large blob of a mask, and the cell is so much larger."""

    seeks = (WBC,)

    def learn(self, fields: Sequence[LabelledField], classes: Sequence[int]) -> None:
        """Learn the colour of nuclei, their least area, and how much larger cells are."""
        self.learn_colour(fields)
        self.sizes = NucleusSizes.learnt(fields, [self.blobs(field.rgb) for field in fields], classes)

    @abstractmethod
    def learn_colour(self, fields: Sequence[LabelledField]) -> None:
        """Learn what `nuclei` needs."""

    @abstractmethod
    def nuclei(self, rgb: Rgb) -> Mask:
        """Pixels of nuclei."""

    def blobs(self, rgb: Rgb) -> list[Blob]:
        """Blobs that may be nuclei."""
        return blobs(self.nuclei(rgb), self.width_px)

    def find(self, rgb: Rgb) -> Detections:
        """The white cells of a field; a score is how far a nucleus fills its convex hull."""
        whites = [blob for blob in self.blobs(rgb) if self.sizes.label_of(blob) == WBC]
        xyxy = [self.sizes.box(blob, WBC) for blob in whites]
        return detections_of(xyxy, [blob.solidity for blob in whites], [WBC] * len(whites), (rgb.shape[1], rgb.shape[0]))


class HueSaturation(WhiteCells):
    """Nuclei have the hues of stained ones and the highest of three levels of saturation, which each field tells by itself."""

    name = "hue and saturation"
    source = (
        "after Wu J et al., A novel color image segmentation method and its application to white blood cell image analysis, ICSP 2006; "
        "thresholds by Liao PS et al., Journal of Information Science and Engineering 2001; 17:713-727"
    )

    def learn_colour(self, fields: Sequence[LabelledField]) -> None:
        """Learn the hues."""
        self.colour = NucleusColour.learnt(fields)

    def nuclei(self, rgb: Rgb) -> Mask:
        """Pixels of nuclei; none where a field has fewer than three levels of saturation."""
        planes = hsv(rgb)
        saturation = planes[:, :, 1]
        if len(np.unique(saturation)) < 3:
            return np.zeros(saturation.shape, dtype=np.bool_)
        # A field without nuclei has three levels too, all of them low.
        high = max(int(filters.threshold_multiotsu(saturation, classes=3)[-1]), self.colour.least_saturation)
        return np.asarray(self.colour.hued(planes) & (saturation > high))


class CmykMoments(WhiteCells):
    """Nuclei are dark in one of the inks; position and extent of a cell are the first and second moments of its ink."""

    name = "CMYK moments"
    source = (
        "after Tavakoli S et al., New segmentation and feature extraction algorithm for classification of white blood cells in "
        "peripheral smear images, Scientific Reports 2021; 11:19428; "
        "moments by Hu MK, IRE Transactions on Information Theory 1962; 8:179-187"
    )

    def learn_colour(self, fields: Sequence[LabelledField]) -> None:
        """Learn the ink that tells the middles of white cells from all else best, and its threshold."""
        white, other = np.zeros((4, _LEVELS)), np.zeros((4, _LEVELS))
        for field in fields:
            record = field.record
            xyxy = record.xyxy[record.label == WBC]
            quarter = (xyxy[:, 2:] - xyxy[:, :2]) / 4
            middles = boxes.mask(np.concatenate([xyxy[:, :2] + quarter, xyxy[:, 2:] - quarter], axis=1), record.size_wh)
            outside = ~boxes.mask(xyxy, record.size_wh)
            inks = cmyk(field.rgb)
            for i in range(4):
                white[i] += np.bincount(inks[:, :, i][middles], minlength=_LEVELS)
                other[i] += np.bincount(inks[:, :, i][outside], minlength=_LEVELS)
        above = [np.cumsum(of[:, ::-1], axis=1)[:, ::-1] / np.maximum(of.sum(axis=1, keepdims=True), 1) for of in (white, other)]
        ink, least = np.unravel_index(int(np.argmax(above[0] - above[1])), white.shape)
        self.ink, self.least = int(ink), int(least)

    def nuclei(self, rgb: Rgb) -> Mask:
        """Pixels with much of the ink."""
        return np.asarray(cmyk(rgb)[:, :, self.ink] >= self.least)

    def blobs(self, rgb: Rgb) -> list[Blob]:
        """Blobs with boxes by moments: centroid, and two standard deviations either way, as far as an even ellipse reaches."""
        nuclei = self.nuclei(rgb)
        ink = cmyk(rgb)[:, :, self.ink].astype(np.float64) * nuclei
        return [_by_moments(blob, ink) for blob in blobs(nuclei, self.width_px)]


def cmyk(rgb: Rgb) -> NDArray[np.uint8]:
    """Cyan, magenta, yellow and black of a field, of shape (h, w, 4), uint8; black is what all three have in common."""
    absorbed = 255 - cv2.medianBlur(rgb, 3)
    black = absorbed.min(axis=2, keepdims=True)
    # The usual form divides by what black leaves of the light.
    inks = (absorbed - black).astype(np.float32) * 255 / np.maximum(255 - black.astype(np.float32), 1)
    return np.concatenate([np.rint(inks).astype(np.uint8), black], axis=2)


def _by_moments(blob: Blob, ink: NDArray[np.float64]) -> Blob:
    x1, y1, x2, y2 = map(int, blob.xyxy)
    moments = cv2.moments(np.ascontiguousarray(ink[y1:y2, x1:x2]))
    if not moments["m00"]:
        return blob
    x, y = moments["m10"] / moments["m00"] + x1 + 0.5, moments["m01"] / moments["m00"] + y1 + 0.5
    wide, high = (2 * (moments[name] / moments["m00"]) ** 0.5 + 0.5 for name in ("mu20", "mu02"))
    return Blob((x - wide, y - high, x + wide, y + high), blob.area_px, blob.solidity)
