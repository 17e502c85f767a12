"""Counts against truth as files, and for people at a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from detector.accuracy.agreement import Agreement
from detector.accuracy.bootstrap import Figure
from detector.accuracy.comparison import Comparison
from detector.accuracy.printed import figures, grid, print_names, show, total
from detector.accuracy.tabled import TableEvaluation
from detector.output.figures import many
from detector.output.files import write_csv

_FIGURES = ("mae", "rmse", "bias", "pooled_accuracy", "exact", "within_one", "loa_low", "loa_high", "pearson_r", "concordance")


def write(folder: Path, comparison: Comparison) -> None:
    """Write `errors.csv`, a row per field and class, and `agreement.csv`, a row per class with the interval of each figure."""
    write_csv(
        folder / "errors.csv",
        ("field", "smear", "class", "counted", "truth", "error"),
        (
            (field.field, field.smear, name, field.counted[name], field.truth[name], error)
            for field in comparison.fields
            for name, error in field.error.items()
        ),
    )
    columns = [column for name in _FIGURES for column in (name, f"{name}_low", f"{name}_high")]
    rows = ((name, a.fields, a.counted, a.truth, *_cells(a)) for name, a in comparison.classes.items())
    write_csv(folder / "agreement.csv", ("class", "fields", "counted", "truth", *columns), rows)


def print_comparison(console: Console, comparison: Comparison, remarks: Sequence[str]) -> None:
    """Print the error of each class, what stands on one side only, and what of the truth could not be used."""
    show(console, of_comparison(comparison, "Against truth"))
    _print_lists(console, comparison, remarks)


def print_tables(console: Console, result: TableEvaluation) -> None:
    """Print how tables of counts agree with truth and differ from each other, and all that is in no figure."""
    show(console, of_tables(result))
    _print_lists(console, result.comparison, result.remarks)
    print_names(console, "unread", _reasons(result.unread))
    print_names(console, "with more cells than could be counted", result.saturated)
    if result.against is not None:
        console.print("Of the other table:")
        _print_lists(console, result.against, ())
        print_names(console, "unread", _reasons(result.against_unread))
        print_names(console, "with more cells than could be counted", result.against_saturated)
        print_names(console, "in one of the two tables only, in no difference", result.unpaired)


def of_tables(result: TableEvaluation) -> list[Table]:
    """The counts against truth, the other counts beside them, and the differences of the two."""
    tables = of_comparison(result.comparison, "Against truth")
    if result.against is not None:
        tables += of_comparison(result.against, "The other table against truth")
    return [*tables, *([_paired_table(result)] if result.paired else [])]


def of_comparison(comparison: Comparison, title: str) -> list[Table]:
    """Error and agreement over fields and, where there are several, over smears' totals."""
    tables = [
        error_table(f"{title}, {many(len(comparison.fields), comparison.per)}", comparison.classes, comparison.guess),
        agreement_table(comparison.classes),
    ]
    if comparison.per_smear:
        of_smears = f"{title}, totals of {many(len(comparison.smears), 'smear')}"
        tables += [error_table(of_smears, comparison.per_smear, {}), agreement_table(comparison.per_smear)]
    return tables


def error_table(title: str, classes: Mapping[str, Agreement], guess: Mapping[str, Agreement]) -> Table:
    """How wrong counts are, and how wrong the constant baseline is where there is one."""
    columns = ("class", "cells", "counted", "truth", "mean error", "bias", "exact", "within 1", "pooled")
    told = "mean error: absolute; pooled: optimistic, as errors cancel; 95 % intervals"
    table = grid(columns, title, f"baseline: constant, the median of the truth; {told}" if guess else told)
    for name, of in classes.items():
        for kind, row in (("all", of), *((("baseline", guess[name]),) if name in guess else ())):
            told_of = figures(row, 2, "mae", "bias", "exact", "within_one", "pooled_accuracy")
            table.add_row(name, kind, total(row.counted), total(row.truth), *told_of)
        table.add_section()
    return table


def agreement_table(classes: Mapping[str, Agreement]) -> Table:
    """How the errors scatter, and how far counted and true cells rise together."""
    table = grid(("class", "RMSE", "limits of agreement: lower", "upper", "Pearson r", "Lin's concordance"))
    for name, of in classes.items():
        table.add_row(name, *figures(of, 2, "rmse", "loa_low", "loa_high"), *figures(of, 3, "pearson_r", "concordance"))
    return table


def _paired_table(result: TableEvaluation) -> Table:
    columns = ("class", "both have", "nearer", "farther", "mean error", "bias", "exact", "concordance")
    told = "a negative difference favours these; an interval that holds 0 does not show which is better"
    table = grid(columns, "These counts less the other table's", told)
    for name, of in result.paired.items():
        both = many(of.fields, result.comparison.per)
        cells = (*figures(of, 2, "mae", "bias", "exact"), *figures(of, 3, "concordance"))
        table.add_row(name, both, str(of.a_nearer), str(of.b_nearer), *cells)
    return table


def _print_lists(console: Console, comparison: Comparison, remarks: Sequence[str]) -> None:
    print_names(console, "counted without truth", comparison.only_counted)
    print_names(console, f"truth without a counted {comparison.per}", comparison.only_truth)
    print_names(console, "classes on one side only", comparison.classes_apart)
    print_names(console, "parts of the truth could not be used", remarks)
    print_names(console, "name stands for several fields, left out", comparison.ambiguous)
    print_names(console, "smears with unread fields, which are not in their totals", comparison.incomplete)


def _reasons(unread: Mapping[str, str]) -> list[str]:
    return [f"{name} ({reason})" if reason else name for name, reason in unread.items()]


def _cells(agreement: Agreement) -> Iterable[float | None]:
    for name in _FIGURES:
        figure: Figure | None = getattr(agreement, name)
        yield from (None, None, None) if figure is None else (figure.value, figure.low, figure.high)
