"""Detections in the COCO layout, with scores."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from detector import texts
from detector.counting.result import FieldResult
from detector.errors import OutputError, UnknownClassError
from detector.output.files import write_parts
from detector.vision.cells import CLASSES, label_of
from detector.vision.detections import Detections, Unread

_AT_ONCE = 10_000
_MOST_BYTES = 4096 * texts.MEBIBYTE


@dataclass(frozen=True, eq=False)
class WrittenField:
    """A field that was read, as it stands in `detections.json`."""

    name: str
    smear: str
    cells: Detections


@dataclass(frozen=True, eq=False)
class WrittenCells:
    """What `detections.json` holds."""

    fields: Sequence[WrittenField]
    unread: Mapping[str, str]
    """Fields that could not be read, with the reason."""


def write(target: Path, results: Iterable[FieldResult]) -> None:
    """Write `detections.json`: images, categories 1 to 3, and a box `x, y, width, height` in px with its score for each cell.

    Fields that could not be read stand under `unread` with their reason, never as images without cells. Cells are written as
    they come, for a slide may hold a million; images stand below them.
    """
    write_parts(target, (part.encode("utf-8", "backslashreplace") for part in parts(results)))


def read(path: Path) -> WrittenCells:
    """Read `detections.json`, boxes to the hundredth of a pixel and scores to the ten-thousandth.

    Raises:
        OutputError: it cannot be read, or holds something else.
    """
    document = document_of(path)
    try:
        unread = {str(entry["file_name"]): str(entry["reason"]) for entry in document.get("unread", ())}
        return WrittenCells(_fields(document), unread)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, UnknownClassError):
        raise OutputError(f"{path}: does not hold the cells of a count; count anew, or give another folder") from None


def document_of(path: Path) -> dict[str, Any]:
    """What a JSON file of a folder of results holds.

    Raises:
        OutputError: it cannot be read, or is no JSON object.
    """
    try:
        content = json.loads(texts.content(path, _MOST_BYTES))
    except (ValueError, RecursionError) as error:
        raise OutputError(f"{path}: not readable as JSON ({error}); count anew, or give another folder") from None
    except OSError as error:
        raise OutputError(f"{path}: cannot be read ({error.strerror or error})") from None
    if not isinstance(content, dict):
        raise OutputError(f"{path}: is not as a count writes it; count anew, or give another folder")
    return content


def _fields(document: Mapping[str, Any]) -> list[WrittenField]:
    label_by_id = {int(category["id"]): label_of(category["name"]) for category in document["categories"]}
    listed = document["images"]
    numbers = {int(image["id"]): number for number, image in enumerate(listed)}
    annotations = document["annotations"]
    rows = np.array([[*a["bbox"], a["score"]] for a in annotations], dtype=np.float64).reshape(-1, 5)
    label = np.array([label_by_id[a["category_id"]] for a in annotations], dtype=np.int64)
    of_field = np.array([numbers[a["image_id"]] for a in annotations], dtype=np.int64)
    order = np.argsort(of_field, kind="stable")
    ends = np.cumsum(np.bincount(of_field, minlength=len(listed)))
    xyxy = np.concatenate([rows[:, :2], rows[:, :2] + rows[:, 2:4]], axis=1)
    fields = []
    for image, chosen in zip(listed, np.split(order, ends[:-1]), strict=True) if listed else ():
        size_wh = (int(image["width"]), int(image["height"]))
        cells = Detections(xyxy[chosen].astype(np.float32), rows[chosen, 4].astype(np.float32), label[chosen], size_wh)
        fields.append(WrittenField(str(image["file_name"]), str(image["smear"]), cells))
    return fields


def parts(results: Iterable[FieldResult]) -> Iterator[str]:
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
