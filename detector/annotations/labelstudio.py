"""Label Studio's JSON: a list of tasks, each an image with what annotators drew, in hundredths of the displayed picture's sides."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from detector.annotations.labels import LARGEST_PX, Box, LabelledImage, Labels, around, boxes, class_name
from detector.errors import AnnotationError

FIELD = "field"
"""Key of a task's data that names the field, where we wrote the task."""
_LABELLED = ("rectanglelabels", "polygonlabels", "ellipselabels")
"""Types of regions that become boxes, which also are the keys of their class names."""
_DRAWN = frozenset(("x", "points", "rle", "vertices"))
"""What only a region that is drawn on the image has."""
_UPLOADED = re.compile(r"[0-9a-f]{8}-")
"""What Label Studio puts before the name of a file that was uploaded."""


def is_label_studio(document: Any) -> bool:
    """Whether a JSON document is an export of Label Studio."""
    return isinstance(document, list) and bool(document) and all(isinstance(task, dict) and "data" in task for task in document)


def read(path: Path, document: Any) -> tuple[list[LabelledImage], list[str]]:
    """Images of an export with the boxes that annotators drew, and remarks on tasks that were left out.

    What a model predicted and nobody submitted is no label. Of several annotations of a task, the one marked as ground truth, or else
    the last one, is taken.

    Raises:
        AnnotationError: no task has an annotation, or two are of one image.
    """
    entries: dict[str, LabelledImage] = {}
    remarks, waiting = [], 0
    for number, task in enumerate(document, start=1):
        submitted = [a for a in _listed(task.get("annotations")) if not a.get("was_cancelled")]
        name = _file_name(task["data"], number)
        if not submitted:
            waiting += 1
            continue
        if name in entries:
            raise AnnotationError(f"{path}: two tasks are of {name[:255]}; export each project by itself")
        chosen = _chosen(submitted)
        if len(submitted) > 1:
            remarks.append(f"{name} has {len(submitted)} annotations; that with id {chosen.get('id')} was taken")
        entries[name] = _entry(name, chosen)
    if not entries:
        raise AnnotationError(
            f"{path}: none of its {waiting} tasks has an annotation that was submitted; submit them, and export as JSON"
        )
    if waiting:
        remarks.append(f"{waiting} task{'s have' if waiting > 1 else ' has'} no annotation that was submitted, and was left out")
    return list(entries.values()), remarks


def _chosen(submitted: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    true = [annotation for annotation in submitted if annotation.get("ground_truth")]
    return max(true or submitted, key=lambda annotation: str(annotation.get("updated_at") or annotation.get("created_at") or ""))


def _listed(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def _file_name(task_data: Any, number: int) -> str:
    """The image's path as far as a task tells it."""
    if not isinstance(task_data, dict):
        return f"task {number}"
    if isinstance(task_data.get(FIELD), str):
        return str(task_data[FIELD])
    address = next((value for value in task_data.values() if isinstance(value, str)), f"task {number}")
    try:
        parts = urlsplit(address)
    except ValueError:  # brackets that hold no address
        return address
    local = parse_qs(parts.query).get("d")
    if local:
        return local[0].replace("\\", "/")
    whole = unquote(parts.path).replace("\\", "/")
    if "/upload/" in whole:
        return _UPLOADED.sub("", whole.rpartition("/")[2], count=1)
    return whole.lstrip("/")


def _entry(name: str, annotation: Mapping[str, Any]) -> LabelledImage:
    regions = _listed(annotation.get("result"))
    try:
        other = next((str(region.get("type")) for region in regions if _is_other(region)), None)
        if other is not None:
            raise AnnotationError(f"has a region of the type {other[:40]!r}; use {', '.join(_LABELLED)}")
        outlines = [region for region in regions if region.get("type") in _LABELLED]
        if not all(isinstance(region.get("value"), dict) for region in outlines):
            raise AnnotationError("has a region without a value")
        sizes = {_size(region.get("original_width"), region.get("original_height")) for region in outlines}
        if len(sizes) > 1:
            raise AnnotationError("states two sizes of its image")
        names = tuple(_class_of(region) for region in outlines)
        shares = boxes([_box(region) for region in outlines])
        size_wh = sizes.pop() if sizes else None
    except AnnotationError as error:
        return LabelledImage(name, None, str(error))
    if size_wh is None:
        return LabelledImage(name, Labels(names, shares, normalised=True))
    w, h = size_wh
    return LabelledImage(name, Labels(names, shares * [w, h, w, h], declared_wh=size_wh))


def _is_other(region: Mapping[str, Any]) -> bool:
    """Whether a region is drawn on the image with a tool that gives no outline of a cell; choices and texts are not drawn."""
    kind, value = str(region.get("type")), region.get("value")
    drawn = isinstance(value, dict) and not _DRAWN.isdisjoint(value)
    return kind not in _LABELLED and (drawn or kind.endswith("labels"))


def _size(w: Any, h: Any) -> tuple[int, int] | None:
    whole = all(isinstance(side, int) and not isinstance(side, bool) and 0 < side <= LARGEST_PX for side in (w, h))
    return (w, h) if whole else None


def _class_of(region: Mapping[str, Any]) -> str:
    names = region["value"].get(region["type"])
    if not isinstance(names, list) or len(names) != 1 or not isinstance(names[0], str):
        raise AnnotationError(f"has a region with the classes {str(names)[:60]}, expected one")
    return class_name(names[0])


def _box(region: Mapping[str, Any]) -> Box:
    """A region in shares of the image's sides."""
    value = region["value"]
    if region.get("image_rotation"):
        raise AnnotationError("was turned in Label Studio; turn it back there")
    if region["type"] == "polygonlabels":
        points = value.get("points")
        if not isinstance(points, list) or not all(isinstance(point, list) and len(point) == 2 for point in points) or not points:
            raise AnnotationError("has a polygon without points")
        return around([(_share(x), _share(y)) for x, y in points])
    degrees = _share(value.get("rotation") or 0) * 100
    if region["type"] == "ellipselabels":
        cx, cy, rx, ry = (_share(value.get(key)) for key in ("x", "y", "radiusX", "radiusY"))
        if degrees:
            raise AnnotationError("has a turned ellipse; use an upright one, or a box")
        return cx - rx, cy - ry, cx + rx, cy + ry
    x, y, w, h = (_share(value.get(key)) for key in ("x", "y", "width", "height"))
    if not degrees:
        return x, y, x + w, y + h
    # It is turned about its first corner, by an angle in pixels and not in shares.
    sides = _size(region.get("original_width"), region.get("original_height"))
    if sides is None:
        raise AnnotationError("has a turned box and does not state the image's size")
    wide, high = sides
    corners = [((x + a) * wide, (y + b) * high) for a, b in ((0, 0), (w, 0), (w, h), (0, h))]
    x1, y1, x2, y2 = around(corners, degrees, corners[0])
    return x1 / wide, y1 / high, x2 / wide, y2 / high


def _share(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or abs(value) > LARGEST_PX:
        raise AnnotationError(f"has a region with {str(value)[:60]!r} where hundredths of the image are expected")
    return value / 100
