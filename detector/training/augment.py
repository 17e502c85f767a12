"""What is done to fields to train on: what microscope, stain and camera do, what lies over the cells, and what a crop leaves of them.

Over the cells of a photograph may lie the black surround of an eyepiece, a scale bar, letters, or a pointer.
"""

from __future__ import annotations

import os
import random
import string
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from detector.training.settings import TrainSettings
from detector.vision import boxes

SURROUND, MARKS = 0.06, 0.08
"""Shares of pictures with a black surround and with marks."""

_THROUGH_FEWER_PIXELS = {"downscale": cv2.INTER_AREA, "upscale": cv2.INTER_LINEAR}


def albumentations_offline() -> Any:
    """Albumentations, kept from asking PyPI for its newest version, as its import else does."""
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
    import albumentations

    return albumentations


def transforms(settings: TrainSettings) -> list[Any]:
    """Transforms beyond what Ultralytics does itself (mosaic, flips, scale, shift and colour)."""
    A = albumentations_offline()
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


@dataclass(frozen=True)
class Mark:
    """Letters, with a bar or an arrow of one colour."""

    text: str
    place: tuple[int, int]
    end: tuple[int, int]
    height: float
    thickness: int
    colour: tuple[int, int, int]
    arrow: bool


@dataclass(frozen=True)
class Disturbance:
    """What lies over one picture."""

    circle: tuple[float, float, float] | None
    """Centre and radius in pixels of what an eyepiece lets through; None where all is seen."""
    softness: float
    """Width of the rim in which the light falls, as a share of the radius."""
    mark: Mark | None

    def put_on(self, picture: NDArray[np.uint8]) -> None:
        """Draw it into a picture of shape (h, w, 3)."""
        if self.mark is not None:
            mark = self.mark
            draw = cv2.arrowedLine if mark.arrow else cv2.line
            draw(picture, mark.place, mark.end, mark.colour, mark.thickness)
            cv2.putText(picture, mark.text, mark.place, cv2.FONT_HERSHEY_SIMPLEX, mark.height, mark.colour, mark.thickness)
        if self.circle is not None:
            x, y, radius = self.circle
            rows, columns = np.ogrid[: picture.shape[0], : picture.shape[1]]
            off = (np.sqrt((columns - x) ** 2 + (rows - y) ** 2) / radius).astype(np.float32)
            light = np.clip((1 - off) / self.softness, 0, 1)
            picture[:] = (picture * light[:, :, None]).astype(np.uint8)

    def shows(self, xyxy: boxes.Boxes) -> NDArray[np.bool_]:
        """Which cells can still be seen; of shape (n,)."""
        if self.circle is None:
            return np.ones(len(xyxy), dtype=bool)
        x, y, radius = self.circle
        centre = (xyxy[:, :2] + xyxy[:, 2:]) / 2
        return np.asarray(np.hypot(centre[:, 0] - x, centre[:, 1] - y) < radius * (1 - self.softness / 2))


def draw_disturbance(size_wh: tuple[int, int]) -> Disturbance:
    """Draw what lies over a picture `(width, height)`, for most of them nothing."""
    return Disturbance(
        circle=_circle(size_wh) if random.random() < SURROUND else None,
        softness=random.uniform(0.01, 0.25),
        mark=_mark(size_wh) if random.random() < MARKS else None,
    )


def _circle(size_wh: tuple[int, int]) -> tuple[float, float, float]:
    w, h = size_wh
    return random.uniform(0.3, 0.7) * w, random.uniform(0.3, 0.7) * h, random.uniform(0.35, 0.65) * max(w, h)


def _mark(size_wh: tuple[int, int]) -> Mark:
    w, h = size_wh
    place = (random.randrange(w), random.randrange(h))
    length, height = random.randint(w // 20, w // 4), random.randint(-h // 8, h // 8)
    arrow = random.random() < 0.4
    grey = random.random() < 0.7
    colour = (random.choice((0, 255)),) * 3 if grey else tuple(random.choice((0, 255)) for _ in range(3))
    return Mark(
        text="".join(random.choices(string.ascii_letters + string.digits + " ", k=random.randint(0, 6))),
        place=place,
        end=(place[0] + length, place[1] + (height if arrow else 0)),
        height=random.uniform(0.3, 1.2),
        thickness=random.randint(1, 4),
        colour=(colour[0], colour[1], colour[2]),
        arrow=arrow,
    )
