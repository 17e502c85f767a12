"""Plots of what was found: precision against recall, rates and count error against the threshold, and which class was taken for which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from detector.accuracy.plots import style
from detector.accuracy.thresholds import GRID, ClassTuning, Tuned
from detector.vision.cells import CLASSES
from detector.vision.drawing import HEX_COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SIZE_IN = (4.8, 4.5)
_DASHES = dict(zip(CLASSES, style.DASHES, strict=False))
"""Dash of each class's line."""
_AROUND = 0.25
"""The valley around the chosen threshold fills the height; what rises beyond it is cut off."""


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
        colour = HEX_COLOURS[name]
        axes.plot(recall, values, linestyle=_DASHES[name], linewidth=2, color=colour, label=f"{name}, AP50 {ap50[name]:.3f}")
        if name in at:
            axes.plot(
                *at[name],
                marker=style.MARKS[name],
                markersize=9,
                markeredgecolor="black",
                linestyle="none",
                zorder=4,
                color=colour,
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


def rates_by_threshold(name: str, grid: Sequence[float], rates: Mapping[str, NDArray[np.float64]], chosen: float) -> Figure:
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


def error_by_threshold(tuned: Tuned, target: Path) -> None:
    """Draw the error of the count against the threshold, a panel a class and a line a domain, into a PNG file.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    figure = style.begin(4 * len(tuned.classes), 4.6)
    panels = figure.subplots(1, len(tuned.classes), squeeze=False)[0]
    for axes, (name, tuning) in zip(panels, tuned.classes.items(), strict=True):
        _panel(axes, name, tuning)
    panels[0].set_ylabel("mean absolute error of the count of\ncells clear of the border (cells per field)")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 3), frameon=False)
    figure.savefig(target, format="png", metadata={"Software": None})


def _panel(axes: Axes, name: str, tuning: ClassTuning) -> None:
    for i, (domain, at) in enumerate(tuning.domains.items()):
        label = f"{domain} ({at.fields} val fields)"
        axes.plot(
            GRID,
            at.error,
            color=style.COLOURS[i % len(style.COLOURS)],
            linestyle=style.DASHES[i % len(style.DASHES)],
            linewidth=2.2,
            label=label,
        )
    if len(tuning.domains) > 1:
        mean = np.mean([at.error for at in tuning.domains.values()], axis=0)
        axes.plot(GRID, mean, color="black", linewidth=1, label="mean of the domains")
    axes.axvline(tuning.threshold, color="black", linewidth=1.4, linestyle=(0, (6, 3)), label="chosen threshold")
    axes.axvspan(tuning.low, tuning.high, color="black", alpha=0.09, linewidth=0, label="chosen from 95 % of resampled fields")
    near = np.abs(GRID - tuning.threshold) <= _AROUND
    highest = max(float(at.error[near].max()) for at in tuning.domains.values()) or 1.0
    # A little below 0, where a line would else lie under the frame.
    axes.set(xlim=(0, 1), ylim=(-0.02 * highest, 1.1 * highest), xlabel="threshold (least score of a counted cell)")
    axes.set_title(f"{name}: {tuning.threshold:.2f}")
    axes.grid(alpha=0.3)


def confusion(rows: Sequence[str], columns: Sequence[str], cells: NDArray[np.int64]) -> Figure:
    """How many cells of each class were taken for which, with the numbers, shaded by their share of the row.

    Args:
        rows: what is there.
        columns: what it was taken for.
        cells: whole numbers, of shape (rows, columns); -1 where nothing can stand.
    """
    figure = style.begin(_SIZE_IN[0], 3.9)
    axes = figure.subplots()
    counts = np.maximum(cells, 0)
    share = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
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
