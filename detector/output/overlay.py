"""A field with its cells drawn on it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from numpy.typing import NDArray

from detector.output.files import write_bytes
from detector.vision.detections import Detections

Colour = tuple[int, int, int]
"""Red, green and blue, 0 to 255."""

COLOURS: dict[str, Colour] = {
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


def draw(
    rgb: NDArray[np.uint8],
    found: Detections,
    texts: Sequence[tuple[str, Colour]] | None = None,
    bold: NDArray[np.bool_] | None = None,
) -> NDArray[np.uint8]:
    """A copy of a field of shape (h, w, 3), RGB, with a box around each cell and a strip above it.

    Args:
        texts: what the strip says, each with its colour; None gives the counts of the cells.
        bold: which cells have thick boxes, of shape (n,); None draws all so.
    """
    h, w = rgb.shape[:2]
    unit = max(1, round(max(h, w) / 640))
    picture = rgb.copy()
    thick = [True] * len(found) if bold is None else bold.tolist()
    for (x1, y1, x2, y2), label, wide in zip(found.xyxy.round().astype(int).tolist(), found.label.tolist(), thick, strict=True):
        colour = COLOURS[found.class_names[label]]
        cv2.rectangle(picture, (x1, y1), (x2 - 1, y2 - 1), colour, (1 + wide) * unit, cv2.LINE_AA)
    if texts is None:
        texts = [(f"{name} {count}", COLOURS[name]) for name, count in found.counts().items()]
    return np.concatenate([_strip(w, unit, texts), picture])


def _strip(width: int, unit: int, texts: Sequence[tuple[str, Colour]]) -> NDArray[np.uint8]:
    strip = np.full((26 * unit, width, 3), 255, dtype=np.uint8)
    x = 8 * unit
    for text, colour in texts:
        cv2.putText(strip, text, (x, 18 * unit), cv2.FONT_HERSHEY_SIMPLEX, 0.5 * unit, colour, unit, cv2.LINE_AA)
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
    _, encoded = cv2.imencode(".jpg", cv2.cvtColor(drawn, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    target.parent.mkdir(parents=True, exist_ok=True)
    write_bytes(target, encoded.tobytes())
