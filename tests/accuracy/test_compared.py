"""Two detectors on the same fields: the same one does not differ, a better one does, and both see the same samples."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import numpy as np
import pytest

from detector.accuracy.compared import Compared, compare
from detector.accuracy.figures import Fields, figures
from detector.annotations.records import Record
from detector.counting.intervals import Interval
from detector.vision.detections import Detections

Make = Callable[..., tuple[list[Record], list[Detections]]]
AT = {"RBC": 0.5, "WBC": 0.5, "Platelets": 0.5}


def compared(records: list[Record], a: list[Detections], b: list[Detections], smears: list[str | None] | None = None) -> Compared:
    return compare(*(Fields(records, found, found, smears) for found in (a, b)), AT)


def worse(found: list[Detections]) -> list[Detections]:
    """Without every third cell, which is not the same share of each class and field."""
    return [d[np.arange(len(d)) % 3 > 0] for d in found]


def interval(difference: Interval | None) -> tuple[float, float]:
    assert difference is not None
    assert difference.low is not None
    assert difference.high is not None
    return difference.low, difference.high


def test_a_detector_does_not_differ_from_itself(make: Make) -> None:
    records, found = make(2)
    made = compared(records, found, found)
    zero = Interval(0.0)
    assert (made.mean_ap50, made.mean_ap50_95) == (zero, zero)
    assert set(made.ap50.values()) == {zero}
    for rates in made.operating.values():
        assert set(asdict(rates)["recall"].values()) == {0.0, None}
    assert made.all_cells["RBC"].mae == zero
    assert made.all_cells["RBC"].a_nearer == 0


def test_differences_are_those_of_the_figures(make: Make) -> None:
    records, found = make(2, fields=30)
    other = worse(found)
    made, mine, theirs = compared(records, found, other), *(figures(Fields(records, f, f), AT) for f in (found, other))
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


def test_turned_round_the_sign_turns(make: Make) -> None:
    records, found = make(2, fields=20)
    one, other = compared(records, found, worse(found)), compared(records, worse(found), found)
    low, high = interval(one.mean_ap50)
    assert interval(other.mean_ap50) == pytest.approx((-high, -low))


def test_the_same_fields_are_drawn_for_both(make: Make) -> None:
    """Both vary with the fields in the same way, so their difference hardly does."""
    records, found = make(2, fields=30)
    one_less = [d[1:] for d in found]
    made, alone = compared(records, found, one_less), figures(Fields(records, found, found), AT)
    low, high = interval(made.ap50["RBC"])
    of_low, of_high = interval(alone.average_precision.ap50["RBC"])
    assert high - low < 0.6 * (of_high - of_low)


def test_smears_are_drawn_whole(make: Make) -> None:
    records, found = make(2, fields=12)
    alone, together = (compared(records, found, worse(found), smears) for smears in (None, [str(i // 3) for i in range(12)]))
    assert interval(alone.mean_ap50) != interval(together.mean_ap50)
    assert interval(alone.operating["RBC"].f1) != interval(together.operating["RBC"].f1)
    assert interval(alone.all_cells["RBC"].mae) != interval(together.all_cells["RBC"].mae)


def test_a_class_that_is_not_there_has_no_difference(make: Make) -> None:
    records, found = make(per_class=(10, 0, 2))
    made = compared(records, found, worse(found))
    assert made.ap50["WBC"] is None
    assert made.operating["WBC"].recall is None


def test_one_field_has_no_interval(make: Make) -> None:
    records, found = make(fields=1)
    made = compared(records, found, worse(found))
    assert made.mean_ap50 is not None
    assert made.mean_ap50.low is None


def test_other_fields_are_refused(make: Make) -> None:
    records, found = make(fields=3)
    with pytest.raises(ValueError, match="same fields"):
        compare(Fields(records, found, found), Fields(records[:2], found[:2], found[:2]), AT)
