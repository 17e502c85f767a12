"""What the page of an evaluation says, as text that the template puts in its places."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from detector.accuracy.agreement import Agreement
from detector.accuracy.bootstrap import Figure

UNDEFINED = "undefined"


@dataclass(frozen=True)
class Cell:
    """A figure as text, with the limits of its interval where it has one."""

    text: str
    interval: tuple[str, str] | None = None


@dataclass(frozen=True)
class Row:
    """One line of a table."""

    name: str
    cells: Sequence[Cell]


@dataclass(frozen=True)
class Table:
    """A table with the names of its columns; the first is that of the rows' names."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Row]


def number(digits: int) -> Callable[[float], str]:
    """How a number is written with so many decimals."""
    return lambda value: f"{value:,.{digits}f}".replace("-", "−")


def share(value: float) -> str:
    """A share in hundredths."""
    return f"{100 * value:.1f} %".replace("-", "−")


def cell(figure: Figure | None, written: Callable[[float], str]) -> Cell:
    """A figure in a table; one that is not defined says so."""
    if figure is None:
        return Cell(UNDEFINED)
    if figure.low is None or figure.high is None:
        return Cell(written(figure.value))
    return Cell(written(figure.value), (written(figure.low), written(figure.high)))


def told(figure: Figure | None, written: Callable[[float], str]) -> str:
    """A figure and its interval in a sentence."""
    one = cell(figure, written)
    return one.text if one.interval is None else f"{one.text} ({one.interval[0]} to {one.interval[1]})"


_AGREEMENT: tuple[tuple[str, str, Callable[[float], str]], ...] = (
    ("mean absolute error per field", "mae", number(2)),
    ("root mean square error per field", "rmse", number(2)),
    ("bias per field", "bias", number(2)),
    ("lower limit of agreement", "loa_low", number(2)),
    ("upper limit of agreement", "loa_high", number(2)),
    ("counted exactly", "exact", share),
    ("within one cell", "within_one", share),
    ("Pearson's r", "pearson_r", number(3)),
    ("Lin's concordance", "concordance", number(3)),
    ("pooled accuracy (flatters)", "pooled_accuracy", share),
)


def agreement(name: str, columns: Mapping[str, Agreement]) -> Table:
    """Counts of one class against truth; a column for each kind of comparison, by its heading."""
    of = list(columns.values())
    rows = [
        Row("cells counted", [Cell(number(0)(one.counted)) for one in of]),
        Row("cells there are", [Cell(number(0)(one.truth)) for one in of]),
        *(Row(title, [cell(getattr(one, key), written) for one in of]) for title, key, written in _AGREEMENT),
    ]
    return Table(name, ["", *columns], rows)


def table(caption: str, columns: Sequence[str], rows: Iterable[tuple[str, Sequence[Cell]]]) -> Table:
    """A table of any figures."""
    return Table(caption, columns, [Row(name, cells) for name, cells in rows])
