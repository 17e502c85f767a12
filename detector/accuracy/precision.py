"""Average precision by COCO's reference implementation, pycocotools, and what a detector would be worth at other thresholds."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detector.accuracy.intervals import SHARE, Floats, bootstrap, divide, resamples, units
from detector.accuracy.matching import operating_rates
from detector.annotations.records import Record
from detector.counting.intervals import Interval
from detector.errors import MissingExtraError
from detector.vision.boxes import Boxes
from detector.vision.cells import CLASSES
from detector.vision.detections import Detections

MIN_SCORE = 0.001
"""Score from which detections take part: average precision weighs all thresholds, so nearly all that the model says."""
SAMPLES = 500
"""Bootstrap samples, fewer than elsewhere: each is an evaluation."""

_BATCH = 4_000_000
"""Weights held at a time, samples times detections."""
THRESHOLDS = tuple(i / 100 for i in range(1, 100))

_ROUNDING = 1e-6
"""Scores are single-precision numbers of four decimals, which may lie below the threshold that they equal by this."""


@dataclass(frozen=True)
class AveragePrecision:
    """Average precision by class name; None for a class without labelled cells."""

    ap50: Mapping[str, Interval | None]
    """At an overlap of 0.5."""
    ap50_95: Mapping[str, Interval | None]
    """Mean over overlaps of 0.5 to 0.95 in steps of 0.05."""
    mean_ap50: Interval | None
    """Mean over the classes that have labelled cells; None where none has."""
    mean_ap50_95: Interval | None


@dataclass(frozen=True, eq=False)
class Ranked:
    """Detections of one class over all fields, best score first, as the reference matched and ranked them."""

    field: NDArray[np.int64]
    """Index of the field of each, of shape (d,)."""
    score: Floats
    """Of shape (d,)."""
    hit: NDArray[np.bool_]
    """Which are a labelled cell at each overlap, of shape (overlaps, d)."""
    truth: Floats
    """Labelled cells of each field, of shape (fields,)."""


@dataclass(frozen=True, eq=False)
class Ranking:
    """What the reference makes of detections in labelled fields."""

    classes: tuple[Ranked, ...]
    """By label."""
    precision: Floats
    """Best precision at each recall level or beyond, of shape (classes, overlaps, levels); nan for a class without labelled cells."""
    levels: Floats
    """Recall levels, of shape (levels,)."""


@dataclass(frozen=True, eq=False)
class Sampled:
    """Average precision of all fields and of resampled ones; nan where a class has no labelled cell."""

    value: Floats
    """Of shape (classes, overlaps)."""
    drawn: Floats
    """Of shape (samples, classes, overlaps)."""
    units: int
    """How many fields or smears the samples were drawn from."""

    def ap50(self) -> tuple[Floats, Floats]:
        """At an overlap of 0.5: value and samples, of shape (classes + 1,) and (samples, classes + 1), the mean over classes last."""
        return _with_mean(self.value[None, :, 0])[0], _with_mean(self.drawn[:, :, 0])

    def ap50_95(self) -> tuple[Floats, Floats]:
        """Mean over overlaps, in the shapes of `ap50`."""
        return _with_mean(self.value.mean(axis=1)[None])[0], _with_mean(self.drawn.mean(axis=2))


def average_precision(
    records: Sequence[Record], detections: Sequence[Detections], groups: Sequence[str] | None = None
) -> AveragePrecision:
    """Average precision over fields (Lin et al., ECCV 2014: 101 recall levels), intervals by bootstrap over fields.

    All detections take part, however many a field has (COCO's own figures stop at 100).

    Args:
        records: labelled fields.
        detections: detections from `MIN_SCORE` on, parallel to `records`.
        groups: the smear of each field, as `intervals.resamples` takes it.

    Raises:
        MissingExtraError: pycocotools is not installed.
    """
    return with_intervals(sample(rank(records, detections), groups))


def with_intervals(sampled: Sampled) -> AveragePrecision:
    """Figures with intervals."""
    at50, at50_95 = (
        [bootstrap(float(v), drawn[:, i], sampled.units, SHARE) for i, v in enumerate(value)]
        for value, drawn in (sampled.ap50(), sampled.ap50_95())
    )
    return AveragePrecision(
        dict(zip(CLASSES, at50, strict=False)), dict(zip(CLASSES, at50_95, strict=False)), at50[-1], at50_95[-1]
    )


def rank(records: Sequence[Record], detections: Sequence[Detections]) -> Ranking:
    """Match and rank detections by the reference.

    Raises:
        MissingExtraError: pycocotools is not installed.
    """
    evaluation = _evaluated(records, detections)
    precision: Floats = evaluation.eval["precision"][:, :, :, 0, 0].transpose(2, 0, 1)  # -1 where undefined
    ranked = tuple(_ranked(evaluation, label, len(records)) for label in range(len(CLASSES)))
    return Ranking(ranked, np.where(precision < 0, np.nan, precision), evaluation.params.recThrs)


def sample(ranking: Ranking, groups: Sequence[str] | None = None) -> Sampled:
    """Average precision of all fields and of fields drawn again, the same for the same number of fields and the same groups."""
    fields = len(ranking.classes[0].truth)
    weights = resamples(fields, SAMPLES, groups=groups)
    drawn = [_weighted(ranked, weights, ranking.levels) for ranked in ranking.classes]
    return Sampled(ranking.precision.mean(axis=2), np.stack(drawn, axis=1), units(fields, groups))


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


def _evaluated(records: Sequence[Record], detections: Sequence[Detections]) -> Any:
    """A finished `COCOeval`; it prints what it does, which is kept from the terminal."""
    coco, coco_eval = reference()
    truth, results = coco(), coco()
    shared = {
        "images": [{"id": i, "width": r.size_wh[0], "height": r.size_wh[1]} for i, r in enumerate(records)],
        "categories": [{"id": label, "name": name} for label, name in enumerate(CLASSES)],
    }
    truth.dataset = shared | {"annotations": _rows((r.xyxy, r.label, np.ones(len(r.label))) for r in records)}
    results.dataset = shared | {"annotations": _rows((d.xyxy, d.label, d.score) for d in detections)}
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        results.createIndex()
        evaluation = coco_eval(truth, results, "bbox")
        evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0.0, np.inf]], ["all"]
        evaluation.params.maxDets = [max((len(d) for d in detections), default=0) or 1]
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


def _ranked(evaluation: Any, label: int, fields: int) -> Ranked:
    per_field = [e for e in evaluation.evalImgs if e is not None and e["category_id"] == label]
    truth = np.zeros(fields)
    for e in per_field:
        truth[e["image_id"]] = len(e["gtIds"])
    scores = np.concatenate([np.zeros(0), *(e["dtScores"] for e in per_field)])
    image = np.concatenate([np.zeros(0, np.int64), *(np.full(len(e["dtIds"]), e["image_id"]) for e in per_field)])
    overlaps = len(evaluation.params.iouThrs)
    hits = np.concatenate([np.zeros((overlaps, 0)), *(e["dtMatches"] for e in per_field)], axis=1) > 0
    order = np.argsort(-scores, kind="stable")
    return Ranked(image[order], scores[order], hits[:, order], truth)


def _weighted(ranked: Ranked, weights: Floats, levels: Floats) -> Floats:
    """Average precision with fields taken as often as weights say, of shape (samples, overlaps).

    The reference's own `accumulate`, for fields drawn several times or not at all: with weights of 1 the two are equal. Only
    detections that are a cell at some overlap are looked at, since precision is highest and recall rises at these alone.

    Args:
        weights: how often each field is taken, of shape (samples, fields).
    """
    at = np.flatnonzero(ranked.hit.any(axis=0))
    made = np.full((len(weights), len(ranked.hit)), np.nan)
    cells = weights @ ranked.truth
    some = np.flatnonzero(cells)
    for rows in np.array_split(some, max(1, len(some) * len(ranked.field) // _BATCH)):
        weight = weights[rows][:, ranked.field]
        seen = np.maximum(np.cumsum(weight, axis=1)[:, at], 1)
        for overlap, hit in enumerate(ranked.hit[:, at]):
            hits = np.cumsum(weight[:, at] * hit, axis=1)
            best = np.maximum.accumulate((hits / seen)[:, ::-1], axis=1)[:, ::-1]
            best = np.concatenate([best, np.zeros((len(best), 1))], axis=1)
            # COCO's recall is a quotient of the same integers, so equal levels compare equal here too.
            recall = hits / cells[rows, None]
            made[rows, overlap] = [
                precision[np.searchsorted(reached, levels, side="left")].mean()
                for precision, reached in zip(best, recall, strict=True)
            ]
    return made


def _with_mean(values: Floats) -> Floats:
    """Values of shape (samples, classes) with their mean over the classes that are defined, of shape (samples, classes + 1)."""
    defined = np.isfinite(values)
    mean = divide(np.where(defined, values, 0.0).sum(axis=1), defined.sum(axis=1))
    return np.concatenate([values, mean[:, None]], axis=1)


@dataclass(frozen=True)
class Curves:
    """One class, with matches at an overlap of 0.5; parallel tuples."""

    recall: tuple[float, ...]
    """The recall levels 0, 0.01 ... 1."""
    precision: tuple[float, ...]
    """Best precision at each level or beyond (Lin et al., ECCV 2014), 0 where it is not reached; its mean is AP50."""
    threshold: tuple[float, ...]
    """`THRESHOLDS`."""
    precision_at: tuple[float | None, ...]
    """Precision of the cells found at each threshold; None where none is."""
    recall_at: tuple[float, ...]
    f1_at: tuple[float, ...]
    operating: float
    """The model's own threshold."""


def curves(ranking: Ranking, operating: Mapping[str, float]) -> dict[str, Curves | None]:
    """Curves by class name; None for a class without labelled cells.

    Args:
        ranking: detections from a score below `THRESHOLDS` on.
        operating: the model's own threshold by class name.
    """
    return {name: _curves(ranking, label, operating[name]) for label, name in enumerate(CLASSES)}


def _curves(ranking: Ranking, label: int, operating: float) -> Curves | None:
    ranked = ranking.classes[label]
    if not ranked.truth.any():
        return None
    precision, recall, f1 = _at_thresholds(ranked).T[:3].tolist()
    return Curves(
        recall=tuple(ranking.levels.tolist()),
        precision=tuple(ranking.precision[label, 0].tolist()),
        threshold=THRESHOLDS,
        precision_at=tuple(None if np.isnan(p) else p for p in precision),
        recall_at=tuple(recall),
        f1_at=tuple(f1),
        operating=operating,
    )


def _at_thresholds(ranked: Ranked) -> Floats:
    """Rates at each threshold, as `operating.rates` gives them.

    Cells are paired best score first, so pairs at a threshold are those of all detections that reach it.
    """
    counted = np.searchsorted(-ranked.score, _ROUNDING - np.array(THRESHOLDS), side="right")
    true = np.concatenate([[0], np.cumsum(ranked.hit[0])])[counted]
    numbers = np.stack([true, counted - true, ranked.truth.sum() - true, np.zeros(len(counted))], axis=1)
    return operating_rates(numbers.astype(np.float64))
