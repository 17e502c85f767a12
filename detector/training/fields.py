"""The fields of a training as Ultralytics loads them; imported only after `framework.prepare`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from ultralytics.data import augment
from ultralytics.data.dataset import YOLODataset
from ultralytics.utils.patches import imread

from detector.annotations import dataset
from detector.vision import cells

IGNORED = len(cells.CLASSES)
"""Stands for the class of an ignore region among the labels of a picture."""
KEPT_RBC_PX = 64
"""Fields are kept in memory with red cells about so wide: large enough for the largest crops, and as many as fit in a mosaic."""
_MOST_ENLARGED = 2.0


class Fields(YOLODataset):  # type: ignore[misc]
    """Fields of any magnification, each loaded at the size at which its red cells are as wide as the others'.

    At one side for all, as Ultralytics loads them, fields of many small cells would lose what a cell is known by.
    """

    def get_labels(self) -> list[dict[str, Any]]:
        """Labels of each field, with its ignore regions as boxes of class `IGNORED`."""
        labels: list[dict[str, Any]] = super().get_labels()
        for label in labels:
            regions = dataset.ignore_file(Path(label["im_file"]))
            if regions.is_file():
                found = np.loadtxt(regions, dtype=np.float32, ndmin=2)[:, 1:]
                label["bboxes"] = np.concatenate([label["bboxes"], found])
                label["cls"] = np.concatenate([label["cls"], np.full((len(found), 1), IGNORED, np.float32)])
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


class Mosaic(augment.Mosaic):  # type: ignore[misc]
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
