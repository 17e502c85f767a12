"""Plots of counts against truth, over all fields and in parts of them, a figure for each class."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from detector.accuracy.counts import Agreement
from detector.accuracy.plots import style
from detector.counting.intervals import Interval
from detector.output.figures import fixed, many
from detector.vision.drawing import HEX_COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SIZE_IN = (4.8, 4.5)
_ROW_IN = 0.36
"""Height of a part of the fields."""
_INTERVAL = 0.18
_LEAST_HALF = 1.2
"""Half of the fewest cells that an axis spans: less would make much of nothing."""


def bland_altman(
    name: str, counted: Sequence[float], truth: Sequence[float], agreement: Agreement, per: str = "field", unit: str = "cells"
) -> Figure:
    """Error of the count against the mean of both (Bland and Altman, Lancet 1986; 327:307-310), with bias and limits.

    Args:
        name: the class.
        counted, truth: cells in each field, at least one.
        agreement: their agreement, whose intervals are drawn as bands.
        per: what the counts are of, field or smear.
        unit: what they are in.
    """
    p, t = np.asarray(counted, np.float64), np.asarray(truth, np.float64)
    figure, axes = _begin(name, len(p), per)
    style.dots(axes, (p + t) / 2, p - t, per, color=HEX_COLOURS[name], marker=style.MARKS[name])
    lines: list[tuple[str, Interval | None, Any]] = [
        ("upper limit", agreement.loa_high, (0, (5, 3))), ("bias", agreement.bias, "solid"), ("lower limit", agreement.loa_low, (0, (5, 3)))
    ]  # fmt: skip
    for label, value, dash in lines:
        if value is not None:
            axes.axhline(value.value, color="black", linewidth=1.4, linestyle=dash, zorder=4, label=f"{label} {_in_words(value)}")
            if value.limits is not None:
                axes.axhspan(*value.limits, color="black", alpha=_INTERVAL, linewidth=0)
    axes.axhline(0, color="black", linewidth=0.6, zorder=1)
    axes.set(xlabel=f"mean of counted and true {unit} (per {per})", ylabel=f"counted less true {unit} (per {per})")
    _whole_numbers(axes)
    style.legend(figure, axes)
    return figure


def counted_against_true(
    name: str, counted: Sequence[float], truth: Sequence[float], baseline: float | None = None, per: str = "field"
) -> Figure:
    """Counted against true cells of each field, with the line on which they are equal.

    Args:
        name: the class.
        counted, truth: cells in each field, at least one.
        baseline: the constant baseline; None where it is not known.
        per: what the counts are of, field or smear.
    """
    p, t = np.asarray(counted, np.float64), np.asarray(truth, np.float64)
    figure, axes = _begin(name, len(p), per)
    style.dots(axes, t, p, per, color=HEX_COLOURS[name], marker=style.MARKS[name])
    end = max(p.max(), t.max(), 1)
    axes.plot([0, end], [0, end], color="black", linewidth=1, label="counted = true", zorder=4)
    if baseline is not None:
        axes.axhline(
            baseline, color="black", linewidth=1.2, linestyle="dotted", zorder=4, label=f"constant baseline: {baseline:g}"
        )
    axes.set(xlabel=f"true cells (per {per})", ylabel=f"counted cells (per {per})")
    _whole_numbers(axes)
    style.legend(figure, axes)
    return figure


def errors_in_parts(name: str, rows: Sequence[tuple[str, Interval]], label: str) -> Figure:
    """A figure of one class in each part, as a dot with its 95 % interval.

    Args:
        name: the class.
        rows: name and figure of each part, the first at the top; at least one.
        label: what is measured, with its unit.
    """
    figure = style.begin(4.8, 1.3 + _ROW_IN * len(rows))
    axes = figure.subplots()
    for i, (_, value) in enumerate(rows):
        if value.limits is not None:
            axes.plot(value.limits, [i, i], linewidth=2, solid_capstyle="butt", color=HEX_COLOURS[name], zorder=3)
        axes.plot(
            value.value, i, marker=style.MARKS[name], markersize=7, markeredgecolor="white", color=HEX_COLOURS[name], zorder=3
        )
    axes.set_yticks(range(len(rows)), [part for part, _ in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(left=min(0.0, axes.get_xlim()[0]))
    axes.set(xlabel=label, title=name)
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


def _in_words(value: Interval) -> str:
    limits = "" if value.limits is None else f" ({' to '.join(fixed(limit, 2) for limit in value.limits)})"
    return fixed(value.value, 2) + limits
