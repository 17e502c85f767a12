"""A method beside a comparative one, both with errors: straight lines, and the bias at levels that decide.

**Passing and Bablok** (J. Clin. Chem. Clin. Biochem. 1983; 21:709-720): the slope is the median of the slopes of all pairs, those below
-1 taken for steeper than all others, and the intercept the median of y - slope x. It asks nothing of how errors are distributed, and
bears outliers. The limits of slope and intercept are those of the paper; the limits of the bias, the quantiles of `SAMPLES` bootstrap
samples. Their CUSUM test says whether the points bend away from the line.

**Deming** (Linnet, Clin. Chem. 1993; 39:424-432): least squares with errors on both sides, of equal variance unless `error_ratio` says
otherwise. All limits are those of the jackknife with Student's t and n - 2 degrees of freedom, as CLSI EP09 names it.

CLSI EP09 asks for 40 samples that span the measuring interval.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import special, stats

from detector.accuracy.intervals import LEVEL, SEED, Floats
from detector.counting.intervals import Interval

FEWEST = 10
"""Samples from which on lines are fitted."""
ENOUGH = 40
"""Samples that EP09 asks for."""
SAMPLES = 1000
_MOST_WEIGHTS = 200_000_000
"""Pairs times bootstrap samples; many pairs are resampled less often, so that this takes seconds."""
_LEAST_SAMPLES = 200
_BENT = 1.36
"""The 95 % quantile of the Kolmogorov-Smirnov statistic, for the CUSUM test."""
_LEAST_CORRELATION = 0.975
"""Below this, EP09 says, the values span too little for ordinary regression; Deming and Passing-Bablok stay sound but wide."""

Ints = NDArray[np.int64]


class UnfitError(ValueError):
    """No line can be fitted; the message says why, of the values."""


@dataclass(frozen=True)
class Line:
    """A straight line, test = intercept + slope x comparative."""

    slope: Interval
    intercept: Interval
    """In the values' unit."""
    bias: Mapping[float, Interval]
    """How much more the test method gives at each level, in the values' unit."""


@dataclass(frozen=True)
class Factor:
    """What leads from one method's values to the other's, for both rise in proportion."""

    samples: int
    factor: Interval
    """The geometric mean of other / one, which weighs samples alike whatever their size; its limits are Student's, of the logarithms."""
    of_another: Interval
    """The other's value of a further sample over what the factor makes of it: about 1, with the limits that hold 95 % of samples."""
    without: Sequence[float]
    """What the factor of all other samples makes of each sample, in the other's unit."""


@dataclass(frozen=True)
class MethodComparison:
    """One quantity by two methods."""

    samples: int
    low: float
    """Least value of the comparative method."""
    high: float
    passing_bablok: Line
    deming: Line
    linear: bool
    """Whether the CUSUM test finds no bend, at the level of 5 %."""
    correlation: float
    """Pearson's r."""
    remarks: Sequence[str]
    """What limits the use of these figures."""


def compare_methods(
    comparative: Sequence[float], test: Sequence[float], levels: Sequence[float] = (), error_ratio: float = 1.0
) -> MethodComparison:
    """Compare two methods on the same samples, in the same unit.

    Args:
        comparative: values of the method that is compared with, of shape (samples,).
        test: values of the method to judge, in the same order.
        levels: values of the comparative method at which the bias is wanted; without any, its quartiles.
        error_ratio: variance of the comparative method's error over that of the test method's.

    Raises:
        UnfitError: there are too few samples, or the values do not rise together.
    """
    x, y = np.asarray(comparative, np.float64), np.asarray(test, np.float64)
    _check(x, y)
    at = [float(level) for level in levels] or [float(f"{level:.3g}") for level in np.quantile(x, (0.25, 0.5, 0.75))]
    by_ranks = passing_bablok(x, y, at)
    correlation = float(np.corrcoef(x, y)[0, 1])
    linear = not bends(x, y, by_ranks.slope.value, by_ranks.intercept.value)
    return MethodComparison(
        len(x),
        float(x.min()),
        float(x.max()),
        by_ranks,
        deming(x, y, at, error_ratio),
        linear,
        correlation,
        _remarks(x, at, linear, correlation),
    )


