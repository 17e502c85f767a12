"""Pascal VOC: one XML file an image.

Corners are taken as half-open edges just as they stand. The VOC challenge counted pixels from 1 and included the last
one, but the label tools behind BCCD and CBC wrote edges (0 and 640 both occur), so shifting by one would move every box.
"""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException, ElementTree

from detector import texts
from detector.annotations.labels import LARGEST_PX, Labels, boxes, class_name
from detector.errors import AnnotationError

_MOST_BYTES = 64 * texts.MEBIBYTE


def read(path: Path) -> Labels:
    """Boxes and class names of one XML file; its `filename` is not believed, as it is often wrong.

    Raises:
        AnnotationError: the file is no VOC annotation; the message is the reason without the path.
    """
    try:
        root = ElementTree.fromstring(texts.content(path, _MOST_BYTES))
    except (ParseError, DefusedXmlException, ValueError, LookupError) as error:
        raise AnnotationError(f"not readable as XML: {error}") from None
    except OSError as error:
        raise AnnotationError(f"cannot be read: {error.strerror}") from None
    if root.tag != "annotation":
        raise AnnotationError(f"the XML's root is <{root.tag}>, expected <annotation>")
    objects = root.findall("object")
    return Labels(
        names=tuple(class_name((element.findtext("name") or "").strip()) for element in objects),
        xyxy=boxes([_corners(element) for element in objects]),
        declared_wh=_declared(root),
    )


def _corners(element: Element) -> tuple[float, float, float, float]:
    box = element.find("bndbox")
    if box is None:
        raise AnnotationError("an <object> has no <bndbox>")
    x1, y1, x2, y2 = (_number(box, tag) for tag in ("xmin", "ymin", "xmax", "ymax"))
    return x1, y1, x2, y2


def _number(parent: Element, tag: str) -> float:
    text = parent.findtext(tag)
    try:
        return float(text or "")
    except ValueError:
        raise AnnotationError(f"<{tag}> is {text[:60] if text else text!r}, expected a number") from None


def _declared(root: Element) -> tuple[int, int] | None:
    size = root.find("size")
    if size is None:
        return None
    try:
        width, height = int(_number(size, "width")), int(_number(size, "height"))
    except (AnnotationError, ValueError, OverflowError):
        return None
    return (width, height) if 0 < width <= LARGEST_PX and 0 < height <= LARGEST_PX else None
