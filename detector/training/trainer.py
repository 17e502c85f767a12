"""Ultralytics' trainer and loss as this project uses them; imported only after `framework.prepare`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from ultralytics.data import build
from ultralytics.data import utils as of_data
from ultralytics.engine import trainer as engine
from ultralytics.models.yolo.detect import DetectionTrainer
from ultralytics.utils import plotting
from ultralytics.utils.loss import v8DetectionLoss
from ultralytics.utils.tal import make_anchors
from ultralytics.utils.torch_utils import strip_optimizer, unwrap_model

from detector.output import files
from detector.training import cpu, pictures
from detector.training.pictures import IGNORED

# It asks a server for a font for its plots, which have one without.
of_data.check_font = plotting.check_font = lambda *_names: None


class Trainer(DetectionTrainer):  # type: ignore[misc]
    """A trainer that cuts cells as the border of a field does, in each process of a training on several GPUs too.

    These processes are started by Ultralytics, which makes a trainer of this class in each: what a callback or a block in
    the first process does is not surely done in them. A checkpoint is written so that a crash leaves the former one.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        """See Ultralytics."""
        super().__init__(*arguments, **options)
        self.last: Path = _Durable(self.last)
        self.best: Path = _Durable(self.best)

    def final_eval(self) -> None:
        """Strip the checkpoints of what only a training needs, each in one step, and evaluate the best."""
        original = engine.strip_optimizer
        engine.strip_optimizer = _stripped
        try:
            super().final_eval()
        finally:
            engine.strip_optimizer = original

    def train(self) -> None:
        """Train, in this process or in one for each of several GPUs."""
        if self.ddp:
            # Unless it resumes, Ultralytics removes the run folder here, and the list of our fields is in it.
            self.resume = True
        with pictures.cut_like_the_border():
            super().train()

    def build_dataset(self, img_path: str, mode: str = "train", batch: int | None = None) -> Any:
        """Fields, those to train on with red cells of one width."""
        if mode != "train":
            return super().build_dataset(img_path, mode, batch)
        original = build.YOLODataset
        build.YOLODataset = pictures.TrainingFields
        try:
            fields = super().build_dataset(img_path, mode, batch)
        finally:
            build.YOLODataset = original
        pictures.MosaicPicture.take(fields.transforms.transforms[0].transforms[0])
        return fields

    def _setup_train(self) -> None:
        super()._setup_train()
        model = unwrap_model(self.model)
        model.criterion = criterion(model)

    def get_dataloader(self, dataset_path: Any, batch_size: int = 16, rank: int = 0, mode: str = "train") -> Any:
        """Batches of fields; those to train on are prepared beside the steps on a CPU too, where Ultralytics would wait."""
        if mode != "train" or self.device.type != "cpu":
            return super().get_dataloader(dataset_path, batch_size, rank, mode)
        self.args.workers = cpu.loaders(batch_size * 3 * self.args.imgsz**2)
        try:
            with cpu.one_blas_thread():
                return super().get_dataloader(dataset_path, batch_size, rank, mode)
        finally:
            self.args.workers = 0


class _Durable(type(Path())):  # type: ignore[misc]
    """A path of which the bytes are written beside it and moved there in one step."""

    def write_bytes(self, data: Any) -> int:
        """Write them; what stood there stays until all are."""
        files.write_bytes(Path(self), bytes(data))
        return len(data)


def _stripped(weights: Path, **options: Any) -> dict[str, Any]:
    """What Ultralytics' function does, but the checkpoint that stood there stays until the new one is whole."""
    part = weights.with_name(f".{weights.name}.part")
    content: dict[str, Any] = strip_optimizer(weights, str(part), **options)
    if part.is_file():
        part.replace(weights)
    return content


def criterion(model: Any) -> Any:
    """Ultralytics' loss for a detection model, which asks for nothing at places in ignore regions."""
    made = getattr(model, "criterion", None) or model.init_criterion()
    # A head that needs no suppression has a loss for each of its two halves.
    for part in (made, *vars(made).values()):
        if type(part) is v8DetectionLoss:
            part.__class__ = _Loss
            part.bce = _Scores()
    return made


class _Loss(v8DetectionLoss):  # type: ignore[misc]
    """A loss that takes labels of class `IGNORED` for ignore regions."""

    def get_assigned_targets_and_loss(self, predicted: dict[str, Any], batch: dict[str, Any], **options: Any) -> Any:
        """As Ultralytics gives it, on the labelled cells."""
        region = batch["cls"].view(-1) == IGNORED
        of_cells = {**batch, **{key: batch[key][~region] for key in ("batch_idx", "cls", "bboxes")}}
        self.bce.judged = self._judged(predicted["feats"], batch["batch_idx"].view(-1)[region], batch["bboxes"][region])
        return super().get_assigned_targets_and_loss(predicted, of_cells, **options)

    def _judged(self, features: list[Tensor], picture: Tensor, xywh: Tensor) -> Tensor:
        """1 at places outside of all regions and 0 within, of shape (pictures, places, 1)."""
        centre, stride = make_anchors(features, self.stride, 0.5)
        h, w = features[0].shape[2:]
        # As shares of the picture, as the regions are.
        centre = centre * stride / (torch.tensor([w, h], device=centre.device) * self.stride[0])
        judged = torch.ones(len(features[0]), len(centre), 1, device=centre.device)
        for i, box in zip(picture.long().tolist(), xywh.to(centre.device), strict=True):
            judged[i, ((centre - box[:2]).abs() <= box[2:] / 2).all(dim=1)] = 0
        return judged


class _Scores(nn.Module):
    """Binary cross-entropy at the places where something is asked for, and at those where a cell is."""

    judged: Tensor

    def forward(self, scores: Tensor, targets: Tensor) -> Tensor:
        """Of shape (pictures, places, classes), as the arguments."""
        losses = nn.functional.binary_cross_entropy_with_logits(scores, targets, reduction="none")
        cell = (targets.amax(dim=2, keepdim=True) > 0).to(losses.dtype)
        return losses * torch.maximum(self.judged, cell)
