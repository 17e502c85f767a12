"""Ultralytics' trainer as this project uses it; imported only after `framework.prepare`."""

from __future__ import annotations

from typing import Any

from ultralytics.data import build
from ultralytics.models.yolo.detect import DetectionTrainer
from ultralytics.utils.torch_utils import unwrap_model

from detector.training import augment, cpu, loss
from detector.training.fields import Fields, Mosaic


class Trainer(DetectionTrainer):  # type: ignore[misc]
    """A trainer that cuts cells as the border of a field does, in each process of a training on several GPUs too.

    These processes are started by Ultralytics, which makes a trainer of this class in each: what a callback or a block in
    the first process does is not surely done in them.
    """

    def train(self) -> None:
        """Train, in this process or in one for each of several GPUs."""
        if self.ddp:
            # Unless it resumes, Ultralytics removes the run folder here, and the list of our fields is in it.
            self.resume = True
        with augment.cut_like_the_border():
            super().train()

    def build_dataset(self, img_path: str, mode: str = "train", batch: int | None = None) -> Any:
        """Fields, those to train on with red cells of one width."""
        if mode != "train":
            return super().build_dataset(img_path, mode, batch)
        original = build.YOLODataset
        build.YOLODataset = Fields
        try:
            fields = super().build_dataset(img_path, mode, batch)
        finally:
            build.YOLODataset = original
        Mosaic.take(fields.transforms.transforms[0].transforms[0])
        return fields

    def _setup_train(self) -> None:
        super()._setup_train()
        model = unwrap_model(self.model)
        model.criterion = loss.criterion(model)

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
