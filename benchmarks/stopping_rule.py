"""A count that stops when it is known well enough: how often its interval then holds the truth, and how many views it took.

    python -m benchmarks.stopping_rule [--smears 400]

Cells per view are negative binomial: Poisson about a rate that varies between views by a coefficient of variation. Views come one by
one until red and white cells are known as asked for, by `streams.totals`; the intervals at that moment are held against the truth.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from detector.arguments import Number, Parser
from detector.commandline import run
from detector.streams.totals import Enough, class_total
from detector.vision.cells import CLASSES

MOST_VIEWS = 600


@dataclass(frozen=True)
class Case:
    """A kind of smear."""

    red: float
    """Mean number in a view."""
    white: float
    cv: float
    """Coefficient of variation of the rate between views."""
    targets: tuple[float, float] = (0.05, 0.2)
    """Of red and white cells."""


CASES = (
    Case(17, 1.0, 0.0),
    Case(17, 1.0, 0.2),
    Case(17, 1.0, 0.4),
    Case(60, 1.5, 0.2),
    Case(60, 3.0, 0.4),
    Case(17, 1.0, 0.2, (0.1, 0.5)),
    Case(17, 1.0, 0.4, (0.2, 0.8)),
)


@dataclass(frozen=True)
class Stops:
    """How the smears of one kind ended."""

    held: tuple[float, float]
    """Share of the stopped ones whose interval held the truth, of red and of white cells."""
    views: float
    """Median number of views at the stop."""
    stopped: int


def simulate(case: Case, smears: int, seed: int = 0) -> Stops:
    """Count so many smears of a kind, each until enough is known or `MOST_VIEWS` were seen."""
    rng = np.random.default_rng(seed)
    targets = dict(zip(CLASSES, case.targets, strict=False))
    held, views = [], []
    for _ in range(smears):
        rule = Enough(targets)
        rates = rng.gamma(1 / case.cv**2, case.cv**2, (2, MOST_VIEWS)) if case.cv else np.ones((2, MOST_VIEWS))
        counts = rng.poisson(rates * np.array([[case.red], [case.white]]))
        for n in range(1, MOST_VIEWS + 1):
            rows = [counts[i, :n].tolist() for i in range(2)]
            totals = {name: class_total(rows[i], [1.0] * n, targets[name]) for i, name in enumerate(targets)}
            if rule.reached(totals, float(n)):
                limits = [total.per_field for total in totals.values()]
                truths = (case.red, case.white)
                held.append(
                    [
                        interval is not None and interval.low <= true <= interval.high
                        for interval, true in zip(limits, truths, strict=True)
                    ]
                )
                views.append(n)
                break
    shares = np.mean(held, axis=0).tolist() if held else [0.0, 0.0]
    return Stops((shares[0], shares[1]), float(np.median(views)) if views else float("nan"), len(held))


def report(*, smears: int) -> None:
    """Print how often the interval of a count that stopped holds the truth."""
    for case in CASES:
        stops = simulate(case, smears)
        print(
            f"{case.red:g} red and {case.white:g} white cells a view, CV {case.cv:g}, asked for {case.targets}: held "
            f"{stops.held[0]:.3f}, {stops.held[1]:.3f}; {stops.views:.0f} views; {stops.stopped} of {smears} stopped"
        )


def parser() -> Parser:
    """What the command takes."""
    made = Parser("benchmarks.stopping_rule", "[OPTION]...", report.__doc__)
    made.add_argument("--smears", type=Number(int), default=400, help="of each kind")
    return made


if __name__ == "__main__":
    run(report, parser())
