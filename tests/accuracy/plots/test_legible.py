"""All plots of an evaluation, on ordinary and on odd data: every text inside the figure, none over another, the same bytes each time."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from detector.accuracy.counts import agreement
from detector.accuracy.methods import compare_methods
from detector.accuracy.plots import agreement as agreement_plots
from detector.accuracy.plots import detection, laboratory, style
from detector.accuracy.readers import compare_readers
from detector.counting.intervals import Interval
from detector.vision.cells import CLASSES

pytest.importorskip("matplotlib", reason="needs the evaluate extra: pip install -e '.[evaluate]'")

RNG = np.random.default_rng(0)
MANY = RNG.poisson(18, 1000)
COUNTS = {
    "a thousand fields": (MANY + RNG.integers(-3, 4, 1000), MANY),
    "forty": (MANY[:40], MANY[:40] + 1),
    "one": (np.array([12]), np.array([11])),
    "none there": (np.zeros(30, int), np.zeros(30, int)),
    "hundreds a field": (MANY[:9] * 40, MANY[:9] * 41),
    "no whole numbers": (MANY[:9] * 1.37, MANY[:9] * 1.0),
}
LEVELS = np.linspace(0, 1, 101).tolist()
FALLING = {name: np.linspace(1, i / 3, 101).tolist() for i, name in enumerate(CLASSES)}
METHODS = (np.linspace(20, 900, 45), np.linspace(30, 950, 45) + RNG.normal(0, 20, 45))
GRID = np.arange(1, 100) / 100
SLICES = [(f"a part with a long name {i}", Interval(i / 7, i / 9, i / 5)) for i in range(9)]


def of_counts(counted: Any, truth: Any) -> dict[str, Callable[[], Any]]:
    of = agreement(counted.tolist(), truth.tolist())
    return {
        "bland_altman": lambda: agreement_plots.bland_altman("Platelets", counted, truth, of),
        "counts": lambda: agreement_plots.counted_against_true("RBC", counted, truth, 17.0, "smear"),
    }


DRAWN: dict[str, Callable[[], Any]] = {
    f"{kind} {name}": draw for name, sides in COUNTS.items() for kind, draw in of_counts(*sides).items()
} | {
    "precision-recall": lambda: detection.precision_recall(
        LEVELS, FALLING, dict.fromkeys(CLASSES, 0.5), {"RBC": (0.9, 0.8), "WBC": (1.0, 1.0)}
    ),
    "precision-recall of one class": lambda: detection.precision_recall(LEVELS, {"WBC": FALLING["WBC"]}, {"WBC": 0.5}, {}),
    "thresholds": lambda: detection.rates_by_threshold(
        "RBC", GRID.tolist(), {"F1": GRID, "precision": np.where(GRID > 0.5, np.nan, GRID), "recall": 1 - GRID}, 0.53
    ),
    "confusion": lambda: detection.confusion(
        (*CLASSES, "nothing there"),
        (*CLASSES, "missed"),
        np.array([[123456, 0, 1, 2], [0, 7, 8, 9], [0, 0, 0, 0], [5, 6, 7, -1]]),
    ),
    "slices": lambda: agreement_plots.errors_in_parts("WBC", SLICES, "mean absolute error (cells per field)"),
    "two methods": lambda: laboratory.regression("Platelets", METHODS[0], METHODS[1], compare_methods(*METHODS), "10⁹ per litre"),
    "repeats of many samples": lambda: laboratory.repeats(
        "RBC", {f"a sample with quite a long name {i}": MANY[:40].tolist() for i in range(12)}, "cells per smear"
    ),
    "repeats without a cell": lambda: laboratory.repeats("WBC", {"a": [0, 0], "_b $x$": [1, 3]}, "mean cells per field"),
    "readers": lambda: laboratory.readers(
        "$lymphocytes$",
        compare_readers({f"{i}": ({"a": 20 + i, "b": 180}, {"a": 60, "b": 140}) for i in range(20)})["a"],
        ("a reader with quite a long name", "_"),
    ),
    **{
        f"a control over {days} days": lambda days=days, off=off: laboratory.levey_jennings(
            "unevenness of the light (share of its mean)",
            [f"2026-01-{i + 1:02}" for i in range(days)],
            [*[10.0] * (days - 1), 10.0 + off],
            (10.0, 0.5),
            [*[""] * (days - 1), "out" if off else ""],
            min(days, 20),
        )
        for days, off in ((2, 0.0), (4, 2.0), (90, -400.0))
    },
    "one slice": lambda: agreement_plots.errors_in_parts(
        "WBC", [("all", Interval(0.0))], "mean absolute error (cells per field)"
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", DRAWN)
def test_texts_are_whole_and_apart(name: str) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    with style.settings():
        figure = DRAWN[name]()
        FigureCanvasAgg(figure).draw()
        boxes = [(one.get_text(), one.get_window_extent()) for one in texts(figure) if one.get_text().strip()]
    assert len(boxes) > 5
    for text, box in boxes:
        assert box.x0 >= 0, text
        assert box.x1 <= figure.bbox.width, text
        assert box.y0 >= 0, text
        assert box.y1 <= figure.bbox.height, text
        # At the size at which a page shows it, a tenth of an inch of height is some seven pixels.
        assert min(box.width, box.height) / figure.dpi > 0.05, text
    for (a, p), (b, q) in itertools.combinations(boxes, 2):
        assert not (p.x0 < q.x1 - 1 and q.x0 < p.x1 - 1 and p.y0 < q.y1 - 1 and q.y0 < p.y1 - 1), f"{a!r} lies over {b!r}"


def texts(figure: Any) -> list[Any]:
    """All texts that are drawn; numbers of ticks beyond an axis's ends are not."""
    (axes,) = figure.axes
    labels = [axes.title, axes.xaxis.label, axes.yaxis.label, *axes.texts]
    for axis, (low, high) in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, sorted(axes.get_ylim()))):
        labels += [text for place, text in zip(axis.get_ticklocs(), axis.get_ticklabels(), strict=True) if low <= place <= high]
    return labels + [text for legend in figure.legends for text in legend.get_texts()]


