"""A field with its cells drawn on it."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from numpy.typing import NDArray

from detector.output.files import write_bytes
from detector.vision import images
from detector.vision.detections import Detections
from detector.vision.drawing import COLOURS as COLOURS
from detector.vision.drawing import Colour as Colour
from detector.vision.drawing import draw as draw

_JPEG_QUALITY = 90
_MOST_PX = 16_000


def path_of(folder: Path, field: str) -> Path:
    """Where a field's overlay goes: its own relative path, ending with .jpg."""
    relative = PurePosixPath(field.replace(":", "_"))
    parts = ["__" if part == ".." else part for part in relative.parts if part != "/"]
    name = parts[-1] if relative.suffix.lower() == ".jpg" else f"{parts[-1]}.jpg"
    return folder.joinpath(*parts[:-1], name)


def write(rgb: NDArray[np.uint8], detections: Detections, target: Path) -> None:
    """Draw a field and write it as JPEG, made smaller where it is larger than viewers open.

    Raises:
        OSError: it cannot be written.
    """
    shrink = min(1.0, _MOST_PX / max(rgb.shape[:2]))
    if shrink < 1:
        wh = (max(1, int(rgb.shape[1] * shrink)), max(1, int(rgb.shape[0] * shrink)))
        rgb = np.asarray(cv2.resize(rgb, wh, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        detections = Detections(
            detections.xyxy * np.float32(shrink), detections.score, detections.label, wh, detections.class_names
        )
    drawn = draw(rgb, detections)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(target, images.as_jpeg(drawn, _JPEG_QUALITY))
