"""What a microscope, a stain and a camera do to a field, as albumentations transforms, and boxes of cells that a crop cuts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import cv2
import numpy as np

from detector.training.settings import TrainSettings
from detector.vision import boxes

_THROUGH_FEWER_PIXELS = {"downscale": cv2.INTER_AREA, "upscale": cv2.INTER_LINEAR}


def transforms(settings: TrainSettings) -> list[Any]:
    """Transforms beyond what Ultralytics does itself (mosaic, flips, scale, shift and colour)."""
    import albumentations as A

    every = [
        A.RandomRotate90(p=settings.rotate_90),
        A.Downscale(scale_range=(0.2, 0.8), interpolation_pair=_THROUGH_FEWER_PIXELS, p=settings.few_pixels),
        A.HEStain(method="random_preset", intensity_scale_range=(0.6, 1.5), intensity_shift_range=(-0.2, 0.2), p=settings.stain),
        A.MultiplicativeNoise(multiplier=(0.5, 1.2), per_channel=True, elementwise=False, p=settings.lamp),
        A.PlanckianJitter(p=settings.lamp / 2),
        A.RandomGamma(gamma_limit=(50, 180), p=settings.tone),
        A.RandomToneCurve(scale=0.2, per_channel=True, p=settings.tone),
        A.Illumination(mode="gaussian", intensity_range=(0.05, 0.2), p=settings.uneven_light),
        A.Defocus(radius=(1, 3), alias_blur=(0.1, 0.3), p=settings.defocus),
        A.GaussNoise(std_range=(0.01, 0.05), p=settings.noise),
        A.CLAHE(clip_limit=(1, 3), p=settings.contrast),
        A.ToGray(p=settings.grey),
        A.ImageCompression(quality_range=(50, 95), p=settings.jpeg),
    ]
    # One that is never drawn still costs time: with a rotation among them, all boxes are converted twice.
    return [transform for transform in every if transform.p > 0]


def visible(xyxy: boxes.Boxes, size_wh: tuple[int, int]) -> boxes.Boxes:
    """Boxes of what an image `(width, height)` shows of the ellipses in these boxes.

    A box that is merely clipped is higher than the part of a round cell that is left in the image.
    """
    centre, half = (xyxy[:, :2] + xyxy[:, 2:]) / 2, np.maximum((xyxy[:, 2:] - xyxy[:, :2]) / 2, 1e-6)
    clipped = boxes.clip(xyxy, size_wh)
    nearest = np.clip(centre, clipped[:, :2], clipped[:, 2:])
    # How high the ellipse is where the image comes nearest to its centre, and how wide, as shares of the whole.
    share = np.sqrt(np.maximum(1 - ((nearest - centre) / half) ** 2, 0))[:, ::-1]
    return boxes.clip(np.concatenate([centre - half * share, centre + half * share], axis=1), size_wh)


@contextmanager
def cut_like_the_border() -> Iterator[None]:
    """Let Ultralytics' random crops cut cells as the border of a field does, for the length of a block.

    Boxes follow the part of a cell that is left, and slivers of red cells that would not be counted are not labelled.
    """
    from ultralytics.data import augment

    from detector.training.crop import Crop

    original = augment.RandomPerspective
    augment.RandomPerspective = Crop
    try:
        yield
    finally:
        augment.RandomPerspective = original
