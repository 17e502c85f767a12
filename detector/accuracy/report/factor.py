"""A laboratory's own factor from cells per mm² to cells per µL, as a page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import combinations
from pathlib import Path

from detector.accuracy import readings
from detector.accuracy.counts import Agreement, agreement
from detector.accuracy.methods import Factor, UnfitError, proportion
from detector.accuracy.plots import agreement as plots
from detector.accuracy.report.content import PageRow, PageTable, as_number, as_percent, entry, in_words
from detector.accuracy.report.sheets import Part, Sheet
from detector.counting.density import PER_LITRE
from detector.counting.intervals import Interval
from detector.errors import NothingToDoError
from detector.output.figures import many, short

COLUMN = "per_mm2"
"""Column of `smears.csv` that the factor leads from."""


@dataclass(frozen=True)
class _Class:
    """One cell class."""

    factor: Factor
    agreed: Agreement
    """What the factor of all other smears makes of each smear, against the analyser, in 10⁹ per litre."""
    estimates: Sequence[float]
    """Of the same."""
    analyser: Sequence[float]


def study(smears: Path, analyser: Path) -> Sheet:
    """The factor of each class that both tables have.

    Raises:
        ManifestError: a table is not valid. NothingToDoError: no class has smears enough.
    """
    mine, theirs = readings.of_smears(smears, COLUMN), readings.analyser(analyser)
    warnings = [*mine.remarks, *theirs.remarks, *readings.unmatched(mine, theirs)]
    classes: dict[str, _Class] = {}
    for name, names, densities, values in readings.both(mine, theirs):
        empty = [smear for smear, density in zip(names, densities, strict=True) if not density]
        if empty:
            warnings.append(f"{name}: smears without such a cell, and left out: {', '.join(empty)}")
        kept = [(density, value) for density, value in zip(densities, values, strict=True) if density]
        try:
            classes[name] = _class([density for density, _ in kept], [value for _, value in kept])
        except UnfitError as error:
            warnings.append(f"{name}: {error}")
    if not classes:
        raise NothingToDoError(f"{smears} and {analyser}: no factor; {'; '.join(warnings) or 'no smear is in both, by its name'}")
    warnings += _apart({name: of.factor.factor for name, of in classes.items()})
    words = ", ".join(f"{in_words(of.factor.factor, short)} for {name}" for name, of in classes.items())
    return Sheet(
        "Factor from cells per mm² to cells per µL",
        f"Factor in mm² per µL: {words}. Give the value to a count as --ul-factor, with the scale.",
        [_part(name, of) for name, of in classes.items()],
        _TERMS,
        warnings,
        {
            "classes": {
                name: {
                    **asdict(of.factor),
                    "estimates": list(of.estimates),
                    "analyser": list(of.analyser),
                    "unit": "10^9 per litre",
                }
                for name, of in classes.items()
            }
        },
    )


def _class(densities: Sequence[float], per_ul: Sequence[float]) -> _Class:
    factor = proportion(densities, per_ul)
    estimates, analyser = ([value * PER_LITRE for value in values] for values in (factor.without, per_ul))
    return _Class(factor, agreement(estimates, analyser), estimates, analyser)


def _apart(factors: Mapping[str, Interval]) -> list[str]:
    """A warning for each two classes whose factors differ, since a count takes one for all."""
    pairs = combinations(((name, factor.limits) for name, factor in factors.items() if factor.limits), 2)
    return [
        f"the factors of {a} and {b} differ by more than chance, and --ul-factor is used for all classes: "
        f"use the counts per µL of the class whose factor you give, and of no other"
        for (a, of_a), (b, of_b) in pairs
        if of_a[1] < of_b[0] or of_b[1] < of_a[0]
    ]


def _part(name: str, of: _Class) -> Part:
    rows = [
        ("factor (mm² per µL)", entry(of.factor.factor, short)),
        ("a further smear: analyser in per cent of the estimate", entry(of.factor.of_another, as_percent)),
        ("mean difference (10⁹ per litre)", entry(of.agreed.bias, as_number(2))),
        ("lower limit of agreement (10⁹ per litre)", entry(of.agreed.loa_low, as_number(2))),
        ("upper limit of agreement (10⁹ per litre)", entry(of.agreed.loa_high, as_number(2))),
    ]
    alt = f"{name}: estimate less analyser against the mean of both, with bias and limits of agreement"
    draw = partial(plots.bland_altman, name, of.estimates, of.analyser, of.agreed, "smear", "10⁹ per litre")
    table = PageTable(many(of.factor.samples, "smear"), ("", name), [PageRow(title, [figure]) for title, figure in rows])
    return Part(name, [table], [(f"bland_altman_{name}", alt, draw)])


_TERMS = (
    ("factor", "The geometric mean of the analyser's cells per µL over the cells per mm² of the smears."),
    ("a further smear", "The analyser's value of 95 % of smears like these lies within these limits, in per cent of the estimate."),
    ("differences", "Each smear is estimated by the factor of all others, so that no value judges itself (Bland and Altman 1986)."),
    ("what it holds for", "This way of making smears, this part of the smear and this scale. Derive it again when one of them changes."),
)  # fmt: skip
