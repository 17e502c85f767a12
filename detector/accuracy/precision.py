"""Average precision by COCO's reference implementation, pycocotools."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detector.accuracy.bootstrap import Figure, Floats, divide, figure, resamples
from detector.annotations.records import Record
from detector.errors import MissingExtraError
from detector.vision.boxes import Boxes
from detector.vision.cells import CLASSES
from detector.vision.detections import Detections

MIN_SCORE = 0.001
"""Score from which detections take part: average precision weighs all thresholds, so nearly all that the model says."""
SAMPLES = 500
"""Bootstrap samples, fewer than elsewhere: each is an evaluation."""


@dataclass(frozen=True)
class AveragePrecision:
    """Average precision by class name; None for a class without labelled cells."""

    ap50: Mapping[str, Figure | None]
    """At an overlap of 0.5."""
    ap50_95: Mapping[str, Figure | None]
    """Mean over overlaps of 0.5 to 0.95 in steps of 0.05."""
    mean_ap50: Figure | None
    """Mean over the classes that have labelled cells; None where none has."""
    mean_ap50_95: Figure | None


@dataclass(frozen=True, eq=False)
class _Ranked:
    """Detections of one class over all fields, best score first."""

    field: NDArray[np.int64]  # (d,)
    hit: NDArray[np.bool_]  # (overlaps, d)
    truth: Floats  # (fields,) labelled cells


def average_precision(records: Sequence[Record], found: Sequence[Detections]) -> AveragePrecision:
    """Average precision over fields (Lin et al., ECCV 2014: 101 recall levels), intervals by bootstrap over fields.

    All detections take part, however many a field has (COCO's own figures stop at 100).

    Args:
        records: labelled fields.
        found: detections from `MIN_SCORE` on, parallel to `records`.

    Raises:
        MissingExtraError: pycocotools is not installed.
    """
    evaluation = _evaluated(records, found)
    value = _by_class(evaluation)
    levels: Floats = evaluation.params.recThrs
    ranked = [_ranked(evaluation, label, len(records)) for label in range(len(CLASSES))]
    drawn = np.array([[_weighted(r, w, levels) for r in ranked] for w in resamples(len(records), SAMPLES)])
    drawn = drawn.reshape(-1, *value.shape)
    return AveragePrecision(
        {c: figure(float(value[i, 0]), drawn[:, i, 0]) for i, c in enumerate(CLASSES)},
        {c: figure(float(value[i].mean()), drawn[:, i].mean(axis=1)) for i, c in enumerate(CLASSES)},
        figure(float(_mean(value[None, :, 0])[0]), _mean(drawn[:, :, 0])),
        figure(float(_mean(value[None].mean(axis=2))[0]), _mean(drawn.mean(axis=2))),
    )


def reference() -> tuple[Any, Any]:
    """The reference's two classes, `COCO` and `COCOeval`; to be called before long work that ends in them.

    Raises:
        MissingExtraError: pycocotools is not installed.
    """
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError:
        raise MissingExtraError("pycocotools", "evaluate", "average precision") from None
    return COCO, COCOeval


def _evaluated(records: Sequence[Record], found: Sequence[Detections]) -> Any:
    """A finished `COCOeval`; it prints what it does, which is kept from the terminal."""
    coco, coco_eval = reference()
    truth, results = coco(), coco()
    shared = {
        "images": [{"id": i, "width": r.size_wh[0], "height": r.size_wh[1]} for i, r in enumerate(records)],
        "categories": [{"id": label, "name": name} for label, name in enumerate(CLASSES)],
    }
    truth.dataset = shared | {"annotations": _rows((r.xyxy, r.label, np.ones(len(r.label))) for r in records)}
    results.dataset = shared | {"annotations": _rows((d.xyxy, d.label, d.score) for d in found)}
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        results.createIndex()
        evaluation = coco_eval(truth, results, "bbox")
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0.0, np.inf]], ["all"]
        evaluation.params.maxDets = [max((len(d) for d in found), default=0) or 1]
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation


def _rows(fields: Any) -> list[dict[str, Any]]:
    """Annotations of COCO's layout; ids start at 1, for 0 means unmatched there."""
    rows: list[dict[str, Any]] = []
    for image, (xyxy, label, score) in enumerate(fields):
        for box, c, s in zip(_xywh(xyxy), label.tolist(), score.tolist(), strict=True):
            row = {"id": len(rows) + 1, "image_id": image, "category_id": c, "bbox": box, "score": s}
            rows.append(row | {"area": box[2] * box[3], "iscrowd": 0})
    return rows


def _xywh(xyxy: Boxes) -> list[list[float]]:
    wide = xyxy.astype(np.float64)
    rows: list[list[float]] = np.concatenate([wide[:, :2], wide[:, 2:] - wide[:, :2]], axis=1).tolist()
    return rows


def _by_class(evaluation: Any) -> Floats:
    """Average precision of shape (classes, overlaps), nan where a class has no labelled cell."""
    precision: Floats = evaluation.eval["precision"][:, :, :, 0, 0]  # (overlaps, levels, classes), -1 where undefined
    return np.where(precision[:, 0] < 0, np.nan, precision.mean(axis=1)).T


def _ranked(evaluation: Any, label: int, fields: int) -> _Ranked:
    """The matches that the reference made for one class, in the order in which it ranks them."""
    per_field = [e for e in evaluation.evalImgs if e is not None and e["category_id"] == label]
    truth = np.zeros(fields)
    for e in per_field:
        truth[e["image_id"]] = len(e["gtIds"])
    scores = np.concatenate([np.zeros(0), *(e["dtScores"] for e in per_field)])
    image = np.concatenate([np.zeros(0, np.int64), *(np.full(len(e["dtIds"]), e["image_id"]) for e in per_field)])
    overlaps = len(evaluation.params.iouThrs)
    hits = np.concatenate([np.zeros((overlaps, 0)), *(e["dtMatches"] for e in per_field)], axis=1) > 0
    order = np.argsort(-scores, kind="stable")
    return _Ranked(image[order], hits[:, order], truth)


def _weighted(ranked: _Ranked, weights: Floats, levels: Floats) -> Floats:
    """Average precision at each overlap, of shape (overlaps,), with each field taken `weights` times.

    The reference's own `accumulate`, for fields drawn several times or not at all: with weights of 1 the two are equal.
    """
    cells = weights @ ranked.truth
    if not cells:
        return np.full(len(ranked.hit), np.nan)
    weight = weights[ranked.field]
    hits = np.cumsum(ranked.hit * weight, axis=1)
    precision = hits / np.maximum(np.cumsum(weight), 1)
    best = np.maximum.accumulate(precision[:, ::-1], axis=1)[:, ::-1]
    best = np.concatenate([best, np.zeros((len(best), 1))], axis=1)
    # COCO's recall is a quotient of the same integers, so equal levels compare equal here too.
    at = [np.searchsorted(row, levels, side="left") for row in hits / cells]
    return np.array([row[i].mean() for row, i in zip(best, at, strict=True)])


def _mean(values: Floats) -> Floats:
    """Mean over classes of each sample, of shape (samples,), leaving out classes that are undefined in it."""
    defined = np.isfinite(values)
    return divide(np.where(defined, values, 0.0).sum(axis=1), defined.sum(axis=1))
