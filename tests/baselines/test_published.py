"""Figures that papers give of their methods, against what is measured here."""

from __future__ import annotations

import pytest

from detector.baselines.published import CLAIMS, Held, held
from detector.counting.intervals import Interval
from detector.vision.cells import CLASSES


def test_claims_are_shares_of_known_classes() -> None:
    for claim in CLAIMS:
        assert 0 < claim.value < 1
        assert claim.class_name in (*CLASSES, "all")


@pytest.mark.parametrize(
    ("value", "limits", "verdict"),
    [
        (0.97, (0.95, 0.99), "reached"),
        (0.94, (0.90, 0.97), "within the interval"),
        (0.80, (0.70, 0.90), "not reproduced"),
        (0.80, (), "not reproduced"),
    ],
)
def test_a_verdict_is_by_the_interval(value: float, limits: tuple[float, ...], verdict: str) -> None:
    claim = next(claim for claim in CLAIMS if claim.method == "iterative circles")
    assert claim.value == 0.953
    assert Held(claim, ("home", Interval(value, *limits))).verdict == verdict


def test_each_claim_stands_against_each_test_set() -> None:
    counting = {("home", "Hough circles", "RBC"): Interval(0.9), ("away", "Hough circles", "RBC"): Interval(0.5)}
    shapes = [("c", {"accuracy": Interval(0.4), "f1": None}), ("c", {"accuracy": Interval(0.6), "f1": None})]
    rows = list(held(counting, shapes))
    assert [row.here[0] for row in rows if row.claim.method == "Hough circles" and row.here] == ["home", "away"]
    best = [row for row in rows if row.claim.figure == "accuracy"]
    assert [row.here and row.here[1].value for row in best] == [0.6]
    assert {row.claim for row in rows} == set(CLAIMS)
    assert all(row.verdict == "not measured here" for row in rows if row.claim.class_name == "WBC")
