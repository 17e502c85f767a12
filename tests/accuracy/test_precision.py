"""Average precision against the reference, and figures against the threshold."""

from __future__ import annotations

import builtins
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from detector.accuracy import precision
from detector.accuracy.matching import operating
from detector.accuracy.precision import THRESHOLDS, Curves, average_precision, curves, rank
from detector.annotations.records import Record
from detector.counting.intervals import Interval
from detector.errors import MissingExtraError
from detector.vision.cells import CLASSES
from detector.vision.detections import Detections

Made = tuple[list[Record], list[Detections]]
Make = Callable[..., Made]


def value(figure: Interval | None) -> float:
    assert figure is not None
    return figure.value


def perfect(records: list[Record]) -> list[Detections]:
    return [Detections(r.xyxy, np.full(len(r.label), 0.9), r.label, r.size_wh) for r in records]


def reference_figures(records: list[Record], detections: list[Detections]) -> tuple[float, float]:
    """Mean AP50 and AP50-95 as pycocotools reports them from its own JSON layouts, with COCO's own settings."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    def xywh(box: Any) -> list[float]:
        x1, y1, x2, y2 = (float(v) for v in box)
        return [x1, y1, x2 - x1, y2 - y1]

    truth = COCO()
    truth.dataset = {
        "info": {},
        "images": [{"id": i + 1} for i in range(len(records))],
        "categories": [{"id": c + 1, "name": str(c)} for c in range(3)],
        "annotations": [],
    }
    for i, record in enumerate(records):
        for box, label in zip(record.xyxy, record.label, strict=True):
            row = {"id": len(truth.dataset["annotations"]) + 1, "image_id": i + 1, "category_id": int(label) + 1, "iscrowd": 0}
            b = xywh(box)
            truth.dataset["annotations"].append(row | {"bbox": b, "area": b[2] * b[3]})
    truth.createIndex()
    rows = [
        {"image_id": i + 1, "category_id": int(label) + 1, "bbox": xywh(box), "score": float(score)}
        for i, d in enumerate(detections)
        for box, label, score in zip(d.xyxy, d.label, d.score, strict=True)
    ]
    evaluation = COCOeval(truth, truth.loadRes(rows), "bbox")
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    return float(evaluation.stats[1]), float(evaluation.stats[0])


@pytest.mark.parametrize("seed", range(3))
def test_equals_the_reference(make: Make, seed: int) -> None:
    records, detections = make(seed)
    ap50, ap50_95 = reference_figures(records, detections)
    ours = average_precision(records, detections)
    assert value(ours.mean_ap50) == pytest.approx(ap50, abs=1e-9)
    assert value(ours.mean_ap50_95) == pytest.approx(ap50_95, abs=1e-9)
    assert 0.3 < ap50 < 1


def test_perfect_and_empty_detections(make: Make) -> None:
    records, _ = make()
    assert value(average_precision(records, perfect(records)).mean_ap50_95) == pytest.approx(1)
    nothing = average_precision(records, [Detections.none(r.size_wh) for r in records])
    assert value(nothing.mean_ap50) == 0
    assert value(nothing.ap50["Platelets"]) == 0


def test_a_class_without_truth_is_undefined(make: Make) -> None:
    records, detections = make(per_class=(10, 0, 2))
    assert any((d.label == 1).any() for d in detections)
    figures = average_precision(records, detections)
    assert figures.ap50["WBC"] is None
    assert figures.ap50_95["WBC"] is None
    assert value(figures.mean_ap50) == pytest.approx((value(figures.ap50["RBC"]) + value(figures.ap50["Platelets"])) / 2)


def test_no_truth_at_all_is_undefined(make: Make) -> None:
    records, detections = make(per_class=(0, 0, 0))
    figures = average_precision(records, detections)
    assert figures.mean_ap50 is None
    assert figures.mean_ap50_95 is None


def test_all_detections_of_a_crowded_field_take_part(make: Make) -> None:
    """COCO's own figures stop at 100 detections a field, which would halve the recall here."""
    records, _ = make(fields=2, per_class=(200, 0, 0))
    figures = average_precision(records, perfect(records))
    assert value(figures.ap50["RBC"]) == pytest.approx(1)


