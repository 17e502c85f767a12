"""Which detection is which labelled cell, which class is taken for which, precision and recall, and their sums over validation fields."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.accuracy.matching import (
    MISSED,
    NOTHING,
    Confusion,
    Match,
    confusion,
    confusions,
    match,
    operating,
    precision_recall,
    val_sums,
)
from detector.annotations.records import Record
from detector.counting.intervals import Interval
from detector.vision import boxes
from detector.vision.detections import Detections

Rows = list[tuple[float, float, float, float]]


def pair(
    detected: Rows, scores: list[float], truth: Rows, labels: list[int] | None = None, truth_labels: list[int] | None = None
) -> Match:
    def xyxy(rows: Rows) -> np.ndarray:
        return np.array(rows, dtype=np.float32).reshape(-1, 4)

    detections = Detections(
        xyxy(detected), np.array(scores, np.float32), np.array(labels or [0] * len(detected), np.int64), (100, 100)
    )
    return match(detections, xyxy(truth), np.array(truth_labels or [0] * len(truth), np.int64))


def test_the_better_score_takes_the_cell() -> None:
    pairs = pair([(0, 0, 10, 9), (0, 0, 10, 10)], [0.9, 0.8], [(0, 0, 10, 10)])
    assert (pairs.matched.tolist(), pairs.truth.tolist()) == ([0], [0])
    assert (pairs.false.tolist(), pairs.missed.tolist()) == ([1], [])


def test_the_second_takes_the_next_best_cell() -> None:
    """Both overlap the first cell most; the one with the lower score still overlaps the other enough."""
    pairs = pair([(1, 0, 11, 10), (2, 0, 12, 10)], [0.7, 0.9], [(2, 0, 12, 10), (0, 0, 10, 10)])
    assert pairs.matched.tolist() == [1, 0]
    assert pairs.truth.tolist() == [0, 1]


def test_classes_do_not_mix() -> None:
    pairs = pair([(0, 0, 10, 10)], [0.9], [(0, 0, 10, 10)], labels=[1], truth_labels=[0])
    assert pairs.false.tolist() == [0]
    assert pairs.missed.tolist() == [0]


def test_the_threshold_itself_is_enough() -> None:
    assert pair([(0, 0, 10, 10)], [0.9], [(0, 0, 10, 5)]).matched.tolist() == [0]
    assert pair([(0, 0, 10, 10)], [0.9], [(0, 0, 10, 4.9)]).matched.tolist() == []


def test_nothing_on_one_side_or_both() -> None:
    assert pair([], [], [(0, 0, 1, 1)]).missed.tolist() == [0]
    assert pair([(0, 0, 1, 1)], [0.5], []).false.tolist() == [0]
    empty = pair([], [], [])
    assert [len(a) for a in (empty.matched, empty.truth, empty.false, empty.missed)] == [0, 0, 0, 0]


box = st.tuples(st.integers(0, 40), st.integers(0, 40), st.integers(1, 30), st.integers(1, 30))


@settings(deadline=None)
@given(
    st.lists(st.tuples(box, st.integers(0, 2), st.integers(0, 9)), max_size=12),
    st.lists(st.tuples(box, st.integers(0, 2)), max_size=12),
)
def test_one_to_one_within_class_and_complete(
    detected: list[tuple[tuple[int, int, int, int], int, int]], truth: list[tuple[tuple[int, int, int, int], int]]
) -> None:
    f = np.array([[x, y, x + w, y + h] for (x, y, w, h), _, _ in detected], dtype=np.float32).reshape(-1, 4)
    t = np.array([[x, y, x + w, y + h] for (x, y, w, h), _ in truth], dtype=np.float32).reshape(-1, 4)
    label = np.array([c for _, c, _ in detected], dtype=np.int64)
    truth_label = np.array([c for _, c in truth], dtype=np.int64)
    score = np.array([s / 10 for _, _, s in detected], dtype=np.float32)
    pairs = match(Detections(f, score, label, (100, 100)), t, truth_label)
    assert sorted([*pairs.matched, *pairs.false]) == list(range(len(f)))
    assert sorted([*pairs.truth, *pairs.missed]) == list(range(len(t)))
    assert (label[pairs.matched] == truth_label[pairs.truth]).all()
    overlap = boxes.iou(f, t)
    assert (overlap[pairs.matched, pairs.truth] >= 0.5).all()
    # Nothing that could be paired is left on both sides.
    left = overlap[np.ix_(pairs.false, pairs.missed)] >= 0.5
    assert not (left & (label[pairs.false][:, None] == truth_label[pairs.missed][None, :])).any()


PLACES = np.array([[10.0 + 30 * i, 10, 30 + 30 * i, 30] for i in range(6)], np.float32)
R, W, P = range(3)


def confused(labelled: list[tuple[int, int]], detected: list[tuple[int, int, float]], shift: float = 0) -> Confusion:
    """Of cells as (place, class) and finds as (place, class, score)."""
    record = Record("f", None, (200, 100), PLACES[[i for i, _ in labelled]], np.array([c for _, c in labelled], np.int64))
    score, label = np.array([s for *_, s in detected]), np.array([c for _, c, _ in detected], np.int64)
    cells = Detections(PLACES[[i for i, *_ in detected]].reshape(-1, 4) + shift, score, label, (200, 100))
    return confusion(confusions([record], [cells]))


def test_hits_wrong_names_misses_and_false_finds() -> None:
    made = confused(
        labelled=[(0, R), (1, R), (2, W), (3, P)],
        detected=[(0, R, 0.9), (1, W, 0.8), (2, W, 0.7), (5, P, 0.6)],
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


@pytest.mark.parametrize(("labelled", "detected"), [([], []), ([(0, R)], []), ([], [(0, P, 0.9)])])
def test_nothing_is_confused_with_nothing(labelled: list[tuple[int, int]], detected: list[tuple[int, int, float]]) -> None:
    made = confused(labelled, detected)
    assert sum(map(sum, made.cells)) == len(labelled) + len(detected)
    assert made.named_right is None


@pytest.mark.parametrize("seed", range(5))
def test_sums_tie_with_truth_counts_and_tallies(make: Callable[..., tuple[list[Record], list[Detections]]], seed: int) -> None:
    records, detections = make(seed, per_class=(6, 4, 4))
    # Some cells under another name.
    detections = [Detections(d.xyxy, d.score, (d.label + (np.arange(len(d)) % 5 == 0)) % 3, d.size_wh) for d in detections]
    made, figures = np.array(confusion(confusions(records, detections)).cells), operating(records, detections)
    assert made[:3, :3].sum() > np.trace(made) > 0
    for label, one in enumerate(figures.values()):
        assert made[label].sum() == sum((r.label == label).sum() for r in records)
        assert made[:, label].sum() == sum((d.label == label).sum() for d in detections)
        assert made[label, label] == one.true
        assert made[:, label].sum() - made[label, label] == one.false
        assert made[label].sum() - made[label, label] == one.missed
        located = made[label, :3].sum()
        assert one.named_right is not None
        assert one.named_right.value == pytest.approx(one.true / located)
    assert made[3, 3] == 0


BOX = [[10.0, 10, 20, 20], [40, 10, 50, 20], [70, 10, 80, 20]]


def record(name: str, label: list[int]) -> Record:
    return Record(name, None, (100, 100), np.array(BOX[: len(label)], np.float32).reshape(-1, 4), np.array(label, np.int64))


def detections(rows: list[int], label: list[int]) -> Detections:
    xyxy = np.array([BOX[i] for i in rows], np.float32).reshape(-1, 4)
    return Detections(xyxy, np.full(len(label), 0.9, np.float32), np.array(label, np.int64), (100, 100))


def test_hits_misses_and_false_finds() -> None:
    figures = operating([record("a", [0, 0, 1]), record("b", [0])], [detections([0, 2], [0, 0]), detections([0], [0])])
    rbc, wbc = figures["RBC"], figures["WBC"]
    assert (rbc.true, rbc.false, rbc.missed) == (2, 1, 1)
    assert rbc.precision is not None
    assert rbc.recall is not None
    assert rbc.f1 is not None
    assert [rbc.precision.value, rbc.recall.value, rbc.f1.value] == pytest.approx([2 / 3, 2 / 3, 2 / 3])
    assert (wbc.true, wbc.false, wbc.missed) == (0, 0, 1)
    assert wbc.precision is None
    assert wbc.recall is not None
    assert wbc.recall.value == 0


def test_a_class_that_is_nowhere_is_undefined() -> None:
    plt = operating([record("a", [0])], [detections([0], [0])])["Platelets"]
    assert (plt.precision, plt.recall, plt.f1) == (None, None, None)


def test_false_finds_without_truth_have_precision_alone() -> None:
    plt = operating([record("a", [0])], [detections([0], [2])])["Platelets"]
    assert plt.precision is not None
    assert plt.precision.value == 0
    assert plt.recall is None


def test_agrees_with_matches_of_the_reference(make: Callable[..., tuple[list[Record], list[Detections]]]) -> None:
    from detector.accuracy import precision

    records, detections = make(3)
    ranking = precision.rank(records, detections)
    for ranked, figures in zip(ranking.classes, operating(records, detections).values(), strict=True):
        assert figures.true == ranked.hit[0].sum()
        assert figures.true + figures.missed == ranked.truth.sum()
        assert figures.true + figures.false == ranked.hit.shape[1]


def test_accuracy_and_what_is_named_right() -> None:
    """Of 3 red cells one is found, one under a white cell's name and one not; a platelet is found where nothing is."""
    searched = detections([0, 1], [0, 1])
    figures = operating([record("a", [0, 0, 0])], [searched])
    rbc = figures["RBC"]
    assert rbc.accuracy is not None
    assert rbc.accuracy.value == pytest.approx(1 / 3)
    assert rbc.named_right is not None
    assert rbc.named_right.value == pytest.approx(1 / 2)
    assert figures["WBC"].accuracy is not None
    assert figures["WBC"].accuracy.value == 0
    assert figures["WBC"].named_right is None


