"""The plots of an evaluation, in a folder of their own and as pictures that a page holds."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from detector.accuracy.comparison import TableEvaluation
from detector.accuracy.counts import Agreement
from detector.accuracy.evaluation import Evaluation
from detector.accuracy.plots import agreement, detection, style
from detector.accuracy.precision import Curves
from detector.accuracy.report import content
from detector.counting.intervals import Interval
from detector.output import html

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FOLDER = "plots"
_MOST_SVG_BYTES = 250_000
"""A larger drawing stands in the page as its PNG."""


@dataclass(frozen=True)
class Plot:
    """A plot as a page shows it."""

    alt: str
    """What is to be seen in it, in words."""
    picture: str
    """An address that holds it."""
    width: int
    height: int


Plots = Mapping[str, Sequence[Plot]]
"""By part of the page."""

Drawing = tuple[str, str, Callable[[], "Figure"]]
"""Name, words and drawing of a plot."""


def of_evaluation(target: Path, result: Evaluation) -> Plots:
    """Draw all plots of a model against labels into a folder `plots` in `target`.

    Raises:
        OSError: a file cannot be written. MissingExtraError: matplotlib is not installed.
    """
    counted = {
        name: (
            [field.classes[name].counted for field in result.per_field],
            [field.classes[name].truth for field in result.per_field],
        )
        for name in result.all_cells
    }
    baselines = {name: baseline.counted / baseline.fields for name, baseline in (result.constant_baseline or {}).items()}
    parts = {
        "detection": _detection(result),
        "confusion": _confusion(result),
        "counts": _counts(counted, result.all_cells, baselines, "field"),
        "slices": _slices(result),
    }
    return write(target / FOLDER, parts)


def of_tables(target: Path, result: TableEvaluation) -> Plots:
    """Draw all plots of counts against true counts into a folder `plots` in `target`.

    Raises:
        OSError: a file cannot be written. MissingExtraError: matplotlib is not installed.
    """
    comparison = result.comparison
    having = {name: [field for field in comparison.fields if name in field.truth] for name in comparison.classes}
    counted = {
        name: ([field.counted[name] for field in fields], [field.truth[name] for field in fields])
        for name, fields in having.items()
    }
    baselines = {name: baseline.counted / baseline.fields for name, baseline in comparison.constant_baseline.items()}
    return write(target / FOLDER, {"counts": _counts(counted, comparison.classes, baselines, comparison.per)})


def _counts(
    counted: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    agreements: Mapping[str, Agreement],
    baselines: Mapping[str, float],
    per: str,
) -> Iterator[Drawing]:
    """Name, words and drawing of the plots of counted against true cells, which `counted` has by class."""
    for name, (p, t) in counted.items():
        figures = agreements[name]
        bias, low, high = (
            content.in_words(figure, content.as_number(2)) for figure in (figures.bias, figures.loa_low, figures.loa_high)
        )
        alt = f"{name}: error of the count against the mean of counted and true cells; bias {bias}, limits of agreement {low} and {high}"
        yield f"bland_altman_{name}", alt, partial(agreement.bland_altman, name, p, t, figures, per)
        alt = f"{name}: counted against true cells of each {per}; {figures.counted:g} counted, {figures.truth:g} there are"
        yield f"counts_{name}", alt, partial(agreement.counted_against_true, name, p, t, baselines.get(name), per)


def _detection(result: Evaluation) -> Iterator[Drawing]:
    curves = {name: curve for name, curve in result.curves.items() if curve is not None}
    if not curves:
        return
    ap = {name: figure.value for name, figure in result.average_precision.ap50.items() if figure is not None}
    at = {
        name: (rates.recall.value, rates.precision.value)
        for name, rates in result.operating.items()
        if rates.recall is not None and rates.precision is not None
    }
    levels = next(iter(curves.values())).recall
    lines = {name: curve.precision for name, curve in curves.items()}
    alt = "Precision against recall; AP50 " + ", ".join(f"{name} {ap[name]:.3f}" for name in curves)
    yield "precision_recall", alt, partial(detection.precision_recall, levels, lines, ap, at)
    for name, curve in curves.items():
        alt = f"{name}: precision, recall and F1 against the threshold; the model's is {curve.operating:.2f}"
        yield (
            f"thresholds_{name}",
            alt,
            partial(detection.rates_by_threshold, name, curve.threshold, _rates(curve), curve.operating),
        )


def _rates(curves: Curves) -> dict[str, NDArray[np.float64]]:
    return {
        "F1": np.array(curves.f1_at, np.float64),
        "precision": np.array(curves.precision_at, np.float64),
        "recall": np.array(curves.recall_at, np.float64),
    }


def _confusion(result: Evaluation) -> Iterator[Drawing]:
    confusion = result.confusion
    cells = np.array(confusion.cells)
    # What is not there and was not found cannot be counted.
    cells[-1, -1] = -1
    yield (
        "confusion",
        "What was taken for what, in cells; the table has the numbers",
        partial(detection.confusion, confusion.truth, confusion.found, cells),
    )


def _slices(result: Evaluation) -> Iterator[Drawing]:
    for name in result.all_cells:
        rows = [(part.name, part.classes[name].mae) for part in result.slices]
        rows += [(domain, figures.all_cells[name].mae) for domain, figures in result.domains.items()]
        shown: list[tuple[str, Interval]] = [(part, value) for part, value in rows if value is not None]
        if len(shown) > 1:
            alt = f"{name}: mean absolute error of the count in {len(shown)} parts of the fields; the table has the numbers"
            yield (
                f"slices_{name}",
                alt,
                partial(agreement.errors_in_parts, name, shown, "mean absolute error (cells per field)"),
            )


def write(folder: Path, parts: Mapping[str, Iterable[Drawing]], kinds: Collection[str] = ("png", "svg")) -> Plots:
    """Draw plots into a folder as files of these kinds, by part of the page that is to hold them; an SVG always.

    Raises:
        OSError: a file cannot be written. MissingExtraError: matplotlib is not installed.
    """
    folder.mkdir(exist_ok=True)
    made: dict[str, list[Plot]] = {part: [] for part in parts}
    with style.settings():
        for part, plots in parts.items():
            for name, alt, draw in plots:
                figure = draw()
                style.write(figure, folder, name, kinds)
                made[part].append(_plot(folder / name, alt, *figure.get_size_inches()))
    return made


def _plot(path: Path, alt: str, width_in: float, height_in: float) -> Plot:
    drawing = path.with_suffix(".svg").read_bytes()
    if len(drawing) <= _MOST_SVG_BYTES or not path.with_suffix(".png").is_file():
        picture = html.data_uri(drawing, "image/svg+xml")
    else:
        picture = html.data_uri(path.with_suffix(".png").read_bytes(), "image/png")
    return Plot(alt, picture, round(96 * width_in), round(96 * height_in))
