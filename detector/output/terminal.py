"""Tables of results for people at a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path

from rich.box import HEAVY_HEAD, SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.measure import Measurement
from rich.table import Table

from detector.counting.intervals import Interval
from detector.counting.shapes import ShapeShares
from detector.counting.smears import LONE, WITHHELD, ClassCount, SmearCount
from detector.output import shapes
from detector.output.figures import many, short, span
from detector.output.outcome import Outcome
from detector.output.partitions import Totals
from detector.vision.cells import CLASSES

_MOST_ROWS = 60
_MOST_DOUBTFUL = 10
_MOST_SHAPED = 20
"""Smears whose shapes are printed."""
_WIDE_NAME, _NAME = 40, 12
"""Most characters of a smear's name in a line of the table."""
_UNLIMITED = 10_000
_NO_BREAK = "\u00a0"


def print_warnings(console: Console, outcome: Outcome) -> None:
    """Print what a user must know before any number is believed."""
    for warning in outcome.warnings:
        console.print(f"[bold red]warning:[/] {escape(warning)}", soft_wrap=True)


def print_smears(console: Console, smears: Sequence[SmearCount]) -> None:
    """Print each smear's counts with their 95 % intervals, and before them what warns of their use.

    Columns that no smear fills are left out.
    """
    _print_warnings(console, [smear for smear in smears if smear.warning])
    rows = [(smear, name, count) for smear in smears for name, count in smear.classes.items()]
    # From the widest to the narrowest: intervals beside their values or below, with lines between columns or without.
    shapes = ((" ", _WIDE_NAME, True), (" ", _NAME, True), ("\n", _NAME, True), ("\n", _NAME, False))
    print_whole(console, [_smears_table(rows[:_MOST_ROWS], *shape) for shape in shapes])
    if len(rows) > _MOST_ROWS:
        console.print(f"... and {len(rows) - _MOST_ROWS} rows more in smears.csv")
    lone = [smear.smear for smear in smears if smear.lone]
    if lone:
        which = escape(lone[0]) if len(lone) == 1 else f"{len(lone):,} smears"
        console.print(f"{which}: {LONE}", soft_wrap=True)
    unknown = dict.fromkeys(
        name for smear, name, count in rows if smear.fields and not smear.warning and not count.expected_total
    )
    if unknown and any(count.expected_total for _, _, count in rows):
        console.print(f"expected true counts of {', '.join(unknown)} are not known: the model's validation fields hold too few")


def _print_warnings(console: Console, smears: Sequence[SmearCount]) -> None:
    for smear in smears[:_MOST_ROWS]:
        console.print(f"[bold red]{escape(smear.smear)}: {smear.warning}[/]", soft_wrap=True)
    if len(smears) > _MOST_ROWS:
        console.print(f"[bold red]... and {len(smears) - _MOST_ROWS} smears more; see warning in smears.csv[/]")
    if smears:
        console.print(f"{WITHHELD}; for the reasons see counts.csv and report.html", soft_wrap=True)


def print_shapes(console: Console, shares: ShapeShares) -> None:
    """Print the shares of red cell shapes of each smear, with what must be known of them."""
    console.print()
    console.print(f"Red cell shapes: {shapes.FLAG}", soft_wrap=True)
    for smear in shares.smears[:_MOST_SHAPED]:
        section = shapes.rows(smear)
        if section.warning:
            console.print(f"[bold red]{escape(section.smear)}: {section.warning}[/]", soft_wrap=True)
        title = f"{section.smear}: {section.about}"
        print_whole(console, [_shapes_table(escape(title), section.rows, lined) for lined in (True, False)])
    if len(shares.smears) > _MOST_SHAPED:
        console.print(f"... and {len(shares.smears) - _MOST_SHAPED} smears more in shapes.csv")
    for line in (shapes.origin(shares.card), shapes.accuracy(shares.card)):
        console.print(line, markup=False, soft_wrap=True)
    weak = [line.partition(":")[0] for line in shapes.weak(shares.card)]
    if weak:
        console.print(f"less sure than a reader needs: {', '.join(weak)}; the reasons stand in report.html", soft_wrap=True)


