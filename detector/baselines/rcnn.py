"""Faster R-CNN of torchvision on MobileNet, from random weights.

Its authors begin from weights that were trained on millions of photographs. None come with the package, and nothing here fetches any.
From random weights and some 150 fields it learns far less than theirs, and takes far longer than the other methods.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torchvision.models.detection import FasterRCNN
from torchvision.models.detection.anchor_utils import AnchorGenerator
from torchvision.models.detection.backbone_utils import mobilenet_backbone

from detector.baselines.methods import Classical, LabelledField, detections_of
from detector.baselines.networks import pixels, seeded, tinted, train, weights_bytes
from detector.vision.cells import CLASSES, PLATELETS, RBC, WBC
from detector.vision.detections import Detections
from detector.vision.images import Rgb

STEPS = 800
"""Batches that it learns from."""
_BATCH = 2
_RATE = 0.0005
_LEAST_SEARCHED = 0.01
"""Score from which on average precision weighs a find."""
_MOST_CELLS = 300
_STAGES = [2, 3]
"""Of the trunk, those that cells are looked for in, with 8 and 16 px to a value. By default it is 32 px, so that no box that it begins from
need cover half of a cell."""
_SIDES_PX = ((20, 36), (48, 72), (96, 144))
"""Sides of the boxes that it begins from, in these stages and in a coarser one."""
_GROUPS = 8
"""Of channels that are normalized together (Wu and He, arXiv:1803.08494): two fields are few for the statistics of a batch."""


class RegionNetwork(Classical):
    """Two stages: where anything is, and what it is."""

    name = "Faster R-CNN"
    source = (
        "after Ren S et al., Faster R-CNN: towards real-time object detection with region proposal networks, NeurIPS 2015, "
        "arXiv:1506.01497; "
        "on MobileNetV3 (Howard A et al., ICCV 2019, arXiv:1905.02244) by torchvision, from random weights"
    )
    seeks = (RBC, WBC, PLATELETS)
    steps = STEPS
    widest_px = 48.0
    least_score = 0.5

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def learn(self, fields: Sequence[LabelledField], classes: Sequence[int]) -> None:
        """Learn from fields of the working size, mirrored and tinted at random."""
        rng = np.random.default_rng(self.seed)
        with seeded(self.seed):
            self.network = _network()
            optimizer = torch.optim.AdamW(self.network.parameters(), _RATE)
            train(self.network, optimizer, lambda: self._loss(fields, classes, rng), self.steps, self.advance)

    def _loss(self, fields: Sequence[LabelledField], classes: Sequence[int], rng: np.random.Generator) -> Tensor:
        drawn = [_drawn(fields[i], classes, rng.random() < 0.5) for i in rng.integers(len(fields), size=_BATCH)]
        losses: dict[str, Tensor] = self.network([picture for picture, _ in drawn], [truth for _, truth in drawn])
        return torch.stack(list(losses.values())).sum()

    def find(self, rgb: Rgb) -> Detections:
        """All that it takes for a cell, with its score."""
        with torch.inference_mode():
            output = self.network(list(pixels(rgb[None])))[0]
        return detections_of(
            output["boxes"].numpy(), output["scores"].tolist(), (output["labels"] - 1).tolist(), rgb.shape[1::-1]
        )

    def size_bytes(self) -> int:
        """Size of the weights."""
        return weights_bytes(self.network)


def _network() -> FasterRCNN:
    """The network, untrained: it takes pictures as they are, and begins from boxes of the sizes of cells."""
    backbone = mobilenet_backbone(
        backbone_name="mobilenet_v3_large",
        weights=None,
        fpn=True,
        norm_layer=partial(nn.GroupNorm, _GROUPS),
        trainable_layers=6,
        returned_layers=_STAGES,
    )
    network = FasterRCNN(
        backbone,
        len(CLASSES) + 1,
        rpn_anchor_generator=AnchorGenerator(_SIDES_PX, ((0.75, 1.0, 1.33),) * len(_SIDES_PX)),
        rpn_post_nms_top_n_train=_MOST_CELLS,
        rpn_post_nms_top_n_test=_MOST_CELLS,
        box_batch_size_per_image=64,
        box_score_thresh=_LEAST_SEARCHED,
        box_detections_per_img=_MOST_CELLS,
        image_mean=[0.0] * 3,
        image_std=[1.0] * 3,
    )
    network.transform.resize = _as_it_is
    return network


def _as_it_is(image: Tensor, target: dict[str, Tensor] | None = None) -> tuple[Tensor, dict[str, Tensor] | None]:
    """A picture in the size that it has.

    What torchvision offers for that, `_skip_resize`, leaves out its change in training only. Afterwards fields would be enlarged to 800 px,
    and their cells would be larger than the learned ones.
    """
    return image, target


def _drawn(field: LabelledField, classes: Sequence[int], mirrored: bool) -> tuple[Tensor, dict[str, Tensor]]:
    """A field and its cells as the network takes them."""
    record = field.record
    cells = np.isin(record.label, classes)
    xyxy, rgb = record.xyxy[cells], field.rgb
    if mirrored:
        width = np.float32(record.size_wh[0])
        xyxy, rgb = np.stack([width - xyxy[:, 2], xyxy[:, 1], width - xyxy[:, 0], xyxy[:, 3]], axis=1), rgb[:, ::-1]
    truth = {"boxes": torch.from_numpy(xyxy.copy()), "labels": torch.from_numpy(record.label[cells] + 1)}
    return tinted(pixels(rgb[None]))[0], truth
