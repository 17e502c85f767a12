"""What the page of an evaluation says, as text that the template puts in its places."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from detector.accuracy.agreement import Agreement
from detector.accuracy.bootstrap import Figure
from detector.accuracy.report.overlays import Overlay
from detector.accuracy.undefined import UNDEFINED, WHY
from detector.output.figures import fixed

Written = Callable[[float], str]
"""How a number is written."""
MOST_ROWS = 2000
"""Rows of the table of fields."""
_PERCENT = "\N{NO-BREAK SPACE}%"
_POINTS = "\N{NO-BREAK SPACE}pp"
SATURATED = "The model reported as many cells as it can; the true counts may be higher."


@dataclass(frozen=True)
class Cell:
    """A figure as text, with the limits of its interval where it has one."""

    text: str
    interval: tuple[str, str] | None = None
    why: str = ""
    """Why it is undefined, where it is."""


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


@dataclass(frozen=True)
class Listed:
    """Fields that a reader must know of."""

    heading: str
    remark: str
    names: Sequence[tuple[str, str]]
    """Each with its reason, or nothing."""

    @property
    def reasons(self) -> bool:
        """Whether any has one."""
        return any(reason for _, reason in self.names)


@dataclass(frozen=True)
class Yardsticks:
    """Figures of others of one kind."""

    what: str
    values: Sequence[tuple[str, str]]
    """Classes with their values, and on which data."""
    source: str
    remark: str


@dataclass(frozen=True)
class Page:
    """All that the page of an evaluation shows but its plots; a part that is empty is left out."""

    sentence: str
    """The whole evaluation in one sentence."""
    about: Mapping[str, Any]
    """As in `metrics.json`."""
    counts: Sequence[Table]
    """For each class, which its caption names."""
    fields: int
    """Rows of the table of fields, shown or not."""
    field_columns: Sequence[str]
    field_rows: Sequence[Sequence[str]]
    lists: Sequence[Listed]
    """Empty ones are left out."""
    per: str = "field"
    """What the counts are of, field or smear."""
    smears: Sequence[Table] = ()
    compared: Sequence[Table] = ()
    """The differences of two models or tables."""
    relabelled: Sequence[Table] = ()
    """The same finds by other labels."""
    yardsticks: Sequence[Yardsticks] = ()
    found: Sequence[Table] = ()
    confusion: Table | None = None
    failures: Sequence[Table] = ()
    domains: Sequence[Table] = ()
    slices: Sequence[tuple[Table, Sequence[str]]] = ()
    """With the rules by which fields or cells are parted."""
    worst: Sequence[Overlay] = ()


def number(digits: int) -> Written:
    """How a number is written with so many decimals."""
    return partial(fixed, digits=digits)


def total(cells: float) -> str:
    """A number of cells, which tables of means may have in parts."""
    return fixed(cells, 0 if float(cells).is_integer() else 1)


def share(value: float) -> str:
    """A share in hundredths."""
    return fixed(100 * value, 1) + _PERCENT


def points(value: float) -> str:
    """A difference of shares in percentage points."""
    return fixed(100 * value, 1) + _POINTS


def cell(figure: Figure | None, written: Written, why: str = "") -> Cell:
    """A figure in a table; `why` says what is wanting where it is undefined."""
    if figure is None:
        return Cell(UNDEFINED, why=why)
    if figure.low is None or figure.high is None:
        return Cell(written(figure.value))
    return Cell(written(figure.value), (written(figure.low).removesuffix(_PERCENT).removesuffix(_POINTS), written(figure.high)))


def told(figure: Figure | None, written: Written) -> str:
    """A figure and its interval in a sentence."""
    one = cell(figure, written)
    return one.text if one.interval is None else f"{one.text} ({one.interval[0]} to {one.interval[1]})"


_AGREEMENT: tuple[tuple[str, str, Written], ...] = (
    ("mean absolute error per {}", "mae", number(2)),
    ("root mean square error per {}", "rmse", number(2)),
    ("bias per {}", "bias", number(2)),
    ("lower limit of agreement", "loa_low", number(2)),
    ("upper limit of agreement", "loa_high", number(2)),
    ("counted exactly", "exact", share),
    ("within one cell", "within_one", share),
    ("Pearson's r", "pearson_r", number(3)),
    ("Lin's concordance", "concordance", number(3)),
    ("pooled accuracy (optimistic)", "pooled_accuracy", share),
)


def agreement(name: str, columns: Mapping[str, Agreement], per: str = "field") -> Table:
    """Counts of one class against truth; a column for each kind of comparison, by its heading.

    Args:
        per: what the counts are of, field or smear.
    """
    of = list(columns.values())
    rows = [
        Row("cells counted", [Cell(total(one.counted)) for one in of]),
        Row("true cells", [Cell(total(one.truth)) for one in of]),
        *(
            Row(title.format(per), [cell(getattr(one, key), written, WHY.get(key, "")) for one in of])
            for title, key, written in _AGREEMENT
        ),
    ]
    return Table(name, ["", *columns], rows)


def listed(heading: str, names: Iterable[tuple[str, str]], remark: str = "") -> Listed:
    """Names with reasons under a heading."""
    return Listed(heading, remark, list(names))


def named(heading: str, names: Iterable[str], remark: str = "") -> Listed:
    """Names under a heading."""
    return Listed(heading, remark, [(name, "") for name in names])


def table(caption: str, columns: Sequence[str], rows: Iterable[tuple[str, Sequence[Cell]]]) -> Table:
    """A table of any figures."""
    return Table(caption, columns, [Row(name, cells) for name, cells in rows])
