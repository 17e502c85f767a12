"""Ultralytics' trainer as this project uses it; imported only after `framework.prepare`."""

from __future__ import annotations

from ultralytics.models.yolo.detect import DetectionTrainer

from detector.training import augment


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
