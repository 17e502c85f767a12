"""What a microscope, a stain and a camera do to a field, as albumentations transforms."""

from __future__ import annotations

from typing import Any

from detector.training.settings import TrainSettings


def transforms(settings: TrainSettings) -> list[Any]:
    """Transforms beyond what Ultralytics does itself (mosaic, flips, scale, shift and colour)."""
    import albumentations as A

    return [
        A.RandomRotate90(p=settings.rotate_90),
        A.Defocus(radius=(1, 3), alias_blur=(0.1, 0.3), p=settings.defocus),
        A.GaussNoise(std_range=(0.01, 0.05), p=settings.noise),
        A.CLAHE(clip_limit=(1, 3), p=settings.contrast),
        A.ImageCompression(quality_range=(50, 95), p=settings.jpeg),
    ]
