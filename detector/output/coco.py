"""Detections in the COCO layout, with scores."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from detector.output.files import write_text
from detector.output.journal import Entry
from detector.vision.cells import CLASSES
from detector.vision.detections import Unread


def write(target: Path, entries: Iterable[Entry]) -> None:
    """Write `detections.json`: images, categories 1 to 3, and a box `x, y, width, height` in px with its score for each cell.

    Fields that could not be read stand under `unread` with their reason, never as images without cells.
    """
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    unread: list[dict[str, str]] = []
    for entry in entries:
        if isinstance(entry.found, Unread):
            unread.append({"file_name": entry.field, "reason": entry.found.reason})
            continue
        width, height = entry.found.size_wh
        image_id = len(images) + 1
        images.append({"id": image_id, "file_name": entry.field, "width": width, "height": height, "smear": entry.smear})
        annotations.extend(_annotations(entry, image_id, len(annotations) + 1))
    categories = [{"id": i + 1, "name": name, "supercategory": "blood cell"} for i, name in enumerate(CLASSES)]
    content = {"images": images, "categories": categories, "annotations": annotations, "unread": unread}
    write_text(target, json.dumps(content, ensure_ascii=False, separators=(",", ":")) + "\n")


def _annotations(entry: Entry, image_id: int, first_id: int) -> Iterable[dict[str, Any]]:
    assert not isinstance(entry.found, Unread)
    found = entry.found
    rows = zip(found.xyxy.tolist(), found.score.tolist(), found.label.tolist(), strict=True)
    for number, ((x1, y1, x2, y2), score, label) in enumerate(rows):
        w, h = x2 - x1, y2 - y1
        yield {
            "id": first_id + number,
            "image_id": image_id,
            "category_id": label + 1,
            "bbox": [round(x1, 2), round(y1, 2), round(w, 2), round(h, 2)],
            "area": round(w * h, 1),
            "iscrowd": 0,
            "score": round(score, 4),
        }
