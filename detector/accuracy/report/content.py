"""Tables and lists of which the page of an evaluation is made, as text that the template puts in its places."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby
from operator import attrgetter
from typing import Any

from detector.accuracy.counts import Agreement, Differences
from detector.accuracy.intervals import UNDEFINED, WHY
from detector.accuracy.yardsticks import YARDSTICKS, Yardstick, of_counting
from detector.counting.intervals import Interval
from detector.output.figures import fixed

Format = Callable[[float], str]
"""How a number is written."""
MOST_ROWS = 2000
"""Rows of the table of fields."""
_PERCENT = "\N{NO-BREAK SPACE}%"
_POINTS = "\N{NO-BREAK SPACE}pp"
SATURATED = "The model reported as many cells as it can; the true counts may be higher."


@dataclass(frozen=True)
class Entry:
    """What stands in one place of a table: a figure as text, with the limits of its interval where it has one."""

    text: str
    interval: tuple[str, str] | None = None
    why: str = ""
    """Why it is undefined, where it is."""


@dataclass(frozen=True)
class PageRow:
    """One line of a table."""

    name: str
    entries: Sequence[Entry]


@dataclass(frozen=True)
class PageTable:
    """A table with the names of its columns; the first is that of the rows' names."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[PageRow]


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
class Overlay:
    """A field's picture and the boxes over it."""

    field: str
    mistakes: str
    """What is wrong in it."""
    picture: str
    size_wh: tuple[int, int]
    boxes: Sequence[tuple[str, str, str]]
    """Kind, class and SVG path of boxes in pixels, in the order in which they are drawn."""


@dataclass(frozen=True)
class Page:
    """All that the page of an evaluation shows but its plots; a part that is empty is left out."""

    sentence: str
    """The whole evaluation in one sentence."""
    about: Mapping[str, Any]
    """As in `metrics.json`."""
    counts: Sequence[PageTable]
    """For each class, which its caption names."""
    fields: int
    """Rows of the table of fields, shown or not."""
    field_columns: Sequence[str]
    field_rows: Sequence[Sequence[str]]
    lists: Sequence[Listed]
    """Empty ones are left out."""
    per: str = "field"
    """What the counts are of, field or smear."""
    smears: Sequence[PageTable] = ()
    compared: Sequence[PageTable] = ()
    """The differences of two models or tables."""
    relabelled: Sequence[PageTable] = ()
    """The same finds by other labels."""
    yardsticks: Sequence[Yardsticks] = ()
    detection: Sequence[PageTable] = ()
    confusion: PageTable | None = None
    failures: Sequence[PageTable] = ()
    domains: Sequence[PageTable] = ()
    slices: Sequence[tuple[PageTable, Sequence[str]]] = ()
    """With the rules by which fields or cells are parted."""
    worst: Sequence[Overlay] = ()


def as_number(digits: int) -> Format:
    """How a number is written with so many decimals."""
    return partial(fixed, digits=digits)


def as_total(cells: float) -> str:
    """A number of cells, which tables of means may have in parts."""
    return fixed(cells, 0 if float(cells).is_integer() else 1)


def as_percent(value: float) -> str:
    """A share in hundredths."""
    return fixed(100 * value, 1) + _PERCENT


def as_points(value: float) -> str:
    """A difference of shares in percentage points."""
    return fixed(100 * value, 1) + _POINTS


def entry(figure: Interval | None, written: Format, why: str = "") -> Entry:
    """A figure in a table; `why` says what is wanting where it is undefined."""
    if figure is None:
        return Entry(UNDEFINED, why=why)
    if figure.limits is None:
        return Entry(written(figure.value))
    low, high = map(written, figure.limits)
    return Entry(written(figure.value), (low.removesuffix(_PERCENT).removesuffix(_POINTS), high))


def in_words(figure: Interval | None, written: Format) -> str:
    """A figure and its interval in a sentence."""
    text = entry(figure, written)
    return text.text if text.interval is None else f"{text.text} ({text.interval[0]} to {text.interval[1]})"