def _check(x: Floats, y: Floats) -> None:
    if len(x) < FEWEST:
        raise UnfitError(
            f"{len(x)} samples have a value by both methods; at least {FEWEST} are needed, and EP09 asks for {ENOUGH}"
        )
    for values, whose in ((x, "comparative"), (y, "test")):
        if np.ptp(values) == 0:
            raise UnfitError(f"all values of the {whose} method are {values[0]:g}; a line needs samples that differ")
    if stats.kendalltau(x, y).statistic <= 0:
        raise UnfitError(
            "the values of the two methods do not rise together, so that no line relates them; check the names of samples"
        )


def _remarks(x: Floats, levels: Sequence[float], linear: bool, correlation: float) -> list[str]:
    outside = [f"{level:g}" for level in levels if not x.min() <= level <= x.max()]
    remarks = [
        (len(x) < ENOUGH, f"{len(x)} samples; EP09 asks for {ENOUGH} or more"),
        (not linear, "the points bend away from a straight line (CUSUM test), so that its bias can be wrong at any level"),
        (
            correlation < _LEAST_CORRELATION,
            f"correlation {correlation:.3f}, below {_LEAST_CORRELATION}: the samples span too little",
        ),
        (bool(outside), f"outside the values measured ({x.min():g} to {x.max():g}): {', '.join(outside)}"),
    ]
    return [text for holds, text in remarks if holds]


def proportion(one: Sequence[float], other: Sequence[float]) -> Factor:
    """The factor from values of one method to those of another, on the same samples; all are above 0.

    Raises:
        UnfitError: there are fewer than `FEWEST` samples, or those of one method are all alike.
    """
    x, y = np.asarray(one, np.float64), np.asarray(other, np.float64)
    if len(x) < FEWEST:
        raise UnfitError(f"{len(x)} smears have both a count and a value of the analyser; at least {FEWEST} are needed")
    for values, whose in ((x, "counts"), (y, "values of the analyser")):
        if np.ptp(values) == 0:
            raise UnfitError(f"all {whose} are {values[0]:g}; a factor needs smears that differ")
    n, logs = len(x), np.log(y / x)
    mean, sd = float(logs.mean()), float(logs.std(ddof=1))
    half = float(special.stdtrit(n - 1, (1 + LEVEL) / 2)) * sd
    of_mean, of_one = half / n**0.5, half * (1 + 1 / n) ** 0.5
    return Factor(
        n,
        Interval(mean, mean - of_mean, mean + of_mean).mapped(math.exp),
        Interval(0.0, -of_one, of_one).mapped(math.exp),
        (x * np.exp((logs.sum() - logs) / (n - 1))).tolist(),
    )


def passing_bablok(x: Floats, y: Floats, levels: Sequence[float] = ()) -> Line:
    """The line of Passing and Bablok through points x, y of shape (n,).

    Raises:
        UnfitError: the median slope is not a positive number.
    """
    slopes, i, j = _ordered_slopes(x, y)
    n, pairs = len(x), len(slopes)
    middle = _middle(slopes, np.ones(pairs, np.int64))
    if not 0 < middle < np.inf:
        raise UnfitError("the median slope is not positive; more samples, or samples that differ more, are needed")
    half = float(special.ndtri((1 + LEVEL) / 2)) * np.sqrt(n * (n - 1) * (2 * n + 5) / 18)
    first = max(round((pairs - half) / 2), 1)
    low, high = float(slopes[first - 1]), float(slopes[pairs - first])
    # A slope below -1 stands for one beyond the vertical.
    high = high if high >= low else np.inf
    slope = Interval(middle, low, high)
    value, least, most = (float(np.median(y - b * x)) if np.isfinite(b) else -np.inf for b in (middle, high, low))
    drawn = _resampled(x, y, (slopes, i, j))
    bias = {level: _with_quantiles(value + (middle - 1) * level, drawn[:, 0] + (drawn[:, 1] - 1) * level) for level in levels}
    return Line(slope, Interval(value, least, most), bias)


def _ordered_slopes(x: Floats, y: Floats) -> tuple[Floats, Ints, Ints]:
    """Slopes of all pairs but those of equal points and of slope -1, with the numbers of their points.

    From just above -1 over the vertical to just below -1, so that the shifted median of the paper is the middle one.
    """
    i, j = np.triu_indices(len(x), 1)
    dx, dy = x[j] - x[i], y[j] - y[i]
    with np.errstate(divide="ignore", invalid="ignore"):
        slopes = np.where(dx == 0, np.where(dy == 0, np.nan, np.inf), dy / dx)
    kept = ~(np.isnan(slopes) | (slopes == -1))
    slopes, i, j = slopes[kept], i[kept], j[kept]
    order = np.lexsort((slopes, slopes < -1))
    return slopes[order], i[order], j[order]


