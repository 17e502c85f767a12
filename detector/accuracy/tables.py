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
from detector.accuracy.compared import Compared
from detector.accuracy.comparison import Comparison
from detector.accuracy.evaluation import Evaluation
from detector.accuracy.relabelled import Relabelled
from detector.accuracy.tabled import TableEvaluation
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
    """Print the error of each class, what stands on one side only, and what of the truth could not be used."""
    for table in of_comparison(comparison, "Against truth"):
        console.print(table)
    _print_lists(console, comparison, remarks)


def print_tables(console: Console, result: TableEvaluation) -> None:
    """Print how tables of counts agree with truth and differ from each other, and all that is in no figure."""
    for table in of_tables(result):
        console.print(table)
    _print_lists(console, result.comparison, result.remarks)
    _print_names(console, "unread", _reasons(result.unread))
    _print_names(console, "with more cells than could be counted", result.saturated)
    if result.against is not None:
        console.print("Of the other table:")
        _print_lists(console, result.against, ())
        _print_names(console, "unread", _reasons(result.against_unread))
        _print_names(console, "with more cells than could be counted", result.against_saturated)
        _print_names(console, "in one of the two tables only, in no difference", result.unpaired)


def of_tables(result: TableEvaluation) -> list[Table]:
    """The counts against truth, the other counts beside them, and the differences of the two."""
    tables = of_comparison(result.comparison, "Against truth")
    if result.against is not None:
        tables += of_comparison(result.against, "The other table against truth")
    return [*tables, *([_paired_table(result)] if result.paired else [])]


def of_comparison(comparison: Comparison, title: str) -> list[Table]:
    """Error and agreement over fields and, where there are several, over smears' totals."""
    tables = [
        _error_table(f"{title}, {_many(len(comparison.fields), comparison.per)}", comparison.classes, comparison.guess),
        _agreement_table(comparison.classes),
    ]
    if comparison.per_smear:
        of_smears = f"{title}, totals of {_many(len(comparison.smears), 'smear')}"
        tables += [_error_table(of_smears, comparison.per_smear, {}), _agreement_table(comparison.per_smear)]
    return tables


def _many(n: int, what: str) -> str:
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def _error_table(title: str, classes: Mapping[str, Agreement], guess: Mapping[str, Agreement]) -> Table:
    columns = ("class", "cells", "counted", "truth", "mean error", "bias", "exact", "within 1", "pooled")
    table = Table(*columns, title=title, box=box.SIMPLE_HEAD, pad_edge=False)
    for name, of in classes.items():
        for kind, row in (("all", of), *((("guess", guess[name]),) if name in guess else ())):
            figures = (_in_two_lines(figure, 2) for figure in (row.mae, row.bias, row.exact, row.within_one, row.pooled_accuracy))
            table.add_row(name, kind, _sum(row.counted), _sum(row.truth), *figures)
        table.add_section()
    told = "mean error: absolute; pooled flatters; 95 % intervals"
    table.caption = f"guess: the median of the truth, without looking; {told}" if guess else told
    return table


def _agreement_table(classes: Mapping[str, Agreement]) -> Table:
    columns = ("class", "RMSE", "limits of agreement: lower", "upper", "Pearson r", "Lin's concordance")
    table = Table(*columns, box=box.SIMPLE_HEAD, pad_edge=False)
    for name, of in classes.items():
        cells = (_in_two_lines(figure, 2) for figure in (of.rmse, of.loa_low, of.loa_high))
        table.add_row(name, *cells, *(_in_two_lines(figure, 3) for figure in (of.pearson_r, of.concordance)))
    return table


def _paired_table(result: TableEvaluation) -> Table:
    columns = ("class", "both have", "nearer", "farther", "mean error", "bias", "exact", "concordance")
    table = Table(*columns, title="These counts less the other table's", box=box.SIMPLE_HEAD, pad_edge=False)
    for name, of in result.paired.items():
        both = _many(of.fields, result.comparison.per)
        cells = (_in_two_lines(figure, 2) for figure in (of.mae, of.bias, of.exact))
        table.add_row(name, both, str(of.a_nearer), str(of.b_nearer), *cells, _in_two_lines(of.concordance, 3))
    table.caption = "a negative error is in favour of these; an interval that holds 0 does not show which is better"
    return table


def _print_lists(console: Console, comparison: Comparison, remarks: Sequence[str]) -> None:
    _print_names(console, "counted without truth", comparison.only_counted)
    _print_names(console, f"truth without a counted {comparison.per}", comparison.only_truth)
    _print_names(console, "classes on one side only", comparison.classes_apart)
    _print_names(console, "parts of the truth could not be used", remarks)
    _print_names(console, "name stands for several fields, left out", comparison.ambiguous)
    _print_names(console, "smears with unread fields, which are not in their totals", comparison.incomplete)


def _reasons(unread: Mapping[str, str]) -> list[str]:
    return [f"{name} ({reason})" if reason else name for name, reason in unread.items()]


def of_evaluation(result: Evaluation) -> list[Table]:
    """What was found and how well it counts, over all fields, and by domain, beside another model and by other labels where these are."""
    return [
        _found_table(result),
        _counts_table(result),
        *([_domains_table(result)] if result.domains else []),
        *([_against_table(result.against)] if result.against else []),
        *([_relabelled_table(result.relabelled)] if result.relabelled else []),
    ]


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
            table.add_row(name, title, _sum(row.counted), _sum(row.truth), *figures)
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


def _against_table(of: Compared) -> Table:
    columns = ("class", "AP50", "AP50-95", "precision", "recall", "F1", "mean error", "clear")
    table = Table(*columns, title="this model less the other", box=box.SIMPLE_HEAD, pad_edge=False)
    for name, at in of.operating.items():
        rates = (_in_two_lines(f, 3) for f in (of.ap50[name], of.ap50_95[name], at.precision, at.recall, at.f1))
        table.add_row(name, *rates, *(_in_two_lines(f, 2) for f in (of.all_cells[name].mae, of.clear_cells[name].mae)))
    table.add_row("mean", _in_two_lines(of.mean_ap50, 3), _in_two_lines(of.mean_ap50_95, 3), "", "", "", "", "")
    table.caption = "an error below 0 is in favour of this model; an interval that holds 0 does not show which is better"
    return table


def _relabelled_table(of: Relabelled) -> Table:
    columns = ("class", "labels", "labelled", "counted", "AP50", "precision", "recall", "mean error")
    table = Table(*columns, title=f"{of.first.fields} fields by both label sets", box=box.SIMPLE_HEAD, pad_edge=False)
    for name in of.labels:
        for title, by in (("these", of.first), ("other", of.second)):
            at, counts = by.operating[name], by.all_cells[name]
            rates = (_in_two_lines(f, 3) for f in (by.average_precision.ap50[name], at.precision, at.recall))
            table.add_row(name, title, _sum(counts.truth), _sum(counts.counted), *rates, _in_two_lines(counts.mae, 2))
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


def _sum(cells: float) -> str:
    return str(cells) if isinstance(cells, int) else f"{cells:.6g}"


def _print_names(console: Console, what: str, names: Iterable[str]) -> None:
    listed = list(names)
    if listed:
        more = "" if len(listed) <= _MOST_NAMES else ", ..."
        shown = escape(", ".join(listed[:_MOST_NAMES]))
        console.print(f"[yellow]{len(listed)} {what}:[/] {shown}{more}", soft_wrap=True)
