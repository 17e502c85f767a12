"""What tables of accuracy at a terminal share."""

from __future__ import annotations

from collections.abc import Iterable

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from detector.accuracy.undefined import UNDEFINED, WHY
from detector.counting.intervals import Interval
from detector.output.terminal import print_whole

_MOST_NAMES = 5


def grid(columns: Iterable[str], title: str | None = None, caption: str | None = None) -> Table:
    """An empty table."""
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
    if figure.low is None or figure.high is None:
        return f"{figure.value:.{digits}f}"
    return f"{figure.value:.{digits}f}\n{figure.low:.{digits}f} to {figure.high:.{digits}f}"


def figures(of: object, digits: int, *names: str) -> list[str]:
    """Attributes of `of` as `two_lines` has them."""
    return [two_lines(getattr(of, name), digits, WHY.get(name, "")) for name in names]


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