def _middle(slopes: Floats, weights: Ints) -> float:
    """The median of slopes in their order, each as often as its weight says."""
    places = np.cumsum(weights)
    total = int(places[-1])
    if not total:
        return float("nan")
    lower, upper = np.searchsorted(places, [(total + 1) // 2, total // 2 + 1])
    return float(slopes[lower] + slopes[upper]) / 2


def _resampled(x: Floats, y: Floats, pairs: tuple[Floats, Ints, Ints]) -> Floats:
    """Intercept and slope in bootstrap samples, of shape (samples, 2)."""
    slopes, i, j = pairs
    n = len(x)
    samples = int(np.clip(_MOST_WEIGHTS // max(len(slopes), 1), _LEAST_SAMPLES, SAMPLES))
    times = np.random.default_rng(SEED).multinomial(n, np.full(n, 1 / n), size=samples)
    lines = np.empty((samples, 2))
    for row, drawn in zip(lines, times, strict=True):
        slope = _middle(slopes, drawn[i] * drawn[j])
        row[:] = (np.median(np.repeat(y - slope * x, drawn)) if np.isfinite(slope) else np.nan), slope
    return lines


def _with_quantiles(value: float, drawn: Floats) -> Interval:
    defined = drawn[np.isfinite(drawn)]
    low, high = np.quantile(defined, ((1 - LEVEL) / 2, (1 + LEVEL) / 2)) if len(defined) else (np.nan, np.nan)
    return Interval(value, float(low), float(high)) if len(defined) >= LEVEL * len(drawn) else Interval(value)


def bends(x: Floats, y: Floats, slope: float, intercept: float) -> bool:
    """Whether the points bend away from a line of positive slope, by Passing and Bablok's CUSUM test at the level of 5 %."""
    residual = y - intercept - slope * x
    above, below = residual > 0, residual < 0
    number_above, number_below = int(above.sum()), int(below.sum())
    if not number_above or not number_below:
        return False
    score = above * np.sqrt(number_below / number_above) - below * np.sqrt(number_above / number_below)
    along = np.argsort(y + x / slope, kind="stable")
    furthest = float(np.abs(np.cumsum(score[along])).max())
    return bool(furthest / np.sqrt(number_below + 1) > _BENT)


def deming(x: Floats, y: Floats, levels: Sequence[float] = (), error_ratio: float = 1.0) -> Line:
    """Deming's line through points x, y of shape (n,); `error_ratio` is the variance of x's error over that of y's.

    Raises:
        UnfitError: x and y do not vary together.
    """
    n = len(x)
    whole = _deming(np.ones((1, n)), x, y, error_ratio)[0]
    if not np.isfinite(whole).all():
        raise UnfitError("the values of the two methods do not vary together")
    left_out = _deming(1 - np.eye(n), x, y, error_ratio)

    def interval(of_intercept: float, of_slope: float, less: float = 0.0) -> Interval:
        of = np.array([of_intercept, of_slope])
        value = float(of @ whole) - less
        pseudo = n * value - (n - 1) * (left_out @ of - less)
        half = float(special.stdtrit(n - 2, (1 + LEVEL) / 2)) * float(np.std(pseudo, ddof=1)) / np.sqrt(n)
        return Interval(value, value - half, value + half) if np.isfinite(half) else Interval(value)

    return Line(interval(0, 1), interval(1, 0), {level: interval(1, level, less=level) for level in levels})


def _deming(weights: Floats, x: Floats, y: Floats, error_ratio: float) -> Floats:
    """Intercept and slope in samples with `weights` of shape (samples, n); of shape (samples, 2), nan where undefined."""
    n = weights.sum(axis=1)
    # Centred, so that large numbers lose no digits when squared.
    a, b = x - x.mean(), y - y.mean()
    mean_a, mean_b = weights @ a / n, weights @ b / n
    of_a, of_b = weights @ a**2 - n * mean_a**2, weights @ b**2 - n * mean_b**2
    both = weights @ (a * b) - n * mean_a * mean_b
    apart = error_ratio * of_b - of_a
    with np.errstate(divide="ignore", invalid="ignore"):
        slope = (apart + np.sqrt(apart**2 + 4 * error_ratio * both**2)) / (2 * error_ratio * both)
    return np.column_stack([y.mean() + mean_b - slope * (x.mean() + mean_a), slope])
