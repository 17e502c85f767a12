"""What stands beside the figures: those of another model or table, of other labels, and of others."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import groupby
from operator import attrgetter

from detector.accuracy.agreement import Agreement
from detector.accuracy.compared import Compared
from detector.accuracy.paired import Differences
from detector.accuracy.relabelled import Relabelled
from detector.accuracy.report.content import (
    Cell,
    Table,
    Written,
    Yardsticks,
    agreement,
    cell,
    number,
    points,
    share,
    table,
    total,
)
from detector.accuracy.undefined import WHY
from detector.accuracy.yardsticks import YARDSTICKS, Yardstick, of_counting
from detector.counting.intervals import Interval
from detector.output.figures import many

_PRECISE = number(3)
_DIFFERENCES = (
    ("mean absolute error", "mae", number(2)), ("root mean square error", "rmse", number(2)), ("bias", "bias", number(2)),
    ("size of the bias", "bias_size", number(2)), ("counted exactly", "exact", points), ("within one cell", "within_one", points),
    ("Lin's concordance", "concordance", _PRECISE),
)  # fmt: skip
RATES = (("precision", "precision"), ("recall", "recall"), ("F1", "f1"), ("accuracy", "accuracy"), ("named right", "named_right"))
"""Title and key of what `operating.RATES` names."""


def differences(caption: str, of: Mapping[str, Differences], per: str) -> Table:
    """Figures of the counts of one side less those of the other, a column a class."""
    rows: list[tuple[str, list[Cell]]] = [
        (f"{per}s that both have", [Cell(f"{one.fields:,}") for one in of.values()]),
        ("nearer to the truth: these", [Cell(f"{one.a_nearer:,}") for one in of.values()]),
        ("nearer to the truth: the others", [Cell(f"{one.b_nearer:,}") for one in of.values()]),
        *((title, _cells((getattr(one, key) for one in of.values()), written, key)) for title, key, written in _DIFFERENCES),
    ]
    return table(caption, ("", *of), rows)


def models(of: Compared) -> list[Table]:
    """A model's figures less those of another."""
    rows = [
        (title, _cells([*each.values(), mean], _PRECISE, "ap50"))
        for title, each, mean in (("AP50", of.ap50, of.mean_ap50), ("AP50-95", of.ap50_95, of.mean_ap50_95))
    ]
    rates = [(title, _cells((getattr(one, key) for one in of.operating.values()), points, key)) for title, key in RATES]
    return [
        table("Average precision, this model less the other", ("", *of.ap50, "mean"), rows),
        table("At each model's thresholds, this less the other", ("", *of.operating), rates),
        differences("Counts of all cells, this less the other", of.all_cells, "field"),
        differences("Counts of cells clear of the border, this less the other", of.clear_cells, "field"),
    ]


def labels(of: Relabelled) -> list[Table]:
    """The same finds by these labels and by others, and how far the labels themselves agree."""
    columns = ("", *of.labels)
    rows: list[tuple[str, list[Cell]]] = []
    for title, figures in (("these labels", of.first), ("the others", of.second)):
        rows += [
            (f"cells, {title}", [Cell(total(one.truth)) for one in figures.all_cells.values()]),
            (f"AP50, {title}", _cells(figures.average_precision.ap50.values(), _PRECISE, "ap50")),
            (f"recall, {title}", _cells((one.recall for one in figures.operating.values()), share, "recall")),
            (f"precision, {title}", _cells((one.precision for one in figures.operating.values()), share, "precision")),
            (f"mean error per field, {title}", _cells((one.mae for one in figures.all_cells.values()), number(2), "mae")),
        ]
    return [
        table(f"The same finds in {many(of.first.fields, 'field')} by both label sets", columns, rows),
        agreement("Cells by the other labels against these", of.labels),
    ]


def yardsticks(of: Mapping[str, Agreement]) -> list[Yardsticks]:
    """What others reached, what laboratories allow, and what chance alone does."""
    groups = groupby([*YARDSTICKS, *of_counting(of)], key=lambda one: (one.what, one.source, one.remark))
    return [
        Yardsticks(what, list(_by_data(some)), source, f"{remark[:1].upper()}{remark[1:]}")
        for (what, source, remark), some in groups
    ]


def _by_data(of: Iterable[Yardstick]) -> Iterator[tuple[str, str]]:
    for data, some in groupby(of, key=attrgetter("data")):
        yield ", ".join(f"{one.class_name} {share(one.value)}" for one in some), data


def _cells(of: Iterable[Interval | None], written: Written, name: str) -> list[Cell]:
    return [cell(one, written, WHY.get(name, "")) for one in of]
