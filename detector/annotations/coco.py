"""COCO JSON: one file for many images, boxes as `x, y, width, height` in pixels, classes by an id of the file's own."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detector.annotations.labels import Labels, boxes
from detector.errors import AnnotationError

Box = tuple[float, float, float, float]


@dataclass(frozen=True, eq=False)
class Entry:
    """One image of a COCO file."""

    file_name: str
    """Path of the image as the file gives it."""
    labels: Labels


def read(path: Path) -> list[Entry]:
    """Images of one JSON file with their boxes; regions marked `iscrowd` stand for no single cell and are left out.

    Raises:
        AnnotationError: the file is no COCO detection file.
    """
    try:
        document = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise AnnotationError(f"{path}: not readable as JSON: {error}") from None
    except OSError as error:
        raise AnnotationError(f"{path}: cannot be read: {error.strerror}") from None
    try:
        return _entries(document)
    except AnnotationError as error:
        raise AnnotationError(f"{path}: {error}") from None
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise AnnotationError(f"{path}: not a COCO detection file ({type(error).__name__}: {error})") from None


def _entries(document: Any) -> list[Entry]:
    if not isinstance(document, dict) or not isinstance(document.get("images"), list):
        raise AnnotationError("not a COCO detection file: expected an object with 'images', 'annotations' and 'categories'")
    names = {category["id"]: str(category["name"]) for category in document.get("categories", [])}
    found: dict[Any, tuple[list[str], list[Box]]] = {image["id"]: ([], []) for image in document["images"]}
    for annotation in document.get("annotations", []):
        if annotation.get("iscrowd"):
            continue
        if annotation["image_id"] not in found:
            raise AnnotationError(f"an annotation names image_id {annotation['image_id']!r}, which is not among the images")
        x, y, w, h = (float(value) for value in annotation["bbox"])
        classes, rows = found[annotation["image_id"]]
        classes.append(names.get(annotation["category_id"], f"category {annotation['category_id']}"))
        rows.append((x, y, x + w, y + h))
    return [_entry(image, *found[image["id"]]) for image in document["images"]]


def _entry(image: dict[str, Any], classes: list[str], rows: list[Box]) -> Entry:
    width, height = int(image.get("width") or 0), int(image.get("height") or 0)
    declared = (width, height) if width > 0 and height > 0 else None
    return Entry(str(image["file_name"]), Labels(tuple(classes), boxes(rows), declared_wh=declared))
