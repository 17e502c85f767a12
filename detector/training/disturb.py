"""What lies over the cells of a photograph: the black surround of an eyepiece, a scale bar, letters, a pointer."""

from __future__ import annotations

import random
import string
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from detector.vision import boxes

SURROUND, MARKS = 0.06, 0.08
"""Shares of pictures with a black surround and with marks."""


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


def draw(size_wh: tuple[int, int]) -> Disturbance:
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
