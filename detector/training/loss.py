"""The loss of a detector on pictures with ignore regions; imported only after `framework.prepare`."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from ultralytics.utils.loss import v8DetectionLoss
from ultralytics.utils.tal import make_anchors

from detector.training.fields import IGNORED


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
        self.bce.asked = self._asked(predicted["feats"], batch["batch_idx"].view(-1)[region], batch["bboxes"][region])
        return super().get_assigned_targets_and_loss(predicted, of_cells, **options)

    def _asked(self, features: list[Tensor], picture: Tensor, xywh: Tensor) -> Tensor:
        """1 at places outside of all regions and 0 within, of shape (pictures, places, 1)."""
        centre, stride = make_anchors(features, self.stride, 0.5)
        h, w = features[0].shape[2:]
        # As shares of the picture, as the regions are.
        centre = centre * stride / (torch.tensor([w, h], device=centre.device) * self.stride[0])
        asked = torch.ones(len(features[0]), len(centre), 1, device=centre.device)
        for i, box in zip(picture.long().tolist(), xywh.to(centre.device), strict=True):
            asked[i, ((centre - box[:2]).abs() <= box[2:] / 2).all(dim=1)] = 0
        return asked


class _Scores(nn.Module):
    """Binary cross-entropy at the places where something is asked for, and at those where a cell is."""

    asked: Tensor

    def forward(self, scores: Tensor, targets: Tensor) -> Tensor:
        """Of shape (pictures, places, classes), as the arguments."""
        each = nn.functional.binary_cross_entropy_with_logits(scores, targets, reduction="none")
        cell = (targets.amax(dim=2, keepdim=True) > 0).to(each.dtype)
        return each * torch.maximum(self.asked, cell)
