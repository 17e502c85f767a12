"""How far counts agree with truth, field by field or smear by smear, and two counts of the same fields beside each other.

Errors are counted less truth. A figure that is undefined is None: with no truth, or without variance, there is nothing
to agree with, and neither 0 nor 100 % would be right.

Intervals are those of `intervals.bootstrap`, but for four kinds (all chosen by simulation, `benchmarks/bootstrap_coverage.py`):

- MAE of few errors: `intervals.rare`, that of a count.
- Shares of fields: `intervals.share`, which stays open where a bootstrap closes. Twenty fields of twenty counted exactly do not
  show that all are.
- RMSE, of its logarithm, and correlations, of Fisher's z (as Lin does), for their scatter is skewed.
- Limits of agreement: those of bias and of 1.96 s (of its logarithm) put together by MOVER (Zou, Statistical Methods in Medical
  Research 2013; 22:630-642). Bland and Altman's own (1999; 8:135-160), with the standard error s √(1/n + 1.96² / 2(n - 1)), take
  errors to be normal. Errors of counts are mostly 0 with a few larger ones: with 40 fields of platelets theirs hold the limit in
  0.7 of studies, these in 0.93 and more. For their own example of 17 readings these are a tenth wider.

**Two counts.** Both see the same fields, and fields that are hard for one are mostly hard for the other. So the same fields are drawn for
both, and the interval is that of the difference (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, ch. 8): it is mostly much
narrower than two intervals side by side suggest, which may well overlap where the difference is sure.

Where the interval holds 0, these fields do not show which is better; it does not follow that both are equally good. Of many
differences between counts that are equally good, one in twenty has an interval without 0. How often the intervals hold the true
difference was simulated (`benchmarks/bootstrap_coverage.py`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detector.accuracy.intervals import (
    NO_BOUNDS,
    SHARES_APART,
    Floats,
    bootstrap,
    divide,
    rare,
    resamples,
    share,
    standard_error,
    student,
    units,
)
from detector.counting.intervals import Interval
from detector.vision.boxes import Boxes

BORDER_SHARE = 0.015
"""Width of the border zone as a share of the field's side: a cell whose box comes nearer to an edge is not clear of it."""

Z = 1.959963984540054
"""The 97.5 % quantile of the normal distribution, for limits that hold 95 % of differences."""


@dataclass(frozen=True)
class Agreement:
    """Counts of one class against truth over fields; unless said otherwise in cells per field."""

    fields: int
    counted: float
    """Cells counted in all fields; an int where it is a whole number."""
    truth: float
    """Cells that there are; an int where it is a whole number."""
    mae: Interval | None
    """Mean absolute error."""
    rmse: Interval | None
    """Root of the mean squared error."""
    bias: Interval | None
    """Mean error; positive where too many are counted."""
    pooled_accuracy: Interval | None
    """1 - |Σ counted - Σ truth| / Σ truth, a share; may be negative. It flatters: a cell missed in one field and one too many in
    another cancel, so counts that are wrong in every field can score 1, and a constant baseline comes near to it."""
    exact: Interval | None
    """Share of fields counted without error; None where a count is no whole number."""
    within_one: Interval | None
    """Share of fields in which the error is one cell at most; None where a count is no whole number."""
    loa_low: Interval | None
    """Lower limit of agreement, bias - 1.96 s of the errors (Bland and Altman, Lancet 1986; 327:307-310)."""
    loa_high: Interval | None
    """Upper limit of agreement."""
    pearson_r: Interval | None
    """Pearson's correlation: it does not see a constant or proportional error."""
    concordance: Interval | None
    """Lin's concordance correlation, which does (Biometrics 1989; 45:255-268)."""


_BOUNDS = {"mae": (0.0, np.inf), "bias": NO_BOUNDS, "pooled_accuracy": (-np.inf, 1.0)}
"""Figures whose intervals are `intervals.bootstrap`'s, with the least and greatest value that each can have."""


