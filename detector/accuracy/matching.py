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
    found, truth = _pairs(np.where(detections.label[:, None] == label[None, :], overlap, -1.0), detections.score, iou_threshold)
    return Match(found, truth, _others(len(detections), found), _others(len(label), truth))


def misnamed(detections: Detections, xyxy: boxes.Boxes, pairs: Match, iou_threshold: float = IOU) -> tuple[Indices, Indices]:
    """Pair false detections with missed cells by the same rule, whatever their class: cells that were found under a wrong name.

    Returns:
        Indices of the detections and of the labelled cell of each, both of shape (m,).
    """
    overlap = boxes.iou(detections.xyxy[pairs.false], xyxy[pairs.missed])
    found, truth = _pairs(overlap, detections.score[pairs.false], iou_threshold)
    return pairs.false[found], pairs.missed[truth]


def _pairs(overlap: NDArray[np.float32], score: NDArray[np.float32], iou_threshold: float) -> tuple[Indices, Indices]:
    """Rows and columns that are paired; `overlap` is of shape (detections, cells)."""
    left = np.array(overlap)
    pairs: list[tuple[int, int]] = []
    if left.shape[1]:
        for i in np.argsort(-score, kind="stable"):
            j = int(np.argmax(left[i]))
            if left[i, j] >= iou_threshold:
                pairs.append((int(i), j))
                left[:, j] = -1.0
    found, truth = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
    return found, truth


def _others(n: int, taken: Indices) -> Indices:
    return np.setdiff1d(np.arange(n, dtype=np.int64), taken)
