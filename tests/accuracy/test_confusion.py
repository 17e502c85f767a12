"""Which class is taken for which: hand-made fields, and sums that tie with precision and recall."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from detector.accuracy.confusion import MISSED, NOTHING, Confusion, confusion, tally
from detector.accuracy.operating import operating
from detector.annotations.records import Record
from detector.counting.intervals import Interval
from detector.vision.detections import Detections

PLACES = np.array([[10.0 + 30 * i, 10, 30 + 30 * i, 30] for i in range(6)], np.float32)
R, W, P = range(3)


def confused(labelled: list[tuple[int, int]], found: list[tuple[int, int, float]], shift: float = 0) -> Confusion:
    """Of cells as (place, class) and finds as (place, class, score)."""
    record = Record("f", None, (200, 100), PLACES[[i for i, _ in labelled]], np.array([c for _, c in labelled], np.int64))
    score, label = np.array([s for *_, s in found]), np.array([c for _, c, _ in found], np.int64)
    one = Detections(PLACES[[i for i, *_ in found]].reshape(-1, 4) + shift, score, label, (200, 100))
    return confusion(tally([record], [one]))


def test_hits_wrong_names_misses_and_false_finds() -> None:
    made = confused(
        labelled=[(0, R), (1, R), (2, W), (3, P)],
        found=[(0, R, 0.9), (1, W, 0.8), (2, W, 0.7), (5, P, 0.6)],
    )
    assert made.truth == ("RBC", "WBC", "Platelets", NOTHING)
    assert made.found == ("RBC", "WBC", "Platelets", MISSED)
    assert made.cells == ((1, 1, 0, 0), (0, 1, 0, 0), (0, 0, 0, 1), (0, 0, 1, 0))
    assert made.named_right == Interval(2 / 3)


def test_a_cell_found_under_two_names_is_found_rightly() -> None:
    """Even where the wrong name has the better score."""
    made = confused([(0, W)], [(0, R, 0.9), (0, W, 0.5)])
    assert made.cells == ((0, 0, 0, 0), (0, 1, 0, 0), (0, 0, 0, 0), (1, 0, 0, 0))


def test_of_two_wrong_names_the_better_score_takes_the_cell() -> None:
    made = confused([(0, W)], [(0, R, 0.5), (0, P, 0.9)])
    assert made.cells == ((0, 0, 0, 0), (0, 0, 1, 0), (0, 0, 0, 0), (1, 0, 0, 0))


def test_a_wrong_name_needs_the_overlap_too() -> None:
    made = confused([(0, W)], [(0, R, 0.9)], shift=9)
    assert made.cells == ((0, 0, 0, 0), (0, 0, 0, 1), (0, 0, 0, 0), (1, 0, 0, 0))
    assert made.named_right is None


@pytest.mark.parametrize(("labelled", "found"), [([], []), ([(0, R)], []), ([], [(0, P, 0.9)])])
def test_nothing_on_one_side_or_both(labelled: list[tuple[int, int]], found: list[tuple[int, int, float]]) -> None:
    made = confused(labelled, found)
    assert sum(map(sum, made.cells)) == len(labelled) + len(found)
    assert made.named_right is None


@pytest.mark.parametrize("seed", range(5))
def test_sums_tie_with_truth_counts_and_tallies(make: Callable[..., tuple[list[Record], list[Detections]]], seed: int) -> None:
    records, found = make(seed, per_class=(6, 4, 4))
    # Some cells under another name.
    found = [Detections(d.xyxy, d.score, (d.label + (np.arange(len(d)) % 5 == 0)) % 3, d.size_wh) for d in found]
    made, figures = np.array(confusion(tally(records, found)).cells), operating(records, found)
    assert made[:3, :3].sum() > np.trace(made) > 0
    for label, one in enumerate(figures.values()):
        assert made[label].sum() == sum((r.label == label).sum() for r in records)
        assert made[:, label].sum() == sum((d.label == label).sum() for d in found)
        assert made[label, label] == one.true
        assert made[:, label].sum() - made[label, label] == one.false
        assert made[label].sum() - made[label, label] == one.missed
        located = made[label, :3].sum()
        assert one.named_right is not None
        assert one.named_right.value == pytest.approx(one.true / located)
    assert made[3, 3] == 0
