"""95 % intervals of counts, from the scatter between fields.

Cells cluster, so counts per field scatter more than Poisson's law says. An interval here is the exact one of a single
field (Garwood, Biometrika 28:437-442, 1936; for ratios Clopper and Pearson, Biometrika 26:404-413, 1934) taken at the
counts divided by a dispersion, as quasi-likelihood does (McCullagh and Nelder, Generalized Linear Models, 1989, 4.5).

The dispersion is the smaller of two, for each is wide where the other is sound (s² / mean is the fields' own scatter, t
and z are the 97.5 % quantiles of Student's t with so many degrees of freedom and of the normal):

- Student's: (t(n - 1) / z)² s² / mean, at least 1. Sound for large counts, of no use for few cells in two or three fields.
- Steadied: 1 + (t(n) / z)² excess, where `excess` is the variance beyond Poisson over the Poisson variance, averaged from the
  n - 1 degrees of freedom of the scatter and one of a pseudo-field in which rates vary by `PRIOR_CV2`. For few cells it is
  nearly Poisson's.

With one field there is no scatter to see, and the exact interval stands: it bounds the density of that field alone, and nothing is
known of the rest of the smear.

Fields of unequal area weigh by it. Their residuals are divided by what their leverage h = a / Σa leaves of them, 1 - h (HC2; MacKinnon and
White, J. Econometrics 29:305-325, 1985), and n is the effective number (Σa)² / Σa² (Kish, Survey Sampling, 1965, 8.2). Fields of equal
area are the case h = 1 / n of it.

Fields are taken to be random over the smear. Where it is known that they lie side by side, `neighbours` says how much less they tell.

Coverage by simulation (6,000 samples a cell; n of 2, 3, 4, 5, 8, 12, 20, 40; means of 0.2, 0.5, 1, 2, 5, 10, 20, 60, 150 cells a
field; negative binomial with rates that vary between fields by a coefficient of variation CV): the lowest over n and means, nominal
0.95:

    CV                           0 (Poisson)   0.32    0.5     0.71    1
    this interval                0.958         0.944   0.948   0.932   0.881 (n = 2; 0.913 and more from n = 3 on)
    Student's t                  0.300         0.298   0.296   0.296   0.288
    Garwood, dispersion s²/mean  0.955         0.748   0.724   0.697   0.680
    the wider of t and Garwood   0.956         0.937   0.929   0.911   0.878
    Garwood, Student's alone     0.958         0.944   0.948   0.944   0.932

The last is 6 to 60 times as wide at two fields as if the variance were known; this one is 2 to 6 times as wide there, 1.3 to
1.5 times at five fields and 1.1 to 1.2 times at 20, and for 20 cells a field and more within 9 % of Student's from five fields on
(CV up to 0.71).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from detector.counting import neighbours
from detector.counting.neighbours import Places

LEVEL = 0.95
"""Confidence of every interval."""
PRIOR_CV2 = 0.5
"""Variance over squared mean of the rate between fields, in the pseudo-field that steadies the scatter of few fields."""

_LEAST_SHARE = 1e-99
"""Where others may be so few among all cells, the upper limit of a ratio rises no further: it is as good as none."""
_LOW, _HIGH = (1 - LEVEL) / 2, (1 + LEVEL) / 2
Floats = NDArray[np.float64]
Quantiles = TypeVar("Quantiles", float, NDArray[np.float64])


@dataclass(frozen=True)
class Interval:
    """A value and its 95 % interval, in one unit.

    What this module gives always has limits. A figure of an evaluation has none where fields are too few, or too much alike.
    """

    value: float
    low: float | None = None
    high: float | None = None

    @property
    def limits(self) -> tuple[float, float] | None:
        """Lower and upper limit; None where there are none."""
        return None if self.low is None or self.high is None else (self.low, self.high)

    def mapped(self, scale: Callable[[float], float]) -> Interval:
        """The same on another scale, by a function that only rises or only falls."""
        limits = () if self.limits is None else sorted(scale(limit) for limit in self.limits)
        return Interval(scale(self.value), *limits)

    def times(self, factor: float) -> Interval:
        """The same in another unit: value and interval times a known, positive factor."""
        return self.mapped(lambda value: value * factor)


def rate(counts: Sequence[int], areas: Sequence[float] | None = None, places: Places | None = None) -> Interval | None:
    """Cells per unit of area over all fields, or per field where no areas are given; None without fields.

    Args:
        counts: cells in each field.
        areas: size of each field in any unit; the rate is total count over total area (ratio estimator).
        places: where each lies; None where that is not known, and they are taken to be random over the smear.

    Raises:
        ValueError: lengths differ, a count is negative, or an area is not positive.
    """
    k = _counts(counts)
    a = _areas(areas, k)
    if not len(k):
        return None
    total, area = float(k.sum()), float(a.sum())
    phi = _dispersion(k, a, 1 / total, a, places) if total else 1.0
    low, high = _garwood(total / phi)
    return Interval(total / area, low * phi / area, high * phi / area)


def ratio(
    counts: Sequence[int], per: Sequence[int], areas: Sequence[float] | None = None, places: Places | None = None
) -> Interval | None:
    """Cells of one class per cell of another over all fields; None where there is no cell of the other.

    Args:
        counts: cells of the class in each field.
        per: cells of the other class in the same fields.
        areas: size of each field in any unit; None for equal ones.
        places: as of `rate`.

    Raises:
        ValueError: lengths differ, a count is negative, or an area is not positive.
    """
    k, d = _counts(counts), _counts(per)
    if k.shape != d.shape:
        raise ValueError(f"ratio needs counts of the same fields, got {len(k)} and {len(d)}")
    a = _areas(areas, k)
    total, base = float(k.sum()), float(d.sum())
    if not base:
        return None
    phi = _dispersion(k, d, 1 / total + 1 / base, a, places) if total else 1.0
    low, high = _clopper_pearson(total / phi, base / phi)
    return Interval(total / base, low, high)


def share(part: Sequence[int], rest: Sequence[int]) -> Interval | None:
    """Share of one kind among all, from the numbers of that kind and of all others in each field; None where there are none at all.

    Raises:
        ValueError: lengths differ or a count is negative.
    """
    odds = ratio(part, rest)
    if odds is not None:
        return odds.mapped(lambda value: value / (1 + value))
    odds = ratio(rest, part)
    return odds and odds.mapped(lambda value: 1 / (1 + value))


def dispersion(counts: Sequence[int], areas: Sequence[float] | None = None, places: Places | None = None) -> float:
    """Variance of the total over fields like these, over that of Poisson's law: what `rate` divides the counts by; at least 1.

    Args:
        counts: cells in each field.
        areas: as of `rate`.
        places: as of `rate`.

    Raises:
        ValueError: lengths differ, a count is negative, or an area is not positive.
    """
    k = _counts(counts)
    a = _areas(areas, k)
    return _dispersion(k, a, 1 / float(k.sum()), a, places) if k.any() else 1.0


def _counts(values: Sequence[int]) -> Floats:
    array = np.asarray(values, dtype=np.float64)
    if array.ndim != 1 or np.any(array < 0):
        raise ValueError("counts must be a flat sequence without negative numbers")
    return array


def _areas(areas: Sequence[float] | None, counts: Floats) -> Floats:
    array = np.ones(len(counts)) if areas is None else np.asarray(areas, dtype=np.float64)
    if array.shape != counts.shape or not np.all(array > 0):
        raise ValueError("one positive area is needed for each count")
    return array


def _dispersion(counts: Floats, sizes: Floats, poisson: float, areas: Floats, places: Places | None) -> float:
    """Variance of the ratio of totals over what it were without clustering, steadied by the prior; at least 1.

    The variance is that of a ratio estimator (Cochran, Sampling Techniques, 1977, 6.4). All variances are relative, that is of
    the logarithm; `poisson` is the one without clustering.
    """
    if places is not None and len(counts) > neighbours.MOST_PARTS:
        places, blocks = places.joined()
        counts, sizes, areas = (np.bincount(blocks, weights=values).astype(np.float64) for values in (counts, sizes, areas))
    if len(counts) < 2:
        return 1.0
    total, size = counts.sum(), sizes.sum()
    residual = counts - sizes * total / size
    n, seen = _scatter(residual, total, areas)
    prior = PRIOR_CV2 * np.sum(sizes**2) / size**2
    excess = ((n - 1) * max(seen - poisson, 0.0) + prior) / (n * poisson)
    if places is None:
        return float(min(1 + inflation(n) * excess, max(1.0, inflation(n - 1) * seen / poisson)))
    alike = neighbours.spread(residual, areas, places, excess, n)
    steadied = 1 + inflation(alike.parts) * excess * alike.of_rate
    return float(min(steadied, max(1.0, inflation(alike.parts - 1) * seen * alike.of_all / poisson)))


def _scatter(residual: Floats, total: float, areas: Floats) -> tuple[float, float]:
    """Effective number of fields, and the relative variance of their total as their scatter shows it."""
    n = len(residual)
    if np.ptp(areas) == 0:
        return n, float(n / (n - 1) * np.sum(residual**2) / total**2)
    share = areas / areas.sum()
    return float(1 / np.sum(share**2)), float(np.sum(residual**2 / (1 - share)) / total**2)


def inflation(degrees: float) -> float:
    """Student's quantile over the normal one, squared: the price of a variance estimated from so many degrees of freedom."""
    wider = student_quantile(degrees, _HIGH) / float(normal_quantile(_HIGH))
    # Infinite, and not an overflow that NumPy or a power would speak of, where there is next to no degree of freedom.
    return wider * wider


