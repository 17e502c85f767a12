"""Pictures of fields with their cells drawn on them: where each is kept, and how it is written."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from numpy.typing import NDArray

from detector.output.files import write_bytes
from detector.vision import drawing, images
from detector.vision.detections import Detections
from detector.vision.slides import formats

_JPEG_QUALITY = 90
_MOST_PX = 16_000
_MOST_BYTES = 255
"""Longest name of a file in most systems; that of a field has no room for a second ending."""
_ENDING = ".jpg"
_ENDINGS = images.SUFFIXES | formats.VENDOR_SUFFIXES


def path_of(folder: Path, field: str) -> Path:
    """Where a field's overlay goes: its own relative path, ending with .jpg; no two fields share one.

    What cannot stand in the path is replaced. A part of the field's hash then tells it from the field that is named so.
    """
    relative = PurePosixPath(field.replace(":", "_"))
    parts = ["__" if part == ".." else part for part in relative.parts if part != "/"]
    *folders, name = parts
    given_ending = PurePosixPath(name).suffix.lower()
    if given_ending != _ENDING:
        name += _ENDING
    stem, ending = name[: -len(_ENDING)], name[-len(_ENDING) :]
    # `a.png` goes to `a.png.jpg`, which may be the name of a field too.
    added = given_ending != _ENDING
    as_given = "/".join(parts) == field and added == (PurePosixPath(stem).suffix.lower() in _ENDINGS)
    if not as_given or len(os.fsencode(name)) > _MOST_BYTES:
        stem = os.fsdecode(os.fsencode(stem)[: _MOST_BYTES - len(".01234567.jpg")])
        name = f"{stem}.{hashlib.sha256(field.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}{ending}"
    return folder.joinpath(*folders, name)


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
    drawn = drawing.draw(rgb, detections)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(target, images.as_jpeg(drawn, _JPEG_QUALITY))
