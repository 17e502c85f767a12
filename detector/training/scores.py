"""Training only the layers that score a place, on features that the rest of the network gives once.

The layers that see and those that draw boxes stay as they are. So a few fields are enough, little can be forgotten, what each place
should answer is settled once, and a step costs a small part of one of the whole network. Imported only after `framework.prepare`.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional
from ultralytics.cfg import get_cfg
from ultralytics.data import build
from ultralytics.utils import DEFAULT_CFG

from detector.training import cpu, fit, framework, graph, pictures, trainer
from detector.training.settings import TrainSettings
from detector.vision.cells import CLASSES

_PICTURES = 8
"""Pictures that the network sees at a time."""


@dataclass(frozen=True, eq=False)
class AugmentedView:
    """An augmented picture of a field, as the layers that score see it."""

    field: int
    """Number of the field."""
    features: Sequence[Tensor]
    """Of each level, of shape (channels, h, w)."""
    asked: Tensor
    """The score of each class that each place should give, of shape (places, classes)."""
    weight: Tensor
    """0 at places in ignore regions where no cell is, else 1; of shape (places, 1)."""


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
        # A head may have two halves, of which one counts.
        self._half = "one2one" if self._head.end2end else "one2many"
        self._scoring: Any = getattr(self._head, self._half)["cls_head"]
        self._start = {name: value.clone() for name, value in self._scoring.state_dict().items()}
        self._settings = settings
        # A picture of one field each, so that a field can be left out.
        args = {**fit.arguments(settings, weights, weights), "mosaic": 0.0, "close_mosaic": 0}
        self._args = get_cfg(DEFAULT_CFG, args)

    def look(self, images: Sequence[Path], times: int) -> list[AugmentedView]:
        """Augmented pictures of images of a dataset folder of ours, so many of each."""
        random.seed(self._settings.seed)
        # Ultralytics seeds Albumentations with torch's.
        torch.manual_seed(self._settings.seed)
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

    def _seen(self, batch: Sequence[tuple[int, dict[str, Any]]]) -> Iterator[AugmentedView]:
        pixels = torch.stack([picture["img"] for _, picture in batch]).float() / 255
        with torch.no_grad():
            levels = graph.before_head(self._network, pixels)
            asked = self._asked(levels, [picture for _, picture in batch])
        weight = torch.maximum(asked.judged, (asked.targets.amax(dim=2, keepdim=True) > 0).float())
        for i, (field, _) in enumerate(batch):
            yield AugmentedView(field, [level[i].clone() for level in levels], asked.targets[i].clone(), weight[i].clone())

    def _asked(self, levels: list[Tensor], labelled: Sequence[dict[str, Any]]) -> _Asked:
        """What Ultralytics' loss would ask of each place, by the boxes that are drawn there."""
        # The head itself, not the layers in it: these keep the means and variances that they were trained with.
        self._head.training = True
        # The loss asks the network for the weights of its parts; those of the former training are to be written.
        former, self._network.args = self._network.args, self._args
        try:
            predicted, criterion = self._head(levels), trainer.criterion(self._network)
        finally:
            self._head.training, self._network.args = False, former
        criterion = getattr(criterion, self._half, criterion)
        criterion.bce = asked = _Asked()
        labels = {
            "batch_idx": torch.cat([torch.full((len(picture["cls"]),), float(i)) for i, picture in enumerate(labelled)]),
            "cls": torch.cat([picture["cls"] for picture in labelled]),
            "bboxes": torch.cat([picture["bboxes"] for picture in labelled]),
        }
        criterion(predicted.get(self._half, predicted), labels)
        return asked

    def teach(self, own: Sequence[AugmentedView], home: Sequence[AugmentedView], steps: int, target: Path) -> None:
        """Train from the loaded weights for so many steps, each with as many views of one kind as of the other, and write `target`."""
        self._scoring.load_state_dict(self._start)
        self._scoring.requires_grad_(True)
        optimizer = torch.optim.AdamW(
            self._scoring.parameters(), self._settings.learning_rate, weight_decay=self._settings.weight_decay
        )
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
        draw = random.Random(self._settings.seed)
        for _ in range(steps):
            views = [draw.choice(kind) for kind in (own, home) for _ in range(self._settings.batch // 2)]
            optimizer.zero_grad()
            self._loss(views).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
        self._scoring.requires_grad_(False)
        self._model.save(str(target))

    def _loss(self, views: Sequence[AugmentedView]) -> Tensor:
        """Binary cross-entropy for each cell that is there."""
        asked, weight = (torch.stack(tables) for tables in zip(*((view.asked, view.weight) for view in views), strict=True))
        levels = [torch.stack(level) for level in zip(*(view.features for view in views), strict=True)]
        scores = torch.cat([layers(level).flatten(2) for layers, level in zip(self._scoring, levels, strict=True)], dim=2)
        losses = functional.binary_cross_entropy_with_logits(scores.transpose(1, 2), asked, weight, reduction="sum")
        return losses / asked.sum().clamp(min=1)


class _Asked(nn.Module):
    """Takes the place of the loss of the scores, and keeps what is asked of them."""

    judged: Tensor
    """1 at places outside of all ignore regions and 0 within, of shape (pictures, places, 1)."""
    targets: Tensor
    """Of shape (pictures, places, classes)."""

    def forward(self, scores: Tensor, targets: Tensor) -> Tensor:
        """Nothing, of shape (pictures, places, classes)."""
        self.targets = targets
        return torch.zeros_like(scores)