def _garwood(events: float) -> tuple[float, float]:
    low = gamma_quantile(events, _LOW) if events else 0.0
    return low, gamma_quantile(events + 1, _HIGH)


def _clopper_pearson(events: float, others: float) -> tuple[float, float]:
    """Interval of events per other, from that of the share of events."""
    low = beta_quantile(events, others + 1, _LOW) if events else 0.0
    # By the share of the others, which stays above zero where that of the events is rounded to one.
    rest = max(beta_quantile(others, events + 1, 1 - _HIGH), _LEAST_SHARE)
    return low / (1 - low), (1 - rest) / rest


def prepare() -> None:
    """Import what quantiles need.

    Importing SciPy takes a quarter of the time of a count of one field, so it happens when a quantile is first asked for; a command may
    let this do it while a model works.
    """
    import scipy.special  # noqa: F401


def normal_quantile(share: Quantiles) -> Quantiles:
    """Quantile of the standard normal distribution; `share` may be an array, for an array of its shape."""
    from scipy import special

    quantile: Quantiles = special.ndtri(share)
    return quantile


def student_quantile(degrees: float, share: float) -> float:
    """Quantile of Student's t with so many degrees of freedom."""
    from scipy import special

    return float(special.stdtrit(degrees, share))


def gamma_quantile(shape: float, share: float) -> float:
    """Quantile of the gamma distribution with a shape parameter and scale 1."""
    from scipy import special

    return float(special.gammaincinv(shape, share))


def beta_quantile(a: float, b: float, share: float) -> float:
    """Quantile of the beta distribution with parameters `a` and `b`."""
    from scipy import special

    return float(special.betaincinv(a, b, share))
