"""What all plots share: how they are begun, how they look, and how they are written."""

from __future__ import annotations

import io
from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from detector.errors import MissingExtraError
from detector.output.figures import many
from detector.output.files import write_bytes
from detector.vision.cells import CLASSES

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
"""Okabe and Ito's palette, which the colour-blind can tell apart."""
DASHES = ("solid", "dashed", "dotted", "dashdot")
"""So that a copy in grey can be read too."""
MARKS = dict(zip(CLASSES, "os^", strict=True))
"""Shape of each class's dots."""

_DPI = 150
_TEXT_PT = 10
_DOT_PT2 = (26, 150)
"""Areas of the dot of one field and of the largest dot."""
_MANY = 1000
"""More different places than this run into each other, and edges would hide what is below them."""
_AXES_PT = 280
"""About how long an axis is."""


def require() -> None:
    """Refuse to go on without matplotlib; to be called before long work that ends in plots.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise MissingExtraError("matplotlib", "evaluate", "a plot") from None


def begin(width_in: float, height_in: float) -> Figure:
    """An empty figure that knows no screen.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    require()
    from matplotlib.figure import Figure

    return Figure(figsize=(width_in, height_in), dpi=_DPI, layout="constrained")


def settings() -> AbstractContextManager[None]:
    """Settings under which plots are drawn and written, whatever a user's own configuration says."""
    import matplotlib

    return matplotlib.rc_context(
        {
            **matplotlib.rcParamsDefault,
            "backend": "agg",
            "font.size": _TEXT_PT,
            "axes.titlesize": _TEXT_PT + 1,
            "axes.spines.top": False,
            "axes.spines.right": False,
            "axes.grid": True,
            "grid.alpha": 0.3,
            "legend.frameon": False,
            "legend.fontsize": _TEXT_PT - 0.5,
            "legend.columnspacing": 1.2,
            "legend.handlelength": 1.8,
            "svg.hashsalt": "smearcount",
        }
    )


def write(figure: Figure, folder: Path, name: str, kinds: Collection[str] = ("png", "svg")) -> None:
    """Write a figure as `NAME.png` and `NAME.svg`, or one of these; the same figure gives the same bytes on each day.

    Raises:
        OSError: one of them cannot be written.
    """
    for kind, metadata in (("png", {"Software": None}), ("svg", {"Date": None, "Creator": None})):
        if kind not in kinds:
            continue
        buffer = io.BytesIO()
        figure.savefig(buffer, format=kind, metadata=metadata)
        write_bytes(folder / f"{name}.{kind}", buffer.getvalue())


def dots(axes: Axes, x: NDArray[np.float64], y: NDArray[np.float64], per: str, **look: Any) -> None:
    """Draw a dot at each different place, the larger the more fields lie there, and say so in the legend.

    Whole numbers fall on one another: without this, a thousand fields would look like a dozen.

    Args:
        x, y: places of the fields, of shape (n,).
        per: what a place is of, field or smear.
    """
    places, number = np.unique(np.column_stack([x, y]), axis=0, return_counts=True)
    most = int(number.max())
    # Neighbours one cell apart should not cover each other.
    extent = max(float(np.ptp(places[:, 0])), float(np.ptp(places[:, 1])), 1.0)
    room = (_AXES_PT / extent) ** 2
    look = {"linewidths": 0.5, "edgecolors": "white", "alpha": 0.8, **look}
    if len(places) > _MANY:
        look |= {"linewidths": 0, "alpha": 0.4}
    axes.scatter(places[:, 0], places[:, 1], s=_areas(number, most, room), zorder=3, **look)
    for shown in _some(most):
        axes.scatter([], [], s=_areas(np.array([shown]), most, room), label=many(shown, per), **look)


def legend(figure: Figure, axes: Axes) -> None:
    """Put the legend below the axes, where it covers nothing: dots in its first column, lines in its second, where there are both."""
    from matplotlib.collections import PathCollection
    from matplotlib.lines import Line2D

    entries = list(zip(*axes.get_legend_handles_labels(), strict=True))
    columns = [[entry for entry in entries if isinstance(entry[0], PathCollection) == dots] for dots in (True, False)]
    if not all(columns):
        columns = [entries[: (len(entries) + 1) // 2], entries[(len(entries) + 1) // 2 :]]
    blank = (Line2D([], [], linestyle="none"), "")
    filled = [[*column, *[blank] * (max(map(len, columns)) - len(column))] for column in columns]
    handles, labels = zip(*(entry for column in filled for entry in column), strict=True)
    figure.legend(handles, labels, loc="outside lower center", ncols=2)


def _areas(number: NDArray[np.int64], most: int, room: float) -> NDArray[np.float64]:
    """Area of each dot in square points, by the number of fields there; `room` is what neighbours leave."""
    least, greatest = _DOT_PT2
    most_pt2 = min(max(room, 4.0 * least), greatest)
    return np.asarray(least + (most_pt2 - least) * number / max(most, 12))


def _some(most: int) -> Sequence[int]:
    """Numbers of fields whose dots the legend shows."""
    return sorted({1, round(most / 3), most}) if most >= 9 else sorted({1, most})
