"""A field with its cells drawn on it."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from numpy.typing import NDArray

from detector.output.files import write_bytes
from detector.vision.detections import Detections

COLOURS: dict[str, tuple[int, int, int]] = {
    "RBC": (0, 114, 178),
    "WBC": (213, 94, 0),
    "Platelets": (0, 158, 115),
}
"""Box colour of each class, RGB: blue, vermilion and green of Okabe and Ito's palette for all kinds of colour vision."""

_JPEG_QUALITY = 90
_MOST_PX = 16_000


def path_of(folder: Path, field: str) -> Path:
    """Where a field's overlay goes: its own relative path, ending with .jpg."""
    relative = PurePosixPath(field.replace(":", "_"))
    parts = ["__" if part == ".." else part for part in relative.parts if part != "/"]
    name = parts[-1] if relative.suffix.lower() == ".jpg" else f"{parts[-1]}.jpg"
    return folder.joinpath(*parts[:-1], name)


def draw(rgb: NDArray[np.uint8], found: Detections) -> NDArray[np.uint8]:
    """A copy of a field of shape (h, w, 3), RGB, with a box around each cell and the counts in a strip above it."""
    h, w = rgb.shape[:2]
    unit = max(1, round(max(h, w) / 640))
    picture = rgb.copy()
    for (x1, y1, x2, y2), label in zip(found.xyxy.round().astype(int).tolist(), found.label.tolist(), strict=True):
        colour = COLOURS[found.class_names[label]]
        cv2.rectangle(picture, (x1, y1), (x2 - 1, y2 - 1), colour, 2 * unit, cv2.LINE_AA)
    return np.concatenate([_strip(w, unit, found.counts()), picture])


def _strip(width: int, unit: int, counts: dict[str, int]) -> NDArray[np.uint8]:
    strip = np.full((26 * unit, width, 3), 255, dtype=np.uint8)
    x = 8 * unit
    for name, count in counts.items():
        text = f"{name} {count}"
        cv2.putText(strip, text, (x, 18 * unit), cv2.FONT_HERSHEY_SIMPLEX, 0.5 * unit, COLOURS[name], unit, cv2.LINE_AA)
        x += cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.5 * unit, unit)[0][0] + 20 * unit
    return strip


def write(rgb: NDArray[np.uint8], found: Detections, target: Path) -> None:
    """Draw a field and write it as JPEG, made smaller where it is larger than viewers open.

    Raises:
        OSError: it cannot be written.
    """
    shrink = min(1.0, _MOST_PX / max(rgb.shape[:2]))
    if shrink < 1:
        wh = (max(1, int(rgb.shape[1] * shrink)), max(1, int(rgb.shape[0] * shrink)))
        rgb = np.asarray(cv2.resize(rgb, wh, interpolation=cv2.INTER_AREA), dtype=np.uint8)
        found = Detections(found.xyxy * np.float32(shrink), found.score, found.label, wh, found.class_names)
    drawn = draw(rgb, found)
    _, encoded = cv2.imencode(".jpg", drawn[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    target.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(target, encoded.tobytes())
