"""A field with its cells drawn on it."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from detector.vision import images

if TYPE_CHECKING:
    from detector.vision.detections import Detections

Colour = tuple[int, int, int]
"""Red, green and blue, 0 to 255."""

COLOURS: dict[str, Colour] = {
    "RBC": (0, 114, 178),
    "WBC": (213, 94, 0),
    "Platelets": (0, 158, 115),
}
"""Box colour of each class, RGB: blue, vermilion and green of Okabe and Ito's palette for all kinds of colour vision."""
HEX_COLOURS = {name: "#{:02x}{:02x}{:02x}".format(*colour) for name, colour in COLOURS.items()}
"""The same as pages and plots write them."""

_PAGE_PX = 900
_PAGE_QUALITY = 85


def draw(
    rgb: NDArray[np.uint8],
    detections: Detections,
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
    thick = [True] * len(detections) if bold is None else bold.tolist()
    for (x1, y1, x2, y2), label, wide in zip(
        detections.xyxy.round().astype(int).tolist(), detections.label.tolist(), thick, strict=True
    ):
        colour = COLOURS[detections.class_names[label]]
        cv2.rectangle(picture, (x1, y1), (x2 - 1, y2 - 1), colour, (1 + wide) * unit, cv2.LINE_AA)
    if texts is None:
        texts = [(f"{name} {count}", COLOURS[name]) for name, count in detections.counts().items()]
    return np.concatenate([_strip(w, unit, texts), picture])


def _strip(width: int, unit: int, texts: Sequence[tuple[str, Colour]]) -> NDArray[np.uint8]:
    strip = np.full((26 * unit, width, 3), 255, dtype=np.uint8)
    x = 8 * unit
    for text, colour in texts:
        cv2.putText(strip, text, (x, 18 * unit), cv2.FONT_HERSHEY_SIMPLEX, 0.5 * unit, colour, unit, cv2.LINE_AA)
        x += cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.5 * unit, unit)[0][0] + 20 * unit
    return strip


def as_html(drawn: NDArray[np.uint8], text: str) -> str:
    """An `img` element that holds a drawn field, of shape (h, w, 3), RGB, as JPEG, made smaller where it is larger than a page."""
    small = images.shrink(drawn, min(1.0, _PAGE_PX / drawn.shape[1]))
    return f'<img alt="{text}" src="data:image/jpeg;base64,{base64.b64encode(images.as_jpeg(small, _PAGE_QUALITY)).decode()}">'