@pytest.mark.parametrize("seed", range(4))
def test_drawn_fields_equal_the_reference_on_repeated_fields(make: Make, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A field drawn twice is the field in the list twice, and one not drawn is not in it; at every overlap, in batches or at once.

    No two scores are equal: of equal ones the reference takes turns between the repetitions of a field.
    """
    records, detections = make(seed, fields=8)
    detections = [
        Detections(d.xyxy, d.score - 1e-6 * (100 * i + np.arange(len(d))), d.label, d.size_wh) for i, d in enumerate(detections)
    ]
    weights = np.array([[2.0, 0, 1, 3, 0, 0, 1, 1], [1.0] * 8, [0, 0, 5, 0, 0, 3, 0, 0]])
    monkeypatch.setattr(precision, "_BATCH", 200 if seed % 2 else 4_000_000)
    ranking = precision.rank(records, detections)
    drawn = np.stack([precision._weighted(ranked, weights, ranking.levels) for ranked in ranking.classes], axis=1)
    for of, row in zip(drawn, weights, strict=True):
        again = [i for i, w in enumerate(row) for _ in range(int(w))]
        repeated = precision.rank([records[i] for i in again], [detections[i] for i in again])
        assert of == pytest.approx(repeated.precision.mean(axis=2), abs=1e-9, nan_ok=True)


def test_samples_without_a_cell_are_undefined(make: Make) -> None:
    records, detections = make(0, fields=4, per_class=(5, 0, 0))
    ranking = precision.rank(records, detections)
    assert np.isnan(precision._weighted(ranking.classes[0], np.zeros((1, 4)), ranking.levels)).all()
    assert np.isnan(precision._weighted(ranking.classes[1], np.ones((1, 4)), ranking.levels)).all()


def test_intervals_hold_the_figure_and_are_repeatable(make: Make) -> None:
    records, detections = make()
    figure = average_precision(records, detections).ap50["RBC"]
    assert figure is not None
    assert figure.low is not None
    assert figure.high is not None
    assert figure.low < figure.value < figure.high
    assert average_precision(records, detections).ap50["RBC"] == figure


def test_smears_are_drawn_whole(make: Make) -> None:
    records, detections = make(fields=12)
    alone, together = (
        average_precision(records, detections, groups).mean_ap50 for groups in (None, [str(i % 3) for i in range(12)])
    )
    assert value(alone) == value(together)
    assert alone != together


def test_one_field_has_no_interval(make: Make) -> None:
    records, detections = make(fields=1)
    figure = average_precision(records, detections).mean_ap50
    assert figure is not None
    assert (figure.low, figure.high) == (None, None)


def test_no_field_is_undefined() -> None:
    assert average_precision([], []).mean_ap50 is None


def test_nothing_is_printed(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    average_precision(*make(fields=2))
    assert capsys.readouterr().out == ""


def test_a_missing_reference_says_what_to_install(monkeypatch: pytest.MonkeyPatch, make: Make) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("pycocotools"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtraError, match=r"pycocotools.*pip install"):
        average_precision(*make(fields=1))


def test_a_test_split_with_many_candidates_is_affordable(make: Make) -> None:
    records, _ = make(fields=40, per_class=(20, 1, 2))
    rng = np.random.default_rng(0)
    many = []
    for record in records:
        corner = rng.uniform(0, 150, (200, 2))
        xyxy = np.concatenate([record.xyxy, np.concatenate([corner, corner + 15], axis=1)]).astype(np.float32)
        label = np.concatenate([record.label, rng.integers(0, 3, 200)])
        score = rng.random(len(label), dtype=np.float32)
        many.append(Detections(xyxy, score, label, record.size_wh))
    start = time.process_time()
    assert average_precision(records, many).mean_ap50 is not None
    assert time.process_time() - start < 20


Make = Callable[..., tuple[list[Record], list[Detections]]]
AT = {"RBC": 0.53, "WBC": 0.46, "Platelets": 0.48}


def made(records: list[Record], detections: list[Detections], name: str) -> Curves:
    one = curves(rank(records, detections), AT)[name]
    assert one is not None
    return one


@pytest.mark.parametrize("threshold", [0.1, 0.41, 0.53, 0.7])
def test_a_threshold_gives_what_counting_at_it_gives(make: Make, threshold: float) -> None:
    """Scores are coarse here, so many are just the threshold."""
    records, detections = make(2, fields=20)
    counted = [d[d.score >= np.float32(threshold)] for d in detections]
    at = THRESHOLDS.index(threshold)
    for name, figures in operating(records, counted).items():
        one = made(records, detections, name)
        for curve, figure in ((one.precision_at, figures.precision), (one.recall_at, figures.recall), (one.f1_at, figures.f1)):
            assert figure is not None
            assert curve[at] == pytest.approx(figure.value)


def test_the_mean_of_precision_over_recall_is_average_precision(make: Make) -> None:
    records, detections = make(1)
    ap50 = average_precision(records, detections).ap50
    for name in CLASSES:
        one, figure = made(records, detections, name), ap50[name]
        assert figure is not None
        assert np.mean(one.precision) == pytest.approx(figure.value)
        assert (len(one.recall), one.recall[0], one.recall[-1]) == (101, 0, 1)
        assert (np.diff(one.precision) <= 0).all()
        assert one.operating == AT[name]


def test_where_nothing_is_found_precision_is_undefined(make: Make) -> None:
    records, detections = make(1)
    curve = made(records, [Detections(d.xyxy, d.score * 0.5, d.label, d.size_wh) for d in detections], "RBC")
    assert curve.precision_at[-1] is None
    assert (curve.recall_at[-1], curve.f1_at[-1]) == (0, 0)
    none = made(records, [Detections.none(r.size_wh) for r in records], "RBC")
    assert set(none.precision) == {0.0}
    assert set(none.precision_at) == {None}


def test_a_class_without_labelled_cells_has_no_curves(make: Make) -> None:
    records, detections = make(per_class=(10, 0, 2))
    assert curves(rank(records, detections), AT)["WBC"] is None
