"""Figures of accuracy as files, and for people at a terminal."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from detector.accuracy.agreement import Agreement
from detector.accuracy.bootstrap import Figure
from detector.accuracy.comparison import Comparison
from detector.accuracy.evaluation import Evaluation
from detector.output.files import write_csv

_FIGURES = ("mae", "rmse", "bias", "pooled_accuracy", "exact", "within_one", "loa_low", "loa_high", "pearson_r", "concordance")
_MOST_NAMES = 5


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
    """Print the error of each class, the fields that stand on one side only, and what of the truth could not be used."""
    table = Table(title=f"Against truth, {len(comparison.fields)} fields, with 95 % intervals", title_justify="left")
    table.add_column("cells")
    headings = ("counted", "truth", "MAE a field", "bias", "exact", "within 1", "pooled")
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True)
    for name, a in comparison.classes.items():
        shares = [_percent(figure) for figure in (a.exact, a.within_one, a.pooled_accuracy)]
        table.add_row(name, str(a.counted), str(a.truth), _number(a.mae), _number(a.bias), *shares)
    console.print(table)
    _print_names(console, "counted without truth", comparison.only_counted)
    _print_names(console, "truth without a counted field", comparison.only_truth)
    _print_names(console, "parts of the truth could not be used", remarks)
    _print_names(console, "name stands for several fields, left out", comparison.ambiguous)


def of_evaluation(result: Evaluation) -> list[Table]:
    """What was found and how well it counts, over all fields and, where there are several, by domain."""
    return [_found_table(result), _counts_table(result), *([_domains_table(result)] if result.domains else [])]


def _found_table(result: Evaluation) -> Table:
    columns = ("class", "AP50", "AP50-95", "precision", "recall", "F1")
    table = Table(*columns, title=f"cells found in {result.fields} fields", box=box.SIMPLE_HEAD, pad_edge=False)
    ap = result.average_precision
    for name, at in result.operating.items():
        table.add_row(name, *(_in_two_lines(f, 3) for f in (ap.ap50[name], ap.ap50_95[name], at.precision, at.recall, at.f1)))
    table.add_row("mean", _in_two_lines(ap.mean_ap50, 3), _in_two_lines(ap.mean_ap50_95, 3), "", "", "")
    return table


def _counts_table(result: Evaluation) -> Table:
    columns = ("class", "cells", "counted", "truth", "mean error", "bias", "pooled", "exact")
    table = Table(*columns, title="counts per field", box=box.SIMPLE_HEAD, pad_edge=False)
    rows: dict[str, Mapping[str, Agreement]] = {"all": result.all_cells, "clear": result.clear_cells}
    if result.guess is not None:
        rows["guess"] = result.guess
    for name in result.all_cells:
        for title, agreements in rows.items():
            row = agreements[name]
            figures = (_in_two_lines(figure, 2) for figure in (row.mae, row.bias, row.pooled_accuracy, row.exact))
            table.add_row(name, title, str(row.counted), str(row.truth), *figures)
        table.add_section()
    table.caption = "clear: of the border; guess: the training split's median; mean error: absolute; pooled flatters"
    return table


def _domains_table(result: Evaluation) -> Table:
    columns = ("domain", "class", "AP50", "AP50-95", "mean error", "clear", "guess")
    table = Table(*columns, title="by domain", box=box.SIMPLE_HEAD, pad_edge=False)
    for domain, of in result.domains.items():
        for i, name in enumerate(of.all_cells):
            ap = (_in_two_lines(f[name], 3) for f in (of.average_precision.ap50, of.average_precision.ap50_95))
            counts = (None if kind is None else kind[name].mae for kind in (of.all_cells, of.clear_cells, of.guess))
            table.add_row(f"{domain}\n{of.fields} fields" if i == 0 else "", name, *ap, *(_in_two_lines(f, 2) for f in counts))
        table.add_section()
    return table


def _in_two_lines(figure: Figure | None, digits: int) -> str:
    """A figure and, in a line below, its interval."""
    if figure is None:
        return "undefined"
    if figure.low is None or figure.high is None:
        return f"{figure.value:.{digits}f}"
    return f"{figure.value:.{digits}f}\n{figure.low:.{digits}f} to {figure.high:.{digits}f}"


def _cells(agreement: Agreement) -> Iterable[float | None]:
    for name in _FIGURES:
        figure: Figure | None = getattr(agreement, name)
        yield from (None, None, None) if figure is None else (figure.value, figure.low, figure.high)


def _number(figure: Figure | None) -> str:
    if figure is None:
        return "-"
    interval = "" if figure.low is None or figure.high is None else f" ({figure.low:.2f} to {figure.high:.2f})"
    return f"{figure.value:.2f}{interval}"


def _percent(figure: Figure | None) -> str:
    return "-" if figure is None else f"{100 * figure.value:.1f} %"


def _print_names(console: Console, what: str, names: Iterable[str]) -> None:
    listed = list(names)
    if listed:
        more = "" if len(listed) <= _MOST_NAMES else ", ..."
        shown = escape(", ".join(listed[:_MOST_NAMES]))
        console.print(f"[yellow]{len(listed)} {what}:[/] {shown}{more}", soft_wrap=True)
