"""Which pixels are cells and which are nuclei, by colour, and the blobs that they make.

Colours are taken in HSV (Smith, Color gamut transform pairs, SIGGRAPH 1978), hue in OpenCV's steps of two degrees.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray
from skimage import filters, measure

from detector.baselines.methods import LabelledField, least_value
from detector.vision import boxes
from detector.vision.cells import PLATELETS, RBC, WBC
from detector.vision.images import Rgb

Mask = NDArray[np.bool_]
"""Pixels of a field, of shape (h, w)."""

SATURATION, VALUE = 1, 2
_SEAM = 60
"""Hue at which the circle of hues is cut open, in OpenCV's steps: green, which stained smears hardly have."""
_HUES, _SATURATIONS = 36, 32
"""Into how many parts hue and saturation are divided."""
_LEAST_CONTRAST = 0.4
"""Share of the contrast of the training fields below which a field holds nothing but ground."""
_GROUND_PERCENT = 5
"""Percentile of a field at which its ground lies at least."""
_CLIP = 1.5
"""How far above the ground levels differ, in the contrast of red cells."""
_MORE_SATURATED = (0, 16, 32, 48, 64, 96)
"""By how much more than learnt from pixels the least saturation of nuclei is tried."""
_LEAST_BLOB = 0.12
"""Side of the smallest blob that is looked at, in widths of a red cell."""
JOIN = 0.15
"""Gap between the lobes of a nucleus that is closed, in widths of a red cell."""


def hsv(rgb: Rgb) -> NDArray[np.uint8]:
    """Hue (0 at green, to 179), saturation and value of a field without its finest noise, of shape (h, w, 3)."""
    planes = np.array(cv2.cvtColor(cv2.medianBlur(rgb, 3), cv2.COLOR_RGB2HSV), dtype=np.uint8)
    planes[:, :, 0] = (planes[:, :, 0].astype(np.int16) - _SEAM) % 180
    return planes


@dataclass(frozen=True)
class CellThreshold:
    """What tells cells from the ground between them: Otsu's threshold (1979) of saturation or of darkness."""

    channel: int
    """`SATURATION` or `VALUE`."""
    contrast: float
    """How far red cells lie above the ground."""

    @classmethod
    def learnt(cls, fields: Sequence[LabelledField]) -> CellThreshold:
        """By the channel in which labelled red cells differ most from what lies between cells, in standard deviations."""
        apart: dict[int, list[tuple[float, float]]] = {SATURATION: [], VALUE: []}
        for field in fields:
            _, red, ground = _parts(field)
            if not red.any() or not ground.any():
                continue
            planes = hsv(field.rgb)
            for channel, differences in apart.items():
                plane = _plane(planes, channel)
                difference = float(plane[red].mean() - plane[ground].mean())
                differences.append((difference, difference / (float(plane[ground].std()) + 1)))
        means = {channel: np.mean(pairs, axis=0) if pairs else np.zeros(2) for channel, pairs in apart.items()}
        channel = max(means, key=lambda name: float(means[name][1]))
        return cls(channel, float(means[channel][0]))

    def cells(self, rgb: Rgb) -> Mask:
        """Pixels of cells; none where the field shows nothing but ground."""
        plane = _plane(hsv(rgb), self.channel)
        # Nuclei lie far above red cells, and would draw the threshold between the two.
        plane = np.minimum(plane, np.percentile(plane, _GROUND_PERCENT) + _CLIP * max(self.contrast, 1))
        if plane.min() == plane.max():
            return np.zeros(plane.shape, dtype=np.bool_)
        cells = plane > filters.threshold_otsu(plane)
        apart = float(plane[cells].mean() - plane[~cells].mean())
        return np.asarray(cells if apart >= max(_LEAST_CONTRAST * self.contrast, 1) else np.zeros_like(cells))


def _plane(planes: NDArray[np.uint8], channel: int) -> NDArray[np.uint8]:
    plane = planes[:, :, channel]
    return plane if channel == SATURATION else 255 - plane


