"""Classifiers of crops, measured on the pictures that another classifier sees, with the same smears left out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

from detector.baselines import features
from detector.baselines.classifiers import CLASSIFIERS, NETWORKS, CropClassifier
from detector.errors import UsageError


def held_out(
    pictures: NDArray[np.uint8], label: NDArray[np.int64], smears: Sequence[str], names: Sequence[str], classes: int, seed: int
) -> Iterator[tuple[str, NDArray[np.float64]]]:
    """What each classifier says of the cells whose smear it did not learn from: its name, and probabilities of shape (n, classes).

    Args:
        pictures: of shape (n, h, w, 3); networks see them, others see their features.
        label: of shape (n,).
        smears: of each; each smear is left out in turn.
        names: of `CLASSIFIERS`.

    Raises:
        UsageError: there is no such classifier. MissingExtraError: it is a network, and torch is not installed.
    """
    unknown = [name for name in names if name not in CLASSIFIERS]
    if unknown:
        raise UsageError(f"unknown classifier {unknown[0]!r}; known: {', '.join(CLASSIFIERS)}")
    table = features.table(list(pictures), enhanced=False) if set(names) - set(NETWORKS) else np.zeros((0, 0))
    smear = np.asarray(smears)
    for name in names:
        seen = pictures if name in NETWORKS else table
        probability = np.zeros((len(label), classes))
        for own in (smear == left_out for left_out in np.unique(smear)):
            classifier = CropClassifier(name, enhanced=False, seed=seed)
            classifier.fit_seen(seen[~own], label[~own])
            probability[own] = classifier.classify_seen(seen[own], classes)[1]
        yield name, probability
