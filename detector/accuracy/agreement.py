"""How far counts agree with truth, field by field.

Errors are counted less truth. A figure that is undefined is None: with no truth, or without variance, there is nothing
to agree with, and neither 0 nor 100 % would be right.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detector.accuracy.bootstrap import Figure, Floats, divide, figure, resamples
from detector.vision.boxes import Boxes

BORDER_SHARE = 0.015
"""A cell whose box comes nearer to an edge than this share of the field's side is not clear of the border."""

Z = 1.959963984540054
"""The 97.5 % quantile of the normal distribution, for limits that hold 95 % of differences."""


@dataclass(frozen=True)
class Agreement:
    """Counts of one class against truth over fields; unless said otherwise in cells per field."""

    fields: int
    counted: int
    """Cells counted in all fields."""
    truth: int
    """Cells that there are."""
    mae: Figure | None
    """Mean absolute error."""
    rmse: Figure | None
    """Root of the mean squared error."""
    bias: Figure | None
    """Mean error; positive where too many are counted."""
    pooled_accuracy: Figure | None
    """1 - |Σ counted - Σ truth| / Σ truth, a share; may be negative. It flatters: a cell missed in one field and one too many in
    another cancel, so counts that are wrong in every field can score 1, and a guess that never looks comes near to it."""
    exact: Figure | None
    """Share of fields counted without error."""
    within_one: Figure | None
    """Share of fields in which the error is one cell at most."""
    loa_low: Figure | None
    """Lower limit of agreement, bias - 1.96 s of the errors (Bland and Altman, Lancet 1986; 327:307-310)."""
    loa_high: Figure | None
    """Upper limit of agreement."""
    pearson_r: Figure | None
    """Pearson's correlation: it does not see a constant or proportional error."""
    concordance: Figure | None
    """Lin's concordance correlation, which does (Biometrics 1989; 45:255-268)."""


_FIGURES = (
    "mae", "rmse", "bias", "pooled_accuracy", "exact", "within_one", "loa_low", "loa_high", "pearson_r", "concordance",
)  # fmt: skip


def agreement(counted: Sequence[int], truth: Sequence[int], groups: Sequence[str] | None = None) -> Agreement:
    """Compare counts of one class with truth, fields in the same order; intervals by bootstrap over fields.

    Args:
        groups: the smear of each field; where there are two or more, the bootstrap is over smears (`bootstrap.resamples`).

    Raises:
        ValueError: the lengths differ.
    """
    p, t = np.asarray(counted, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    if p.shape != t.shape:
        raise ValueError(f"counted and truth must be of the same fields, got {len(p)} and {len(t)}")
    value = _statistics(np.ones((1, len(p))), p, t)
    drawn = _statistics(resamples(len(p), groups=groups), p, t)
    figures = {name: figure(float(value[name][0]), drawn[name]) for name in _FIGURES}
    return Agreement(len(p), int(p.sum()), int(t.sum()), **figures)


def _statistics(weights: Floats, p: Floats, t: Floats) -> dict[str, Floats]:
    """Each figure in each sample, of shape (samples,), from sums of whole numbers, which are exact; nan where undefined."""
    error = p - t
    n = weights.sum(axis=1)
    sum_p, sum_t, sum_e, sum_e2 = (weights @ x for x in (p, t, error, error**2))
    var_p, var_t = n * (weights @ p**2) - sum_p**2, n * (weights @ t**2) - sum_t**2
    covariance = n * (weights @ (p * t)) - sum_p * sum_t
    vary = (var_p > 0) & (var_t > 0)
    half = Z * np.sqrt(divide(n * sum_e2 - sum_e**2, n * (n - 1)))
    bias = divide(sum_e, n)
    return {
        "mae": divide(weights @ np.abs(error), n),
        "rmse": np.sqrt(divide(sum_e2, n)),
        "bias": bias,
        "pooled_accuracy": 1 - divide(np.abs(sum_e), sum_t),
        "exact": divide(weights @ (error == 0), n),
        "within_one": divide(weights @ (np.abs(error) <= 1), n),
        "loa_low": bias - half,
        "loa_high": bias + half,
        "pearson_r": divide(covariance, np.where(vary, np.sqrt(var_p * var_t), 0.0)),
        "concordance": divide(2 * covariance, np.where(vary, var_p + var_t + sum_e**2, 0.0)),
    }


def clear_of_border(xyxy: Boxes, size_wh: tuple[int, int], share: float = BORDER_SHARE) -> NDArray[np.bool_]:
    """Which boxes have no edge within `share` of the field's width or height from its border; of shape (n,).

    Labels of cut cells differ from one annotator to the next, so counts are compared with them and without.
    """
    w, h = size_wh
    gap = np.stack([xyxy[:, 0] / w, xyxy[:, 1] / h, 1 - xyxy[:, 2] / w, 1 - xyxy[:, 3] / h], axis=1)
    return np.asarray(gap.min(axis=1, initial=np.inf) > share)


def constant_guess(train_counts: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """The guess that never looks: the median count of each class over training fields, in whole cells.

    A figure that does not beat it is worth nothing. `train_counts` is one row of counts a field.

    Raises:
        ValueError: there is no field.
    """
    if not len(train_counts):
        raise ValueError("a constant guess needs the counts of at least one field")
    return tuple(round(float(m)) for m in np.median(np.asarray(train_counts), axis=0))
