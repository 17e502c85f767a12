"""Plots of what was found: precision against recall, figures against the threshold, and which class was taken for which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from detector.accuracy.plots import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SIZE_IN = (4.8, 4.5)
_LOOKS = dict(zip(style.OF_CLASS, style.DASHES, strict=False))
"""Dash of each class's line."""


def precision_recall(
    recall: Sequence[float],
    precision: Mapping[str, Sequence[float]],
    ap50: Mapping[str, float],
    at: Mapping[str, tuple[float, float]],
) -> Figure:
    """Precision against recall at an overlap of 0.5, a line a class.

    Args:
        recall: levels of recall, of shape (levels,).
        precision: at each level, by class; classes without labelled cells are not in it.
        ap50: average precision of each of these classes.
        at: recall and precision at the model's threshold, by class, where both are defined.
    """
    figure = style.begin(*_SIZE_IN)
    axes = figure.subplots()
    for name, values in precision.items():
        look: dict[str, Any] = {"color": style.OF_CLASS[name]}
        axes.plot(recall, values, linestyle=_LOOKS[name], linewidth=2, label=f"{name}, AP50 {ap50[name]:.3f}", **look)
        if name in at:
            axes.plot(
                *at[name], marker=style.MARKS[name], markersize=9, markeredgecolor="black", linestyle="none", zorder=4, **look
            )
    if at:
        axes.plot(
            [], [], marker="o", markersize=9, markeredgecolor="black", color="white", linestyle="none", label="at the threshold"
        )
    axes.set(xlim=(-0.02, 1.02), ylim=(-0.02, 1.02), xlabel="recall (share of the labelled cells that are found)")
    axes.set_ylabel("precision (share of the found that are cells)")
    axes.set_title("Precision and recall")
    style.legend(figure, axes)
    return figure


def thresholds(name: str, grid: Sequence[float], rates: Mapping[str, NDArray[np.float64]], chosen: float) -> Figure:
    """Precision, recall and F1 of one class against the threshold.

    Args:
        name: the class.
        grid: thresholds, of shape (n,).
        rates: by name, at most three, each of shape (n,); nan where it is undefined.
        chosen: the model's threshold.
    """
    figure = style.begin(*_SIZE_IN)
    axes = figure.subplots()
    for (rate, values), dash, colour in zip(rates.items(), style.DASHES, ("#000000", *style.COLOURS), strict=False):
        axes.plot(grid, values, linestyle=dash, color=colour, linewidth=2, label=rate)
    axes.axvline(chosen, color="black", linewidth=1.2, linestyle=(0, (6, 3)), label=f"the model's threshold, {chosen:.2f}")
    axes.set(xlim=(0, 1), ylim=(-0.02, 1.02), xlabel="threshold (least score of a counted cell)", ylabel="share")
    axes.set_title(name)
    style.legend(figure, axes)
    return figure


def confusion(rows: Sequence[str], columns: Sequence[str], cells: NDArray[np.int64]) -> Figure:
    """How many cells of each class were taken for which, with the numbers, shaded by their share of the row.

    Args:
        rows: what is there.
        columns: what it was taken for.
        cells: whole numbers, of shape (rows, columns); -1 where nothing can stand.
    """
    figure = style.begin(_SIZE_IN[0], 3.9)
    axes = figure.subplots()
    known = np.maximum(cells, 0)
    share = known / np.maximum(known.sum(axis=1, keepdims=True), 1)
    axes.imshow(share, cmap="Blues", vmin=0, vmax=1.15, aspect="auto")
    for i, j in np.ndindex(cells.shape):
        text = "–" if cells[i, j] < 0 else f"{cells[i, j]:,}"
        axes.text(j, i, text, ha="center", va="center", color="white" if share[i, j] > 0.6 else "black")
    axes.set_xticks(range(len(columns)), columns)
    axes.set_yticks(range(len(rows)), rows)
    axes.set(xlabel="found as (cells)", ylabel="labelled as (cells)", title="What was taken for what")
    axes.grid(False)
    axes.tick_params(length=0)
    return figure
