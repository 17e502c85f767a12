"""A random crop that cuts cells as the border of a field does; imported only after `framework.prepare`."""

from __future__ import annotations

import math
import random
from typing import Any

import numpy as np
from ultralytics.data.augment import RandomPerspective
from ultralytics.utils.instance import Instances

from detector.training import disturb, fields
from detector.training.augment import visible
from detector.vision import border, boxes, cells

_SCALES = (0.6, 1.4)
"""Where no red cell is seen that tells a scale, a picture is made so much smaller or larger."""


class Crop(RandomPerspective):  # type: ignore[misc]
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
        return {**params, "disturbance": disturb.draw(params["size"])}

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
        region = label == fields.IGNORED
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