def _shapes_table(title: str, rows: Sequence[Sequence[str]], lined: bool) -> Table:
    table = Table(
        title=title,
        title_justify="left",
        box=HEAVY_HEAD if lined else SIMPLE_HEAD,
        show_edge=lined,
        pad_edge=lined,
        padding=(0, 1, 0, 1 if lined else 0),
    )
    for i, heading in enumerate(shapes.HEADINGS):
        table.add_column(heading, justify="right" if 0 < i < len(shapes.HEADINGS) - 1 else "left", no_wrap=True)
    for row in rows:
        table.add_row(*row)
    return table


def print_problems(console: Console, outcome: Outcome) -> None:
    """Name the fields that are doubtful, those that could not be read, and those that held as many cells as the model reports."""
    doubtful = outcome.doubtful
    for read in doubtful[:_MOST_DOUBTFUL]:
        console.print(f"[yellow]doubtful:[/] {escape(read.field)}: {escape(read.doubt)}", soft_wrap=True)
    if len(doubtful) > _MOST_DOUBTFUL:
        console.print(f"... and {len(doubtful) - _MOST_DOUBTFUL} more doubtful, in counts.csv", soft_wrap=True)
    for field in outcome.unread[:_MOST_ROWS]:
        console.print(f"[yellow]unread:[/] {escape(field.field)}: {escape(field.reason)}", soft_wrap=True)
    if len(outcome.unread) > _MOST_ROWS:
        console.print(f"... and {len(outcome.unread) - _MOST_ROWS} more unread, in counts.csv", soft_wrap=True)
    full = [field.field for field in outcome.saturated]
    if full:
        names = escape(", ".join(full[:5]))
        console.print(
            f"[yellow]saturated:[/] {many(len(full), 'field')} hold as many cells as the model can report: {names}",
            soft_wrap=True,
        )


def print_skipped(console: Console, line: str) -> None:
    """Name the files that were passed over when folders were searched, if there are any."""
    if line:
        console.print(f"skipped: {line}", markup=False, soft_wrap=True)


def print_summary(console: Console, outcome: Outcome, folder: Path, seconds: float) -> None:
    """Print how many fields were counted, how fast, and where the results are."""
    _print_rate(console, len(outcome.read), len(outcome.unread), str(folder), seconds)


def print_totals(console: Console, errors: Console, totals: Totals, place: str, seconds: float) -> None:
    """Print what a count found that keeps no more than sums: to `errors` what warns, and the first fields that could not be read.

    Args:
        place: where the results are.
    """
    numbers = totals.numbers
    if totals.contradicted:
        field, note = totals.contradicted[0]
        errors.print(
            f"[bold red]warning:[/] the given scale contradicts the cells in {many(numbers['contradicted'], 'field')}, first in "
            f"{escape(field)}: {escape(note)}",
            soft_wrap=True,
        )
    cells = ", ".join(f"{numbers[name]:,} {name}" for name in CLASSES)
    console.print(f"{many(numbers['smears'], 'smear')}: {cells}", soft_wrap=True)
    for what in ("doubtful", "saturated"):
        if numbers[what]:
            errors.print(f"[yellow]{what}:[/] {many(numbers[what], 'field')}, named in the table counts", soft_wrap=True)
    for field, reason in totals.unread:
        errors.print(f"[yellow]unread:[/] {escape(field)}: {escape(reason)}", soft_wrap=True)
    if numbers["unread"] > len(totals.unread):
        errors.print(f"... and {numbers['unread'] - len(totals.unread):,} more unread, in the table counts", soft_wrap=True)
    _print_rate(console, numbers["read"], numbers["unread"], place, seconds)