@pytest.mark.slow
def test_files_are_the_same_each_time_and_say_no_date(tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        with style.settings():
            style.write(DRAWN["counts forty"](), tmp_path / folder, "plot")
    for kind in ("png", "svg"):
        first, second = ((tmp_path / folder / f"plot.{kind}").read_bytes() for folder in ("a", "b"))
        assert first == second
    drawing = (tmp_path / "a" / "plot.svg").read_text(encoding="utf-8")
    assert "dc:date" not in drawing
    assert "<script" not in drawing
    assert cv2.imread(str(tmp_path / "a" / "plot.png")).shape[1] > 600


def test_dots_tell_how_many_fields_they_stand_for() -> None:
    with style.settings():
        figure = agreement_plots.counted_against_true("RBC", [3] * 50 + [9], [3] * 50 + [4])
        axes = figure.axes[0]
        areas = axes.collections[0].get_sizes()
        assert len(areas) == 2
        assert max(areas) > 2 * min(areas)
        assert [text.get_text() for text in figure.legends[0].get_texts()][:3] == ["1 field", "17 fields", "50 fields"]


def test_a_users_own_configuration_changes_nothing(tmp_path: Path) -> None:
    import matplotlib

    with style.settings():
        style.write(DRAWN["slices"](), tmp_path, "plain")
    with matplotlib.rc_context({"font.size": 30, "savefig.dpi": 30, "axes.facecolor": "red"}), style.settings():
        style.write(DRAWN["slices"](), tmp_path, "own")
    assert (tmp_path / "plain.png").read_bytes() == (tmp_path / "own.png").read_bytes()
