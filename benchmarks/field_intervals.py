"""How often the intervals of `counting.intervals` hold the truth where fields are unlike in size, neighbours, or only one.

    python -m benchmarks.field_intervals [--smears 1000]

The density of cells in a field is a gamma variable. That of neighbours is correlated by g^d at a distance of d fields, by a Gaussian
copula. Cells of a field are Poisson about its density times its area.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from detector.arguments import Number, Parser
from detector.commandline import run
from detector.counting.intervals import rate
from detector.counting.neighbours import Places, Rect

VIEW_WH = (640.0, 480.0)


@dataclass(frozen=True)
class Case:
    """Fields of a smear."""

    cells: float
    """Mean number per area of a whole field."""
    cv: float
    """Coefficient of variation of the density between fields."""
    areas: tuple[float, ...]
    """Of each field, in whole fields."""
    columns: int = 1
    """Fields in each row of those that lie side by side."""
    alike: float = 0.0
    """Correlation of the density at a distance of one field."""

    @property
    def rects(self) -> list[Rect]:
        """Where the fields lie, row by row."""
        w, h = VIEW_WH
        corners = [(i % self.columns * w, i // self.columns * h) for i in range(len(self.areas))]
        return [(x, y, x + w, y + h) for x, y in corners]


SLIVERS = tuple(Case(cells, 0.5, (1.0,) * 4 + (part,) * 8) for cells in (2, 17, 60) for part in (0.02, 0.05, 0.2))
SINGLE = tuple(Case(17, cv, (1.0,)) for cv in (0.0, 0.15, 0.3, 0.5, 1.0))
NEIGHBOURS = tuple(
    Case(cells, 0.3, (1.0,) * n, columns, alike)
    for cells in (17, 1)
    for columns, n in ((10, 10), (30, 30), (5, 25), (10, 100))
    for alike in (0.0, 0.3, 0.6, 0.9)
)


@dataclass(frozen=True)
class Held:
    """Share of smears in which the interval holds the density of the smear, and its mean width as a share of it."""

    coverage: float
    width: float


def simulate(case: Case, smears: int, placed: bool = False, seed: int = 0) -> Held:
    """Count so many smears of a kind.

    Args:
        placed: whether it is known where the fields lie.
    """
    rng = np.random.default_rng(seed)
    places = Places.of(case.rects, ["smear"] * len(case.areas)) if placed else None
    counts = rng.poisson(case.cells * _densities(rng, case, smears) * np.array(case.areas))
    intervals = [rate(row, case.areas, places) for row in counts.tolist()]
    limits = [interval.limits for interval in intervals if interval is not None and interval.limits is not None]
    held = [low <= case.cells <= high for low, high in limits]
    return Held(float(np.mean(held)), float(np.mean([high - low for low, high in limits]) / case.cells))


def _densities(rng: np.random.Generator, case: Case, smears: int) -> NDArray[np.float64]:
    """Of each field over the smear's, of shape (smears, fields)."""
    n = len(case.areas)
    if not case.cv:
        return np.ones((smears, n))
    normal = rng.standard_normal((smears, n))
    if case.alike:
        corner = np.array(case.rects)[:, :2] / np.sqrt(VIEW_WH[0] * VIEW_WH[1])
        apart = np.linalg.norm(corner[:, None] - corner[None], axis=2)
        normal = normal @ np.linalg.cholesky(case.alike**apart).T
    variance = case.cv**2
    return np.asarray(stats.gamma.ppf(stats.norm.cdf(normal), 1 / variance, scale=variance))


def report(*, smears: int) -> None:
    """Print how often 95 % intervals hold the truth: fields of unlike area, one field, and fields side by side."""
    print("4 whole fields and 8 of a part, CV 0.5")
    for case in SLIVERS:
        print(f"  {case.cells:g} cells a field, part {case.areas[-1]:g}: {_told(case, smears, [False])}")
    print("one field of 17 cells")
    for case in SINGLE:
        print(f"  CV {case.cv:g}: {_told(case, smears, [False])}")
    print("side by side, CV 0.3: places known; taken for random")
    for case in NEIGHBOURS:
        shape = f"{case.columns} x {len(case.areas) // case.columns}, {case.cells:g} cells a field"
        print(f"  {shape}, alike by {case.alike:g}: {_told(case, smears, [True, False])}")


def _told(case: Case, smears: int, placed: Sequence[bool]) -> str:
    outcomes = [simulate(case, smears, known) for known in placed]
    return "; ".join(f"held {outcome.coverage:.3f}, width {outcome.width:.2f}" for outcome in outcomes)


def parser() -> Parser:
    """What the command takes."""
    made = Parser("benchmarks.field_intervals", "[OPTION]...", report.__doc__)
    made.add_argument("--smears", type=Number(int), default=1000, help="of each kind")
    return made


if __name__ == "__main__":
    run(report, parser())
