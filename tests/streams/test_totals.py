"""How well the cells are known so far, and when that is enough."""

from __future__ import annotations

import pytest

from benchmarks.stopping_rule import Case, simulate
from detector.streams import totals


@pytest.mark.slow
@pytest.mark.parametrize("case", [Case(17, 1.0, 0.2, (0.15, 0.6)), Case(40, 2.0, 0.5, (0.2, 0.6))])
def test_a_count_that_stops_by_itself_is_as_right_as_it_says(case: Case) -> None:
    stops = simulate(case, 150)
    assert stops.stopped == 150
    assert min(stops.held) >= 0.90  # nominal 0.95, less three standard errors


def test_enough_is_not_said_at_once_nor_where_nothing_was_asked_for() -> None:
    rule = totals.Enough({"RBC": 0.5})
    known = {"RBC": totals.class_total([100] * 3, [1.0] * 3, 0.5)}
    assert known["RBC"].enough
    assert not rule.reached(known, 3.0)
    assert rule.reached(known, float(totals.LEAST_PARTS))
    assert rule.sentence(known, True) == (
        "uncertainty: red cells ±11.5 % (±11.5 % by sampling, the model states no error of its own; target ±50.0 %): enough"
    )
    assert not totals.Enough({}).reached(known, 100.0)
    assert not totals.class_total([0, 0], [1.0, 1.0], 0.5).enough


def test_the_model_s_own_error_is_named_and_holds_back_what_sampling_alone_would_call_enough() -> None:
    counts, areas = [400] * 40, [1.0] * 40
    rule = totals.Enough({"RBC": 0.05})
    for by_model, enough in ((None, True), (0.03, True), (0.048, False), (0.08, False)):
        known = {"RBC": totals.class_total(counts, areas, 0.05, by_model)}
        assert known["RBC"].by_sampling == pytest.approx(0.0157, abs=1e-3)
        assert known["RBC"].enough is enough
    assert known["RBC"].known_to == pytest.approx(0.0815, abs=1e-3)
    assert rule.sentence(known, False) == (
        "uncertainty: red cells ±8.1 % (±1.6 % by sampling, ±8.0 % by the model; target ±5.0 %): the model's part alone exceeds the "
        "target for red cells; more views do not lower it"
    )
