"""Detections in the COCO layout, with scores."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from detector.counting.result import FieldResult
from detector.output.files import write_parts
from detector.vision.cells import CLASSES
from detector.vision.detections import Detections, Unread

_AT_ONCE = 10_000


def write(target: Path, results: Iterable[FieldResult]) -> None:
    """Write `detections.json`: images, categories 1 to 3, and a box `x, y, width, height` in px with its score for each cell.

    Fields that could not be read stand under `unread` with their reason, never as images without cells. Cells are written as
    they come, for a slide may hold a million; images stand below them.
    """
    write_parts(target, (part.encode("utf-8", "backslashreplace") for part in _parts(results)))


def _parts(results: Iterable[FieldResult]) -> Iterator[str]:
    images: list[str] = []
    unread: list[dict[str, str]] = []
    categories = [{"id": i + 1, "name": name, "supercategory": "blood cell"} for i, name in enumerate(CLASSES)]
    yield f'{{"categories":{_json(categories)},"annotations":['
    number = 0
    for result in results:
        if isinstance(result.cells, Unread):
            unread.append({"file_name": result.field, "reason": result.cells.reason})
            continue
        width, height = result.cells.size_wh
        image_id = len(images) + 1
        # As text, which is half as large: they stay until the end of a count.
        images.append(_json({"id": image_id, "file_name": result.field, "width": width, "height": height, "smear": result.smear}))
        for start in range(0, len(result.cells), _AT_ONCE):
            some = result.cells[start : start + _AT_ONCE]
            yield "," * bool(number) + ",".join(_annotations(some, image_id, number + 1))
            number += len(some)
    yield f'],"images":[{",".join(images)}],"unread":{_json(unread)}}}\n'


def _json(content: object) -> str:
    return json.dumps(content, ensure_ascii=False, separators=(",", ":"))


def _annotations(cells: Detections, image_id: int, first_id: int) -> Iterator[str]:
    """Cells as JSON, put together by hand: they take most of the time of writing results."""
    corner, far = np.hsplit(cells.xyxy.astype(np.float64), 2)
    sides = far - corner
    columns = (
        corner.round(2),
        sides.round(2),
        sides.prod(axis=1).round(1),
        cells.score.astype(np.float64).round(4),
        cells.label + 1,
    )
    rows = zip(*(column.tolist() for column in columns), strict=True)
    for number, ((x, y), (w, h), area, score, category) in enumerate(rows, first_id):
        yield (
            f'{{"id":{number},"image_id":{image_id},"category_id":{category},"bbox":[{x},{y},{w},{h}],"area":{area},"iscrowd":0,'
            f'"score":{score}}}'
        )
