"""A random crop that cuts cells as the border of a field does; imported only after `framework.prepare`."""

from __future__ import annotations

from typing import Any

import numpy as np
from ultralytics.data.augment import RandomPerspective
from ultralytics.utils.instance import Instances

from detector.training.augment import visible
from detector.vision import border, boxes, cells


class Crop(RandomPerspective):  # type: ignore[misc]
    """Ultralytics' crop, with boxes of the part of a cell that is left, and without slivers that would not be counted.

    It has a name of its own in a module so that processes which load data can be handed one.
    """

    def apply_instances(self, labels: dict[str, Any], params: dict[str, Any] | None = None) -> dict[str, Any]:
        """Labels of the crop that `params` say, with their boxes in its pixels."""
        assert params is not None
        instances = labels.pop("instances")
        instances.convert_bbox(format="xyxy")
        instances.denormalize(*params["orig_shape"][::-1])
        whole = self.apply_bboxes(instances.bboxes, params["M"])
        seen = visible(whole, params["size"])
        kept = self.box_candidates(whole.T, seen.T, area_thr=0.1)
        label = labels["cls"].reshape(-1).astype(np.int64)
        sides_px = np.sqrt(boxes.area(whole[label == cells.RBC]))
        if len(sides_px):
            kept &= ~border.slivers(seen, label, params["size"], float(np.median(sides_px)))
        labels["instances"] = Instances(seen, instances.segments, bbox_format="xyxy", normalized=False)[kept]
        labels["cls"] = labels["cls"][kept]
        return labels