def test_no_error_in_a_few_fields_leaves_the_interval_open() -> None:
    records, searched = [record(f"{i}", [0, 1]) for i in range(6)], [detections([0, 1], [0, 1])] * 6
    recall = operating(records, searched)["WBC"].recall
    assert recall is not None
    assert recall.low is not None
    assert (recall.value, recall.high) == (1, pytest.approx(1))
    assert 0.4 < recall.low < 0.9
    assert operating(records[:1], searched[:1])["WBC"].recall == Interval(1.0)


def test_fields_of_few_smears_tell_less(make: Callable[..., tuple[list[Record], list[Detections]]]) -> None:
    """Where every other field is blind, fields differ; in smears that hold both kinds alike, smears do not."""
    records, detections = make(1, fields=24)
    detections = [d if i % 2 else d[:0] for i, d in enumerate(detections)]

    def width(groups: list[str] | None) -> float:
        recall = operating(records, detections, groups)["RBC"].recall
        assert recall is not None
        assert recall.low is not None
        assert recall.high is not None
        return recall.high - recall.low

    alternating, alike = [str(i % 2) for i in range(24)], [str(i // 6) for i in range(24)]
    assert width(alike) < width(None) < width(alternating)


Make = Callable[..., tuple[list[Record], list[Detections]]]


def test_sums_are_those_of_the_counts_of_each_domain(make: Make) -> None:
    records, detections = make(4, fields=10)
    domains = ["a"] * 6 + ["b"] * 4
    sums, figures = val_sums(records, detections, domains), operating(records, detections)
    for label, (name, by_domain) in enumerate(sums.items()):
        assert [(domain, one.fields) for domain, one in by_domain.items()] == [("a", 6), ("b", 4)]
        for key in ("true", "false", "missed"):
            assert sum(getattr(domain, key) for domain in by_domain.values()) == getattr(figures[name], key)
        for domain, one in by_domain.items():
            mine = [i for i, other in enumerate(domains) if other == domain]
            counted = np.array([detections[i].counts()[name] for i in mine])
            truth = np.array([int((records[i].label == label).sum()) for i in mine])
            assert (one.counted, one.truth) == (counted.sum(), truth.sum())
            ratio = truth.sum() / counted.sum()
            assert one.squared_error() == pytest.approx(((truth - ratio * counted) ** 2).sum())


def test_lengths_must_agree(make: Make) -> None:
    records, detections = make(0, fields=3)
    with pytest.raises(ValueError, match="equal numbers of records, detections and domains: 3, 3, 2"):
        val_sums(records, detections, ["a", "a"])


def test_precision_and_recall_are_those_of_the_matches(make: Make) -> None:
    records, detections = make(5, fields=20)
    figures = operating(records, detections)
    for name, one in precision_recall(records, detections).items():
        for key in ("precision", "recall"):
            share, figure = one[key], getattr(figures[name], key)
            assert share is not None
            assert share.value == pytest.approx(figure.value)
            assert 0 <= share.low < share.value < share.high <= 1
            # The bootstrap's limits, roughly: both are over fields.
            assert [share.low, share.high] == pytest.approx([figure.low, figure.high], abs=0.1)


def _fields(truth: int, detected: int) -> tuple[list[Record], list[Detections]]:
    """Twenty fields with a red cell in the first of them, or none, and as many found there."""
    box = np.array([[10, 10, 30, 30]], np.float32)
    records = [Record(str(i), None, (99, 99), box[:n], np.zeros(n, np.int64)) for i, n in enumerate([truth] + [0] * 19)]
    detections = [Detections(box[:n], np.ones(n), np.zeros(n), (99, 99)) for n in [detected] + [0] * 19]
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
