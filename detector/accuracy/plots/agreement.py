"""Plots of counts against truth, a figure for each class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from detector.accuracy.agreement import Agreement
from detector.accuracy.plots import style
from detector.counting.intervals import Interval
from detector.output.figures import fixed, many

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SIZE_IN = (4.8, 4.5)
_INTERVAL = 0.18
_LEAST_HALF = 1.2
"""Half of the fewest cells that an axis spans: less would make much of nothing."""


def bland_altman(name: str, counted: Sequence[float], truth: Sequence[float], of: Agreement, per: str = "field") -> Figure:
    """Error of the count against the mean of both (Bland and Altman, Lancet 1986; 327:307-310), with bias and limits.

    Args:
        name: the class.
        counted, truth: cells in each field, at least one.
        of: their agreement, whose intervals are drawn as bands.
        per: what the counts are of, field or smear.
    """
    p, t = np.asarray(counted, np.float64), np.asarray(truth, np.float64)
    figure, axes = _begin(name, len(p), per)
    style.dots(axes, (p + t) / 2, p - t, per, color=style.OF_CLASS[name], marker=style.MARKS[name])
    lines: list[tuple[str, Interval | None, Any]] = [
        ("upper limit", of.loa_high, (0, (5, 3))), ("bias", of.bias, "solid"), ("lower limit", of.loa_low, (0, (5, 3)))
    ]  # fmt: skip
    for label, value, dash in lines:
        if value is not None:
            axes.axhline(value.value, color="black", linewidth=1.4, linestyle=dash, zorder=4, label=f"{label} {_told(value)}")
            if value.low is not None and value.high is not None:
                axes.axhspan(value.low, value.high, color="black", alpha=_INTERVAL, linewidth=0)
    axes.axhline(0, color="black", linewidth=0.6, zorder=1)
    axes.set(xlabel=f"mean of counted and true cells (per {per})", ylabel=f"counted less true cells (per {per})")
    _whole_numbers(axes)
    style.legend(figure, axes)
    return figure


def counts(name: str, counted: Sequence[float], truth: Sequence[float], guess: float | None = None, per: str = "field") -> Figure:
    """Counted against true cells of each field, with the line on which they are equal.

    Args:
        name: the class.
        counted, truth: cells in each field, at least one.
        guess: the constant baseline; None where it is not known.
        per: what the counts are of, field or smear.
    """
    p, t = np.asarray(counted, np.float64), np.asarray(truth, np.float64)
    figure, axes = _begin(name, len(p), per)
    style.dots(axes, t, p, per, color=style.OF_CLASS[name], marker=style.MARKS[name])
    end = max(p.max(), t.max(), 1)
    axes.plot([0, end], [0, end], color="black", linewidth=1, label="counted = true", zorder=4)
    if guess is not None:
        axes.axhline(guess, color="black", linewidth=1.2, linestyle="dotted", zorder=4, label=f"constant baseline: {guess:g}")
    axes.set(xlabel=f"true cells (per {per})", ylabel=f"counted cells (per {per})")
    _whole_numbers(axes)
    style.legend(figure, axes)
    return figure


def _begin(name: str, number: int, per: str) -> tuple[Figure, Axes]:
    figure = style.begin(*_SIZE_IN)
    axes = figure.subplots()
    axes.set_title(f"{name}, {many(number, per)}")
    axes.margins(0.07)
    return figure, axes


def _whole_numbers(axes: Axes) -> None:
    from matplotlib.ticker import MaxNLocator

    for limits, limit in ((axes.get_xlim(), axes.set_xlim), (axes.get_ylim(), axes.set_ylim)):
        middle, half = sum(limits) / 2, max((limits[1] - limits[0]) / 2, _LEAST_HALF)
        limit(middle - half, middle + half)
    axes.xaxis.set_major_locator(MaxNLocator(7, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(8, integer=True))


def _told(value: Interval) -> str:
    interval = "" if value.low is None or value.high is None else f" ({fixed(value.low, 2)} to {fixed(value.high, 2)})"
    return fixed(value.value, 2) + interval
