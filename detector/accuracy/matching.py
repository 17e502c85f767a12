"""Which detection is which labelled cell."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detector.vision import boxes
from detector.vision.detections import Detections

Indices = NDArray[np.int64]

IOU = 0.5
"""Overlap from which a detection is the labelled cell."""


@dataclass(frozen=True, eq=False)
class Match:
    """Detections and truth of one field, paired; all arrays are indices."""

    found: Indices
    """Paired detections, best score first, of shape (m,)."""
    truth: Indices
    """The labelled cell of each, of shape (m,)."""
    false: Indices
    """Detections that are no labelled cell, of shape (len(detections) - m,)."""
    missed: Indices
    """Labelled cells that no detection is, of shape (len(truth) - m,)."""


def match(detections: Detections, xyxy: boxes.Boxes, label: Indices, iou_threshold: float = IOU) -> Match:
    """Pair detections with labelled cells of their class, one to one.

    In order of score, equal scores in their given order, each detection takes the free cell of its class that it overlaps most,
    if by `iou_threshold` or more. This is the rule of COCO's evaluation (Lin et al., ECCV 2014).

    Args:
        detections: what was found in a field.
        xyxy: labelled boxes in pixels, half-open edges, of shape (n, 4).
        label: their classes, of shape (n,).
    """
    overlap = boxes.iou(detections.xyxy, xyxy)
    overlap = np.where(detections.label[:, None] == label[None, :], overlap, -1.0)
    pairs: list[tuple[int, int]] = []
    if len(label):
        for i in np.argsort(-detections.score, kind="stable"):
            j = int(np.argmax(overlap[i]))
            if overlap[i, j] >= iou_threshold:
                pairs.append((int(i), j))
                overlap[:, j] = -1.0
    found, truth = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return Match(found, truth, _others(len(detections), found), _others(len(label), truth))


def _others(n: int, taken: Indices) -> Indices:
    return np.setdiff1d(np.arange(n, dtype=np.int64), taken)
