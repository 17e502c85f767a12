"""Tables of results for people at a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from detector.counting.density import PerMicrolitre
from detector.counting.fields import FieldCount, UnreadField
from detector.counting.intervals import Estimate
from detector.counting.smears import WITHHELD, ClassCount, SmearCount
from detector.output.figures import many, short, span
from detector.output.outcome import Outcome

_MOST_ROWS = 60


def print_warnings(console: Console, outcome: Outcome) -> None:
    """Print what a user must know before any number is believed."""
    for warning in outcome.warnings:
        console.print(f"[bold red]warning:[/] {escape(warning)}", soft_wrap=True)


def print_smears(console: Console, smears: Sequence[SmearCount], per_ul: Mapping[str, Sequence[PerMicrolitre]]) -> None:
    """Print each smear's counts with their 95 % intervals, and before them what warns of their use.

    Columns that no smear fills are left out.
    """
    _print_warnings(console, [smear for smear in smears if smear.warning])
    rows = [(smear, name, count) for smear in smears for name, count in smear.classes.items()]
    with_area = any(count.per_mm2 for _, _, count in rows)
    with_expected = any(count.expected_total for _, _, count in rows)
    with_volume = any(per_ul.values())
    # Intervals stand below their values, and may break, where a line would be wider than most terminals.
    gap = "\n" if with_area or with_volume else " "
    table = Table(title="Counts, with 95 % intervals", title_justify="left")
    table.add_column("smear", overflow="fold")
    table.add_column("fields", justify="right", no_wrap=True)
    table.add_column("cells", no_wrap=True)
    expected = ["expected true"] * with_expected
    for heading in ("total", *expected, "mean per field", "per red cell", *["per mm²"] * with_area, *["per µL"] * with_volume):
        table.add_column(heading, justify="right", no_wrap=gap == " ")
    for smear, name, count in rows[:_MOST_ROWS]:
        first = name == next(iter(smear.classes))
        cells = _count_cells(count, with_expected, with_area, gap) if smear.fields else ["-"] * (3 + with_expected + with_area)
        if with_volume:
            volume = next((one.estimate for one in per_ul.get(smear.smear, ()) if one.class_name == name), None)
            cells.append(_estimate(volume, gap))
        last = name == list(smear.classes)[-1]
        table.add_row(escape(smear.smear) if first else "", str(smear.fields) if first else "", name, *cells, end_section=last)
    console.print(table)
    if len(rows) > _MOST_ROWS:
        console.print(f"... and {len(rows) - _MOST_ROWS} rows more in smears.csv")
    unknown = dict.fromkeys(
        name for smear, name, count in rows if smear.fields and not smear.warning and not count.expected_total
    )
    if with_expected and unknown:
        console.print(f"expected true counts of {', '.join(unknown)} are not known: too few in the model's validation fields")


def _print_warnings(console: Console, smears: Sequence[SmearCount]) -> None:
    for smear in smears[:_MOST_ROWS]:
        console.print(f"[bold red]{escape(smear.smear)}: {smear.warning}[/]", soft_wrap=True)
    if len(smears) > _MOST_ROWS:
        console.print(f"[bold red]... and {len(smears) - _MOST_ROWS} smears more; see warning in smears.csv[/]")
    if smears:
        console.print(f"{WITHHELD}; the reasons stand in counts.csv and report.html", soft_wrap=True)


def print_problems(console: Console, fields: Sequence[FieldCount | UnreadField]) -> None:
    """Name the fields that could not be read, and those that held as many cells as the model reports."""
    unread = [field for field in fields if isinstance(field, UnreadField)]
    for field in unread[:_MOST_ROWS]:
        console.print(f"[yellow]unread:[/] {escape(field.field)}: {escape(field.reason)}", soft_wrap=True)
    if len(unread) > _MOST_ROWS:
        console.print(f"... and {len(unread) - _MOST_ROWS} more unread, in counts.csv")
    full = [field.field for field in fields if isinstance(field, FieldCount) and field.saturated]
    if full:
        console.print(
            f"[yellow]saturated:[/] {len(full)} fields hold more cells than the model reports: {escape(', '.join(full[:5]))}"
        )


def print_summary(console: Console, outcome: Outcome, folder: Path, seconds: float) -> None:
    """Print how many fields were counted, how fast, and where the results are."""
    rate = len(outcome.fields) / max(seconds, 1e-9)
    unread = f", {len(outcome.unread)} unread" if outcome.unread else ""
    console.print(f"{many(len(outcome.read), 'field')} counted{unread} in {seconds:.1f} s ({short(rate)} fields/s)")
    console.print(f"results: {folder}", markup=False, soft_wrap=True)


def _count_cells(count: ClassCount, with_expected: bool, with_area: bool, gap: str) -> list[str]:
    optional = [count.expected_total] * with_expected, [count.per_mm2] * with_area
    estimates = (*optional[0], count.mean, count.per_rbc, *optional[1])
    return [str(count.total), *(_estimate(one, gap) for one in estimates)]


def _estimate(one: Estimate | None, gap: str) -> str:
    if one is None:
        return "-"
    interval = span(one) if gap == " " else span(one).replace("–", " – ")
    return f"{short(one.value)}{gap}({interval})"