def _print_rate(console: Console, read: int, unread: int, place: str, seconds: float) -> None:
    rate = (read + unread) / max(seconds, 1e-9)
    lost = f", {unread} unread" if unread else ""
    console.print(f"{many(read, 'field')} counted{lost} in {seconds:.1f} s ({short(rate)} fields/s)")
    console.print(f"results: {place}", markup=False, soft_wrap=True)


def print_whole(console: Console, tables: Sequence[Table]) -> None:
    """Print the first of these tables that fits the console with each word whole; where none does, the rows of the last as lines."""
    unlimited = console.options.update(width=_UNLIMITED)
    for table in tables:
        needed = Measurement.get(console, unlimited, table)
        unbroken = any(column.no_wrap for column in table.columns)
        fits = (needed.maximum if unbroken else needed.minimum) <= console.width
        # Where it is narrow, rich may take more from a column than the column has to spare, and cuts its words.
        if fits and not any("…" in segment.text for segment in console.render(table)):
            console.print(table)
            return
    _print_lines(console, tables[-1])


def _print_lines(console: Console, table: Table) -> None:
    if table.title:
        console.print(table.title, soft_wrap=True)
    headings = [" ".join(str(column.header).split()) for column in table.columns]
    columns = [[" ".join(str(text).split()) for text in column.cells] for column in table.columns]
    for row, texts in zip(table.rows, zip(*columns, strict=True), strict=True):
        parts = (
            f"{heading} {text}".strip().replace(" ", _NO_BREAK) for heading, text in zip(headings, texts, strict=True) if text
        )
        filled = textwrap.fill(
            "; ".join(parts), console.width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
        )
        # Line by line: the console shows a break inside of a text as an escape code, for names may hold one.
        for line in filled.replace(_NO_BREAK, " ").splitlines():
            console.print(line, soft_wrap=True)
        if row.end_section:
            console.print()
    if table.caption:
        console.print(table.caption, soft_wrap=True)


_SmearClass = tuple[SmearCount, str, ClassCount]


def _smears_table(rows: Sequence[_SmearClass], gap: str, name_width: int, lined: bool) -> Table:
    with_area = any(count.per_mm2 for _, _, count in rows)
    with_expected = any(count.expected_total for _, _, count in rows)
    with_volume = any(count.per_ul for _, _, count in rows)
    table = Table(
        title="Counts, with 95 % intervals",
        title_justify="left",
        box=HEAVY_HEAD if lined else SIMPLE_HEAD,
        show_edge=lined,
        pad_edge=lined,
        padding=(0, 1, 0, 1 if lined else 0),
    )
    table.add_column("smear", overflow="fold", max_width=name_width)
    table.add_column("fields", justify="right", no_wrap=True)
    table.add_column("cells", no_wrap=True)
    expected = [f"expected{gap}true"] * with_expected
    means = (f"mean per{gap}field", f"per 1,000{gap}RBC")
    for heading in ("total", *expected, *means, *["per mm²"] * with_area, *["per µL"] * with_volume):
        table.add_column(heading, justify="right", no_wrap=True)
    for smear, name, count in rows:
        first = name == next(iter(smear.classes))
        entries = _entries(count, with_expected, with_area, gap) if smear.fields else ["-"] * (3 + with_expected + with_area)
        if with_volume:
            entries.append(_estimate(count.per_ul, gap))
        last = name == list(smear.classes)[-1]
        table.add_row(
            escape(smear.smear) if first else "", f"{smear.fields:,}" if first else "", name, *entries, end_section=last
        )
    return table


def _entries(count: ClassCount, with_expected: bool, with_area: bool, gap: str) -> list[str]:
    optional = [count.expected_total] * with_expected, [count.per_mm2] * with_area
    estimates = (*optional[0], count.mean, count.per_1000_rbc, *optional[1])
    return [f"{count.total:,}", *(_estimate(interval, gap) for interval in estimates)]


def _estimate(interval: Interval | None, gap: str) -> str:
    if interval is None:
        return "-"
    return f"{short(interval.value)}{gap}({span(interval)})"
