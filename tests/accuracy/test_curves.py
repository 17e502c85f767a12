"""Figures against the threshold, and precision against recall."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from detector.accuracy.curves import THRESHOLDS, Curves, curves
from detector.accuracy.operating import operating
from detector.accuracy.precision import average_precision, rank
from detector.annotations.records import Record
from detector.vision.cells import CLASSES
from detector.vision.detections import Detections

Make = Callable[..., tuple[list[Record], list[Detections]]]
AT = {"RBC": 0.53, "WBC": 0.46, "Platelets": 0.48}


def made(records: list[Record], found: list[Detections], name: str) -> Curves:
    one = curves(rank(records, found), AT)[name]
    assert one is not None
    return one


@pytest.mark.parametrize("threshold", [0.1, 0.41, 0.53, 0.7])
def test_a_threshold_gives_what_counting_at_it_gives(make: Make, threshold: float) -> None:
    """Scores are coarse here, so many are just the threshold."""
    records, found = make(2, fields=20)
    counted = [d[d.score >= np.float32(threshold)] for d in found]
    at = THRESHOLDS.index(threshold)
    for name, figures in operating(records, counted).items():
        one = made(records, found, name)
        for curve, figure in ((one.precision_at, figures.precision), (one.recall_at, figures.recall), (one.f1_at, figures.f1)):
            assert figure is not None
            assert curve[at] == pytest.approx(figure.value)


def test_the_mean_of_precision_over_recall_is_average_precision(make: Make) -> None:
    records, found = make(1)
    ap50 = average_precision(records, found).ap50
    for name in CLASSES:
        one, figure = made(records, found, name), ap50[name]
        assert figure is not None
        assert np.mean(one.precision) == pytest.approx(figure.value)
        assert (len(one.recall), one.recall[0], one.recall[-1]) == (101, 0, 1)
        assert (np.diff(one.precision) <= 0).all()
        assert one.operating == AT[name]


def test_where_nothing_is_found_precision_is_undefined(make: Make) -> None:
    records, found = make(1)
    one = made(records, [Detections(d.xyxy, d.score * 0.5, d.label, d.size_wh) for d in found], "RBC")
    assert one.precision_at[-1] is None
    assert (one.recall_at[-1], one.f1_at[-1]) == (0, 0)
    none = made(records, [Detections.none(r.size_wh) for r in records], "RBC")
    assert set(none.precision) == {0.0}
    assert set(none.precision_at) == {None}


def test_a_class_without_labelled_cells_has_no_curves(make: Make) -> None:
    records, found = make(per_class=(10, 0, 2))
    assert curves(rank(records, found), AT)["WBC"] is None
