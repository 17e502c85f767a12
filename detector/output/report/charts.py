"""The report's charts, worked out to coordinates; the template draws them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detector.counting.intervals import Interval
from detector.output.figures import short, span

WIDTH, HEIGHT = 360, 210
LEFT, RIGHT, TOP, BOTTOM = 50, 12, 10, 44
"""Margins around the plot, in which the axes' texts stand."""

_MOST_TICKS = 6
_BARS_RANGE = (5, 30)
_DOT_PX = ((60, 7.0), (300, 4.5))
_SMALLEST_DOT_PX = 3.0


@dataclass(frozen=True)
class Chart:
    """A chart in the coordinates of its `viewBox`, all paths in SVG's path language."""

    title: str
    colour: str
    alt: str
    """What is to be seen in it, in words."""
    x_label: str
    y_label: str
    x_ticks: Sequence[tuple[float, str]]
    y_ticks: Sequence[tuple[float, str]]
    bars: str = ""
    dots: str = ""
    dot_px: float = _SMALLEST_DOT_PX
    rings: str = ""
    """Dots of doubtful fields."""
    crosses: str = ""
    """Fields that were not read, on the axis."""
    band: tuple[float, float] | None = None
    """Top and height of the interval of the mean."""
    level: float | None = None
    """Height of the mean."""
    middle: float | None = None
    """Place of the median along the x axis."""


def counts(name: str, colour: str, values: Sequence[int | None], doubtful: Sequence[bool], mean: Interval | None) -> Chart:
    """Cells of one class in each field of a smear, in their order, with their mean and its interval.

    Args:
        values: cells in each field; None for one that was not read.
        doubtful: which fields are; of the same length.
    """
    numbers = [value for value in values if value is not None]
    limits = None if mean is None else mean.limits
    y_ticks = ticks(0, max([*numbers, 1, 0 if limits is None else min(limits[1], 2 * max([*numbers, 1]))]), whole=True)
    top = y_ticks[-1]
    x_ticks = [tick for tick in ticks(1, max(len(values), 2), whole=True) if 1 <= tick <= len(values)]
    step = (WIDTH - LEFT - RIGHT) / max(len(values), 1)
    points = [(LEFT + (i + 0.5) * step, _y(value or 0, top)) for i, value in enumerate(values)]
    marks = list(zip(points, values, doubtful, strict=True))
    alt = (
        f"{name} in each of {len(numbers)} fields: {min(numbers)} to {max(numbers)}" if numbers else f"{name}: no field was read"
    )
    return Chart(
        title=name,
        colour=colour,
        alt=alt if mean is None else f"{alt}, mean {short(mean.value)}, 95 % interval {span(mean)}",
        x_label="field of the smear",
        y_label="cells in the field",
        x_ticks=[(LEFT + (tick - 0.5) * step, f"{tick:g}") for tick in x_ticks],
        y_ticks=[(_y(tick, top), short(tick)) for tick in y_ticks],
        dots="".join(f"M{x:.1f} {y:.1f}h0" for (x, y), value, doubt in marks if value is not None and not doubt),
        dot_px=next((px for most, px in _DOT_PX if len(values) <= most), _SMALLEST_DOT_PX),
        rings="".join(f"M{x - 3.5:.1f} {y:.1f}a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0-7 0" for (x, y), _, doubt in marks if doubt),
        crosses="".join(f"M{x - 3:.1f} {y - 3:.1f}l6 6m0-6l-6 6" for (x, y), value, _ in marks if value is None),
        band=None if limits is None else (high := _y(min(limits[1], top), top), _y(limits[0], top) - high),
        level=None if mean is None else _y(mean.value, top),
    )


def sizes(name: str, colour: str, values: NDArray[np.float32], unit: str) -> Chart | None:
    """How large the cells of one class are, in `unit`; None where there is none.

    Args:
        values: size of each cell, of shape (n,).
    """
    if not len(values):
        return None
    low, high = float(values.min()), float(values.max())
    few, many = _BARS_RANGE
    width = nice_step(max(high - low, 0.1 * high, 1e-3), min(max(round(1.5 * len(values) ** 0.5), few), many))
    first, last = math.floor(low / width), math.floor(high / width) + 1
    heights, _ = np.histogram(values, bins=np.arange(first, last + 1) * width)
    x_ticks = ticks(first * width, last * width)
    y_ticks = ticks(0, int(heights.max()), whole=True)
    start, end = min(first * width, x_ticks[0]), max(last * width, x_ticks[-1])
    scale = (WIDTH - LEFT - RIGHT) / (end - start)
    bars = []
    for i, height in enumerate(heights.tolist()):
        if height:
            x, y = LEFT + ((first + i) * width - start) * scale, _y(height, y_ticks[-1])
            bars.append(f"M{x + 0.5:.1f} {HEIGHT - BOTTOM}V{y:.1f}h{max(width * scale - 1, 1):.1f}V{HEIGHT - BOTTOM}z")
    middle, tail, head = np.percentile(values, [50, 5, 95]).tolist()
    return Chart(
        title=name,
        colour=colour,
        alt=f"{name}: {len(values):,} cells, median {short(middle)} {unit}, 90 % of them {short(tail)} to {short(head)} {unit}",
        x_label=f"size, {unit}",
        y_label="cells",
        x_ticks=[(LEFT + (tick - start) * scale, short(tick)) for tick in x_ticks],
        y_ticks=[(_y(tick, y_ticks[-1]), short(tick)) for tick in y_ticks],
        bars="".join(bars),
        middle=LEFT + (middle - start) * scale,
    )


def ticks(low: float, high: float, whole: bool = False) -> list[float]:
    """Round numbers, evenly spaced, from at most `low` to at least `high`.

    Args:
        whole: whole numbers only.
    """
    step = nice_step(max(high - low, 1e-9), _MOST_TICKS)
    if whole:
        step = max(1.0, step)
    return [round(i * step, 9) for i in range(math.floor(low / step), math.ceil(high / step) + 1)]


def nice_step(extent: float, most: int) -> float:
    """The smallest of 1, 2 or 5 times a power of ten by which so many steps span the extent."""
    power = 10.0 ** math.floor(math.log10(extent / most))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power * most >= extent * (1 - 1e-9))


def _y(value: float, top: float) -> float:
    return TOP + (HEIGHT - TOP - BOTTOM) * (1 - value / top)
