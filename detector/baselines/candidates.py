"""Candidates of the watershed, classified by their features: what it takes for a cell may be another cell, or none."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from detector.baselines import features
from detector.baselines.classifiers import CropClassifier
from detector.baselines.methods import FEWEST_CELLS, Classical, LabelledField, spread
from detector.baselines.watershed import Watershed
from detector.errors import NothingToDoError
from detector.vision import boxes
from detector.vision.cells import CLASSES, PLATELETS, RBC, WBC
from detector.vision.detections import Detections
from detector.vision.images import Rgb

_NOTHING = len(CLASSES)
_SAME = 0.4
"""Overlap from which on a candidate shows a labelled cell."""
_DOUBLE = 0.4
"""Overlap from which on two candidates are one cell."""
_MOST_FIELDS, _MOST_TRIED = 60, 30
"""Fields whose segments are learnt from, and those on which the least probabilities are tried."""
_TRIED = 3
"""One of so many fields is kept for trying."""
_LEVELS = np.arange(0.05, 0.95, 0.05)
"""Least probabilities that are tried."""


class Candidates(Classical):
    """The segments of `Watershed`, whatever their size, judged by a random forest.

    A segment is a cell if it is one with a least probability, which is learned for each class by what counts best in other fields:
    where labels leave cells out, cells are not the likeliest thing that a segment can be.
    """

    name = "candidates and features"
    source = (
        "after Habibzadeh M et al., Comparative study of shape, intensity and texture features and support vector machine for white "
        "blood cell classification, Journal of Theoretical and Applied Computer Science 2013; 7:20-35; "
        "forest by Breiman, Machine Learning 2001; 45:5-32"
    )
    seeks = (RBC, WBC, PLATELETS)

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def learn(self, fields: Sequence[LabelledField], classes: Sequence[int]) -> None:
        """Fit the watershed, and learn from its segments which of them are which cells."""
        self.watershed = Watershed()
        self.watershed.width_px = self.width_px
        self.watershed.learn(fields, classes)
        self.sought = tuple(classes)
        tried = [field for at, field in enumerate(fields) if at % _TRIED == _TRIED - 1]
        others = [field for at, field in enumerate(fields) if at % _TRIED != _TRIED - 1]
        seen, labels = [], []
        for field in [others[i] for i in spread(len(others), _MOST_FIELDS)]:
            segments = self.watershed.segments(field.rgb)
            seen.append(_features(field.rgb, segments))
            labels.append(_labels(segments, field))
        known, label = np.concatenate(seen), np.concatenate(labels)
        numbers = np.bincount(label, minlength=_NOTHING + 1)
        learnt = [kind for kind in (*classes, _NOTHING) if numbers[kind] >= FEWEST_CELLS]
        if len(learnt) < 2:
            raise NothingToDoError(
                f"{self.name} needs candidates of two kinds, {FEWEST_CELLS} of each; the segments of the training fields show only "
                + (", ".join([*CLASSES, "no cells"][kind] for kind in learnt) or "too few cells")
            )
        taught = np.isin(label, learnt)
        self.judge = CropClassifier("random forest", enhanced=False, seed=self.seed)
        self.judge.fit_seen(known[taught], label[taught])
        self.least = self._least([tried[i] for i in spread(len(tried), _MOST_TRIED)])

    def _least(self, fields: Sequence[LabelledField]) -> NDArray[np.float64]:
        """The least probability of each class with which counts are nearest to the labels; of equals the middle; of shape (classes,)."""
        judged = [self._judged(field.rgb) for field in fields]
        truth = [np.bincount(field.record.label, minlength=_NOTHING) for field in fields]
        errors = np.zeros((len(_LEVELS), _NOTHING))
        for level, error in zip(_LEVELS, errors, strict=True):
            for (segments, probability), labelled in zip(judged, truth, strict=True):
                label = _cells(segments, probability, np.full(_NOTHING, level))[1]
                error += np.abs(np.bincount(label, minlength=_NOTHING) - labelled)
        best = [_LEVELS[of_class == of_class.min()] for of_class in errors.T]
        return np.array([levels[(len(levels) - 1) // 2] for levels in best])

    def find(self, rgb: Rgb) -> Detections:
        """The segments that are cells; a score is the share of the forest's trees."""
        segments, probability = self._judged(rgb)
        kept, label = _cells(segments, probability, self.least)
        return Detections(segments[kept], probability[kept, label].astype(np.float32), label, (rgb.shape[1], rgb.shape[0]))

    def _judged(self, rgb: Rgb) -> tuple[boxes.Boxes, NDArray[np.float64]]:
        """Segments of a field, of shape (n, 4), and the probabilities of the classes, of shape (n, classes); 0 for those not sought."""
        segments = self.watershed.segments(rgb)
        probability = np.zeros((len(segments), _NOTHING))
        if len(segments):
            answers = self.judge.classify_seen(_features(rgb, segments), _NOTHING + 1)[1]
            probability[:, self.sought] = answers[:, self.sought]
        return segments, probability


def _cells(
    segments: boxes.Boxes, probability: NDArray[np.float64], least: NDArray[np.float64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The segments that are cells by index, each cell once, and their classes.

    Args:
        segments: of shape (n, 4).
        probability: of each class, of shape (n, classes).
        least: of shape (classes,).
    """
    ratio = probability / least
    cells = np.flatnonzero(ratio.max(axis=1, initial=0) >= 1)
    label = ratio[cells].argmax(axis=1)
    score = probability[cells, label].astype(np.float32)
    kept = boxes.suppress(segments[cells], score, np.zeros(len(cells), dtype=np.int64), _DOUBLE)
    return cells[kept], label[kept]


def _features(rgb: Rgb, segments: boxes.Boxes) -> NDArray[np.float64]:
    """Features of the pixels in each box, of shape (n, features)."""
    corners = np.concatenate([np.floor(segments[:, :2]), np.ceil(segments[:, 2:])], axis=1).astype(int)
    return features.table([rgb[y1:y2, x1:x2] for x1, y1, x2, y2 in corners.tolist()], enhanced=False)


def _labels(segments: boxes.Boxes, field: LabelledField) -> NDArray[np.int64]:
    """The class of the labelled cell that each segment overlaps most, or `_NOTHING`; of shape (n,)."""
    if not len(field.record.label):
        return np.full(len(segments), _NOTHING, dtype=np.int64)
    overlap = boxes.iou(segments, field.record.xyxy)
    return np.where(overlap.max(axis=1) >= _SAME, field.record.label[overlap.argmax(axis=1)], _NOTHING).astype(np.int64)
