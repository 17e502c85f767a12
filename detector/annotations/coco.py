"""COCO JSON: one file for many images, boxes as `x, y, width, height` in pixels, classes by an id of the file's own.

Where a cell has no box, its mask or polygon gives one. A mask may be marked `iscrowd`: COCO means a heap of cells by it, label tools
write it for each cell that was painted. Which of the two it is shows by the number and the size of such masks in the file.
"""

from __future__ import annotations

import json
import math
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from detector import texts
from detector.annotations.labels import CORNER_SIZE, LARGEST_PX, Box, LabelledImage, Labels, boxes, class_name, is_shifted
from detector.errors import AnnotationError
from detector.vision.cells import IGNORE

_MOST_BYTES = 512 * texts.MEBIBYTE
_FORM = "not a COCO detection file: expected an object with 'images', 'annotations' and 'categories'"
_CROWD_AREAS = 2.0
"""A mask marked `iscrowd` that is larger than the middle cell of its class by this factor is a heap."""
_WHOLE = re.compile(r"[0-9]{1,9}")
_LONGEST = 60
"""Characters of a value that a message shows."""


@dataclass(frozen=True)
class _Annotation:
    """One annotation that was understood."""

    name: str
    box: Box
    crowd: bool


@dataclass(frozen=True)
class _Image:
    file_name: str
    declared_wh: tuple[int, int] | None


def read(path: Path, document: Any = None) -> list[LabelledImage]:
    """Images of one JSON file with their boxes.

    Args:
        document: what the file holds, where it is read already.

    Raises:
        AnnotationError: the file is no COCO detection file, or an id in it stands for two things.
    """
    try:
        return _entries(json_document(path) if document is None else document)
    except AnnotationError as error:
        raise AnnotationError(f"{path}: {error}") from None


