"""QuPath's GeoJSON: one file an image, outlines in pixels of the picture as it is stored, with half-open edges.

QuPath does not turn pictures as EXIF asks, so that its boxes are turned when they are read.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from detector.annotations.labels import Box, Labels, around, boxes, class_name
from detector.errors import AnnotationError

UNCLASSIFIED = "unclassified"
"""The name of objects to which no class was given."""
_DEEPEST = 4


def is_geojson(document: Any) -> bool:
    """Whether a JSON document holds objects of QuPath: a collection of features, a list of them, or one."""
    if isinstance(document, list):
        return bool(document) and all(isinstance(feature, dict) and feature.get("type") == "Feature" for feature in document)
    return isinstance(document, dict) and document.get("type") in ("FeatureCollection", "Feature")


def read(document: Any) -> Labels:
    """Boxes around the outlines of a document, with the names of their classes.

    Raises:
        AnnotationError: it is no GeoJSON, or holds points, lines or broken outlines; the message is the reason without the path.
    """
    if not is_geojson(document):
        raise AnnotationError("is no GeoJSON with objects of QuPath")
    features = document if isinstance(document, list) else document.get("features", [document])
    if not isinstance(features, list) or not all(isinstance(feature, dict) for feature in features):
        raise AnnotationError("holds 'features' that are no list of objects")
    return Labels(tuple(_class_of(feature) for feature in features), boxes([_box(feature) for feature in features]), stored=True)


def _class_of(feature: Mapping[str, Any]) -> str:
    properties = feature.get("properties")
    given = properties.get("classification") if isinstance(properties, dict) else None
    if isinstance(given, dict):
        # A derived class, such as "WBC: Positive", may be written as its parts.
        names = given.get("names")
        given = given.get("name") or (": ".join(map(str, names)) if isinstance(names, list) else None)
    return class_name(str(given)) if given else UNCLASSIFIED


def _box(feature: Mapping[str, Any]) -> Box:
    geometry = feature.get("geometry")
    kind = geometry.get("type") if isinstance(geometry, dict) else None
    if not isinstance(geometry, dict) or kind not in ("Polygon", "MultiPolygon"):
        raise AnnotationError(
            f"has an object with the geometry {str(kind)[:40]!r}, which is no outline of a cell; use rectangles or polygons"
        )
    points = list(_points(geometry.get("coordinates"), _DEEPEST))
    if not points:
        raise AnnotationError("has an outline without points")
    return around(points)


def _points(coordinates: Any, depth: int) -> Iterator[tuple[float, float]]:
    """The points in lists within lists."""
    if not isinstance(coordinates, Sequence) or isinstance(coordinates, str) or not depth:
        raise AnnotationError("has an outline whose coordinates are no lists of x and y")
    if len(coordinates) >= 2 and all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in coordinates):
        yield coordinates[0], coordinates[1]
        return
    for inner in coordinates:
        yield from _points(inner, depth - 1)