def agreement(counted: Sequence[float], truth: Sequence[float], groups: Sequence[str] | None = None) -> Agreement:
    """Compare counts of one class with truth, fields in the same order; intervals by bootstrap over fields.

    Args:
        groups: the smear of each field; where there are two or more, the bootstrap is over smears (`intervals.resamples`).

    Raises:
        ValueError: the lengths differ.
    """
    p, t = np.asarray(counted, dtype=np.float64), np.asarray(truth, dtype=np.float64)
    if p.shape != t.shape:
        raise ValueError(f"counted and truth must be of the same fields, got {len(p)} and {len(t)}")
    value = {name: float(values[0]) for name, values in statistics(np.ones((1, len(p))), p, t).items()}
    drawn = statistics(resamples(len(p), groups=groups), p, t)
    n = units(len(p), groups)
    figures = {name: bootstrap(value[name], drawn[name], n, bounds) for name, bounds in _BOUNDS.items()}
    figures["mae"] = rare(np.abs(p - t), groups) or figures["mae"]
    right = {"exact": p == t, "within_one": np.abs(p - t) <= 1} if whole(p, t) else {}
    shares = {name: share(hits.astype(np.int64), (~hits).astype(np.int64), groups) for name, hits in right.items()}
    return Agreement(
        fields=len(p),
        counted=_sum(p),
        truth=_sum(t),
        rmse=_on_scale(np.log, np.exp, value["rmse"], drawn["rmse"], n),
        pearson_r=_on_scale(np.arctanh, np.tanh, value["pearson_r"], drawn["pearson_r"], n),
        concordance=_on_scale(np.arctanh, np.tanh, value["concordance"], drawn["concordance"], n),
        **figures,
        **dict.fromkeys(("exact", "within_one")) | shares,
        **_limits(value, drawn, n),
    )


def whole(*counts: Floats) -> bool:
    """Whether all are whole numbers: of means and of concentrations none is right to the cell but by chance."""
    return all(bool((numbers == np.round(numbers)).all()) for numbers in counts)


def statistics(weights: Floats, p: Floats, t: Floats) -> dict[str, Floats]:
    """Figures of counts `p` against truth `t`, both of shape (fields,), in samples with `weights` of shape (samples, fields).

    Each of shape (samples,), nan where undefined; `half` is half the distance between the limits of agreement. Whole numbers
    are summed exactly.
    """
    error = p - t
    # Centred, so that large numbers lose no digits when squared.
    a, b = (x - np.round(np.median(x)) if len(x) else x for x in (p, t))
    n = weights.sum(axis=1)
    sum_a, sum_b, sum_t, sum_e = (weights @ x for x in (a, b, t, error))
    sum_a2, sum_b2, sum_e2 = (weights @ x**2 for x in (a, b, error))
    var_a, var_b = (_positive(n * squares - total**2, n * squares) for squares, total in ((sum_a2, sum_a), (sum_b2, sum_b)))
    covariance = n * (weights @ (a * b)) - sum_a * sum_b
    vary = (var_a > 0) & (var_b > 0)
    return {
        "mae": divide(weights @ np.abs(error), n),
        "rmse": np.sqrt(divide(sum_e2, n)),
        "bias": divide(sum_e, n),
        "half": Z * np.sqrt(divide(_positive(n * sum_e2 - sum_e**2, n * sum_e2), n * (n - 1))),
        "pooled_accuracy": 1 - divide(np.abs(sum_e), sum_t),
        "pearson_r": _correlation(divide(covariance, np.where(vary, np.sqrt(var_a * var_b), 0.0))),
        "concordance": _correlation(divide(2 * covariance, np.where(vary, var_a + var_b + sum_e**2, 0.0))),
    }


def _correlation(value: Floats) -> Floats:
    # Rounding may carry one beyond 1, or leave it short of 1 where all pairs are equal.
    return np.where(np.abs(value) > 1 - 1e-12, np.sign(value), value)


def _positive(difference: Floats, minuend: Floats) -> Floats:
    """A difference that is not negative, 0 where it is no more than the rounding of its minuend."""
    return np.where(difference > 1e-12 * minuend, difference, 0.0)


def _on_scale(to: np.ufunc, back: np.ufunc, value: float, drawn: Floats, n: int) -> Interval | None:
    """A figure whose interval is found on another scale; none where it or many samples lie beyond that scale's ends."""
    if not np.isfinite(value):
        return None
    with np.errstate(divide="ignore"):
        centre, spread = float(to(value)), standard_error(to(drawn), n)
    if not np.isfinite(centre) or spread is None:
        return Interval(value)
    half = student(n) * spread
    return Interval(value, float(back(centre - half)), float(back(centre + half)))


def _limits(value: Mapping[str, float], drawn: Mapping[str, Floats], n: int) -> dict[str, Interval | None]:
    bias, half = value["bias"], value["half"]
    if not np.isfinite(half):
        return {"loa_low": None, "loa_high": None}
    with np.errstate(divide="ignore"):
        of_bias, of_half = standard_error(drawn["bias"], n), standard_error(np.log(drawn["half"]), n)
    if half == 0 or of_bias is None or of_half is None:
        return {"loa_low": Interval(bias - half), "loa_high": Interval(bias + half)}
    factor = float(np.exp(student(n) * of_half))
    inner = float(np.hypot(student(n) * of_bias, half - half / factor))
    outer = float(np.hypot(student(n) * of_bias, half * factor - half))
    low, high = bias - half, bias + half
    return {"loa_low": Interval(low, low - outer, low + inner), "loa_high": Interval(high, high - inner, high + outer)}


