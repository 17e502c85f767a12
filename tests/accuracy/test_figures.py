"""Two detectors on the same fields, and one by the labels of others: what is the same does not differ, and all see the same samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace

import numpy as np
import pytest

from detector.accuracy.figures import DetectorDifferences, EvaluatedFields, compare_detectors, figures, relabelled
from detector.accuracy.matching import operating
from detector.annotations.records import Record
from detector.counting.intervals import Interval
from detector.vision.detections import Detections

Make = Callable[..., tuple[list[Record], list[Detections]]]
AT = {"RBC": 0.5, "WBC": 0.5, "Platelets": 0.5}


def compared(
    records: list[Record], a: list[Detections], b: list[Detections], smears: list[str | None] | None = None
) -> DetectorDifferences:
    return compare_detectors(*(EvaluatedFields(records, detections, detections, smears) for detections in (a, b)), AT)


def worse(detections: list[Detections]) -> list[Detections]:
    """Without every third cell, which is not the same share of each class and field."""
    return [d[np.arange(len(d)) % 3 > 0] for d in detections]


def interval(difference: Interval | None) -> tuple[float, float]:
    assert difference is not None
    assert difference.low is not None
    assert difference.high is not None
    return difference.low, difference.high


def test_a_detector_does_not_differ_from_itself(make: Make) -> None:
    records, detections = make(2)
    made = compared(records, detections, detections)
    zero = Interval(0.0)
    assert (made.mean_ap50, made.mean_ap50_95) == (zero, zero)
    assert set(made.ap50.values()) == {zero}
    for rates in made.operating.values():
        assert set(asdict(rates)["recall"].values()) == {0.0, None}
    assert made.all_cells["RBC"].mae == zero
    assert made.all_cells["RBC"].a_nearer == 0


@pytest.mark.slow
def test_differences_are_those_of_the_figures(make: Make) -> None:
    records, detections = make(2, fields=30)
    other = worse(detections)
    made, mine, theirs = (
        compared(records, detections, other),
        *(figures(EvaluatedFields(records, f, f), AT) for f in (detections, other)),
    )
    for name in AT:
        for figure in ("precision", "recall", "f1", "accuracy", "named_right"):
            a, b = getattr(mine.operating[name], figure), getattr(theirs.operating[name], figure)
            assert getattr(made.operating[name], figure).value == pytest.approx(a.value - b.value)
        a, b = mine.average_precision.ap50_95[name], theirs.average_precision.ap50_95[name]
        difference = made.ap50_95[name]
        assert a is not None
        assert b is not None
        assert difference is not None
        assert difference.value == pytest.approx(a.value - b.value)
    assert made.other == theirs
    assert interval(made.operating["RBC"].recall)[0] > 0
    assert interval(made.mean_ap50)[0] > 0
    assert interval(made.all_cells["RBC"].bias)[0] > 0


@pytest.mark.slow
def test_turned_round_the_sign_turns(make: Make) -> None:
    records, detections = make(2, fields=20)
    one, other = compared(records, detections, worse(detections)), compared(records, worse(detections), detections)
    low, high = interval(one.mean_ap50)
    assert interval(other.mean_ap50) == pytest.approx((-high, -low))


@pytest.mark.slow
def test_the_same_fields_are_drawn_for_both(make: Make) -> None:
    """Both vary with the fields in the same way, so their difference hardly does."""
    records, detections = make(2, fields=30)
    one_less = [d[1:] for d in detections]
    made, alone = compared(records, detections, one_less), figures(EvaluatedFields(records, detections, detections), AT)
    low, high = interval(made.ap50["RBC"])
    of_low, of_high = interval(alone.average_precision.ap50["RBC"])
    assert high - low < 0.6 * (of_high - of_low)


@pytest.mark.slow
def test_smears_are_drawn_whole(make: Make) -> None:
    records, detections = make(2, fields=12)
    alone, together = (
        compared(records, detections, worse(detections), smears) for smears in (None, [str(i // 3) for i in range(12)])
    )
    assert interval(alone.mean_ap50) != interval(together.mean_ap50)
    assert interval(alone.operating["RBC"].f1) != interval(together.operating["RBC"].f1)
    assert interval(alone.all_cells["RBC"].mae) != interval(together.all_cells["RBC"].mae)


def test_a_class_that_is_not_there_has_no_difference(make: Make) -> None:
    records, detections = make(per_class=(10, 0, 2))
    made = compared(records, detections, worse(detections))
    assert made.ap50["WBC"] is None
    assert made.operating["WBC"].recall is None


def test_one_field_has_no_interval(make: Make) -> None:
    records, detections = make(fields=1)
    made = compared(records, detections, worse(detections))
    assert made.mean_ap50 is not None
    assert made.mean_ap50.low is None


def test_other_fields_are_refused(make: Make) -> None:
    records, detections = make(fields=3)
    with pytest.raises(ValueError, match="same fields"):
        compare_detectors(
            EvaluatedFields(records, detections, detections), EvaluatedFields(records[:2], detections[:2], detections[:2]), AT
        )


Make = Callable[..., tuple[list[Record], list[Detections]]]
AT = {"RBC": 0.5, "WBC": 0.5, "Platelets": 0.5}


def half(record: Record) -> Record:
    """Labels that leave out every other cell."""
    return replace(record, xyxy=record.xyxy[::2], label=record.label[::2])


def test_labels_that_leave_cells_out_make_finds_false(make: Make) -> None:
    records, detections = make(1)
    made = relabelled(EvaluatedFields(records, detections, detections), [half(r) for r in reversed(records)], AT)
    assert made is not None
    assert made.first == figures(EvaluatedFields(records, detections, detections), AT)
    assert made.second.operating == operating([half(r) for r in records], detections)
    red = made.labels["RBC"]
    assert (red.counted, red.truth) == tuple(sum(int((r.label == 0).sum()) for r in of) for of in (map(half, records), records))
    assert made.first.operating["RBC"].false < made.second.operating["RBC"].false
    assert (made.only_first, made.only_second, made.other_size) == ([], [], [])


def test_fields_on_one_side_only_and_of_another_size_are_listed(make: Make) -> None:
    records, detections = make(1, fields=5)
    others = [half(records[1]), replace(records[2], size_wh=(9, 9)), replace(records[3], name="elsewhere"), half(records[4])]
    made = relabelled(EvaluatedFields(records, detections, detections, ["a", "b", "a", "b", "c"]), others, AT)
    assert made is not None
    assert made.second.fields == made.first.fields == 2
    assert made.first == figures(
        EvaluatedFields(*([of[i] for i in (1, 4)] for of in (records, detections, detections)), ["b", "c"]), AT
    )
    assert made.only_first == ["field0", "field3"]
    assert made.only_second == ["elsewhere"]
    assert made.other_size == ["field2"]


@pytest.mark.parametrize("others", [[], [Record("elsewhere", None, (200, 160), np.zeros((0, 4)), np.zeros(0, np.int64))]])
def test_labels_of_other_fields_say_nothing(make: Make, others: list[Record]) -> None:
    records, detections = make(1)
    assert relabelled(EvaluatedFields(records, detections, detections), others, AT) is None