@dataclass(frozen=True)
class NucleusColour:
    """Hues and least saturation of stained nuclei and platelets, as labelled boxes show them."""

    hues: tuple[int, int]
    """Lowest hue, and the first above the highest, as `hsv` gives them."""
    least_saturation: int

    @classmethod
    def learnt(cls, fields: Sequence[LabelledField]) -> NucleusColour:
        """The hues and saturations with most of the middles of white cells and platelets, and least of red cells and ground."""
        histograms = np.zeros((4, _HUES, _SATURATIONS))
        for field in fields:
            planes = hsv(field.rgb)
            middles, red, ground = _parts(field)
            white = boxes.mask(field.record.xyxy[field.record.label == WBC], field.record.size_wh)
            for histogram, part in zip(histograms, (middles & white, middles & ~white, red, ground), strict=True):
                seen = (planes[:, :, 0][part], planes[:, :, 1][part])
                histogram += np.histogram2d(*seen, (_HUES, _SATURATIONS), ((0, 180), (0, 256)))[0]
        # White cells, platelets, red cells and ground each weigh as much as their like, however many pixels they have.
        stained = [histogram for histogram in histograms[:2] if histogram.any()]
        sought = np.mean([_cumulated(histogram) for histogram in stained], axis=0)
        return cls._best(sought - np.mean([_cumulated(histogram) for histogram in histograms[2:]], axis=0))

    @classmethod
    def _best(cls, worth: NDArray[np.float64]) -> NucleusColour:
        """From what all hues below each are worth at each least saturation, of shape (hues + 1, saturations)."""
        between = worth[None, :, :] - worth[:, None, :]
        low, high, saturation = np.unravel_index(int(np.argmax(between)), between.shape)
        step = 180 // _HUES
        return cls((int(low) * step, int(high) * step), int(saturation) * (256 // _SATURATIONS))

    def nuclei(self, rgb: Rgb) -> Mask:
        """Pixels of that colour."""
        planes = hsv(rgb)
        return self.hued(planes) & (planes[:, :, 1] >= self.least_saturation)

    def hued(self, planes: NDArray[np.uint8]) -> Mask:
        """Pixels of these hues, whatever their saturation; `planes` as `hsv` gives them."""
        return np.asarray((planes[:, :, 0] >= self.hues[0]) & (planes[:, :, 0] < self.hues[1]))


def _parts(field: LabelledField) -> tuple[Mask, Mask, Mask]:
    """Middles of white cells and platelets, red cells, and ground."""
    record = field.record
    stained = np.isin(record.label, (WBC, PLATELETS))
    quarter = (record.xyxy[stained][:, 2:] - record.xyxy[stained][:, :2]) / 4
    middles = np.concatenate([record.xyxy[stained][:, :2] + quarter, record.xyxy[stained][:, 2:] - quarter], axis=1)
    whole = boxes.mask(record.xyxy[stained], record.size_wh)
    red = boxes.mask(record.xyxy[record.label == RBC], record.size_wh) & ~whole
    return boxes.mask(middles, record.size_wh), red, ~(whole | red)


def _cumulated(histogram: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of the pixels with a hue below each and a saturation from each on, of shape (hues + 1, saturations)."""
    upwards = np.cumsum(histogram[:, ::-1], axis=1)[:, ::-1]
    return np.asarray(
        np.concatenate([np.zeros((1, histogram.shape[1])), np.cumsum(upwards, axis=0)]) / max(float(histogram.sum()), 1)
    )


@dataclass(frozen=True)
class Blob:
    """A connected area of a mask."""

    xyxy: tuple[float, float, float, float]
    area_px: float
    solidity: float
    """Area over that of its convex hull."""

    @property
    def centre(self) -> tuple[float, float]:
        """Of its box, x and y."""
        return (self.xyxy[0] + self.xyxy[2]) / 2, (self.xyxy[1] + self.xyxy[3]) / 2


def blobs(mask: Mask, width_px: float) -> list[Blob]:
    """The connected areas of a mask, whose narrow gaps are closed first, without specks.

    Args:
        width_px: of a red cell.
    """
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (max(1, round(JOIN * width_px)) | 1,) * 2)
    # Single pixels are noise, and would be joined into an area.
    clean = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, cv2.getStructuringElement(cv2.MORPH_CROSS, (3, 3)))
    joined = cv2.morphologyEx(clean, cv2.MORPH_CLOSE, kernel)
    return [blob for blob in regions(measure.label(joined)) if blob.area_px >= max((_LEAST_BLOB * width_px) ** 2, 4)]


def regions(labelled: NDArray[np.int64]) -> list[Blob]:
    """The areas of a labelled picture of shape (h, w), in which 0 is no area."""
    blobs = []
    for region in measure.regionprops(labelled):
        y1, x1, y2, x2 = region.bbox
        hull = cv2.contourArea(cv2.convexHull(region.coords[:, ::-1].astype(np.float32))) + region.perimeter / 2 + 1
        blobs.append(Blob((float(x1), float(y1), float(x2), float(y2)), float(region.area), min(float(region.area) / hull, 1.0)))
    return blobs


@dataclass(frozen=True)
class NucleusSizes:
    """From which area a blob of a nucleus' colour is a white cell or a platelet, and how much larger than the blob the cell is."""

    least_px: dict[int, float]
    """Least area by label; only of the classes that are looked for."""
    growth: dict[int, float]
    """Side of a cell's box over that of the blob's, by label."""

    @classmethod
    def learnt(cls, fields: Sequence[LabelledField], blobs: Sequence[Sequence[Blob]], classes: Sequence[int]) -> NucleusSizes:
        """From the blobs that were found in each of some labelled fields."""
        areas: dict[int | None, list[float]] = {WBC: [], PLATELETS: [], None: []}
        ratios: dict[int, list[float]] = {WBC: [], PLATELETS: []}
        for field, of_field in zip(fields, blobs, strict=True):
            for blob, label, ratio in _matched(field, of_field):
                areas[label].append(blob.area_px)
                if label is not None:
                    ratios[label].append(ratio)
        least = {
            WBC: least_value(areas[WBC], areas[PLATELETS] + areas[None]),
            PLATELETS: least_value(areas[PLATELETS], areas[None]),
        }
        growth = {label: float(np.median(of_label)) if of_label else 1.0 for label, of_label in ratios.items()}
        sought = [label for label in (WBC, PLATELETS) if label in classes]
        return cls({label: least[label] for label in sought}, {label: growth[label] for label in sought})

    def label_of(self, blob: Blob) -> int | None:
        """The class of a blob, or None where it is too small for any."""
        return next((label for label, area_px in self.least_px.items() if blob.area_px >= area_px), None)

    def miscounted(self, field: LabelledField, blobs: Sequence[Blob]) -> int:
        """By how many cells the blobs of a field differ from its labels, over the classes that are looked for."""
        labels = [self.label_of(blob) for blob in blobs]
        return sum(abs(labels.count(label) - int((field.record.label == label).sum())) for label in self.least_px)

    def box(self, blob: Blob, label: int) -> tuple[float, float, float, float]:
        """The box of the cell around a blob."""
        (x, y), growth = blob.centre, self.growth[label] / 2
        w, h = (blob.xyxy[2] - blob.xyxy[0]) * growth, (blob.xyxy[3] - blob.xyxy[1]) * growth
        return x - w, y - h, x + w, y + h


def learn_nuclei(fields: Sequence[LabelledField], classes: Sequence[int], width_px: float) -> tuple[NucleusColour, NucleusSizes]:
    """Colour and sizes of white cells and platelets: of some least saturations the one with which fewest are miscounted."""
    learnt = NucleusColour.learnt(fields)
    best: tuple[int, NucleusColour, NucleusSizes] | None = None
    for more in _MORE_SATURATED:
        colour = replace(learnt, least_saturation=learnt.least_saturation + more)
        # What a colour shows of each field is asked for twice, and takes longer than all else.
        shown = [blobs(colour.nuclei(field.rgb), width_px) for field in fields]
        sizes = NucleusSizes.learnt(fields, shown, classes)
        wrong = sum(sizes.miscounted(field, own) for field, own in zip(fields, shown, strict=True))
        if best is None or wrong < best[0]:
            best = wrong, colour, sizes
    assert best is not None
    return best[1], best[2]


def _matched(field: LabelledField, blobs: Sequence[Blob]) -> Iterator[tuple[Blob, int | None, float]]:
    """Each blob with the label of the white cell or platelet whose box holds its centre, and the ratio of their sides.

    Of several blobs in one box the largest is the cell's; the others are no cells.
    """
    record = field.record
    taken: set[int] = set()
    for blob in sorted(blobs, key=lambda blob: -blob.area_px):
        x, y = blob.centre
        around = (record.xyxy[:, 0] <= x) & (x < record.xyxy[:, 2]) & (record.xyxy[:, 1] <= y) & (y < record.xyxy[:, 3])
        own = [int(i) for i in np.flatnonzero(around & (record.label != RBC)) if int(i) not in taken]
        if own:
            taken.add(own[0])
            sides = boxes.side(np.array([record.xyxy[own[0]], blob.xyxy], dtype=np.float32))
            yield blob, int(record.label[own[0]]), float(sides[0] / sides[1])
        else:
            yield blob, None, 1.0
