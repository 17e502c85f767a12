"""Classifiers by features, measured on the pictures that another classifier sees, with the same smears left out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from detector.baselines import features
from detector.baselines.classifiers import CLASSIFIERS, CropClassifier
from detector.errors import UsageError


def measure(
    pictures: NDArray[np.uint8], label: NDArray[np.int64], smears: Sequence[str], names: Sequence[str], seed: int
) -> dict[str, dict[str, float]]:
    """Accuracy and balanced accuracy of each on the cells that it did not learn from.

    Args:
        pictures: of shape (n, h, w, 3).
        label: of shape (n,).
        smears: of each; each smear is left out in turn.
        names: of `CLASSIFIERS`.

    Raises:
        UsageError: there is no such classifier.
    """
    unknown = [name for name in names if name not in CLASSIFIERS]
    if unknown:
        raise UsageError(f"unknown classifier {unknown[0]!r}; known: {', '.join(CLASSIFIERS)}")
    seen = features.table(list(pictures), enhanced=False)
    classes, smear = int(label.max()) + 1, np.asarray(smears)
    figures = {}
    for name in names:
        taken = np.zeros(len(label), dtype=np.int64)
        for own in (smear == left_out for left_out in np.unique(smear)):
            classifier = CropClassifier(name, enhanced=False, seed=seed)
            classifier.fit_features(seen[~own], label[~own])
            taken[own] = classifier.classify_features(seen[own], classes)[0]
        recall = [float((taken[label == kind] == kind).mean()) for kind in np.unique(label)]
        figures[name] = {"accuracy": round(float((taken == label).mean()), 4), "balanced": round(float(np.mean(recall)), 4)}
    return figures
