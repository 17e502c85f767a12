"""The pictures of a training: fields as Ultralytics loads them, joined to mosaics and cropped as the border of a field cuts cells.

Imported only after `framework.prepare`.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from ultralytics.data import augment
from ultralytics.data.dataset import YOLODataset
from ultralytics.utils.instance import Instances
from ultralytics.utils.patches import imread

from detector.annotations import dataset
from detector.training.augment import draw_disturbance, visible
from detector.vision import border, boxes, cells

IGNORED = len(cells.CLASSES)
"""Stands for the class of an ignore region among the labels of a picture."""
KEPT_RBC_PX = 64
"""Fields are kept in memory with red cells about so wide: large enough for the largest crops, and as many as fit in a mosaic."""
_MOST_ENLARGED = 2.0
_SCALES = (0.6, 1.4)
"""Where no red cell is seen that tells a scale, a picture is made so much smaller or larger."""


class TrainingFields(YOLODataset):  # type: ignore[misc]
    """Fields of any magnification, each loaded at the size at which its red cells are as wide as the others'.

    At one side for all, as Ultralytics loads them, fields of many small cells would lose what a cell is known by.
    """

    def get_labels(self) -> list[dict[str, Any]]:
        """Labels of each field, with its ignore regions as boxes of class `IGNORED`."""
        labels: list[dict[str, Any]] = super().get_labels()
        for label in labels:
            regions = dataset.ignore_file(Path(label["im_file"]))
            if regions.is_file():
                ignored = np.loadtxt(regions, dtype=np.float32, ndmin=2)[:, 1:]
                label["bboxes"] = np.concatenate([label["bboxes"], ignored])
                label["cls"] = np.concatenate([label["cls"], np.full((len(ignored), 1), IGNORED, np.float32)])
        return labels

    def load_image(
        self, i: int, rect_mode: bool = True, resize_short: bool = False
    ) -> tuple[NDArray[np.uint8], tuple[int, int], tuple[int, int]]:
        """Pixels of a field, its height and width in the file, and those that it has here."""
        factor = self._factor(i)
        if self.cache != "ram" or self.ims[i] is not None or factor is None:
            return super().load_image(i, rect_mode, resize_short)  # type: ignore[no-any-return]
        pixels = imread(self.im_files[i], flags=self.cv2_flag)
        if pixels is None:
            raise FileNotFoundError(self.im_files[i])
        h, w = pixels.shape[:2]
        way = cv2.INTER_AREA if factor < 1 else cv2.INTER_LINEAR
        resized = cv2.resize(pixels, (round(w * factor), round(h * factor)), interpolation=way)
        return resized, (h, w), resized.shape[:2]

    def _factor(self, i: int) -> float | None:
        label: dict[str, Any] = self.labels[i]
        h, w = label["shape"]
        sides = label["bboxes"][label["cls"].reshape(-1) == cells.RBC, 2:] * (w, h)
        if not len(sides):
            return None
        return min(KEPT_RBC_PX / float(np.median(np.sqrt(sides.prod(axis=1)))), _MOST_ENLARGED)


class MosaicPicture(augment.Mosaic):  # type: ignore[misc]
    """Nine fields in a picture, of any size; four would leave much of it empty where cells are shown small."""

    @classmethod
    def take(cls, mosaic: Any) -> None:
        """Make one of Ultralytics' mosaics such a one."""
        mosaic.__class__, mosaic.n = cls, 9

    def get_params(self, labels: dict[str, Any]) -> dict[str, Any]:
        """Where each field comes to lie; what lies outside of the picture is cut off, which Ultralytics leaves to luck."""
        params: dict[str, Any] = super().get_params(labels)
        for place in params["layout"]:
            for start, end in (("x1", "x2"), ("y1", "y2")):
                place[end] = max(place[start], min(place[end], 3 * self.imgsz))
        return params


class Crop(augment.RandomPerspective):  # type: ignore[misc]
    """Ultralytics' crop, in which red cells are as wide as was drawn for it; with boxes of the part of a cell that is left, and
    without slivers that would not be counted.

    `scale` holds the least and the greatest width of red cells in pixels. The crop has a name of its own in a module so that
    processes which load data can be handed one.
    """

    scale: tuple[float, float]

    def get_params(self, labels: dict[str, Any]) -> dict[str, Any]:
        """How a picture is moved, and what lies over it."""
        smallest_px, largest_px = widths = self.scale
        shown = rbc_px(labels)
        if shown is None:
            factor = random.uniform(*_SCALES)
        else:
            # The widths in the middle, at which most fields are counted, come most often.
            factor = math.exp(random.triangular(math.log(smallest_px), math.log(largest_px))) / shown
        # Ultralytics draws the factor between the two.
        self.scale = (factor, factor)
        try:
            params = super().get_params(labels)
        finally:
            self.scale = widths
        return {**params, "disturbance": draw_disturbance(params["size"])}

    def apply_image(self, labels: dict[str, Any], params: dict[str, Any] | None = None) -> dict[str, Any]:
        """The crop, with letters, a scale bar or a black surround where these were drawn."""
        assert params is not None
        labels = super().apply_image(labels, params)
        params["disturbance"].put_on(labels["img"])
        return labels

    def apply_instances(self, labels: dict[str, Any], params: dict[str, Any] | None = None) -> dict[str, Any]:
        """Labels of the crop that `params` say, with their boxes in its pixels."""
        assert params is not None
        instances = labels.pop("instances")
        instances.convert_bbox(format="xyxy")
        instances.denormalize(*params["orig_shape"][::-1])
        whole = self.apply_bboxes(instances.bboxes, params["M"])
        seen = visible(whole, params["size"])
        kept = self.box_candidates(whole.T, seen.T, area_thr=0.1) & params["disturbance"].shows(seen)
        label = labels["cls"].reshape(-1).astype(np.int64)
        region = label == IGNORED
        # A region is no ellipse, and its smallest corner is still ignored.
        seen[region] = boxes.clip(whole[region], params["size"])
        kept |= region & (boxes.area(seen) > 0)
        sides_px = np.sqrt(boxes.area(whole[label == cells.RBC]))
        if len(sides_px):
            kept &= ~border.slivers(seen, label, params["size"], float(np.median(sides_px)))
        labels["instances"] = Instances(seen, instances.segments, bbox_format="xyxy", normalized=False)[kept]
        labels["cls"] = labels["cls"][kept]
        return labels


def rbc_px(labels: dict[str, Any]) -> float | None:
    """Median side of the labelled red cells in pixels of the picture; None without any."""
    h, w = labels["img"].shape[:2]
    instances = labels["instances"]
    instances.convert_bbox(format="xywh")
    sides = instances.bboxes[labels["cls"].reshape(-1) == cells.RBC, 2:]
    if not len(sides):
        return None
    stretch = w * h if instances.normalized else 1.0
    return float(np.median(np.sqrt(sides.prod(axis=1) * stretch)))


@contextmanager
def cut_like_the_border() -> Iterator[None]:
    """Let Ultralytics' random crops cut cells as the border of a field does, for the length of a block.

    Boxes follow the part of a cell that is left, and slivers of red cells that would not be counted are not labelled.
    """
    original = augment.RandomPerspective
    augment.RandomPerspective = Crop
    try:
        yield
    finally:
        augment.RandomPerspective = original
