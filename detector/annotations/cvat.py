"""CVAT for images 1.1, CVAT's own XML: one file for many images, boxes by their edges in pixels of the displayed picture."""

from __future__ import annotations

import math
from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException, ElementTree

from detector import texts
from detector.annotations.labels import LARGEST_PX, Box, LabelledImage, Labels, around, boxes, class_name
from detector.errors import AnnotationError

_MOST_BYTES = 512 * texts.MEBIBYTE
_SHAPES = ("box", "polygon", "ellipse", "mask")
"""Shapes that have an inside, so that a cell may be drawn with them."""
_OTHERS = ("polyline", "points", "cuboid", "skeleton")


def is_cvat(path: Path) -> bool:
    """Whether an XML file begins as one of CVAT's does."""
    try:
        with path.open("rb") as file:
            return b"<annotations>" in file.read(400)
    except OSError:
        return False


def read(path: Path) -> list[LabelledImage]:
    """Images of one XML file with their boxes; of polygons, ellipses, masks and turned boxes, the upright box around them.

    Raises:
        AnnotationError: the file is none of CVAT for images.
    """
    try:
        root = ElementTree.fromstring(texts.content(path, _MOST_BYTES))
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise AnnotationError(f"{path}: not readable as XML: {error}") from None
    except OSError as error:
        raise AnnotationError(f"{path}: cannot be read: {error.strerror}") from None
    if root.find("track") is not None:
        raise AnnotationError(f"{path}: is an export for videos; export it as 'CVAT for images 1.1'")
    images = root.findall("image")
    if root.tag != "annotations" or not images:
        raise AnnotationError(f"{path}: holds no images of CVAT; export it as 'CVAT for images 1.1'")
    named = [element.get("name", "") for element in images]
    if not all(named):
        raise AnnotationError(f"{path}: an <image> has no name")
    repeated = next((name for name in named if named.count(name) > 1), None) if len(set(named)) < len(named) else None
    if repeated is not None:
        raise AnnotationError(f"{path}: {repeated[:255]} is in it twice; export each task by itself")
    return [_entry(element) for element in images]


def _entry(image: Element) -> LabelledImage:
    name = image.get("name", "").replace("\\", "/")
    try:
        shapes = [shape for shape in image if shape.tag in _SHAPES]
        other = next((shape.tag for shape in image if shape.tag in _OTHERS), None)
        if other is not None:
            raise AnnotationError(f"has a <{other}>, which is no outline of a cell; use boxes, polygons, ellipses or masks")
        names = tuple(class_name(shape.get("label", "")) for shape in shapes)
        labels = Labels(names, boxes([_box(shape) for shape in shapes]), declared_wh=_declared(image))
    except AnnotationError as error:
        return LabelledImage(name, None, str(error))
    return LabelledImage(name, labels)


def _box(shape: Element) -> Box:
    degrees = _number(shape, "rotation") if "rotation" in shape.attrib else 0.0
    if shape.tag == "mask":
        x, y, w, h = (_number(shape, key) for key in ("left", "top", "width", "height"))
        return x, y, x + w, y + h
    if shape.tag == "ellipse":
        cx, cy, rx, ry = (_number(shape, key) for key in ("cx", "cy", "rx", "ry"))
        # How far an ellipse that is turned reaches to the side and down.
        cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
        half_w, half_h = math.hypot(rx * cos, ry * sin), math.hypot(rx * sin, ry * cos)
        return cx - half_w, cy - half_h, cx + half_w, cy + half_h
    if shape.tag == "polygon":
        return around(_points(shape.get("points", "")))
    x1, y1, x2, y2 = (_number(shape, key) for key in ("xtl", "ytl", "xbr", "ybr"))
    return (
        around([(x1, y1), (x2, y1), (x2, y2), (x1, y2)], degrees, ((x1 + x2) / 2, (y1 + y2) / 2)) if degrees else (x1, y1, x2, y2)
    )


def _points(text: str) -> list[tuple[float, float]]:
    try:
        points = [(float(x), float(y)) for x, y in (pair.split(",") for pair in text.split(";"))]
    except ValueError:
        raise AnnotationError(f"has a polygon with the points {text[:60]!r}, expected 'x,y;x,y;...'") from None
    return points


def _number(shape: Element, key: str) -> float:
    text = shape.get(key, "")
    try:
        return float(text)
    except ValueError:
        raise AnnotationError(f"has a <{shape.tag}> whose {key} is {text[:60]!r}, expected a number") from None


def _declared(image: Element) -> tuple[int, int] | None:
    try:
        w, h = int(image.get("width", "")), int(image.get("height", ""))
    except ValueError:
        return None
    return (w, h) if 0 < w <= LARGEST_PX and 0 < h <= LARGEST_PX else None
