"""Two counts of the same fields against the same truth: by how much one is better, and whether that is more than chance.

Both counts see the same fields, and fields that are hard for one are mostly hard for the other. So the same fields are drawn for both,
and the interval is that of the difference (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, ch. 8): it is mostly much
narrower than two intervals side by side suggest, which may well overlap where the difference is sure.

Where the interval holds 0, these fields do not show which is better; it does not follow that both are equally good. Of many
differences between counts that are equally good, one in twenty has an interval without 0. How often the intervals hold the true
difference was simulated (`benchmarks/bootstrap_coverage.py`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from detector.accuracy.agreement import statistics, whole
from detector.accuracy.bootstrap import NO_BOUNDS, SHARES_APART, Floats, divide, figure, resamples, units
from detector.counting.intervals import Interval

_BOUNDS = {"exact": SHARES_APART, "within_one": SHARES_APART, "concordance": (-2.0, 2.0)}
"""Least and greatest value of the differences that have one."""

Difference = Interval
"""A figure of a less that of b, with its 95 % interval."""


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
    mae: Difference | None
    """Mean absolute error, in cells per field."""
    rmse: Difference | None
    """Root of the mean squared error, in cells per field."""
    bias: Difference | None
    """Mean error: how many cells a counts more per field than b."""
    bias_size: Difference | None
    """Mean error without its sign. Its interval is somewhat too narrow (it holds the true difference in 0.87 of studies and more), for
    near 0 the size of a bias does not scatter evenly. MAE tells more surely which is better."""
    exact: Difference | None
    """Share of fields counted without error; None where a count is no whole number."""
    within_one: Difference | None
    """Share of fields in which the error is one cell at most; None where a count is no whole number."""
    concordance: Difference | None
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
        **{name: figure(float(of[0]), drawn[name], n, _BOUNDS.get(name, NO_BOUNDS)) for name, of in value.items()},
    )


def _apart(weights: Floats, x: Floats, y: Floats, t: Floats) -> dict[str, Floats]:
    of_x, of_y = (_figures(weights, side, t, whole(x, y, t)) for side in (x, y))
    return {name: of_x[name] - of_y[name] for name in of_x}


def _figures(weights: Floats, p: Floats, t: Floats, in_cells: bool) -> dict[str, Floats]:
    of, n = statistics(weights, p, t), weights.sum(axis=1) if in_cells else np.zeros(len(weights))
    return {
        "mae": of["mae"],
        "rmse": of["rmse"],
        "bias": of["bias"],
        "bias_size": np.abs(of["bias"]),
        "exact": divide(weights @ (p == t), n),
        "within_one": divide(weights @ (np.abs(p - t) <= 1), n),
        "concordance": of["concordance"],
    }
