"""Smears with a known number of cells, counted by imagined detectors: how often the expected true count is right."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detector.counting.expected import CountCorrection, corrections
from detector.vision.sums import FieldSums

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Scenario:
    """A detector, the validation fields that it was measured on, and the smears that it counts."""

    name: str
    recall: float
    """Mean share of the cells that it finds."""
    false: float
    """Mean number of false finds per true cell of the validation fields."""
    spread: float
    """Standard deviation of log R between domains; each smear is of a domain of its own."""
    cells: float = 17.0
    """Mean number of cells in a validation field."""
    scatter: float = 0.3
    """Coefficient of variation of the density of cells between fields."""
    domains: int = 3
    val_fields: int = 30
    """Of each domain."""
    fields: int = 10
    """Of each smear."""
    sparse: float = 1.0
    """Density of cells in a smear, over that of validation fields. False finds are as many as there."""
    recall_then: float | None = None
    """Recall in the smears, where it is not that of the validation fields."""


SCENARIOS = (
    Scenario("few errors", 0.97, 0.03, 0.03),
    Scenario("no difference between domains", 0.97, 0.03, 0.0),
    Scenario("undercounting", 0.85, 0.02, 0.05),
    Scenario("overcounting", 0.98, 0.25, 0.1),
    Scenario("many errors, unlike domains", 0.85, 0.2, 0.1),
    Scenario("rare cells", 0.9, 0.1, 0.1, cells=0.5),
    Scenario("rare cells, few errors", 0.95, 0.02, 0.03, cells=0.5),
    Scenario("one field a smear", 0.9, 0.1, 0.05, scatter=0.0, fields=1),
    Scenario("one field a smear, rare cells", 0.9, 0.1, 0.05, cells=0.5, scatter=0.0, fields=1),
    Scenario("40 fields a smear", 0.9, 0.1, 0.05, fields=40),
    Scenario("150 cells a field", 0.95, 0.05, 0.05, cells=150.0),
    Scenario("two domains of 8 fields", 0.9, 0.1, 0.05, domains=2, val_fields=8),
    Scenario("one domain", 0.9, 0.1, 0.05, domains=1),
    Scenario("six unlike domains", 0.9, 0.1, 0.1, domains=6),
    Scenario("a tenth of the cells", 0.9, 0.2, 0.05, cells=2.0, fields=30, sparse=0.1),
    Scenario("no cells at all", 0.9, 0.2, 0.05, cells=2.0, fields=30, sparse=0.0),
)
"""What the method is for: the interval should hold the truth in 95 % of smears."""
FAR_APART = Scenario("domains further apart than the prior expects", 0.9, 0.1, 0.2)
"""Where the interval holds the truth less often than it says; `docs/expected_count.md` names it."""
WRONG = Scenario("a stain in which 40 % are missed", 0.95, 0.03, 0.02, recall_then=0.6)
"""What no validation field has shown, and no interval from them can hold."""


@dataclass(frozen=True)
class Coverage:
    """In what share of the smears the interval held the truth, and how wide it was."""

    total: float
    """For the cells in the fields."""
    mean: float
    """For the cells per field of the smear."""
    width: float
    """Mean width of the interval of the cells in the fields, over their mean number; inf without any."""


def simulate(scenario: Scenario, calibrations: int, smears: int = 4, seed: int = 1) -> Coverage:
    """Measure the detector on validation fields so many times, and count so many smears after each."""
    rng = np.random.default_rng(seed)
    held, widths, truths = [], [], []
    for _ in range(calibrations):
        correction = _calibrated(rng, scenario)
        if correction is None:
            continue
        for _ in range(smears):
            density = scenario.cells * scenario.sparse
            recall = scenario.recall_then or scenario.recall
            true, false, missed = _fields(rng, scenario, scenario.fields, density, recall)
            counts, red = (true + false).tolist(), 17 * scenario.fields
            total, mean, truth = correction.total(sum(counts), red), correction.mean(counts, red), int((true + missed).sum())
            held.append((total.low <= truth <= total.high, mean is not None and mean.low <= density <= mean.high))
            widths.append(total.high - total.low)
            truths.append(truth)
    in_total, in_mean = np.mean(held, axis=0)
    return Coverage(float(in_total), float(in_mean), float(np.mean(widths) / np.mean(truths)) if any(truths) else float("inf"))


def _calibrated(rng: np.random.Generator, scenario: Scenario) -> CountCorrection | None:
    domains = {}
    for name in map(str, range(scenario.domains)):
        true, false, missed = _fields(rng, scenario, scenario.val_fields, scenario.cells, scenario.recall)
        domains[name] = sums_of(true, false, missed)
    red = np.full(scenario.domains * scenario.val_fields, 17)
    none = np.zeros_like(red)
    return corrections({"RBC": {"all": sums_of(red, none, none)}, "WBC": domains})["WBC"]


def _fields(rng: np.random.Generator, scenario: Scenario, fields: int, density: float, recall: float) -> tuple[Ints, Ints, Ints]:
    """True finds, false finds and missed cells in fields of a new domain, each of shape (fields,)."""
    miss, false = 1 - recall, scenario.false
    # Both vary by the same factor's worth between domains, which gives log R the spread that is asked for.
    cv = scenario.spread * (recall + false) / np.hypot(miss, false)
    miss, false = min(_varied(rng, miss, cv), 0.95), _varied(rng, false, cv)
    rate = _varied(rng, density, scenario.scatter, fields)
    cells = rng.poisson(rate)
    missed = rng.binomial(cells, miss)
    return cells - missed, rng.poisson(false * scenario.cells, fields), missed


def _varied(rng: np.random.Generator, mean: float, cv: float, n: int | None = None) -> NDArray[np.float64] | float:
    """Gamma variables of a mean and coefficient of variation."""
    if not cv or not mean:
        return mean if n is None else np.full(n, mean)
    return rng.gamma(1 / cv**2, mean * cv**2, n)


def sums_of(true: Ints, false: Ints, missed: Ints) -> FieldSums:
    """Sums of fields with so many true finds, false finds and missed cells, each of shape (fields,)."""
    counted, truth = true + false, true + missed
    return FieldSums(
        fields=len(true),
        true=int(true.sum()),
        false=int(false.sum()),
        missed=int(missed.sum()),
        counted_squared=int((counted**2).sum()),
        truth_squared=int((truth**2).sum()),
        counted_truth=int((counted * truth).sum()),
    )
