"""Figures of a model against labels for people at a terminal."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from detector.accuracy.agreement import Agreement
from detector.accuracy.compared import Compared
from detector.accuracy.evaluation import Evaluation
from detector.accuracy.precision import AveragePrecision
from detector.accuracy.printed import figures, grid, print_names, show, total, two_lines
from detector.accuracy.relabelled import Relabelled
from detector.accuracy.tables import agreement_table, error_table
from detector.accuracy.undefined import WHY
from detector.output.figures import many

_MOST_UNREAD = 20


def print_evaluation(console: Console, errors: Console, result: Evaluation) -> None:
    """Print all tables, and on `errors` the fields that a reader must know of."""
    show(console, of_evaluation(result))
    print_names(errors, "with more cells than could be counted", result.saturated)
    print_names(errors, "with more cells than average precision takes in", result.truncated)
    print_names(errors, "of no known smear", result.without_smear)
    if result.against:
        print_names(errors, "with more cells than the other model could count", result.against.other_saturated)
    if result.relabelled:
        print_names(errors, "not labelled by the others", result.relabelled.only_first)
        print_names(errors, "of another size in the other labels", result.relabelled.other_size)
    for field in result.unread[:_MOST_UNREAD]:
        errors.print(f"[yellow]unread:[/] {escape(field.source)}: {escape(field.reason)}", soft_wrap=True)
    if len(result.unread) > _MOST_UNREAD:
        errors.print(f"... and {len(result.unread) - _MOST_UNREAD} more unread, in fields.csv")


def of_evaluation(result: Evaluation) -> list[Table]:
    """What was found and how well it counts, over all fields, by smear and domain, beside another model and by other labels."""
    return [
        _found_table(result),
        _counts_table(result),
        agreement_table(result.all_cells),
        *(_smears_tables(result.per_smear) if result.per_smear else []),
        *([_domains_table(result)] if result.domains else []),
        *([_against_table(result.against)] if result.against else []),
        *([_relabelled_table(result.relabelled)] if result.relabelled else []),
    ]


def _found_table(result: Evaluation) -> Table:
    table = grid(("class", "AP50", "AP50-95", "precision", "recall", "F1"), f"cells found in {many(result.fields, 'field')}")
    for name, at in result.operating.items():
        table.add_row(name, *_ap(result.average_precision, name), *figures(at, 3, "precision", "recall", "f1"))
    table.add_row("mean", *_mean_ap(result.average_precision), "", "", "")
    return table


def _counts_table(result: Evaluation) -> Table:
    rows: dict[str, Mapping[str, Agreement]] = {"all": result.all_cells, "clear": result.clear_cells}
    if result.guess is not None:
        rows["baseline"] = result.guess
    columns = ("class", "cells", "counted", "truth", "mean error", "bias", "pooled", "exact")
    told = "clear: clear of the border; baseline: the training fields' median; mean error: absolute; pooled: optimistic"
    table = grid(columns, "counts per field", told)
    for name in result.all_cells:
        for title, agreements in rows.items():
            of = agreements[name]
            told_of = figures(of, 2, "mae", "bias", "pooled_accuracy", "exact")
            table.add_row(name, title, total(of.counted), total(of.truth), *told_of)
        table.add_section()
    return table


def _smears_tables(per_smear: Mapping[str, Agreement]) -> list[Table]:
    title = f"totals of {next(iter(per_smear.values())).fields} smears"
    return [error_table(title, per_smear, {}), agreement_table(per_smear)]


def _domains_table(result: Evaluation) -> Table:
    table = grid(("domain", "class", "AP50", "AP50-95", "mean error", "clear", "baseline"), "by domain")
    for domain, of in result.domains.items():
        for i, name in enumerate(of.all_cells):
            counts = [two_lines(kind[name].mae, 2) for kind in (of.all_cells, of.clear_cells)]
            counts.append(two_lines(of.guess[name].mae if of.guess else None, 2, WHY["guess"]))
            table.add_row(
                f"{escape(domain)}\n{many(of.fields, 'field')}" if i == 0 else "", name, *_ap(of.average_precision, name), *counts
            )
        table.add_section()
    return table


def _against_table(of: Compared) -> Table:
    told = "a negative difference favours this model; an interval that holds 0 does not show which is better"
    table = grid(("class", "AP50", "AP50-95", "precision", "recall", "mean error", "clear"), "this model less the other", told)
    for name, at in of.operating.items():
        counts = (two_lines(f, 2) for f in (of.all_cells[name].mae, of.clear_cells[name].mae))
        table.add_row(name, *_ap(of, name), *figures(at, 3, "precision", "recall"), *counts)
    table.add_row("mean", *_mean_ap(of), "", "", "", "")
    return table


def _relabelled_table(of: Relabelled) -> Table:
    columns = ("class", "labels", "labelled", "counted", "AP50", "precision", "recall", "mean error")
    table = grid(columns, f"{many(of.first.fields, 'field')} by both label sets")
    for name in of.labels:
        for title, by in (("these", of.first), ("other", of.second)):
            at, counts = by.operating[name], by.all_cells[name]
            rates = (_ap(by.average_precision, name)[0], *figures(at, 3, "precision", "recall"))
            table.add_row(name, title, total(counts.truth), total(counts.counted), *rates, two_lines(counts.mae, 2))
        table.add_section()
    return table


def _ap(of: AveragePrecision | Compared, name: str) -> list[str]:
    return [two_lines(by_class[name], 3, WHY["ap50"]) for by_class in (of.ap50, of.ap50_95)]


def _mean_ap(of: AveragePrecision | Compared) -> list[str]:
    return [two_lines(mean, 3, WHY["ap50"]) for mean in (of.mean_ap50, of.mean_ap50_95)]
