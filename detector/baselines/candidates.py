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
_MOST_FIELDS = 60
"""Fields whose segments are learnt from."""


class Candidates(Classical):
    """The segments of `Watershed`, whatever their size, judged by a random forest."""

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
        seen, labels = [], []
        for field in [fields[i] for i in spread(len(fields), _MOST_FIELDS)]:
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

    def find(self, rgb: Rgb) -> Detections:
        """The segments that are cells; a score is the share of the forest's trees."""
        size_wh, segments = (rgb.shape[1], rgb.shape[0]), self.watershed.segments(rgb)
        if not len(segments):
            return Detections.none(size_wh)
        label, probability = self.judge.classify_seen(_features(rgb, segments), _NOTHING + 1)
        score = probability.max(axis=1).astype(np.float32)
        cells = np.flatnonzero(np.isin(label, self.sought))
        kept = cells[boxes.suppress(segments[cells], score[cells], np.zeros(len(cells), dtype=np.int64), _DOUBLE)]
        return Detections(segments[kept], score[kept], label[kept], size_wh)


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
