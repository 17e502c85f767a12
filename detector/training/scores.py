"""Training only the layers that score a place, on features that the rest of the network gives once.

The layers that see and those that draw boxes stay as they are. So a few fields are enough, little can be forgotten, and a step costs a
small part of one of the whole network. Imported only after `framework.prepare`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from ultralytics.cfg import get_cfg
from ultralytics.data import build
from ultralytics.utils import DEFAULT_CFG

from detector.training import cpu, fit, framework, graph, pictures, trainer
from detector.training.settings import TrainSettings
from detector.vision.cells import CLASSES

_PICTURES = 8
"""Pictures that the network sees at a time."""
_SCORING = ("cv3", "one2one_cv3")
"""Ultralytics' names for the layers of a head that score."""


@dataclass(frozen=True, eq=False)
class View:
    """An augmented picture of a field, as the layers that score see it."""

    field: int
    """Number of the field."""
    features: Sequence[Tensor]
    """Of each level, of shape (channels, h, w)."""
    label: Tensor
    """Class of each cell, or `pictures.IGNORED`; of shape (n, 1)."""
    xywh: Tensor
    """Boxes as shares of the picture, of shape (n, 4)."""


class Scorer:
    """A detector whose layers that score are trained."""

    def __init__(self, weights: Path, settings: TrainSettings) -> None:
        """Load weights.

        Args:
            settings: how pictures are made, the size of a batch, the learning rate and the seed.

        Raises:
            ModelError: the weights cannot be loaded, or end in another head than YOLO's.
        """
        self._model = fit.start(str(weights))
        self._network = self._model.model.float().eval().requires_grad_(False)
        graph.check(self._network, str(weights))
        self._head = self._network.model[-1]
        self._start = {name: value.clone() for name, value in self._head.state_dict().items()}
        self._settings = settings
        # A picture of one field each, so that a field can be left out.
        args = {**fit.arguments(settings, weights, weights), "mosaic": 0.0, "close_mosaic": 0}
        self._args = get_cfg(DEFAULT_CFG, args)

    def look(self, images: Sequence[Path], times: int) -> list[View]:
        """Augmented pictures of images of a dataset folder of ours, so many of each."""
        random.seed(self._settings.seed)
        np.random.seed(self._settings.seed)  # noqa: NPY002 - Ultralytics draws from it
        with framework.quiet(), pictures.cut_like_the_border(), cpu.one_blas_thread():
            fields = self._fields(sorted({str(path.parent) for path in images}))
            place = {Path(file).resolve(): i for i, file in enumerate(fields.im_files)}
            drawn = [(number, fields[place[path.resolve()]]) for number, path in enumerate(images) for _ in range(times)]
        return [view for i in range(0, len(drawn), _PICTURES) for view in self._seen(drawn[i : i + _PICTURES])]

    def _fields(self, folders: list[str]) -> Any:
        original = build.YOLODataset
        build.YOLODataset = pictures.TrainingFields
        try:
            data = {"names": dict(enumerate(CLASSES)), "nc": len(CLASSES)}
            return build.build_yolo_dataset(self._args, folders, self._settings.batch, data)
        finally:
            build.YOLODataset = original

    def _seen(self, batch: Sequence[tuple[int, dict[str, Any]]]) -> Iterator[View]:
        pixels = torch.stack([picture["img"] for _, picture in batch]).float() / 255
        with torch.no_grad():
            levels = graph.before_head(self._network, pixels)
        for i, (field, picture) in enumerate(batch):
            yield View(field, [level[i].clone() for level in levels], picture["cls"], picture["bboxes"])

    def teach(self, own: Sequence[View], home: Sequence[View], steps: int, target: Path) -> None:
        """Train from the loaded weights for so many steps, each with as many views of one kind as of the other, and write `target`."""
        self._head.load_state_dict(self._start)
        scoring = [value for name, value in self._head.named_parameters() if name.partition(".")[0] in _SCORING]
        for value in scoring:
            value.requires_grad_(True)
        optimizer = torch.optim.AdamW(scoring, self._settings.learning_rate, weight_decay=self._settings.weight_decay)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        criterion = self._criterion()
        draw = random.Random(self._settings.seed)
        for _ in range(steps):
            views = [draw.choice(kind) for kind in (own, home) for _ in range(self._settings.batch // 2)]
            optimizer.zero_grad()
            loss, _ = criterion(self._predicted(views), _labels(views))
            loss.sum().backward()
            optimizer.step()
            schedule.step()
        self._network.requires_grad_(False)
        self._model.save(str(target))

    def _criterion(self) -> Any:
        # It asks the network for the weights of its parts; what is written is to keep those of the former training.
        former, self._network.args = self._network.args, self._args
        try:
            return trainer.criterion(self._network)
        finally:
            self._network.args = former

    def _predicted(self, views: Sequence[View]) -> Any:
        levels = [torch.stack(level) for level in zip(*(view.features for view in views), strict=True)]
        # The head itself, not the layers in it: these keep the means and variances that they were trained with.
        self._head.training = True
        try:
            return self._head(levels)
        finally:
            self._head.training = False


def _labels(views: Sequence[View]) -> dict[str, Tensor]:
    """The labels of a batch as Ultralytics' loss takes them."""
    return {
        "batch_idx": torch.cat([torch.full((len(view.label),), float(i)) for i, view in enumerate(views)]),
        "cls": torch.cat([view.label for view in views]),
        "bboxes": torch.cat([view.xywh for view in views]),
    }