_AGREEMENT: tuple[tuple[str, str, Format], ...] = (
    ("mean absolute error per {}", "mae", as_number(2)),
    ("root mean square error per {}", "rmse", as_number(2)),
    ("bias per {}", "bias", as_number(2)),
    ("lower limit of agreement", "loa_low", as_number(2)),
    ("upper limit of agreement", "loa_high", as_number(2)),
    ("counted exactly", "exact", as_percent),
    ("within one cell", "within_one", as_percent),
    ("Pearson's r", "pearson_r", as_number(3)),
    ("Lin's concordance", "concordance", as_number(3)),
    ("pooled accuracy (optimistic)", "pooled_accuracy", as_percent),
)


def agreement_table(name: str, columns: Mapping[str, Agreement], per: str = "field") -> PageTable:
    """Counts of one class against truth; a column for each kind of comparison, by its heading.

    Args:
        per: what the counts are of, field or smear.
    """
    kinds = list(columns.values())
    rows = [
        PageRow("cells counted", [Entry(as_total(kind.counted)) for kind in kinds]),
        PageRow("true cells", [Entry(as_total(kind.truth)) for kind in kinds]),
        *(
            PageRow(title.format(per), [entry(getattr(kind, key), written, WHY.get(key, "")) for kind in kinds])
            for title, key, written in _AGREEMENT
        ),
    ]
    return PageTable(name, ["", *columns], rows)


PRECISE = as_number(3)
"""How what is known to the third decimal is written."""
_DIFFERENCES = (
    ("mean absolute error", "mae", as_number(2)), ("root mean square error", "rmse", as_number(2)), ("bias", "bias", as_number(2)),
    ("size of the bias", "bias_size", as_number(2)), ("counted exactly", "exact", as_points), ("within one cell", "within_one", as_points),
    ("Lin's concordance", "concordance", PRECISE),
)  # fmt: skip


def difference_table(caption: str, differences: Mapping[str, Differences], per: str) -> PageTable:
    """Figures of the counts of one side less those of the other, a column a class."""
    rows: list[tuple[str, list[Entry]]] = [
        (f"{per}s that both have", [Entry(f"{difference.fields:,}") for difference in differences.values()]),
        ("nearer to the truth: these", [Entry(f"{difference.a_nearer:,}") for difference in differences.values()]),
        ("nearer to the truth: the others", [Entry(f"{difference.b_nearer:,}") for difference in differences.values()]),
        *(
            (title, entries((getattr(difference, key) for difference in differences.values()), written, key))
            for title, key, written in _DIFFERENCES
        ),
    ]
    return table(caption, ("", *differences), rows)


def entries(figures: Iterable[Interval | None], written: Format, name: str) -> list[Entry]:
    """The figure of that name for each class."""
    return [entry(figure, written, WHY.get(name, "")) for figure in figures]


def listed(heading: str, names: Iterable[tuple[str, str]], remark: str = "") -> Listed:
    """Names with reasons under a heading."""
    return Listed(heading, remark, list(names))


def named(heading: str, names: Iterable[str], remark: str = "") -> Listed:
    """Names under a heading."""
    return Listed(heading, remark, [(name, "") for name in names])


def table(caption: str, columns: Sequence[str], rows: Iterable[tuple[str, Sequence[Entry]]]) -> PageTable:
    """A table of any figures."""
    return PageTable(caption, columns, [PageRow(name, entries) for name, entries in rows])


def yardsticks(agreements: Mapping[str, Agreement]) -> list[Yardsticks]:
    """What others reached, what laboratories allow, and what chance alone does."""
    groups = groupby([*YARDSTICKS, *of_counting(agreements)], key=attrgetter("what", "source", "remark"))
    return [
        Yardsticks(what, list(_by_data(some)), source, f"{remark[:1].upper()}{remark[1:]}")
        for (what, source, remark), some in groups
    ]


def _by_data(group: Iterable[Yardstick]) -> Iterator[tuple[str, str]]:
    for data, some in groupby(group, key=attrgetter("data")):
        yield ", ".join(f"{yardstick.class_name} {as_percent(yardstick.value)}" for yardstick in some), data
