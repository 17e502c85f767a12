"""Files of rendered fields: the photographs, the true counts and the true boxes."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any

from detector.synthetic.render import RenderedField
from detector.vision import images
from detector.vision.cells import CLASSES, IGNORE

JPEG_QUALITY = 92
COUNTS, BOXES = "truth.csv", "truth.json"
"""Names of the two files of truth."""


_IGNORE: dict[str, Any] = {"id": len(CLASSES) + 1, "name": IGNORE}
"""The category of ignore regions, which is named where there are any."""


class Truth:
    """What is truly in the fields written so far."""

    def __init__(self, description: str) -> None:
        self._rows: list[list[str | int]] = []
        self._coco: dict[str, Any] = {
            "info": {"description": description},
            "images": [],
            "annotations": [],
            "categories": [{"id": i + 1, "name": name} for i, name in enumerate(CLASSES)],
        }

    def add(self, name: str, field: RenderedField) -> None:
        """Note a field under its path relative to the folder, with forward slashes, such as `smear_a/field_01.jpg`."""
        counts = field.counts()
        self._rows.append([name, name.split("/")[0], *(counts[c] for c in CLASSES)])
        number, (height, width) = len(self._rows), field.image.shape[:2]
        image = {"id": number, "file_name": name, "width": width, "height": height, "um_per_px": field.um_per_px}
        self._coco["images"].append(image)
        for box, label in zip(field.xyxy.tolist(), field.label.tolist(), strict=True):
            self._annotate(number, box, label + 1)
        for box in field.ignore.tolist():
            self._annotate(number, box, _IGNORE["id"])
        if len(field.ignore) and _IGNORE not in self._coco["categories"]:
            self._coco["categories"].append(_IGNORE)

    def _annotate(self, image: int, box: list[float], category: int) -> None:
        x1, y1, x2, y2 = (int(edge) for edge in box)
        thing = {"id": len(self._coco["annotations"]) + 1, "image_id": image, "category_id": category}
        # Not `iscrowd`, which readers leave out: conversion is to see ignore regions.
        size = {"bbox": [x1, y1, x2 - x1, y2 - y1], "area": (x2 - x1) * (y2 - y1), "iscrowd": 0}
        self._coco["annotations"].append({**thing, **size})

    def csv(self) -> str:
        """Counts of labelled cells: a row per field with `field,smear,RBC,WBC,Platelets`."""
        text = StringIO()
        csv.writer(text, lineterminator="\n").writerows([["field", "smear", *CLASSES], *self._rows])
        return text.getvalue()

    def coco(self) -> str:
        """Boxes in the COCO layout as JSON, a cell a line; categories start at 1 and are to be read by name."""
        parts = []
        for key, value in self._coco.items():
            lines: Sequence[str] = [json.dumps(item) for item in value] if isinstance(value, list) else ()
            parts.append(f'"{key}": ' + ("[\n" + ",\n".join(lines) + "\n]" if lines else json.dumps(value)))
        return "{\n" + ",\n".join(parts) + "\n}\n"

    def totals(self) -> dict[str, int]:
        """Cells of every class over all fields."""
        return {name: sum(int(row[2 + i]) for row in self._rows) for i, name in enumerate(CLASSES)}


def write_jpeg(path: Path, field: RenderedField) -> None:
    """Write the photograph; its folder is made where it is missing.

    Raises:
        OSError: the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # OpenCV's own writer does not take every path on every system.
    path.write_bytes(images.as_jpeg(field.image, JPEG_QUALITY))
