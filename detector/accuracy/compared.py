"""Two detectors on the same fields: by how much one is better, and whether that is more than chance.

The same fields, or smears, are drawn for both, as `paired` explains for counts.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from detector.accuracy import operating
from detector.accuracy.bootstrap import SHARES_APART, Floats, figure, resamples, units
from detector.accuracy.figures import Fields, Figures
from detector.accuracy.figures import figures as figures_of
from detector.accuracy.paired import Difference, Differences, differences
from detector.vision.cells import CLASSES


@dataclass(frozen=True)
class Rates:
    """Differences in how one class is found at each detector's own thresholds; None where a figure is undefined for either."""

    precision: Difference | None
    recall: Difference | None
    f1: Difference | None
    accuracy: Difference | None
    named_right: Difference | None


@dataclass(frozen=True)
class Compared:
    """Figures of a detector less those of another on the same fields, by class name; positive where the first has more."""

    ap50: dict[str, Difference | None]
    ap50_95: dict[str, Difference | None]
    mean_ap50: Difference | None
    mean_ap50_95: Difference | None
    operating: dict[str, Rates]
    all_cells: dict[str, Differences]
    """Of the counts of all cells."""
    clear_cells: dict[str, Differences]
    """Of the counts of cells clear of the border."""
    other: Figures
    """The other detector by itself."""
    other_saturated: list[str]
    """Fields in which the other found as many cells as it may."""


def compare(fields: Fields, other: Fields, other_thresholds: Mapping[str, float]) -> Compared:
    """Compare what two detectors found in the same records; `fields` is of the first.

    Raises:
        ValueError: the records are not the same.
    """
    if [r.name for r in fields.records] != [r.name for r in other.records]:
        raise ValueError("detectors can only be compared on the same fields")
    at50 = _apart(fields, fields.sampled.ap50(), other.sampled.ap50())
    at50_95 = _apart(fields, fields.sampled.ap50_95(), other.sampled.ap50_95())
    return Compared(
        ap50=dict(zip(CLASSES, at50, strict=False)),
        ap50_95=dict(zip(CLASSES, at50_95, strict=False)),
        mean_ap50=at50[-1],
        mean_ap50_95=at50_95[-1],
        operating=_rates(fields, other),
        all_cells=_counts(fields, other, clear=False),
        clear_cells=_counts(fields, other, clear=True),
        other=figures_of(other, other_thresholds),
        other_saturated=[r.name for r, found in zip(other.records, other.found, strict=True) if found.saturated],
    )


def _apart(fields: Fields, a: tuple[Floats, Floats], b: tuple[Floats, Floats]) -> list[Difference | None]:
    """Differences of figures that are given as values of shape (n,) and samples of shape (samples, n)."""
    value, drawn = a[0] - b[0], a[1] - b[1]
    drawn_from = units(len(fields.records), fields.groups)
    return [figure(float(v), drawn[:, i], drawn_from, SHARES_APART) for i, v in enumerate(value)]


def _rates(fields: Fields, other: Fields) -> dict[str, Rates]:
    weights = resamples(len(fields.records), groups=fields.groups)
    of_both = [operating.numbers(one.tallied) for one in (fields, other)]
    made = {}
    for label, name in enumerate(CLASSES):
        a, b = (
            (operating.rates(of.sum(axis=0)[None].astype(np.float64))[0], operating.rates(weights @ of))
            for of in (numbers[:, :, label] for numbers in of_both)
        )
        made[name] = Rates(*_apart(fields, a, b))
    return made


def _counts(fields: Fields, other: Fields, clear: bool) -> dict[str, Differences]:
    a, b, truth = fields.counted(clear), other.counted(clear), fields.truth(clear)
    return {
        name: differences(a[:, i].tolist(), b[:, i].tolist(), truth[:, i].tolist(), fields.groups)
        for i, name in enumerate(CLASSES)
    }
