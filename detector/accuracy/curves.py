"""What a detector would be worth at other thresholds: precision against recall, and both against the threshold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from detector.accuracy.bootstrap import Floats
from detector.accuracy.operating import rates
from detector.accuracy.precision import Ranked, Ranking
from detector.vision.cells import CLASSES

THRESHOLDS = tuple(i / 100 for i in range(1, 100))

_ROUNDING = 1e-6
"""Scores are single-precision numbers of four decimals, which may lie below the threshold that they equal by this."""


@dataclass(frozen=True)
class Curves:
    """One class, with matches at an overlap of 0.5; parallel tuples."""

    recall: tuple[float, ...]
    """The recall levels 0, 0.01 ... 1."""
    precision: tuple[float, ...]
    """Best precision at each level or beyond (Lin et al., ECCV 2014), 0 where it is not reached; its mean is AP50."""
    threshold: tuple[float, ...]
    """`THRESHOLDS`."""
    precision_at: tuple[float | None, ...]
    """Precision of the cells found at each threshold; None where none is."""
    recall_at: tuple[float, ...]
    f1_at: tuple[float, ...]
    operating: float
    """The model's own threshold."""


def curves(ranking: Ranking, operating: Mapping[str, float]) -> dict[str, Curves | None]:
    """Curves by class name; None for a class without labelled cells.

    Args:
        ranking: detections from a score below `THRESHOLDS` on.
        operating: the model's own threshold by class name.
    """
    return {name: _class(ranking, label, operating[name]) for label, name in enumerate(CLASSES)}


def _class(ranking: Ranking, label: int, operating: float) -> Curves | None:
    ranked = ranking.classes[label]
    if not ranked.truth.any():
        return None
    precision, recall, f1 = _at_thresholds(ranked).T[:3].tolist()
    return Curves(
        recall=tuple(ranking.levels.tolist()),
        precision=tuple(ranking.precision[label, 0].tolist()),
        threshold=THRESHOLDS,
        precision_at=tuple(None if np.isnan(p) else p for p in precision),
        recall_at=tuple(recall),
        f1_at=tuple(f1),
        operating=operating,
    )


def _at_thresholds(ranked: Ranked) -> Floats:
    """Rates at each threshold, as `operating.rates` gives them.

    Cells are paired best score first, so pairs at a threshold are those of all detections that reach it.
    """
    found = np.searchsorted(-ranked.score, _ROUNDING - np.array(THRESHOLDS), side="right")
    true = np.concatenate([[0], np.cumsum(ranked.hit[0])])[found]
    numbers = np.stack([true, found - true, ranked.truth.sum() - true, np.zeros(len(found))], axis=1)
    return rates(numbers.astype(np.float64))
