"""What a model's counts of validation fields tell of its error, in the form that its file and its card carry."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from detector.accuracy.operating import tally
from detector.annotations.records import Record
from detector.counting.intervals import Interval, share
from detector.vision.cells import CLASSES
from detector.vision.detections import Detections
from detector.vision.sums import FieldSums, ValSums


def val_sums(records: Sequence[Record], found: Sequence[Detections], domains: Sequence[str]) -> ValSums:
    """Sums of each class and domain.

    Args:
        found: the detections of each record's image that are counted.
        domains: the domain of each record, such as a dataset, a stain or a camera.

    Raises:
        ValueError: the arguments differ in length.
    """
    if not len(records) == len(found) == len(domains):
        raise ValueError(f"need equal numbers of records, detections and domains: {len(records)}, {len(found)}, {len(domains)}")
    tallied, of = tally(records, found).astype(np.int64), np.array(domains)
    return {
        name: {domain: _sums(tallied[of == domain][:, :, label].T.tolist()) for domain in sorted(set(domains))}
        for label, name in enumerate(CLASSES)
    }


def precision_recall(records: Sequence[Record], found: Sequence[Detections]) -> dict[str, dict[str, Interval | None]]:
    """`precision` and `recall` of each class over fields; None where there is nothing to be right or wrong about.

    The intervals are those of ratios of counts, which stay open where a bootstrap closes: no error in a few fields does not show
    that there never is one.
    """
    tallied = tally(records, found).astype(np.int64)
    shares = {}
    for label, name in enumerate(CLASSES):
        true, false, missed = tallied[:, :, label].T.tolist()
        shares[name] = {"precision": share(true, false), "recall": share(true, missed)}
    return shares


def _sums(fields: Sequence[Sequence[int]]) -> FieldSums:
    true, false, missed = fields
    counted = [a + b for a, b in zip(true, false, strict=True)]
    truth = [a + b for a, b in zip(true, missed, strict=True)]
    return FieldSums(
        fields=len(true),
        true=sum(true),
        false=sum(false),
        missed=sum(missed),
        counted_squared=sum(n * n for n in counted),
        truth_squared=sum(n * n for n in truth),
        counted_truth=sum(a * b for a, b in zip(counted, truth, strict=True)),
    )
