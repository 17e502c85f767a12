"""Average precision beside other programs' on the same boxes: faster-coco-eval to the last digits, Ultralytics within a bound."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from detector.accuracy.precision import average_precision
from detector.annotations.records import Record
from detector.training import framework
from detector.vision.cells import CLASSES
from detector.vision.detections import Detections

Make = Callable[..., tuple[list[Record], list[Detections]]]

MOST_APART = 0.01
"""Of mean average precision by the two codes, on 12 fields of about 120 RBC, 12 WBC and 24 platelets; with more cells it is less."""


def ours(records: list[Record], detections: list[Detections]) -> np.ndarray:
    """AP50 and AP50-95 of each class, of shape (classes, 2)."""
    figures = average_precision(records, detections)
    rows = [[figures.ap50[name], figures.ap50_95[name]] for name in CLASSES]
    return np.array([[np.nan if figure is None else figure.value for figure in row] for row in rows])


def coco(records: list[Record], detections: list[Detections]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Truth and results in COCO's layout, written apart from the code under test."""

    def rows(image: int, of: Record | Detections) -> list[dict[str, Any]]:
        wh = of.xyxy[:, 2:].astype(float) - of.xyxy[:, :2].astype(float)
        boxes = np.concatenate([of.xyxy[:, :2].astype(float), wh], axis=1).tolist()
        return [{"image_id": image, "category_id": int(c) + 1, "bbox": b} for b, c in zip(boxes, of.label, strict=True)]

    truth: list[dict[str, Any]] = []
    results: list[dict[str, Any]] = []
    for image, (record, one) in enumerate(zip(records, detections, strict=True), start=1):
        truth += [row | {"iscrowd": 0, "area": row["bbox"][2] * row["bbox"][3]} for row in rows(image, record)]
        results += [row | {"score": float(s)} for row, s in zip(rows(image, one), one.score, strict=True)]
    for number, row in enumerate(truth, start=1):
        row["id"] = number
    images = [{"id": i + 1, "width": r.size_wh[0], "height": r.size_wh[1]} for i, r in enumerate(records)]
    categories = [{"id": i + 1, "name": name} for i, name in enumerate(CLASSES)]
    return {"images": images, "categories": categories, "annotations": truth}, results


@pytest.mark.parametrize("seed", range(3))
def test_faster_coco_eval_gives_the_same(make: Make, seed: int) -> None:
    library = pytest.importorskip("faster_coco_eval", reason="needs the dev extra: pip install -e '.[dev]'")
    records, detections = make(seed, per_class=(12, 0 if seed == 2 else 2, 3))
    dataset, results = coco(records, detections)
    truth = library.COCO(dataset)
    evaluation = library.COCOeval_faster(truth, truth.loadRes(results), "bbox", print_function=lambda *_: None)
    evaluation.run()
    precision = evaluation.eval["precision"][:, :, :, 0, -1]  # (overlaps, levels, classes), all areas, at most 100 in a field
    theirs = np.where(precision.min(axis=(0, 1)) < 0, np.nan, [precision[0].mean(axis=0), precision.mean(axis=(0, 1))]).T
    assert ours(records, detections) == pytest.approx(theirs, abs=1e-6, nan_ok=True)


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ultralytics") is None, reason="needs the train extra: pip install -e '.[train]'")
@pytest.mark.parametrize("seed", range(3))
def test_ultralytics_is_near(make: Make, tmp_path: Path, seed: int) -> None:
    """Its code draws a straight line between recalls, where COCO's takes steps."""
    framework.prepare(tmp_path)
    from benchmarks.ultralytics_val import by_pycocotools, by_ultralytics

    records, detections = make(seed)
    theirs, mine = by_ultralytics(records, detections), by_pycocotools(records, detections)
    assert theirs == pytest.approx(mine, abs=MOST_APART)
    assert theirs != pytest.approx(mine, abs=1e-6)
    assert mine == pytest.approx(ours(records, detections).mean(axis=0))
    perfect = [Detections(r.xyxy, np.full(len(r.label), 0.9), r.label, r.size_wh) for r in records]
    assert by_ultralytics(records, perfect) == pytest.approx((0.995, 0.995))
    assert by_pycocotools(records, perfect) == pytest.approx((1, 1))
