"""Figures with intervals by resampling fields, or whole smears.

The percentile bootstrap (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, ch. 13) over fields: cells of one
field are not independent, so whole fields are drawn; nor are fields of one smear, so where there are several smears, whole
smears are (Davison and Hinkley, Bootstrap Methods and their Application, 1997, 3.8). A drawn sample is a row of weights, how
often each field is in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95
SAMPLES = 2000
SEED = 20240501
MAX_UNDEFINED = 0.05
"""Share of samples in which a figure may be undefined; beyond it the quantiles would be of a selection."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Figure:
    """A figure with the limits of its 95 % interval, which are None where fields are too few to say."""

    value: float
    low: float | None = None
    high: float | None = None


def resamples(fields: int, samples: int = SAMPLES, seed: int = SEED, groups: Sequence[str] | None = None) -> Floats:
    """How often each field is drawn in each sample, of shape (samples, fields); the same for the same arguments.

    One field has no scatter to draw from: fewer than two give no samples, of shape (0, fields), and so no intervals.

    Args:
        groups: the smear of each field. Where two or more differ, whole smears are drawn, with all their fields, so samples
            differ in the number of fields; else fields are drawn.

    Raises:
        ValueError: `groups` is not of as many fields.
    """
    if groups is not None and len(groups) != fields:
        raise ValueError(f"groups must name the smear of each field, got {len(groups)} for {fields} fields")
    if fields < 2:
        return np.zeros((0, fields))
    names, of_field = np.unique(np.arange(fields) if groups is None else np.asarray(groups, dtype=str), return_inverse=True)
    if len(names) < 2:
        return resamples(fields, samples, seed)
    even = np.full(len(names), 1 / len(names))
    drawn = np.random.default_rng(seed).multinomial(len(names), even, size=samples)
    return drawn[:, of_field].astype(np.float64)


def figure(value: float, resampled: Floats) -> Figure | None:
    """A figure from its value and its values in the samples, of shape (samples,); nan stands for undefined.

    None where the value is undefined; no interval where more than `MAX_UNDEFINED` of the samples are, or there are none.
    """
    if not np.isfinite(value):
        return None
    defined = resampled[np.isfinite(resampled)]
    if len(defined) == 0 or len(defined) < (1 - MAX_UNDEFINED) * len(resampled):
        return Figure(float(value))
    low, high = np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Figure(float(value), float(low), float(high))


def divide(a: Floats, b: Floats) -> Floats:
    """`a / b`, nan where `b` is 0."""
    out = np.full(np.broadcast(a, b).shape, np.nan)
    np.divide(a, b, out=out, where=b != 0)
    return out
