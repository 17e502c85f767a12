"""Plots of what a laboratory validates and controls: two methods, repeated counts, two readers, and a control over days."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from detector.accuracy.methods import MethodComparison
from detector.accuracy.plots import style
from detector.accuracy.readers import ClassAgreement
from detector.vision.drawing import HEX_COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_SIZE_IN = (4.8, 4.5)
_WIDE_IN = (9.6, 2.6)
_MARKS = "os^DvP*X"
MOST_SAMPLES = len(_MARKS)
"""Samples that are told apart in a plot of repeated counts."""
_MOST_DATES = 10
"""Dates that are written below a chart of many days."""
MOST_SD = 8
"""Standard deviations from the mean that a chart shows; what lies beyond is drawn at its edge."""
_LEAST_SD, _LABELLED_SD = 3.5, 5.0


def regression(name: str, comparative: Sequence[float], test: Sequence[float], comparison: MethodComparison, unit: str) -> Figure:
    """Test against comparative method, with both lines and the line of equality."""
    figure, axes = _begin(name)
    x, y = np.asarray(comparative, np.float64), np.asarray(test, np.float64)
    axes.scatter(x, y, s=26, color=HEX_COLOURS[name], marker=style.MARKS[name], edgecolors="white", linewidths=0.5, zorder=3)
    ends = np.array([0.0, max(float(x.max()), float(y.max()))])
    axes.plot(ends, ends, color="black", linewidth=0.8, label="equal")
    for title, line, dash in (("Passing-Bablok", comparison.passing_bablok, "solid"), ("Deming", comparison.deming, (0, (5, 3)))):
        label = f"{title}: {line.intercept.value:.3g} + {line.slope.value:.3g} x"
        axes.plot(ends, line.intercept.value + line.slope.value * ends, color="black", linewidth=1.6, linestyle=dash, label=label)
    axes.set(xlabel=f"comparative method ({unit})", ylabel=f"test method ({unit})")
    style.legend(figure, axes)
    return figure


def repeats(name: str, samples: Mapping[str, Sequence[float]], unit: str) -> Figure:
    """Repeated counts of one class, as per cent of the mean of their sample; samples without any cell are left out."""
    figure, axes = _begin(name)
    shown = {sample: np.asarray(counts, np.float64) for sample, counts in samples.items() if sum(counts)}
    for i, (sample, counts) in enumerate(list(shown.items())[:MOST_SAMPLES]):
        look: dict[str, Any] = {"color": style.COLOURS[i % len(style.COLOURS)], "marker": _MARKS[i], "label": _short(sample)}
        axes.scatter(np.arange(1, len(counts) + 1), 100 * counts / counts.mean(), s=26, zorder=3, **look)
    axes.axhline(100, color="black", linewidth=0.8)
    axes.set(xlabel="count of the sample, in order", ylabel=f"per cent of its mean {unit}")
    if shown:
        style.legend(figure, axes)
    return figure


def readers(name: str, agreement: ClassAgreement, names: tuple[str, str]) -> Figure:
    """Share of one class by the second reader against that by the first; rings are samples that differ by more than chance."""
    figure, axes = _begin(name)
    shares = np.array([[100 * side.value for side in reading.limits] for reading in agreement.readings])
    limits = (
        np.array([[side.limits or (side.value, side.value) for side in reading.limits] for reading in agreement.readings]) * 100
    )
    axes.errorbar(
        shares[:, 0],
        shares[:, 1],
        xerr=np.abs(limits[:, 0].T - shares[:, 0]),
        yerr=np.abs(limits[:, 1].T - shares[:, 1]),
        fmt="o",
        markersize=5,
        linewidth=0.7,
        color=style.COLOURS[0],
        label="with Rümke's limits",
    )
    outside = ~np.array([reading.by_chance for reading in agreement.readings])
    if outside.any():
        ring: dict[str, Any] = {"s": 110, "facecolors": "none", "edgecolors": style.COLOURS[1], "linewidths": 1.6}
        axes.scatter(shares[outside, 0], shares[outside, 1], label="more than chance", zorder=4, **ring)
    end = max(float(limits.max()), 1.0)
    axes.plot([0, end], [0, end], color="black", linewidth=0.8, label="equal")
    axes.set(xlabel=f"{_short(names[0])} (% of cells)", ylabel=f"{_short(names[1])} (% of cells)")
    style.legend(figure, axes)
    return figure


def levey_jennings(
    name: str, days: Sequence[str], values: Sequence[float], limits: tuple[float, float], marks: Sequence[str], learned: int
) -> Figure:
    """A control's values over days, with its mean and one to three standard deviations (Levey and Jennings 1950).

    Args:
        name: what was measured, with its unit.
        days: of shape (n,).
        values: of shape (n,).
        limits: mean and standard deviation.
        marks: of shape (n,); `out` where a rule rejects, `warning`, or nothing.
        learned: values from which mean and standard deviation come.
    """
    figure = style.begin(*_WIDE_IN)
    axes = figure.subplots()
    mean, sd = limits
    for k, dash in ((0, "solid"), (1, "dotted"), (2, (0, (5, 3))), (3, "solid")):
        for sign in (1, -1)[: 1 + (k > 0)]:
            axes.axhline(mean + sign * k * sd, color="black", linewidth=1.0 if k in (0, 3) else 0.8, linestyle=dash, zorder=1)
    x = np.arange(len(values))
    shown = np.clip(np.asarray(values, np.float64), mean - MOST_SD * sd, mean + MOST_SD * sd)
    axes.plot(x, shown, color=style.COLOURS[0], linewidth=1.0, marker="o", markersize=4, zorder=3)
    for mark, shape, colour in (("warning", "D", style.COLOURS[5]), ("out", "X", style.COLOURS[1])):
        at = [i for i, own_mark in enumerate(marks) if own_mark == mark]
        axes.scatter(x[at], shown[at], marker=shape, s=70, color=colour, edgecolors="black", linewidths=0.6, zorder=4)
    if learned:
        axes.axvspan(-0.5, min(learned, len(values)) - 0.5, color="black", alpha=0.06, linewidth=0)
    step = max(1, -(-len(days) // _MOST_DATES))
    axes.set_xticks(x[::step], list(days)[::step])
    axes.set_xlim(-0.5, len(values) - 0.5)
    furthest = max(_LEAST_SD, *(abs(shown - mean) / sd + 0.5))
    axes.set_ylim(mean - furthest * sd, mean + furthest * sd)
    labels = {-3: "−3 SD", -2: "−2 SD", 0: f"{mean:.3g}", 2: "+2 SD", 3: "+3 SD"}
    ticks = [k for k in labels if furthest <= _LABELLED_SD or abs(k) != 2]
    axes.set_yticks([mean + k * sd for k in ticks], [labels[k] for k in ticks])
    axes.grid(False)
    axes.set_title(name)
    return figure


def _begin(name: str) -> tuple[Figure, Axes]:
    figure = style.begin(*_SIZE_IN)
    axes = figure.subplots()
    axes.set_title(name)
    return figure, axes


def _short(text: str) -> str:
    """A name that fits a legend; what matplotlib takes for mathematics or leaves out is shown as it is."""
    plain = text.replace("$", r"\$")
    return (plain if len(plain) <= 24 else f"{plain[:23]}…") if not plain.startswith("_") else f" {plain}"
