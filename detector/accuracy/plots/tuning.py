"""The plot of count error against threshold, from which a threshold was chosen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from detector.accuracy.plots import style
from detector.accuracy.thresholds import GRID, ClassTuning, Tuned

_AROUND = 0.25
"""The valley around the chosen threshold fills the height; what rises beyond it is cut off."""


def thresholds(tuned: Tuned, target: Path) -> None:
    """Draw the error of the count against the threshold, a panel a class and a line a domain, into a PNG file.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    figure = style.begin(4 * len(tuned.classes), 4.6)
    panels = figure.subplots(1, len(tuned.classes), squeeze=False)[0]
    for axes, (name, one) in zip(panels, tuned.classes.items(), strict=True):
        _panel(axes, name, one)
    panels[0].set_ylabel("mean absolute error of the count of\ncells clear of the border (cells per field)")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(len(labels), 3), frameon=False)
    figure.savefig(target, format="png", metadata={"Software": None})


def _panel(axes: Any, name: str, one: ClassTuning) -> None:
    for i, (domain, at) in enumerate(one.domains.items()):
        label = f"{domain} ({at.fields} val fields)"
        axes.plot(
            GRID,
            at.error,
            color=style.COLOURS[i % len(style.COLOURS)],
            linestyle=style.DASHES[i % len(style.DASHES)],
            linewidth=2.2,
            label=label,
        )
    if len(one.domains) > 1:
        mean = np.mean([at.error for at in one.domains.values()], axis=0)
        axes.plot(GRID, mean, color="black", linewidth=1, label="mean of the domains")
    axes.axvline(one.threshold, color="black", linewidth=1.4, linestyle=(0, (6, 3)), label="chosen threshold")
    axes.axvspan(one.low, one.high, color="black", alpha=0.09, linewidth=0, label="chosen from 95 % of resampled fields")
    near = np.abs(GRID - one.threshold) <= _AROUND
    highest = max(float(at.error[near].max()) for at in one.domains.values()) or 1.0
    # A little below 0, where a line would else lie under the frame.
    axes.set(xlim=(0, 1), ylim=(-0.02 * highest, 1.1 * highest), xlabel="threshold (least score of a counted cell)")
    axes.set_title(f"{name}: {one.threshold:.2f}")
    axes.grid(alpha=0.3)
