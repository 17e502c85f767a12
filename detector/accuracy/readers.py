"""Two readers of the same samples: whether their differentials differ by more than chance (the layout of CLSI H20).

Each reader classes so many cells of each sample, 200 on each of two smears by H20. A share of n cells scatters by chance alone as the
binomial distribution says (Rümke, Triangle 1960; 4:154-158, whose tables are the limits of Clopper and Pearson, Biometrika 1934;
26:404-413). Two readers' shares differ by more than chance where Fisher's exact test says so at the level of 5 %; of many such
comparisons one in twenty does so by chance, at most.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import special, stats

from detector.accuracy.intervals import LEVEL, student
from detector.counting import intervals
from detector.counting.intervals import Interval

Cells = Mapping[str, int]
"""Cells that a reader put into each class; a class that is not in it was not read for."""


@dataclass(frozen=True)
class Reading:
    """One class of one sample by both readers."""

    sample: str
    cells: tuple[int, int]
    """Of the class."""
    of: tuple[int, int]
    """Of all classes."""
    limits: tuple[Interval, Interval]
    """Share of the class by each reader, with the limits of chance (Rümke)."""
    by_chance: bool
    """Whether chance explains the difference."""


@dataclass(frozen=True)
class ClassAgreement:
    """One class over all samples."""

    readings: Sequence[Reading]
    mean: tuple[float, float]
    """Mean share by each reader."""
    bias: Interval
    """Mean of the second reader's share less the first's; without limits from one sample."""
    sd: float | None
    """Standard deviation of these differences; None from one sample."""
    sd_of_chance: float
    """The same if readers agreed and only chance chose the cells."""
    outside: Sequence[str]
    """Samples in which they differ by more than chance."""
    too_many_outside: bool
    """Whether there are more of these than chance brings in 95 of 100 studies."""


def compare_readers(samples: Mapping[str, tuple[Cells, Cells]]) -> dict[str, ClassAgreement]:
    """Compare two readers' cells, by class.

    Args:
        samples: cells by each reader, by sample; each reader has at least one cell of each.
    """
    classes = dict.fromkeys(name for pair in samples.values() for cells in pair for name in cells)
    return {name: _agreement([_reading(sample, name, pair) for sample, pair in samples.items()]) for name in classes}


def _reading(sample: str, name: str, pair: tuple[Cells, Cells]) -> Reading:
    first, second = (cells.get(name, 0) for cells in pair)
    of_first, of_second = (sum(cells.values()) for cells in pair)
    return Reading(
        sample,
        (first, second),
        (of_first, of_second),
        (_share(first, of_first), _share(second, of_second)),
        float(stats.fisher_exact(np.array([[first, of_first - first], [second, of_second - second]])).pvalue) >= 1 - LEVEL,
    )


def _share(cells: int, of: int) -> Interval:
    share = intervals.share([cells], [of - cells])
    if share is None:
        raise ValueError("a reader has no cell of a sample")
    return share


def _agreement(readings: Sequence[Reading]) -> ClassAgreement:
    shares = np.array([[side.value for side in reading.limits] for reading in readings])
    apart = shares[:, 1] - shares[:, 0]
    n = len(apart)
    bias, sd = float(apart.mean()), float(apart.std(ddof=1)) if n > 1 else None
    half = None if sd is None else student(n) * sd / n**0.5
    outside = [reading.sample for reading in readings if not reading.by_chance]
    return ClassAgreement(
        readings,
        (float(shares[:, 0].mean()), float(shares[:, 1].mean())),
        Interval(bias) if half is None or not sd else Interval(bias, bias - half, bias + half),
        sd,
        float(np.sqrt(np.mean([_variance_of_chance(reading) for reading in readings]))),
        outside,
        bool(outside) and float(special.bdtrc(len(outside) - 1, n, 1 - LEVEL)) < 1 - LEVEL,
    )


def _variance_of_chance(reading: Reading) -> float:
    """Variance of the difference of two shares of cells drawn from one population."""
    share = sum(reading.cells) / sum(reading.of)
    return share * (1 - share) * sum(1 / of for of in reading.of)
