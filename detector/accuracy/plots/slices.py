"""The error of the count in parts of the fields, side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from detector.accuracy.plots import style
from detector.counting.intervals import Interval

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_ROW_IN = 0.36


def errors(name: str, rows: Sequence[tuple[str, Interval]], label: str) -> Figure:
    """A figure of one class in each part, as a dot with its 95 % interval.

    Args:
        name: the class.
        rows: name and figure of each part, the first at the top; at least one.
        label: what is measured, with its unit.
    """
    figure = style.begin(4.8, 1.3 + _ROW_IN * len(rows))
    axes = figure.subplots()
    for i, (_, value) in enumerate(rows):
        look: dict[str, Any] = {"color": style.OF_CLASS[name], "zorder": 3}
        if value.low is not None and value.high is not None:
            axes.plot([value.low, value.high], [i, i], linewidth=2, solid_capstyle="butt", **look)
        axes.plot(value.value, i, marker=style.MARKS[name], markersize=7, markeredgecolor="white", **look)
    axes.set_yticks(range(len(rows)), [part for part, _ in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlim(left=min(0.0, axes.get_xlim()[0]))
    axes.set(xlabel=label, title=name)
    return figure