def json_document(path: Path) -> Any:
    """What a JSON file of labels holds.

    Raises:
        AnnotationError: it cannot be read; the message is the reason without the path.
    """
    try:
        return json.loads(texts.content(path, _MOST_BYTES), object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise AnnotationError(f"not readable as JSON: {error}") from None
    except OSError as error:
        raise AnnotationError(f"cannot be read: {error.strerror}") from None


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, each of whose keys must stand in it once, for all values but the last would be lost."""
    values = dict(pairs)
    if len(values) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"{next(name for name in names if names.count(name) > 1)[:_LONGEST]!r} stands twice in one object")
    return values


def _entries(document: Any) -> list[LabelledImage]:
    if not isinstance(document, dict) or not isinstance(document.get("images"), list) or "annotations" not in document:
        raise AnnotationError(_FORM)
    names = _categories(_objects(document, "categories"))
    images, image_of = _images(_objects(document, "images"))
    annotations_of: dict[str, list[_Annotation]] = {name: [] for name in images}
    faults: dict[str, list[str]] = {name: [] for name in images}
    for annotation in _objects(document, "annotations"):
        if "image_id" not in annotation:
            raise AnnotationError(f"not a COCO detection file: {_called(annotation)} has no image_id")
        image = image_of.get(_id(annotation["image_id"]))
        if image is None:
            raise AnnotationError(f"an annotation names image_id {_shown(annotation['image_id'])}, which is not among the images")
        try:
            annotations_of[image].append(_annotation(annotation, names, images[image].declared_wh))
        except AnnotationError as error:
            faults[image].append(f"{_called(annotation)} {error}")
    _refuse_shifted(names, document)
    regions = _sorted_crowds([annotation for annotations in annotations_of.values() for annotation in annotations])
    return [_entry(image, [regions.get(id(a), a) for a in annotations_of[name]], faults[name]) for name, image in images.items()]


def _entry(image: _Image, annotations: Sequence[_Annotation], faults: Sequence[str]) -> LabelledImage:
    if faults:
        others = f", and {len(faults) - 1} more of its annotations" if len(faults) > 1 else ""
        return LabelledImage(image.file_name, None, f"{faults[0]}{others}")
    try:
        xyxy = boxes([annotation.box for annotation in annotations])
    except AnnotationError as error:
        return LabelledImage(image.file_name, None, str(error))
    names = tuple(annotation.name for annotation in annotations)
    labels = Labels(names, xyxy, declared_wh=image.declared_wh, form=CORNER_SIZE)
    crowds = [annotation.name == IGNORE for annotation in annotations if annotation.crowd]
    return LabelledImage(image.file_name, labels, None, crowds.count(False), crowds.count(True))


def _refuse_shifted(names: Mapping[str, str], document: Mapping[str, Any]) -> None:
    """Refuse category ids that are one off those that have names, as each would be taken for another class."""
    used = {str(annotation.get("category_id")) for annotation in _objects(document, "annotations")}
    numbers, named = ({int(key) for key in keys if _WHOLE.fullmatch(key)} for keys in (used, names))
    if numbers and is_shifted(numbers, named):
        raise AnnotationError(
            f"annotations use the category ids {min(numbers)} to {max(numbers)}, and categories have the ids {min(named)} to "
            f"{max(named)}; give each category the id that its annotations have"
        )


def _objects(document: Mapping[str, Any], key: str) -> list[dict[str, Any]]:
    listed = document.get(key, [])
    if not isinstance(listed, list) or not all(isinstance(item, dict) for item in listed):
        raise AnnotationError(f"not a COCO detection file: {key!r} is no list of objects")
    return listed


def _categories(categories: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Class names by id.

    Raises:
        AnnotationError: an id stands for two names.
    """
    names: dict[str, str] = {}
    for category in categories:
        if "id" not in category or "name" not in category:
            raise AnnotationError("not a COCO detection file: a category has no id or no name")
        key, name = _id(category["id"]), class_name(str(category["name"]))
        if names.setdefault(key, name) != name:
            raise AnnotationError(
                f"category id {key} stands for {names[key]!r} and for {name!r}; give each category an id of its own"
            )
    return names


def _images(listed: Sequence[Mapping[str, Any]]) -> tuple[dict[str, _Image], dict[str, str]]:
    """Images by file name, and the file name of each image id; an image that is listed twice is one.

    Raises:
        AnnotationError: an id stands for two files, or a file is listed with two sizes.
    """
    images: dict[str, _Image] = {}
    image_of: dict[str, str] = {}
    for image in listed:
        if "id" not in image or not isinstance(image.get("file_name"), str):
            raise AnnotationError("not a COCO detection file: an image has no id or no file_name")
        key, name = _id(image["id"]), image["file_name"].replace("\\", "/")
        if image_of.setdefault(key, name) != name:
            raise AnnotationError(
                f"image id {key} stands for {image_of[key][:255]} and for {name[:255]}, so no box is surely of one of them; "
                "if two files were pasted together, convert each by itself or give each image an id of its own"
            )
        stated = _Image(name, _declared(image))
        if images.setdefault(name, stated).declared_wh != stated.declared_wh:
            raise AnnotationError(f"{name[:255]} is listed twice, with different sizes; list each image once")
    return images, image_of


def _declared(image: Mapping[str, Any]) -> tuple[int, int] | None:
    try:
        width, height = (int(_number(image.get(side))) for side in ("width", "height"))
    except AnnotationError:
        return None
    return (width, height) if 0 < width <= LARGEST_PX and 0 < height <= LARGEST_PX else None


def _annotation(annotation: Mapping[str, Any], names: Mapping[str, str], declared_wh: tuple[int, int] | None) -> _Annotation:
    """What an annotation says.

    Args:
        declared_wh: the size that the file states for its image.

    Raises:
        AnnotationError: it cannot be understood; the message goes on after the annotation's name.
    """
    if "category_id" not in annotation:
        raise AnnotationError("has no category_id")
    key = _id(annotation["category_id"])
    box = _box(annotation, declared_wh)
    if _is_true(annotation.get("ignore")):
        return _Annotation(IGNORE, box, crowd=False)
    return _Annotation(names.get(key, f"category {key}"), box, _is_true(annotation.get("iscrowd")))


def _is_true(value: Any) -> bool:
    return str(value).strip().casefold() in ("1", "1.0", "true")


def _box(annotation: Mapping[str, Any], declared_wh: tuple[int, int] | None) -> Box:
    bbox = annotation.get("bbox") or None
    outline = _parsed(annotation.get("segmentation"))
    if bbox is None and not outline:
        raise AnnotationError("has neither bbox nor segmentation")
    if bbox is not None:
        if not isinstance(bbox, list) or len(bbox) != 4:
            raise AnnotationError(f"has the bbox {_shown(bbox)}, expected x, y, width, height")
        x, y, w, h = (_number(value, "bbox") for value in bbox)
        if not outline or (w > 0 and h > 0):
            return x, y, x + w, y + h
    return _of_mask(outline, declared_wh) if isinstance(outline, dict) else _of_polygons(outline)


def _parsed(segmentation: Any) -> Any:
    """A segmentation, which some tools write as text."""
    if not isinstance(segmentation, str):
        return segmentation
    try:
        return json.loads(segmentation)
    except (ValueError, RecursionError):
        raise AnnotationError(f"has the segmentation {_shown(segmentation)}, which is none") from None


def _of_polygons(outline: Any) -> Box:
    """The box around one polygon or several, each a list `x1, y1, x2, y2, ...`."""
    if not isinstance(outline, list):
        raise AnnotationError(f"has the segmentation {_shown(outline)}, expected polygons or a mask")
    polygons = outline if isinstance(outline[0], list) else [outline]
    if not all(isinstance(polygon, list) and len(polygon) >= 4 and len(polygon) % 2 == 0 for polygon in polygons):
        raise AnnotationError("has a polygon that is no list x1, y1, x2, y2, ...")
    numbers = [_number(value, "segmentation") for polygon in polygons for value in polygon]
    return min(numbers[::2]), min(numbers[1::2]), max(numbers[::2]), max(numbers[1::2])


def _of_mask(outline: Mapping[str, Any], declared_wh: tuple[int, int] | None) -> Box:
    """The box around a mask: lengths of runs, outside and inside by turns, column by column (COCO's RLE)."""
    size, counts = outline.get("size"), outline.get("counts")
    if not isinstance(size, list) or len(size) != 2:
        raise AnnotationError("has a mask without its size, expected height and width")
    h, w = (int(_number(side, "the size of its mask")) for side in size)
    if not (0 < h <= LARGEST_PX and 0 < w <= LARGEST_PX):
        raise AnnotationError(f"has a mask of impossible size, {w}x{h}")
    listed = _uncompressed(counts) if isinstance(counts, str) else counts
    if not isinstance(listed, list):
        raise AnnotationError("has a mask without counts")
    runs = np.array([min(max(_number(run, "its mask"), -1), LARGEST_PX**2) for run in listed], dtype=np.float64)
    if (runs < 0).any() or runs.sum() != h * w:
        raise AnnotationError(f"has a mask whose runs do not fill its {w}x{h} pixels")
    edges = np.cumsum(runs).astype(np.int64)
    start, end = edges[: len(edges) // 2 * 2 : 2], edges[1::2]
    start, end = start[end > start], end[end > start] - 1  # end is the last pixel of a run from here on
    if not len(start):
        raise AnnotationError("has an empty mask")
    if declared_wh not in (None, (w, h)):
        raise AnnotationError(
            f"has a mask of {w}x{h}, and its image has {declared_wh[0]}x{declared_wh[1]}; a mask's size is height, width"
        )
    x1, x2 = int(start.min() // h), int(end.max() // h) + 1
    if (start // h != end // h).any():
        # A run that goes on in the next column reaches the bottom of its own and the top of that.
        return x1, 0, x2, h
    return x1, int((start % h).min()), x2, int((end % h).max()) + 1


def _uncompressed(text: str) -> list[int]:
    """Lengths of runs from COCO's compressed text: six bits a character, from the fourth run on less the last but one."""
    counts: list[int] = []
    value = shift = 0
    for character in text:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > 50:
            raise AnnotationError("has a mask whose compressed counts are damaged")
        value |= (bits & 0x1F) << shift
        shift += 5
        if bits & 0x20:
            continue
        if bits & 0x10:
            value -= 1 << shift
        counts.append(value + (counts[-2] if len(counts) > 2 else 0))
        value = shift = 0
    if shift:
        raise AnnotationError("has a mask whose compressed counts are cut off")
    return counts


def _sorted_crowds(annotations: Sequence[_Annotation]) -> dict[int, _Annotation]:
    """Ignore regions in place of the annotations, by their `id()`, that are heaps of cells.

    Where at least half of a file's annotations are marked `iscrowd`, a tool marks whatever was painted, and each is a cell. Else it is
    one where it is no larger than cells of its class are.
    """
    crowds = [annotation for annotation in annotations if annotation.crowd]
    if len(crowds) * 2 >= len(annotations):
        return {}
    areas: dict[str, list[float]] = {}
    for annotation in annotations:
        if not annotation.crowd:
            areas.setdefault(annotation.name, []).append(_area(annotation.box))
    most = {name: _CROWD_AREAS * statistics.median(sizes) for name, sizes in areas.items()}
    return {id(a): replace(a, name=IGNORE) for a in crowds if _area(a.box) > most.get(a.name, math.inf)}


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])


def _id(value: Any) -> str:
    """An id, which one tool writes as a number and another as text."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, (int, str)) and not isinstance(value, bool):
        try:
            return str(value).strip()[:255]
        except ValueError:  # more digits than are turned into text
            pass
    raise AnnotationError(f"has the id {_shown(value)}, which is neither a whole number nor text")


def _number(value: Any, where: str = "") -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise AnnotationError(f"has {_shown(value)} in {where}, which is no number")
    return number


def _called(annotation: Mapping[str, Any]) -> str:
    return f"annotation {_shown(annotation['id'])}" if "id" in annotation else "an annotation without id"


def _shown(value: Any) -> str:
    try:
        shown = repr(value)
    except (ValueError, RecursionError):
        return "a value too long to show"
    return shown if len(shown) <= _LONGEST else f"{shown[:_LONGEST]}..."
