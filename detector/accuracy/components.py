"""Precision: how far readings of the same samples scatter, and how much of that lies between days and between runs of a day.

Readings are nested: readings in runs, runs in days (CLSI EP05: 20 days of 2 runs of 2 readings; EP15: 5 days of 5 readings). Components
of variance are those of the analysis of variance: each mean square is set equal to its expectation (Searle, Casella and McCulloch,
Variance Components, 1992, ch. 5), which also holds where days have not equally many readings. A negative component is set to 0, as
EP05 does.

Limits of a standard deviation are those of chi-squared, with the degrees of freedom of Satterthwaite (Biometrics Bulletin 1946; 2:110-114)
for sums of components. Limits of a CV take the mean for known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from detector.accuracy.intervals import LEVEL, Floats
from detector.counting.intervals import Interval

REPEATABILITY = "repeatability"
"""Name of the component between readings of one run."""


class NoRepeatsError(ValueError):
    """No precision can be told; the message says why, of the readings."""


@dataclass(frozen=True)
class Spread:
    """Scatter of single readings."""

    sd: Interval
    """Standard deviation, in the readings' unit; without limits where it is 0."""
    cv: Interval | None
    """The same over the mean; None where the mean is 0."""
    degrees: float
    """Degrees of freedom."""


@dataclass(frozen=True)
class Precision:
    """How readings of one sample scatter."""

    readings: int
    groups: Mapping[str, int]
    """Number of days, and of runs, as far as they are told apart."""
    mean: float
    variances: Mapping[str, float]
    """Component of variance of each group and of `REPEATABILITY`, outermost first; none is negative. Where each of the innermost
    groups holds one reading, its component is that between them and what lies within, which cannot be told apart."""
    repeatability: Spread | None
    """Of readings in one run; None where none was repeated."""
    within_laboratory: Spread
    """Of readings on any day: all components together."""


def components(readings: Sequence[float], groups: Mapping[str, Sequence[str]] | None = None) -> Precision:
    """Precision from readings of one sample.

    Args:
        readings: of shape (n,).
        groups: for each reading its day, its run and so on, outermost first; a run's name may come again on another day. Groups
            that are as many as those around them, such as one run each day, are not told apart.

    Raises:
        NoRepeatsError: there is one reading only.
    """
    y = np.asarray(readings, np.float64)
    names, numbers = _nested(groups or {}, len(y))
    if len(y) < 2:
        raise NoRepeatsError("was counted once; at least two counts are needed")
    finest = REPEATABILITY
    while _groups(numbers[-1]) == len(y):
        finest = names.pop()
        numbers.pop()
    sums, degrees = _analysis(y, numbers)
    mean_squares = sums / degrees
    # Row k: the components' variances as sums of mean squares.
    of_squares = np.linalg.inv(_expectations(numbers) / degrees[:, None])
    estimates = of_squares @ mean_squares
    kept = estimates > 1e-12 * max(float(mean_squares.max()), 0.0)
    variances = np.where(kept, estimates, 0.0)
    shares = of_squares[kept].sum(axis=0)
    mean = float(y.mean())
    return Precision(
        len(y),
        dict(zip(names, map(_groups, numbers[1:]), strict=True)) | ({} if finest == REPEATABILITY else {finest: len(y)}),
        mean,
        dict(zip((*names, finest), variances.tolist(), strict=True)),
        _spread(float(variances[-1]), float(degrees[-1]), mean) if finest == REPEATABILITY else None,
        _spread(float(variances.sum()), _satterthwaite(shares * mean_squares, degrees), mean),
    )


Numbers = NDArray[np.int64]


def _nested(groups: Mapping[str, Sequence[str]], readings: int) -> tuple[list[str], list[Numbers]]:
    """Names of the groups that are told apart, and the number of each reading's group, from the whole inwards."""
    names, numbers = [], [np.zeros(readings, np.int64)]
    for name, labels in groups.items():
        inner = np.unique([f"{outer}\0{label}" for outer, label in zip(numbers[-1], labels, strict=True)], return_inverse=True)[1]
        if _groups(inner) > _groups(numbers[-1]):
            names.append(name)
            numbers.append(np.asarray(inner, np.int64))
    return names, numbers


def _groups(numbers: Numbers) -> int:
    return int(numbers.max()) + 1


def _analysis(y: Floats, numbers: Sequence[Numbers]) -> tuple[Floats, Floats]:
    """Sums of squares and degrees of freedom of each group within the one around it, and of readings within the innermost."""
    means = [(np.bincount(group, y) / np.bincount(group))[group] for group in numbers] + [y]
    sums = [float(((inner - outer) ** 2).sum()) for outer, inner in pairwise(means)]
    sizes = [*map(_groups, numbers), len(y)]
    return np.array(sums), np.diff(sizes).astype(np.float64)


def _expectations(numbers: Sequence[Numbers]) -> Floats:
    """How often each component (column) is expected in each sum of squares (row)."""
    inner = [*numbers[1:], np.arange(len(numbers[0]))]
    within = np.array([[_overlap(component, group) for component in inner] for group in (*numbers, inner[-1])])
    return np.diff(within, axis=0)


def _overlap(component: Numbers, group: Numbers) -> float:
    """The trace of the component's indicators projected onto the means of a group."""
    table = np.zeros((_groups(component), _groups(group)))
    np.add.at(table, (component, group), 1)
    return float((table**2 / table.sum(axis=0)).sum())


def _satterthwaite(parts: Floats, degrees: Floats) -> float:
    spread = float((parts**2 / degrees).sum())
    return float(parts.sum()) ** 2 / spread if spread else float(degrees.sum())


def _spread(variance: float, degrees: float, mean: float) -> Spread:
    value = variance**0.5
    if not value:
        sd = Interval(0.0)
    else:
        low, high = (value * (degrees / float(stats.chi2.ppf(q, degrees))) ** 0.5 for q in ((1 + LEVEL) / 2, (1 - LEVEL) / 2))
        sd = Interval(value, low, high)
    return Spread(sd, sd.times(1 / mean) if mean > 0 else None, degrees)


def pooled_cv(precisions: Sequence[Precision]) -> Interval | None:
    """Repeatability CV over several samples: the root of the mean squared CV, weighted by degrees of freedom; None without one."""
    spreads = [precision.repeatability for precision in precisions]
    known = [(spread.cv.value, spread.degrees) for spread in spreads if spread is not None and spread.cv is not None]
    if not known:
        return None
    degrees = sum(d for _, d in known)
    return _spread(sum(cv**2 * d for cv, d in known) / degrees, degrees, 1.0).sd
