"""Figures for people at a terminal: a model against labels, and counts against truth."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from detector.accuracy.comparison import Comparison, TableEvaluation
from detector.accuracy.counts import Agreement
from detector.accuracy.evaluation import Evaluation
from detector.accuracy.figures import DetectorDifferences, Relabelled
from detector.accuracy.intervals import UNDEFINED, WHY
from detector.accuracy.precision import AveragePrecision
from detector.counting.intervals import Interval
from detector.output.figures import many
from detector.output.terminal import print_whole

_MOST_UNREAD = 20
_MOST_NAMES = 5


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
    table = empty_table(
        ("class", "AP50", "AP50-95", "precision", "recall", "F1"), f"cells found in {many(result.fields, 'field')}"
    )
    for name, at in result.operating.items():
        table.add_row(name, *_ap(result.average_precision, name), *texts(at, 3, "precision", "recall", "f1"))
    table.add_row("mean", *_mean_ap(result.average_precision), "", "", "")
    return table


def _counts_table(result: Evaluation) -> Table:
    rows: dict[str, Mapping[str, Agreement]] = {"all": result.all_cells, "clear": result.clear_cells}
    if result.constant_baseline is not None:
        rows["baseline"] = result.constant_baseline
    columns = ("class", "cells", "counted", "truth", "mean error", "bias", "pooled", "exact")
    caption = "clear: clear of the border; baseline: the training fields' median; mean error: absolute; pooled: optimistic"
    table = empty_table(columns, "counts per field", caption)
    for name in result.all_cells:
        for title, agreements in rows.items():
            agreement = agreements[name]
            figures = texts(agreement, 2, "mae", "bias", "pooled_accuracy", "exact")
            table.add_row(name, title, total(agreement.counted), total(agreement.truth), *figures)
        table.add_section()
    return table


def _smears_tables(per_smear: Mapping[str, Agreement]) -> list[Table]:
    title = f"totals of {next(iter(per_smear.values())).fields} smears"
    return [error_table(title, per_smear, {}), agreement_table(per_smear)]


def _domains_table(result: Evaluation) -> Table:
    table = empty_table(("domain", "class", "AP50", "AP50-95", "mean error", "clear", "baseline"), "by domain")
    for domain, figures in result.domains.items():
        for i, name in enumerate(figures.all_cells):
            counts = [two_lines(kind[name].mae, 2) for kind in (figures.all_cells, figures.clear_cells)]
            counts.append(
                two_lines(figures.constant_baseline[name].mae if figures.constant_baseline else None, 2, WHY["constant_baseline"])
            )
            table.add_row(
                f"{escape(domain)}\n{many(figures.fields, 'field')}" if i == 0 else "",
                name,
                *_ap(figures.average_precision, name),
                *counts,
            )
        table.add_section()
    return table


def _against_table(differences: DetectorDifferences) -> Table:
    caption = "a negative difference favours this model; an interval that holds 0 does not show which is better"
    table = empty_table(
        ("class", "AP50", "AP50-95", "precision", "recall", "mean error", "clear"), "this model less the other", caption
    )
    for name, at in differences.operating.items():
        counts = (two_lines(f, 2) for f in (differences.all_cells[name].mae, differences.clear_cells[name].mae))
        table.add_row(name, *_ap(differences, name), *texts(at, 3, "precision", "recall"), *counts)
    table.add_row("mean", *_mean_ap(differences), "", "", "", "")
    return table


def _relabelled_table(relabelled: Relabelled) -> Table:
    columns = ("class", "labels", "labelled", "counted", "AP50", "precision", "recall", "mean error")
    table = empty_table(columns, f"{many(relabelled.first.fields, 'field')} by both label sets")
    for name in relabelled.labels:
        for title, by in (("these", relabelled.first), ("other", relabelled.second)):
            at, counts = by.operating[name], by.all_cells[name]
            rates = (_ap(by.average_precision, name)[0], *texts(at, 3, "precision", "recall"))
            table.add_row(name, title, total(counts.truth), total(counts.counted), *rates, two_lines(counts.mae, 2))
        table.add_section()
    return table


def _ap(figures: AveragePrecision | DetectorDifferences, name: str) -> list[str]:
    return [two_lines(by_class[name], 3, WHY["ap50"]) for by_class in (figures.ap50, figures.ap50_95)]


def _mean_ap(figures: AveragePrecision | DetectorDifferences) -> list[str]:
    return [two_lines(mean, 3, WHY["ap50"]) for mean in (figures.mean_ap50, figures.mean_ap50_95)]


def print_comparison(console: Console, comparison: Comparison, remarks: Sequence[str]) -> None:
    """Print the error of each class, what stands on one side only, and what of the truth could not be used."""
    show(console, of_comparison(comparison, "Against truth"))
    _print_lists(console, comparison, remarks)


def print_table_evaluation(console: Console, result: TableEvaluation) -> None:
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
        error_table(f"{title}, {many(len(comparison.fields), comparison.per)}", comparison.classes, comparison.constant_baseline),
        agreement_table(comparison.classes),
    ]
    if comparison.per_smear:
        of_smears = f"{title}, totals of {many(len(comparison.smears), 'smear')}"
        tables += [error_table(of_smears, comparison.per_smear, {}), agreement_table(comparison.per_smear)]
    return tables


def error_table(title: str, classes: Mapping[str, Agreement], constant_baseline: Mapping[str, Agreement]) -> Table:
    """How wrong counts are, and how wrong the constant baseline is where there is one."""
    columns = ("class", "cells", "counted", "truth", "mean error", "bias", "exact", "within 1", "pooled")
    caption = "mean error: absolute; pooled: optimistic, as errors cancel; 95 % intervals"
    table = empty_table(
        columns, title, f"baseline: constant, the median of the truth; {caption}" if constant_baseline else caption
    )
    for name, agreement in classes.items():
        for kind, row in (("all", agreement), *((("baseline", constant_baseline[name]),) if name in constant_baseline else ())):
            figures = texts(row, 2, "mae", "bias", "exact", "within_one", "pooled_accuracy")
            table.add_row(name, kind, total(row.counted), total(row.truth), *figures)
        table.add_section()
    return table


def agreement_table(classes: Mapping[str, Agreement]) -> Table:
    """How the errors scatter, and how far counted and true cells rise together."""
    table = empty_table(("class", "RMSE", "limits of agreement: lower", "upper", "Pearson r", "Lin's concordance"))
    for name, agreement in classes.items():
        table.add_row(name, *texts(agreement, 2, "rmse", "loa_low", "loa_high"), *texts(agreement, 3, "pearson_r", "concordance"))
    return table


def _paired_table(result: TableEvaluation) -> Table:
    columns = ("class", "both have", "nearer", "farther", "mean error", "bias", "exact", "concordance")
    caption = "a negative difference favours these; an interval that holds 0 does not show which is better"
    table = empty_table(columns, "These counts less the other table's", caption)
    for name, difference in result.paired.items():
        both = many(difference.fields, result.comparison.per)
        figures = (*texts(difference, 2, "mae", "bias", "exact"), *texts(difference, 3, "concordance"))
        table.add_row(name, both, str(difference.a_nearer), str(difference.b_nearer), *figures)
    return table


def _print_lists(console: Console, comparison: Comparison, remarks: Sequence[str]) -> None:
    for what, names in comparison.left_out(remarks):
        print_names(console, what, names)


def _reasons(unread: Mapping[str, str]) -> list[str]:
    return [f"{name} ({reason})" if reason else name for name, reason in unread.items()]


def empty_table(columns: Iterable[str], title: str | None = None, caption: str | None = None) -> Table:
    """A table without rows."""
    return Table(
        *columns,
        title=title,
        caption=caption,
        title_justify="left",
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        show_edge=False,
        pad_edge=False,
    )


def show(console: Console, tables: Iterable[Table]) -> None:
    """Print tables with an empty line before each, and one at the end."""
    for table in tables:
        console.print()
        print_whole(console, [table])
    console.print()


def two_lines(figure: Interval | None, digits: int, why: str = "") -> str:
    """A figure and, in a line below, its interval; or why it is undefined."""
    if figure is None:
        return f"{UNDEFINED}\n{why}".strip()
    value = f"{figure.value:.{digits}f}"
    return value if figure.limits is None else f"{value}\n" + " to ".join(f"{limit:.{digits}f}" for limit in figure.limits)


def texts(figures: object, digits: int, *names: str) -> list[str]:
    """Attributes of `figures` as `two_lines` has them."""
    return [two_lines(getattr(figures, name), digits, WHY.get(name, "")) for name in names]


def total(cells: float) -> str:
    """A number of cells, which tables of means may have in parts."""
    return str(cells) if isinstance(cells, int) else f"{cells:.6g}"


def print_names(console: Console, what: str, names: Iterable[str]) -> None:
    """Print how many there are and the first of them; nothing where there are none."""
    listed = list(names)
    if listed:
        more = "" if len(listed) <= _MOST_NAMES else ", ..."
        shown = escape(", ".join(listed[:_MOST_NAMES]))
        console.print(f"[yellow]{len(listed)} {escape(what)}:[/] {shown}{more}", soft_wrap=True)
