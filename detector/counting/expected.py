"""How many cells there truly are, from how many were counted and what the detector got wrong on labelled fields.

For each class, with C cells counted, the true number is estimated as R C. R is the ratio of labelled to counted cells over the
validation fields (ratio estimator; Cochran, Sampling Techniques, 3rd ed., 1977, ch. 6), which is precision over recall. Three
things make it uncertain:

- **The domain.** A user's stain and camera are not those of the validation fields. log R is taken to vary between domains like a
  normal variable of unknown standard deviation τ, and a new domain's log R is predicted from those that were seen, each with the
  sampling variance of its ratio estimator: the random-effects model with a prior on τ (Higgins, Thompson and Spiegelhalter, J. R.
  Stat. Soc. A 172:137-159, 2009), by quadrature over τ (Röver, J. Stat. Softw. 93(6), 2020). The prior is half-normal, of scale
  `PRIOR_SD`; with one domain it is all that is known.
- **The fields.** In a domain, the true number of cells scatters about R C by a variance of φ a counted cell, from the residuals of the
  validation fields with one cell of error added. Where nothing was counted, a cell may still be there: by a flat prior on how
  many there are, (1 - recall) / recall of them are missed.
- **Sparse smears.** False finds, such as stain taken for platelets, come with the area searched and need not thin out with the cells. The
  lower limit allows for as many of them a red cell (which stand for the area) as in the validation fields, where that is more than
  precision says.

Limits are quantiles of gamma distributions of that mean and variance (as Fay and Feuer, Stat. Med. 16:791-801, 1997, do
for sums of unlike Poisson variables), which no limit below 0 can come of. `docs/expected_count.md` says how well they cover.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detector.counting.intervals import LEVEL, Interval, dispersion, gamma_quantile, inflation, normal_quantile
from detector.counting.neighbours import Places
from detector.vision.cells import CLASSES, RBC
from detector.vision.sums import FieldSums, ValSums

PRIOR_SD = 0.1
"""Scale of the half-normal prior on the standard deviation of log R between domains: two thirds of it lie below 0.1."""

_LOW, _HIGH = (1 - LEVEL) / 2, (1 + LEVEL) / 2
_GRID = 256
Floats = NDArray[np.float64]


@dataclass(frozen=True)
class CountCorrection:
    """What leads from counted to true cells of one class."""

    factor: Interval
    """True cells per counted cell, with the limits for a domain that is not among those of validation."""
    factor_sd: float
    """Standard deviation of its logarithm."""
    residual: float
    """Variance of the true number in fields of a domain, per counted cell."""
    unseen: float
    """Cells to be expected where none was counted."""
    false_share: float
    """False finds per counted cell, in the validation fields."""
    false_per_red: float
    """False finds per counted red cell, in the validation fields."""

    @property
    def factor_to(self) -> float:
        """Half of the factor's interval as a share of it: what the detector adds to the uncertainty of any count, however large."""
        low, high = self.factor.limits or (0.0, math.inf)
        return (high - low) / 2 / self.factor.value

    def total(self, counted: int, red_counted: int) -> Interval:
        """Cells that are truly in the fields in which so many were counted; limits are whole cells, rounded outwards.

        Args:
            counted: cells of the class, in all fields.
            red_counted: red cells in the same fields.
        """
        value = self.factor.value * counted
        most = value + self.unseen
        scatter = self.residual * counted
        # Of a distribution as skewed as hardly any validation fields give, the mean may lie above the quantile.
        high = max(_quantile(most, scatter + self.unseen + (most * self.factor_sd) ** 2, _HIGH), value)
        low = self._low(value, scatter, counted, red_counted)
        return Interval(value, float(math.floor(low)), float(math.ceil(high)))

    def mean(
        self, counts: Sequence[int], red_counted: int, areas: Sequence[float] | None = None, places: Places | None = None
    ) -> Interval | None:
        """Cells that are truly there per field of the smear; the interval covers this and the scatter between fields.

        Args:
            counts: cells of the class counted in each field.
            red_counted: red cells in all of them.
            areas: of each field, in any unit; None for equal ones.
            places: where each lies; None where that is not known.

        Returns:
            None without fields.
        """
        if not counts:
            return None
        fields, counted, phi, ratio = len(counts), sum(counts), dispersion(counts, areas, places), self.factor.value
        most = ratio * (counted + phi)
        high = max(_quantile(most, ratio**2 * phi * (counted + phi) + (most * self.factor_sd) ** 2, _HIGH), ratio * counted)
        low = self._low(ratio * counted, ratio**2 * phi * counted, counted, red_counted)
        # Where every cell that was counted may be false, there may be none in the smear.
        some = bool(self.total(counted, red_counted).low)
        return Interval(ratio * counted / fields, low / fields if some else 0.0, high / fields)

    def _low(self, value: float, scatter: float, counted: int, red_counted: int) -> float:
        by_area = min(self.false_per_red * red_counted, counted)
        # A stain may well have twice as many false finds as another: their number is as uncertain as it is large.
        more_false = max(by_area - self.false_share * counted, 0.0)
        variance = scatter + (value * self.factor_sd) ** 2 + more_false + more_false**2
        return _quantile(value - more_false, variance, _LOW)


