"""How well cells are found and counted in parts of the fields: crowded and sparse ones, at the border, small and large cells.

What part a cell belongs to, or a field, is told by the labels; a find belongs to the part that its own box says. Recall is of the
labelled cells of a part, whatever part their find is of; precision is of its finds; the count's error compares the numbers of both
in each field. Matches are those of the whole field, at `matching.IOU`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from detector.accuracy.counts import BORDER_SHARE, clear_of_border_zone
from detector.accuracy.intervals import Floats, bootstrap, rare, resamples, share, units
from detector.accuracy.matching import match
from detector.annotations.records import Record
from detector.counting.intervals import Interval
from detector.vision import border, boxes
from detector.vision.cells import CLASSES, PLATELETS, RBC, WBC
from detector.vision.detections import Detections

LEAST_CELLS = 10
"""A share of fewer cells than this says too little: it is None, as is the error of the count where both numbers are so few."""
LEAST_FIELDS = 2
"""In fewer fields than this the error of the count is None."""

CROWDING, BORDER, SIZE = "crowding", "border", "cell size"

SIZE_CUTS = {RBC: (0.9, 1.1), WBC: (1.5, 2.0), PLATELETS: (0.35, 0.45)}
"""Small, middle and large cells part here, in red-cell diameters; chosen on training and validation labels. A tenth of their red cells
is small and a tenth large; of white cells and platelets it is a tenth to a third on either side."""

_Masks = tuple[NDArray[np.bool_], NDArray[np.bool_]]
"""Which labelled cells, and which detections, of a field are in a part."""


@dataclass(frozen=True)
class SliceClass:
    """One class in one part."""

    truth: int
    """Labelled cells."""
    counted: int
    """Cells found."""
    recall: Interval | None
    """Share of the labelled cells that are found; None of fewer than `LEAST_CELLS`."""
    precision: Interval | None
    """Share of the finds that are labelled cells; None of fewer than `LEAST_CELLS`."""
    mae: Interval | None
    """Mean absolute error of the count in cells per field; None where neither number reaches `LEAST_CELLS`, or fields are fewer than
    `LEAST_FIELDS`."""


@dataclass(frozen=True)
class Slice:
    """Some of the fields, or some cells in all fields."""

    by: str
    """`CROWDING`, `BORDER` or `SIZE`."""
    name: str
    rule: str
    """What belongs to it, with the values that part it from others."""
    fields: int
    cells: int
    """Labelled cells of all classes."""
    classes: dict[str, SliceClass]
    """By class name."""


def slices(records: Sequence[Record], detections: Sequence[Detections], groups: Sequence[str] | None = None) -> list[Slice]:
    """Parts by border, cell size and crowding, in the order in which they are shown.

    Args:
        detections: detections of each record's image that are counted.
        groups: the smear of each field, as `intervals.resamples` takes it.
    """
    fields = [_MatchedField(record, cells) for record, cells in zip(records, detections, strict=True)]
    return [*_by_border(fields, groups), *_by_size(fields, groups), *_by_crowding(fields, groups)]


def crowding(record: Record) -> float:
    """Share of a field that lies in boxes of labelled cells, each place counted once; it knows no scale."""
    w, h = record.size_wh
    covered = np.zeros((h, w), dtype=bool)
    for x1, y1, x2, y2 in record.xyxy.round().astype(int).tolist():
        covered[y1:y2, x1:x2] = True
    return float(covered.mean())


class _MatchedField:
    """One field, matched."""

    def __init__(self, record: Record, detections: Detections) -> None:
        self.record, self.detections = record, detections
        pairs = match(detections, record.xyxy, record.label)
        self.hit = np.zeros(len(record.label), dtype=bool)
        self.hit[pairs.truth] = True
        self.true = np.zeros(len(detections), dtype=bool)
        self.true[pairs.matched] = True

    def clear(self) -> _Masks:
        """What is clear of the border."""
        labelled, counted = (clear_of_border_zone(side.xyxy, side.size_wh) for side in (self.record, self.detections))
        return labelled, counted

    def every(self) -> _Masks:
        return np.ones(len(self.record.label), dtype=bool), np.ones(len(self.detections), dtype=bool)


def _by_border(fields: Sequence[_MatchedField], groups: Sequence[str] | None) -> Iterator[Slice]:
    clear = [field.clear() for field in fields]
    near = f"an edge of the box within {100 * BORDER_SHARE:g} % of the field's side of its border"
    yield _slice(BORDER, "all cells", "every cell", fields, [field.every() for field in fields], groups)
    yield _slice(BORDER, "clear of the border", f"not {near}", fields, clear, groups)
    yield _slice(BORDER, "at the border", near, fields, [(~labelled, ~counted) for labelled, counted in clear], groups)


def _by_size(fields: Sequence[_MatchedField], groups: Sequence[str] | None) -> Iterator[Slice]:
    """Cells clear of the border, by the geometric mean of their box's sides in diameters of the field's red cells."""
    scales = [border.rbc_px(field.record.xyxy, field.record.label, field.record.size_wh) for field in fields]
    with_scale = [i for i, scale in enumerate(scales) if scale is not None]
    chosen, of_chosen = [fields[i] for i in with_scale], groups and [groups[i] for i in with_scale]
    for k, name in enumerate(("small cells", "middle cells", "large cells")):
        ranges = {label: ((0.0, *cuts)[k], (*cuts, np.inf)[k]) for label, cuts in SIZE_CUTS.items()}
        masks = [_of_size(field, scales[i] or 1.0, ranges) for i, field in zip(with_scale, chosen, strict=True)]
        rule = "; ".join(f"{CLASSES[label]} {_range(*limits)}" for label, limits in ranges.items())
        yield _slice(SIZE, name, f"{rule} red-cell diameters of the field, clear of the border", chosen, masks, of_chosen)


def _of_size(field: _MatchedField, rbc_px: float, ranges: dict[int, tuple[float, float]]) -> _Masks:
    low, high = (np.array([ranges[label][end] for label in range(len(CLASSES))]) for end in (0, 1))

    def chosen(cells: Record | Detections, clear: NDArray[np.bool_]) -> NDArray[np.bool_]:
        size = np.sqrt(boxes.area(cells.xyxy)) / rbc_px
        return np.asarray(clear & (size >= low[cells.label]) & (size < high[cells.label]))

    labelled, counted = field.clear()
    return chosen(field.record, labelled), chosen(field.detections, counted)


def _by_crowding(fields: Sequence[_MatchedField], groups: Sequence[str] | None) -> Iterator[Slice]:
    """Fields in thirds; none where a third would be too few to compare."""
    if len(fields) < 3 * LEAST_FIELDS:
        return
    share = np.array([crowding(field.record) for field in fields])
    cuts = [0.0, *np.quantile(share, [1 / 3, 2 / 3]).tolist(), np.inf]
    for name, (low, high) in zip(("sparse fields", "middle fields", "crowded fields"), pairwise(cuts), strict=True):
        chosen = np.flatnonzero((share >= low) & (share < high)).tolist()
        rule = f"{_range(100 * low, 100 * high)} % of the field in boxes of labelled cells (fields in thirds)"
        of_chosen = [fields[i] for i in chosen]
        masks = [field.every() for field in of_chosen]
        yield _slice(CROWDING, name, rule, of_chosen, masks, groups and [groups[i] for i in chosen])


def _range(low: float, high: float) -> str:
    if high == np.inf:
        return f"from {low:.3g}"
    return f"{low:.3g} to {high:.3g}" if low else f"under {high:.3g}"


def _slice(
    by: str, name: str, rule: str, fields: Sequence[_MatchedField], masks: Sequence[_Masks], groups: Sequence[str] | None
) -> Slice:
    numbers = np.array([_numbers(field, *mask) for field, mask in zip(fields, masks, strict=True)], dtype=np.int64)
    numbers = numbers.reshape(-1, 4, len(CLASSES))
    classes = {class_name: _slice_class(numbers[:, :, label], groups) for label, class_name in enumerate(CLASSES)}
    return Slice(by, name, rule, len(fields), sum(counts.truth for counts in classes.values()), classes)


def _numbers(field: _MatchedField, labelled: NDArray[np.bool_], counted: NDArray[np.bool_]) -> list[NDArray[np.int64]]:
    """Labelled cells, those of them that are found, cells found, and those of them that are true; a number for each class."""
    truth, cells = field.record.label, field.detections.label
    parts = (truth[labelled], truth[labelled & field.hit], cells[counted], cells[counted & field.true])
    return [np.bincount(label, minlength=len(CLASSES)) for label in parts]


def _slice_class(numbers: NDArray[np.int64], groups: Sequence[str] | None) -> SliceClass:
    """From numbers of shape (fields, 4)."""
    truth, hit, counted, true = numbers.T
    n_labelled, n_counted, fields = int(truth.sum()), int(counted.sum()), len(truth)
    tells = max(n_labelled, n_counted) >= LEAST_CELLS and fields >= LEAST_FIELDS
    return SliceClass(
        truth=n_labelled,
        counted=n_counted,
        recall=share(hit, truth - hit, groups) if n_labelled >= LEAST_CELLS else None,
        precision=share(true, counted - true, groups) if n_counted >= LEAST_CELLS else None,
        mae=_mean(np.abs(counted - truth).astype(np.float64), groups) if tells else None,
    )


def _mean(of_field: Floats, groups: Sequence[str] | None) -> Interval | None:
    weights, fields = resamples(len(of_field), groups=groups), len(of_field)
    return rare(of_field, groups) or bootstrap(
        float(of_field.mean()), weights @ of_field / weights.sum(axis=1), units(fields, groups), (0.0, np.inf)
    )