def _sum(values: Floats) -> float:
    """The sum, an int where it is a whole number."""
    total = float(f"{values.sum():.12g}")
    return int(total) if total.is_integer() else total


_DIFFERENCE_BOUNDS = {"exact": SHARES_APART, "within_one": SHARES_APART, "concordance": (-2.0, 2.0)}
"""Least and greatest value of the differences that have one."""


@dataclass(frozen=True)
class Differences:
    """Figures of counts a less those of counts b, for one class; None where a figure is undefined for one of them.

    An error that is negative, or a share or concordance that is positive, is in favour of a.
    """

    fields: int
    """Fields, or smears, that both have counted and for which there is truth."""
    a_nearer: int
    """Fields in which a is nearer to the truth."""
    b_nearer: int
    """Fields in which b is."""
    mae: Interval | None
    """Mean absolute error, in cells per field."""
    rmse: Interval | None
    """Root of the mean squared error, in cells per field."""
    bias: Interval | None
    """Mean error: how many cells a counts more per field than b."""
    bias_size: Interval | None
    """Mean error without its sign. Its interval is somewhat too narrow (it holds the true difference in 0.87 of studies and more), for
    near 0 the size of a bias does not scatter evenly. MAE tells more surely which is better."""
    exact: Interval | None
    """Share of fields counted without error; None where a count is no whole number."""
    within_one: Interval | None
    """Share of fields in which the error is one cell at most; None where a count is no whole number."""
    concordance: Interval | None
    """Lin's concordance correlation."""


def differences(
    a: Sequence[float], b: Sequence[float], truth: Sequence[float], groups: Sequence[str] | None = None
) -> Differences:
    """Compare two counts of one class with truth, fields in the same order.

    Args:
        groups: the smear of each field; where there are two or more, the bootstrap is over smears.

    Raises:
        ValueError: the lengths differ.
    """
    x, y, t = (np.asarray(counts, dtype=np.float64) for counts in (a, b, truth))
    if not x.shape == y.shape == t.shape:
        raise ValueError(f"a, b and truth must be of the same fields, got {len(x)}, {len(y)} and {len(t)}")
    value = _apart(np.ones((1, len(t))), x, y, t)
    drawn = _apart(resamples(len(t), groups=groups), x, y, t)
    n = units(len(t), groups)
    nearer = np.sign(np.abs(x - t) - np.abs(y - t))
    return Differences(
        fields=len(t),
        a_nearer=int((nearer < 0).sum()),
        b_nearer=int((nearer > 0).sum()),
        **{
            name: bootstrap(float(values[0]), drawn[name], n, _DIFFERENCE_BOUNDS.get(name, NO_BOUNDS))
            for name, values in value.items()
        },
    )


def _apart(weights: Floats, x: Floats, y: Floats, t: Floats) -> dict[str, Floats]:
    of_x, of_y = (_errors_and_shares(weights, side, t, whole(x, y, t)) for side in (x, y))
    return {name: of_x[name] - of_y[name] for name in of_x}


def _errors_and_shares(weights: Floats, p: Floats, t: Floats, in_cells: bool) -> dict[str, Floats]:
    figures, n = statistics(weights, p, t), weights.sum(axis=1) if in_cells else np.zeros(len(weights))
    return {
        "mae": figures["mae"],
        "rmse": figures["rmse"],
        "bias": figures["bias"],
        "bias_size": np.abs(figures["bias"]),
        "exact": divide(weights @ (p == t), n),
        "within_one": divide(weights @ (np.abs(p - t) <= 1), n),
        "concordance": figures["concordance"],
    }


def clear_of_border_zone(xyxy: Boxes, size_wh: tuple[int, int], share: float = BORDER_SHARE) -> NDArray[np.bool_]:
    """Which boxes have no edge within `share` of the field's width or height from its border; of shape (n,).

    The zone is wider than what `boxes.clear_of_border` leaves out. Labels of cut cells differ from one annotator to the next, so counts
    are compared with them and without.
    """
    w, h = size_wh
    gap = np.stack([xyxy[:, 0] / w, xyxy[:, 1] / h, 1 - xyxy[:, 2] / w, 1 - xyxy[:, 3] / h], axis=1)
    return np.asarray(gap.min(axis=1, initial=np.inf) > share)
