"""Studies by which a laboratory validates its counts, as pages: repeatability, comparison with another method, two readers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from detector.accuracy import comparison, readings
from detector.accuracy.components import NoRepeatsError, Precision, components, pooled_cv
from detector.accuracy.counts import Agreement, agreement
from detector.accuracy.methods import Line, MethodComparison, UnfitError, compare_methods
from detector.accuracy.plots import agreement as agreement_plots
from detector.accuracy.plots import laboratory
from detector.accuracy.readers import ClassAgreement, compare_readers
from detector.accuracy.readings import Differentials, Repeated
from detector.accuracy.report.content import (
    Entry,
    PageRow,
    PageTable,
    as_number,
    as_percent,
    as_points,
    entry,
    in_words,
)
from detector.accuracy.report.drawings import Drawing
from detector.accuracy.report.folder import portable, versions
from detector.accuracy.report.sheets import Part, Sheet
from detector.accuracy.tables import read_counts
from detector.arguments import option
from detector.errors import NothingToDoError, UnknownClassError, UsageError
from detector.output.figures import many, short
from detector.vision.cells import CLASSES, label_of

Levels = Mapping[str, Sequence[float]]
"""Values at which a bias is wanted, by class."""

UNIT = "10⁹ per litre"
_CHANCE = 0.05
_MOST_NAMED = 20


@dataclass(frozen=True)
class Protocol:
    """A kind of study."""

    about: str
    table: str
    """What its counts are."""
    needs_truth: bool
    study: Callable[[Path, Path, Levels], Sheet]
    """From the counts, what they are compared with, and levels."""


def _check(given: Any) -> Path:
    """The table of counts; refuses options of `detector.evaluate` that ask for no study.

    Raises:
        UsageError: the protocol is not known, or lacks or does not take an option.
    """
    name, known = given.protocol, ", ".join(PROTOCOLS)
    if name is None:
        raise UsageError("--levels belongs to --protocol methods; give both, or leave it out")
    if name not in PROTOCOLS:
        raise UsageError(f"--protocol {name}: no such protocol; known: {known}")
    others = [
        option(key)
        for key in ("data", "split", "model", "exclude", "smears", "also", "against")
        if getattr(given, key) is not None
    ]
    if others:
        raise UsageError(
            f"{', '.join(others)} does not go with --protocol; it takes --counts, and methods also --truth and --levels"
        )
    if given.counts is None:
        raise UsageError(f"--protocol {name} needs --counts, a table: {PROTOCOLS[name].table}")
    if PROTOCOLS[name].needs_truth != (given.truth is not None):
        needed = "needs --truth, the values of the other method" if given.truth is None else "takes no --truth"
        raise UsageError(f"--protocol {name} {needed}")
    if given.levels and name != "methods":
        raise UsageError(f"--levels belongs to --protocol methods, not to {name}; leave it out")
    return Path(given.counts)


def study(given: Any) -> tuple[Sheet, dict[str, Any]]:
    """What a study found, and what it is of, as plain values.

    Args:
        given: options of `detector.evaluate` by their names.

    Raises:
        UsageError: they ask for no study. ManifestError: a table is not valid. NothingToDoError: there is nothing to compare.
    """
    counts = _check(given)
    other = given.truth
    about = {"protocol": given.protocol, "counts": portable(counts), "truth": other and portable(other), "versions": versions()}
    return PROTOCOLS[given.protocol].study(counts, other or counts, _levels(given.levels)), about


def _levels(texts: Sequence[str]) -> dict[str, list[float]]:
    levels: dict[str, list[float]] = {}
    for text in texts:
        name, _, values = text.partition("=")
        try:
            levels.setdefault(CLASSES[label_of(name)], []).extend(float(value) for value in values.split(","))
        except (ValueError, UnknownClassError):
            raise UsageError(f"--levels {text}: give a class and values, for example Platelets=20,50,100") from None
    return levels


def repeatability(counts: Path, _other: Path, _levels: Levels) -> Sheet:
    """Repeated counts of the same samples (EP05, EP15).

    Raises:
        ManifestError: the table is not valid. NothingToDoError: no sample was counted twice.
    """
    table = readings.repeated(counts)
    warnings = list(table.remarks)
    by_class: dict[str, dict[str, Precision]] = {name: {} for name in CLASSES}
    for sample, classes in table.samples.items():
        for name, repeats in classes.items():
            try:
                by_class[name][sample] = components(repeats.counts, repeats.groups)
            except NoRepeatsError as error:
                warnings.append(f"{sample}, {name}: {error}")
    by_class = {name: samples for name, samples in by_class.items() if samples}
    if not by_class:
        raise NothingToDoError(f"{counts}: no sample was counted twice; {'; '.join(warnings[:3])}")
    pooled = {name: pooled_cv(list(samples.values())) for name, samples in by_class.items()}
    alike = [f"{sample}, {name}" for name, samples in by_class.items() for sample, p in samples.items() if _alike(p)]
    if alike:
        warnings.append(
            f"counts that are all alike: {', '.join(alike[:_MOST_NAMED])}; the same pictures always give the same counts, so "
            "photograph the slides anew for each count"
        )
    words = ", ".join(f"{in_words(cv, as_percent)} {name}" for name, cv in pooled.items() if cv is not None)
    words = words or "not known, for none was repeated"
    return Sheet(
        "Repeatability of counts",
        f"{many(len(table.samples), 'sample')} counted repeatedly: the CV of a count within a run is {words}.",
        [
            Part(name, [_precision_table(table, samples)], [_repeats_plot(name, table)], _components_remark(samples))
            for name, samples in by_class.items()
        ],
        _PRECISION_TERMS,
        warnings,
        {
            "classes": {
                name: {
                    "pooled_cv": None if (cv := pooled[name]) is None else asdict(cv),
                    "samples": {s: asdict(p) for s, p in samples.items()},
                }
                for name, samples in by_class.items()
            },
            "unit": table.unit,
        },
    )


def _alike(precision: Precision) -> bool:
    return precision.within_laboratory.sd.value == 0 and precision.mean > 0


def _components_remark(samples: Mapping[str, Precision]) -> list[str]:
    more = [f"The plot shows the first {laboratory.MOST_SAMPLES} of {len(samples)} samples."]
    told_apart = any(precision.groups for precision in samples.values())
    alone = ["No days are told apart, so that the scatter within a laboratory is that of one run."]
    return alone * (not told_apart) + more * (len(samples) > laboratory.MOST_SAMPLES)


def _precision_table(repeats: Repeated, samples: Mapping[str, Precision]) -> PageTable:
    groups = list(dict.fromkeys(name for precision in samples.values() for name in precision.groups))
    columns = ("", "counts", *(f"{group}s" for group in groups), "mean", *(f"SD between {group}s" for group in groups))
    rows = [
        PageRow(
            sample,
            [
                Entry(f"{p.readings}"),
                *(Entry(f"{p.groups.get(group, '–')}") for group in groups),
                Entry(short(p.mean)),
                *(Entry(short(p.variances[group] ** 0.5) if group in p.variances else "–") for group in groups),
                entry(p.repeatability.sd if p.repeatability else None, short, "not repeated"),
                entry(
                    p.repeatability.cv if p.repeatability else None, as_percent, "mean 0" if p.repeatability else "not repeated"
                ),
                entry(p.within_laboratory.sd, short),
                entry(p.within_laboratory.cv, as_percent, "mean 0"),
                Entry(as_percent(p.mean**-0.5) if p.mean > 0 and repeats.in_cells else "–"),
            ],
        )
        for sample, p in samples.items()
    ]
    ends = ("SD in a run", "CV in a run", "SD in the laboratory", "CV in the laboratory", "CV by Poisson")
    return PageTable(repeats.unit, (*columns, *ends), rows)


def _repeats_plot(name: str, repeats: Repeated) -> Drawing:
    samples = {sample: classes[name].counts for sample, classes in repeats.samples.items() if name in classes}
    alt = f"{name}: each count as per cent of the mean of its sample; the table has the numbers"
    return f"repeats_{name}", alt, partial(laboratory.repeats, name, samples, repeats.unit)


@dataclass(frozen=True)
class _Pairs:
    """One class by both methods."""

    test: Sequence[float]
    comparative: Sequence[float]


def method(counts: Path, other: Path, levels: Levels) -> Sheet:
    """Counts against another method on the same samples (EP09).

    `counts` is a `smears.csv` with cells per µL, and `other` a table of an analyser's values; or both are tables of counts.

    Raises:
        ManifestError: a table is not valid. NothingToDoError: no class can be compared.
    """
    of_analyser = readings.is_of_smears(counts)
    pairs, unit, warnings = _by_analyser(counts, other) if of_analyser else _by_counts(counts, other)
    comparisons: dict[str, MethodComparison] = {}
    for name, pair in pairs.items():
        try:
            comparisons[name] = compare_methods(pair.comparative, pair.test, levels.get(name, ()))
        except UnfitError as error:
            warnings.append(f"{name}: {error}")
    unused = [name for name in levels if name not in pairs]
    if unused:
        warnings.append(f"levels of classes that are not compared: {', '.join(unused)}")
    if not comparisons:
        raise NothingToDoError(f"{counts} and {other}: no class can be compared; {'; '.join(warnings) or 'no sample is in both'}")
    warnings += [f"{name}: {remark}" for name, result in comparisons.items() for remark in result.remarks]
    words = ", ".join(f"{in_words(result.passing_bablok.slope, as_number(2))} {name}" for name, result in comparisons.items())
    return Sheet(
        "Comparison of methods",
        f"{many(max(result.samples for result in comparisons.values()), 'sample')} by both methods; slope by Passing-Bablok: {words}.",
        [_method_part(name, result, pairs[name], unit) for name, result in comparisons.items()],
        _METHOD_TERMS,
        warnings,
        {"unit": unit, "classes": {name: _document(result) for name, result in comparisons.items()}},
        [("unit", unit)],
    )


def _by_analyser(counts: Path, other: Path) -> tuple[dict[str, _Pairs], str, list[str]]:
    mine, theirs = readings.of_smears(counts, "per_ul"), readings.analyser(other)
    pairs = {
        name: _Pairs([value / 1000 for value in test], [value / 1000 for value in comparative])
        for name, _, test, comparative in readings.both(mine, theirs)
    }
    return pairs, UNIT, [*mine.remarks, *theirs.remarks, *readings.unmatched(mine, theirs)]


def _by_counts(counts: Path, other: Path) -> tuple[dict[str, _Pairs], str, list[str]]:
    truth = read_counts(other)
    compared = comparison.compare(read_counts(counts), truth)
    per, rows = ("smear", compared.smears) if len(compared.smears) > 1 else (compared.per, compared.fields)
    pairs = {
        name: _Pairs(
            [row.counted[name] for row in rows if name in row.truth], [row.truth[name] for row in rows if name in row.truth]
        )
        for name in compared.classes
    }
    left_out = compared.left_out(truth.remarks)
    return pairs, f"cells per {per}", [f"{what}: {', '.join(names[:_MOST_NAMED])}" for what, names in left_out if names]


def _document(result: MethodComparison) -> dict[str, Any]:
    """Plain values; levels are texts, as keys of JSON are."""
    lines = {
        key: {
            "slope": asdict(line.slope),
            "intercept": asdict(line.intercept),
            "bias": {f"{level:g}": asdict(bias) for level, bias in line.bias.items()},
        }
        for key, line in (("passing_bablok", result.passing_bablok), ("deming", result.deming))
    }
    return {key: _finite(value) for key, value in {**asdict(result), **lines, "remarks": list(result.remarks)}.items()}


def _finite(value: Any) -> Any:
    """The same with None for what JSON cannot hold: limits that lie at no finite number."""
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    return None if isinstance(value, float) and abs(value) == float("inf") else value


def _method_part(name: str, result: MethodComparison, pair: _Pairs, unit: str) -> Part:
    agreed = agreement(pair.test, pair.comparative)
    columns = ("", "Passing-Bablok", "Deming")
    lines = (result.passing_bablok, result.deming)
    rows = [
        PageRow("slope", [entry(line.slope, as_number(3)) for line in lines]),
        PageRow("intercept", [entry(line.intercept, as_number(2)) for line in lines]),
        *(PageRow(f"bias at {level:g}", [_bias(line, level) for line in lines]) for level in result.passing_bablok.bias),
        *(
            PageRow(f"bias at {level:g}, in per cent", [_relative(line, level) for line in lines])
            for level in result.passing_bablok.bias
            if level
        ),
    ]
    words = f"{name}: test against comparative method, with the lines of Passing and Bablok and of Deming"
    counted, true = list(pair.test), list(pair.comparative)
    unit_words, per = ("10⁹ per litre", "smear") if unit == UNIT else ("cells", unit.rpartition(" ")[2])
    drawn: list[Drawing] = [
        (f"regression_{name}", words, partial(laboratory.regression, name, true, counted, result, unit)),
        (
            f"bland_altman_{name}",
            f"{name}: difference of the methods against their mean, with bias and limits of agreement",
            partial(agreement_plots.bland_altman, name, counted, true, agreed, per, unit_words),
        ),
    ]
    straight = "is straight by the CUSUM test" if result.linear else "bends by the CUSUM test"
    spanned = f"{many(result.samples, 'sample')}, {result.low:.4g} to {result.high:.4g} {unit}"
    text = f"{spanned}; r {result.correlation:.3f}; the relation {straight}."
    return Part(
        name,
        [PageTable(f"in {unit}", columns, rows), _differences_table(agreed)],
        drawn,
        [text],
    )


def _differences_table(agreed: Agreement) -> PageTable:
    rows = (("mean", agreed.bias), ("lower limit of agreement", agreed.loa_low), ("upper limit of agreement", agreed.loa_high))
    return PageTable(
        "differences", ("", "test less comparative"), [PageRow(name, [entry(value, as_number(2))]) for name, value in rows]
    )


def _bias(line: Line, level: float) -> Entry:
    return entry(line.bias[level], as_number(2))


def _relative(line: Line, level: float) -> Entry:
    return entry(line.bias[level].times(1 / level), as_percent)


def two_readers(counts: Path, _other: Path, _levels: Levels) -> Sheet:
    """Differentials of two readers (H20).

    Raises:
        ManifestError: the table is not valid. NothingToDoError: no sample was read by both.
    """
    table = readings.differentials(counts)
    if not table.samples:
        raise NothingToDoError(f"{counts}: no sample was read by both {' and '.join(table.readers)}; {'; '.join(table.remarks)}")
    agreements = compare_readers(table.samples)
    differing = [name for name, agreed in agreements.items() if agreed.too_many_outside]
    verdict = f"differ by more than chance in {', '.join(differing)}" if differing else "do not differ by more than chance"
    return Sheet(
        "Two readers",
        f"{many(len(table.samples), 'sample')} by {table.readers[0]} and {table.readers[1]}: they {verdict}.",
        [
            Part("All classes", [_readers_table(table, agreements)], list(_readers_plots(table, agreements))),
            Part("Samples", [_samples_table(table, name, agreed) for name, agreed in agreements.items()], printed=False),
        ],
        _READERS_TERMS,
        list(table.remarks),
        {"readers": list(table.readers), "classes": {name: asdict(agreed) for name, agreed in agreements.items()}},
    )


def _readers_table(table: Differentials, agreements: Mapping[str, ClassAgreement]) -> PageTable:
    first, second = table.readers
    columns = ("", f"mean of {first}", f"mean of {second}", "bias", "SD of differences", "SD by chance", "beyond chance")
    rows = [
        PageRow(
            name,
            [
                *(Entry(as_percent(mean)) for mean in agreed.mean),
                entry(agreed.bias, as_points),
                Entry("–" if agreed.sd is None else as_points(agreed.sd)),
                Entry(as_points(agreed.sd_of_chance)),
                Entry(
                    f"{len(agreed.outside)} of {len(agreed.readings)}", why="more than chance brings" * agreed.too_many_outside
                ),
            ],
        )
        for name, agreed in agreements.items()
    ]
    return PageTable(f"bias: {second} less {first}", columns, rows)


def _readers_plots(table: Differentials, agreements: Mapping[str, ClassAgreement]) -> Iterator[Drawing]:
    for number, (name, agreed) in enumerate(agreements.items(), start=1):
        alt = f"{name}: share of cells by {table.readers[1]} against that by {table.readers[0]}; the tables have the numbers"
        # A class may be called anything, and a file not.
        yield f"readers_{number}", alt, partial(laboratory.readers, name, agreed, table.readers)


def _samples_table(table: Differentials, name: str, agreed: ClassAgreement) -> PageTable:
    rows = [
        PageRow(
            reading.sample,
            [*(entry(side, as_percent) for side in reading.limits), Entry("yes" if reading.by_chance else "NO")],
        )
        for reading in agreed.readings
    ]
    return PageTable(name, ("", *table.readers, "explained by chance"), rows)


_INTERVAL = (
    "95 % interval",
    "The limits within which the figure lies, if the samples stand for those that come. Below each figure.",
)
_PRECISION_TERMS = (
    (
        "SD and CV in a run",
        "Standard deviation of single counts of a sample within a run of a day, and the same in per cent of the mean.",
    ),
    (
        "SD and CV in the laboratory",
        "The same of counts on any day: between days, between runs and within a run together (CLSI EP05, EP15).",
    ),
    (
        "SD between days, runs",
        "What days, or runs of a day, add to the scatter within them. 0 where they add nothing that shows.",
    ),
    (
        "CV by Poisson",
        "The CV of so many cells that lie at random, if each count takes other fields. Less than this cannot be expected then.",
    ),
    _INTERVAL,
)
_METHOD_TERMS = (
    (
        "Passing-Bablok",
        "A line through the medians of the slopes of all pairs of samples; bears outliers (Passing and Bablok 1983).",
    ),
    (
        "Deming",
        "A line by least squares with errors of equal size on both sides; limits by the jackknife (Linnet 1993; CLSI EP09).",
    ),
    (
        "slope, intercept",
        "Without proportional error the slope's interval holds 1; without constant error the intercept's holds 0.",
    ),
    ("bias at a level", "What the test method gives more than the comparative one at that value, by the line."),
    ("limits of agreement", "Between these lie 95 % of the differences of single samples (Bland and Altman 1986)."),
    _INTERVAL,
)
_READERS_TERMS = (
    (
        "Rümke's limits",
        "What chance alone makes of a share among so many cells, below each share: the exact binomial limits (Rümke 1960).",
    ),
    (
        "explained by chance",
        "Whether two readings of so many cells from the same blood differ as much in one of twenty cases or more (Fisher's exact test).",
    ),
    ("SD by chance", "Standard deviation of the differences if both readers agreed. A larger SD of differences is theirs."),
    ("bias", "Mean difference of the readers in percentage points. Where its interval holds 0, none shows."),
)
PROTOCOLS = {
    "repeatability": Protocol(
        "the same slides counted again (EP05, EP15)",
        "smear,day,run and classes, or a folder of results of counts",
        False,
        repeatability,
    ),
    "methods": Protocol(
        "against an analyser or counts by hand (EP09)", "smears.csv of a count, or any table of counts", True, method
    ),
    "readers": Protocol(
        "differentials of two readers (H20)", "sample,reader,slide and a column for each class", False, two_readers
    ),
}
"""By the name of each study."""