def corrections(val_sums: ValSums | None) -> dict[str, CountCorrection | None]:
    """The correction of each class; None where the validation fields do not tell it, for want of labelled or counted cells."""
    sums_by_class = val_sums or {}
    red = sum(domain.counted for domain in sums_by_class.get(CLASSES[RBC], {}).values())
    return {name: _correction(sums_by_class.get(name, {}), red) for name in CLASSES}


def _correction(domains: Mapping[str, FieldSums], red_counted: int) -> CountCorrection | None:
    seen = [domain for domain in domains.values() if domain.counted or domain.truth]
    true, false, missed = (sum(getattr(domain, key) for domain in seen) for key in ("true", "false", "missed"))
    counted = true + false
    if not counted or not true + missed:
        return None
    residual = _residual(seen)
    # Half a cell more keeps the logarithm finite where a domain has none.
    truths, counts = np.array([domain.truth + 0.5 for domain in seen]), np.array([domain.counted + 0.5 for domain in seen])
    mean, sd = _predicted(np.log(truths / counts), residual * counts / truths**2)
    half = normal_quantile(_HIGH) * sd
    return CountCorrection(
        factor=Interval(math.exp(mean), math.exp(mean - half), math.exp(mean + half)),
        factor_sd=sd,
        residual=residual,
        unseen=(missed + 0.5) / (true + 0.5),
        false_share=(false + 0.5) / (counted + 0.5),
        false_per_red=(false + 0.5) / (red_counted + 0.5),
    )


def _residual(domains: Sequence[FieldSums]) -> float:
    """Variance of the true number about R C per counted cell, each domain about its own R, with one cell of error added."""
    squared = sum(domain.squared_error() for domain in domains)
    cells = sum(domain.counted * (domain.fields - 1) / domain.fields for domain in domains)
    degrees = sum(domain.fields - 1 for domain in domains) + 1
    return (squared + 1) / (cells + 1) * inflation(degrees)


def _predicted(log_ratio: Floats, variance: Floats) -> tuple[float, float]:
    """Mean and standard deviation of log R in a domain not seen.

    Args:
        log_ratio: log R of each domain seen, of shape (domains,).
        variance: sampling variance of each, of shape (domains,).
    """
    # Points of equal prior probability, so that the likelihood alone weighs them.
    tau = PRIOR_SD * normal_quantile((1 + (np.arange(_GRID) + 0.5) / _GRID) / 2)
    weight = 1 / (tau[:, None] ** 2 + variance)  # (grid, domains)
    precision = weight.sum(axis=1)
    mean = weight @ log_ratio / precision
    deviance = (weight * (log_ratio - mean[:, None]) ** 2).sum(axis=1) - np.log(weight).sum(axis=1) + np.log(precision)
    share = np.exp((deviance.min() - deviance) / 2)
    share /= share.sum()
    centre = float(share @ mean)
    return centre, math.sqrt(float(share @ (1 / precision + tau**2 + (mean - centre) ** 2)))


def _quantile(mean: float, variance: float, share: float) -> float:
    """Quantile of the gamma distribution of a mean and variance; 0 where the mean is not above it."""
    if mean <= 0:
        return 0.0
    return gamma_quantile(mean**2 / variance, share) * variance / mean
