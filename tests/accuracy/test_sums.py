"""What validation fields tell of a detector's error."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from detector.accuracy.operating import operating
from detector.accuracy.sums import precision_recall, val_sums
from detector.annotations.records import Record
from detector.vision.detections import Detections

Make = Callable[..., tuple[list[Record], list[Detections]]]


def test_sums_are_those_of_the_counts_of_each_domain(make: Make) -> None:
    records, found = make(4, fields=10)
    domains = ["a"] * 6 + ["b"] * 4
    sums, figures = val_sums(records, found, domains), operating(records, found)
    for label, (name, by_domain) in enumerate(sums.items()):
        assert [(domain, one.fields) for domain, one in by_domain.items()] == [("a", 6), ("b", 4)]
        for key in ("true", "false", "missed"):
            assert sum(getattr(one, key) for one in by_domain.values()) == getattr(figures[name], key)
        for domain, one in by_domain.items():
            mine = [i for i, other in enumerate(domains) if other == domain]
            counted = np.array([found[i].counts()[name] for i in mine])
            truth = np.array([int((records[i].label == label).sum()) for i in mine])
            assert (one.counted, one.truth) == (counted.sum(), truth.sum())
            ratio = truth.sum() / counted.sum()
            assert one.squared_error() == pytest.approx(((truth - ratio * counted) ** 2).sum())


def test_lengths_must_agree(make: Make) -> None:
    records, found = make(0, fields=3)
    with pytest.raises(ValueError, match="equal numbers of records, detections and domains: 3, 3, 2"):
        val_sums(records, found, ["a", "a"])


def test_precision_and_recall_are_those_of_the_matches(make: Make) -> None:
    records, found = make(5, fields=20)
    figures = operating(records, found)
    for name, one in precision_recall(records, found).items():
        for key in ("precision", "recall"):
            share, figure = one[key], getattr(figures[name], key)
            assert share is not None
            assert share.value == pytest.approx(figure.value)
            assert 0 <= share.low < share.value < share.high <= 1
            # The bootstrap's limits, roughly: both are over fields.
            assert [share.low, share.high] == pytest.approx([figure.low, figure.high], abs=0.1)


def _fields(truth: int, found: int) -> tuple[list[Record], list[Detections]]:
    """Twenty fields with a red cell in the first of them, or none, and as many found there."""
    box = np.array([[10, 10, 30, 30]], np.float32)
    records = [Record(str(i), None, (99, 99), box[:n], np.zeros(n, np.int64)) for i, n in enumerate([truth] + [0] * 19)]
    detections = [Detections(box[:n], np.ones(n), np.zeros(n), (99, 99)) for n in [found] + [0] * 19]
    return records, detections


def test_few_cells_without_error_do_not_show_that_there_is_none() -> None:
    red = precision_recall(*_fields(1, 1))["RBC"]
    for share in red.values():
        assert share is not None
        assert (share.value, share.high) == (1, 1)
        assert share.low == pytest.approx(0.025)


def test_where_nothing_is_found_there_is_no_precision_and_a_recall_of_none() -> None:
    red = precision_recall(*_fields(1, 0))["RBC"]
    assert red["precision"] is None
    assert red["recall"] is not None
    assert (red["recall"].value, red["recall"].low) == (0, 0)
    assert red["recall"].high == pytest.approx(0.975)
    assert precision_recall(*_fields(0, 0))["RBC"] == {"precision": None, "recall": None}
