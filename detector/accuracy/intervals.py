"""Figures of an evaluation with intervals, by resampling fields or whole smears.

Cells of one field are not independent, so whole fields are drawn; nor are fields of one smear, so where there are several
smears, whole smears are (Davison and Hinkley, Bootstrap Methods and their Application, 1997, 3.8). A drawn sample is a row of
weights, how often each field is in it.

The limits are Student's: value ± t √(n / (n - 1)) s, where s is the standard deviation over the samples, n the number of fields or
smears drawn, and t the 97.5 % quantile of Student's t with n - 1 degrees of freedom. The root undoes the bootstrap's narrowness
(Hesterberg, The American Statistician 2015; 69:371-386), and for a mean the whole is Student's own interval. The limits were
chosen by simulation (`benchmarks/bootstrap_coverage.py`, with the figures): the samples' own quantiles hold a bias in 0.72 of studies
with 3 smears and in 0.86 with 6, these in 0.94 to 0.97.

The mean of rare errors has the interval of a count (`rare`). Few fields hold them, and a bootstrap of few is too narrow: of an MAE with 8
wrong fields in 199 it holds the true one in 0.89 of studies, with 15 in 0.92, with 40 in 0.935 (`benchmarks/bootstrap_coverage.py`).

Shares of cells, such as precision and recall, and shares of fields have the intervals of ratios of counts (`share`). These stay open
where a bootstrap closes: no error in a few fields does not show that there never is one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import special

from detector.counting import intervals
from detector.counting.intervals import Interval

LEVEL = 0.95
SAMPLES = 2000
SEED = 20240501
MAX_UNDEFINED = 0.05
"""Share of samples in which a figure may be undefined; beyond it the scatter would be of a selection."""

_EXACT = 12

RARE = 30
"""Errors, summed over all fields, below which they are rare."""

SHARE = (0.0, 1.0)
"""Bounds of a figure that is a share."""
SHARES_APART = (-1.0, 1.0)
"""Bounds of the difference of two shares."""
NO_BOUNDS = (-np.inf, np.inf)

Floats = NDArray[np.float64]

UNDEFINED = "undefined"
"""Beside it stands why, so that nobody takes it for 0 or for a fault."""
TOO_FEW = "too few"

WHY = {
    "loa_low": "only one",
    "loa_high": "only one",
    "exact": "not whole",
    "within_one": "not whole",
    "pooled_accuracy": "no true cells",
    "pearson_r": "no variance",
    "concordance": "no variance",
    "constant_baseline": "no training fields",
    "ap50": "none labelled",
    "ap50_95": "none labelled",
    "precision": "none found",
    "recall": "none labelled",
    "f1": "no cells",
    "accuracy": "no cells",
    "named_right": "none found",
}
"""By the name of each figure that can be undefined; of a difference, for one of its sides."""


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
    unit = unit_of_field(fields, groups)
    n = int(unit.max()) + 1
    drawn = np.random.default_rng(seed).multinomial(n, np.full(n, 1 / n), size=samples)
    return drawn[:, unit].astype(np.float64)


def by_chance(of_field: Floats, groups: Sequence[str] | None = None, seed: int = SEED) -> float:
    """How likely a mean as high as that of these differences is if nothing but chance made it; 1 if none differs from 0.

    A test of randomization: if two ways of counting err alike, each field's difference might as well have the other sign (Fisher, The
    Design of Experiments, 1935, 21). Of up to `_EXACT` fields or smears all signs are tried, else `SAMPLES` random ones.

    Args:
        of_field: differences, of shape (fields,).
        groups: the smear of each field. Where two or more differ, the fields of a smear have one sign.
    """
    sums = np.bincount(unit_of_field(len(of_field), groups), weights=of_field)
    sums = sums[sums != 0]
    if not len(sums):
        return 1.0
    if len(sums) <= _EXACT:
        signs = 1 - 2 * ((np.arange(2 ** len(sums))[:, None] >> np.arange(len(sums))) & 1)
    else:
        signs = np.random.default_rng(seed).choice((-1, 1), size=(SAMPLES, len(sums)))
        # The signs as they were are one of the possible ones.
        signs[0] = 1
    total = float(sums.sum())
    return float((signs @ sums >= total - 1e-9 * np.abs(sums).sum()).mean())


def groups_by_smear(fields: Sequence[str], smears: Sequence[str | None]) -> list[str] | None:
    """Groups for `resamples`: the smear of each field, or the field by itself where that is not known; None where none is.

    Args:
        fields: the name of each.
        smears: the smear of each, or None.
    """
    if not any(smears):
        return None
    return [smear or f"{field} (of no smear)" for field, smear in zip(fields, smears, strict=True)]


def unit_of_field(fields: int, groups: Sequence[str] | None) -> NDArray[np.intp]:
    """Number of the field, or of the smear where two or more differ, that each field is drawn with; of shape (fields,)."""
    if groups is not None and len(set(groups)) > 1:
        return np.unique(np.asarray(groups, dtype=str), return_inverse=True)[1]
    return np.arange(fields)


def units(fields: int, groups: Sequence[str] | None = None) -> int:
    """How many fields, or smears where two or more differ, `resamples` draws from."""
    return int(unit_of_field(fields, groups).max()) + 1 if fields else 0


def bootstrap(value: float, resampled: Floats, units: int, bounds: tuple[float, float] = NO_BOUNDS) -> Interval | None:
    """A figure from its value and its values in the samples, of shape (samples,); nan stands for undefined.

    None where the value is undefined. No interval where there are no samples, where it is undefined in more than `MAX_UNDEFINED`
    of them, or where all are alike: fields without any difference do not show that there never is one.

    Args:
        units: how many fields or smears the samples were drawn from (`units`).
        bounds: least and greatest value that the figure can have; the limits are kept within.
    """
    if not np.isfinite(value):
        return None
    spread = standard_error(resampled, units)
    if spread is None:
        return Interval(float(value))
    value, half = float(value), student(units) * spread
    return Interval(value, max(value - half, bounds[0]), min(value + half, bounds[1]))


def standard_error(resampled: Floats, units: int) -> float | None:
    """Standard error from values in the samples, of shape (samples,), nan for undefined; None where they do not tell it."""
    defined = resampled[np.isfinite(resampled)]
    if units < 2 or len(defined) == 0 or len(defined) < (1 - MAX_UNDEFINED) * len(resampled):
        return None
    spread = float(np.std(defined) * np.sqrt(units / (units - 1)))
    # Rounding alone makes equal figures differ in their last digits.
    return spread if spread > 1e-12 * float(np.abs(defined).max()) else None


def student(units: int) -> float:
    """The quantile of Student's t that `figure` takes its limits at."""
    return float(special.stdtrit(units - 1, (1 + LEVEL) / 2))


