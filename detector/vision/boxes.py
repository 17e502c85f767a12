"""Arithmetic on boxes: pure functions of arrays, which are never changed in place.

A box is `x1, y1, x2, y2` in pixels with half-open edges, so its width is `x2 - x1`; boxes are arrays of shape (n, 4).
"""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from detector.vision.images import SWAPS_SIDES

Boxes = NDArray[np.float32]
"""Boxes of shape (n, 4), xyxy in pixels."""

_INWARD = np.array((1, 1, -1, -1), dtype=np.float32)


def area(xyxy: Boxes) -> NDArray[np.float32]:
    """Area of each box in px², of shape (n,); an inverted box has none."""
    sides = np.maximum(xyxy[:, 2:] - xyxy[:, :2], 0.0)
    return np.asarray(sides[:, 0] * sides[:, 1], dtype=np.float32)


def side(xyxy: Boxes) -> NDArray[np.float32]:
    """Geometric mean of width and height of each box in pixels, of shape (n,)."""
    return np.asarray(np.sqrt(area(xyxy)), dtype=np.float32)


def centre(xyxy: Boxes) -> NDArray[np.float32]:
    """Centre of each box, x and y, of shape (n, 2)."""
    return np.asarray((xyxy[:, :2] + xyxy[:, 2:]) / 2, dtype=np.float32)


def clip(xyxy: Boxes, size_wh: tuple[int, int]) -> Boxes:
    """Boxes cut to the image `(width, height)`."""
    w, h = size_wh
    return np.clip(xyxy, 0, np.array([w, h, w, h], dtype=np.float32)).astype(np.float32)


def turned(xyxy: NDArray[Any], orientation: int, stored_wh: tuple[int, int]) -> NDArray[Any]:
    """Boxes of a picture as it is stored as those of the picture as it is displayed; of shape (n, 4).

    Args:
        orientation: how the stored picture is turned for display, 1 to 8, as TIFF 6.0 and EXIF number it.
        stored_wh: width and height of the stored picture.
    """
    w, h = stored_wh
    x1, y1, x2, y2 = xyxy.T
    if orientation in (2, 3, 7, 8):  # the stored x runs the other way
        x1, x2 = w - x2, w - x1
    if orientation in (3, 4, 6, 7):  # the stored y runs the other way
        y1, y2 = h - y2, h - y1
    return np.stack([y1, x1, y2, x2] if orientation in SWAPS_SIDES else [x1, y1, x2, y2], axis=1)


def turned_back(xyxy: NDArray[Any], orientation: int, displayed_wh: tuple[int, int]) -> NDArray[Any]:
    """Boxes of a picture as it is displayed as those of the picture as it is stored: what undoes `turned`."""
    # A quarter turn is undone by the other one, and all else by itself.
    return turned(xyxy, {6: 8, 8: 6}.get(orientation, orientation), displayed_wh)


def intersection(a: Boxes, b: Boxes) -> NDArray[np.float32]:
    """Shared area of each pair in px², of shape (len(a), len(b))."""
    # Column by column: several times as fast as with the two axes last.
    (ax1, ay1, ax2, ay2), (bx1, by1, bx2, by2) = a.T[:, :, None], b.T[:, None, :]
    w = np.maximum(np.minimum(ax2, bx2) - np.maximum(ax1, bx1), 0.0)
    h = np.maximum(np.minimum(ay2, by2) - np.maximum(ay1, by1), 0.0)
    return np.asarray(w * h, dtype=np.float32)


def iou(a: Boxes, b: Boxes) -> NDArray[np.float32]:
    """Intersection over union of each pair, of shape (len(a), len(b)); 0 where both are empty."""
    shared = intersection(a, b)
    union = area(a)[:, None] + area(b)[None, :] - shared
    return np.asarray(np.divide(shared, union, out=np.zeros_like(shared), where=union > 0))


def inside(a: Boxes, b: Boxes) -> NDArray[np.float32]:
    """Share of each box of `a` that lies in the one of `b` that holds most of it; of shape (len(a),), 0 without any."""
    if not len(a) or not len(b):
        return np.zeros(len(a), dtype=np.float32)
    shared, whole = intersection(a, b).max(axis=1), area(a)
    return np.asarray(np.divide(shared, whole, out=np.zeros_like(shared), where=whole > 0))


def mask(xyxy: Boxes, size_wh: tuple[int, int]) -> NDArray[np.bool_]:
    """Which pixels of an image `(width, height)` lie in a box, of shape (height, width); edges go to the nearest pixel."""
    inside = np.zeros((size_wh[1], size_wh[0]), dtype=np.uint8)
    for x1, y1, x2, y2 in np.rint(xyxy).astype(int).tolist():
        inside[y1:y2, x1:x2] = 1
    return inside.view(bool)


def suppress(xyxy: Boxes, score: NDArray[np.float32], label: NDArray[np.int64], iou_threshold: float) -> NDArray[np.int64]:
    """Indices that greedy non-maximum suppression keeps, best score first.

    A box gives way to a better one of its own class that it overlaps by more than `iou_threshold`. Equal scores keep
    their order, so the result depends on nothing but the arrays. Each box must have an area.
    """
    order = np.argsort(-score, kind="stable")
    place = xyxy[order].astype(np.float64)
    place[:, 2:] -= place[:, :2]
    # Classes beside each other do not overlap.
    place[:, 0] += label[order] * (float(np.ptp(xyxy)) + 1 if len(xyxy) else 0)
    # Ranks for scores, because OpenCV does not say what it does with equal ones; lists, because it takes them faster than arrays.
    kept = cv2.dnn.NMSBoxes(place.tolist(), range(len(order), 0, -1), 0, iou_threshold)
    return np.asarray(order[np.asarray(kept, dtype=np.int64)])


def sides_clear_of_border(xyxy: Boxes, size_wh: tuple[int, int], margin_px: float = 2.0) -> NDArray[np.float32]:
    """Geometric mean of width and height, in pixels, of the boxes that reach no image edge; of shape (m,), m <= n."""
    return side(xyxy[clear_of_border(xyxy, size_wh, margin_px)])


def clear_of_border(xyxy: Boxes, size_wh: tuple[int, int], margin_px: float = 2.0) -> NDArray[np.bool_]:
    """Which boxes reach no image edge to within `margin_px`, of shape (n,)."""
    return np.asarray(~touches(xyxy, size_wh, margin_px).any(axis=1))


def median(values: NDArray[np.floating[Any]]) -> float:
    """What np.median gives for one number or more, which takes several times as long for the few of a field."""
    ordered = np.sort(values)
    return float((ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2)


def touches(xyxy: Boxes, size_wh: tuple[int, int], margin_px: float | NDArray[np.float32]) -> NDArray[np.bool_]:
    """Which image edges each box reaches to within `margin_px`: left, top, right, bottom; of shape (n, 4).

    Args:
        margin_px: one for all boxes, or of shape (n, 1).
    """
    gap = xyxy * _INWARD + np.array((0, 0, *size_wh), dtype=np.float32)
    return np.asarray(gap <= margin_px)
