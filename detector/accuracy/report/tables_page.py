"""What the page of counts against true counts says."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from detector.accuracy.comparison import Comparison
from detector.accuracy.report import content
from detector.accuracy.report.beside import differences, yardsticks
from detector.accuracy.report.content import Table, agreement, number, told
from detector.accuracy.tabled import TableEvaluation
from detector.counting.intervals import Interval
from detector.output.figures import many


def page(result: TableEvaluation, about: Mapping[str, Any]) -> content.Page:
    """The page; `about` as in `metrics.json`."""
    comparison = result.comparison
    return content.Page(
        sentence=_sentence(comparison, about),
        about=about,
        counts=_counts(result),
        smears=_smears(comparison),
        compared=[differences("These less the others", result.paired, comparison.per)] if result.paired else [],
        yardsticks=yardsticks(comparison.classes) if comparison.per == "field" else [],
        lists=list(_lists(result)),
        per=comparison.per,
        fields=len(comparison.fields),
        field_columns=(comparison.per, "smear", *comparison.classes),
        field_rows=[
            [one.field, one.smear or "", *(_beside(one.counted.get(name), one.truth.get(name)) for name in comparison.classes)]
            for one in comparison.fields[: content.MOST_ROWS]
        ],
    )


def _sentence(comparison: Comparison, about: Mapping[str, Any]) -> str:
    n, per = len(comparison.fields), comparison.per
    errors = ", ".join(f"{_told(of.mae)} {name}" for name, of in comparison.classes.items() if of.mae)
    return f"{about['counts']} against {about['truth']}, {many(n, per)}: the count of a {per} is wrong by {errors} on average."


def _told(figure: Interval) -> str:
    return told(figure, number(2))


def _counts(result: TableEvaluation) -> list[Table]:
    mine, other = result.comparison, result.against
    tables = []
    for name, of in mine.classes.items():
        columns = {"these counts": of}
        if other is not None and name in other.classes:
            columns["the others"] = other.classes[name]
        tables.append(agreement(name, {**columns, "constant baseline": mine.guess[name]}, mine.per))
    return tables


def _smears(comparison: Comparison) -> list[Table]:
    if not comparison.per_smear:
        return []
    return [agreement(f"Totals of {len(comparison.smears)} smears", comparison.per_smear, "smear")]


def _lists(result: TableEvaluation) -> Iterator[content.Listed]:
    for of, unread, saturated, where in (
        (result.comparison, result.unread, result.saturated, ""),
        (result.against, result.against_unread, result.against_saturated, " (the other counts)"),
    ):
        if of is not None:
            yield content.listed(f"Not read, and in no figure{where}", unread.items())
            yield content.named(f"Counted, but not in the truth{where}", of.only_counted)
            yield content.named(f"In the truth, but not counted{where}", of.only_truth)
            yield content.named(
                f"Several could be meant{where}", of.ambiguous, "A name stands for more than one; they are in no figure."
            )
            yield content.named(f"Classes that one side alone counts{where}", of.classes_apart)
            yield content.named(f"Smears whose totals lack unread fields{where}", of.incomplete)
            yield content.named(f"Saturated{where}", saturated, content.SATURATED)
    yield content.named("In one of the two tables only, and in no difference", result.unpaired)
    yield content.named("Could not be used", result.remarks)


def _beside(counted: float | None, truth: float | None) -> str:
    return "" if counted is None or truth is None else f"{counted:g} of {truth:g}"