def divide(a: Floats, b: Floats) -> Floats:
    """`a / b`, nan where `b` is 0."""
    out = np.full(np.broadcast(a, b).shape, np.nan)
    np.divide(a, b, out=out, where=b != 0)
    return out


def share(part: NDArray[np.int64], rest: NDArray[np.int64], groups: Sequence[str] | None = None) -> Interval | None:
    """Share of one kind of cells, or of fields, among all; None where there is none, no interval from a single field or smear.

    Args:
        part: cells of that kind in each field, of shape (fields,).
        rest: all other cells in each field.
        groups: the smear of each field; where there are two or more, the scatter is that between smears.
    """
    unit = unit_of_field(len(part), groups)
    parts, rests = (np.bincount(unit, weights=cells).astype(np.int64).tolist() for cells in (part, rest))
    pooled = intervals.share(parts, rests)
    return pooled if pooled is None or len(parts) > 1 else Interval(pooled.value)


def rare(errors: Floats, groups: Sequence[str] | None = None) -> Interval | None:
    """Mean number of errors per field where these are rare, with the interval of a count, also where there are none.

    None where errors are not rare, are no whole numbers, or are of a single field or smear.

    Args:
        errors: how many each field has, of shape (fields,).
        groups: the smear of each field; where there are two or more, the scatter is that between smears.
    """
    if units(len(errors), groups) < 2 or errors.sum() >= RARE or not np.array_equal(errors, np.round(errors)):
        return None
    unit = unit_of_field(len(errors), groups)
    sums = np.bincount(unit, weights=errors).astype(np.int64).tolist()
    return intervals.rate(sums, np.bincount(unit).astype(np.float64).tolist())
