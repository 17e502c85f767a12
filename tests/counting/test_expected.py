"""The expected true count: what it is of, where it is not known, and how often it is right."""

from __future__ import annotations

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from benchmarks.simulated_counts import FAR_APART, SCENARIOS, WRONG, Scenario, simulate
from detector.counting.expected import CountCorrection, corrections
from detector.counting.intervals import Interval, rate
from detector.vision.sums import FieldSums


def sums(fields: int, true: int, false: int, missed: int, error: int = 0) -> FieldSums:
    """Equal fields with so many of each in a field; in turn, one has `error` true finds more and the next as many fewer."""
    counts = [(true + false + sign * error, true + missed + sign * error) for sign in [(-1) ** i for i in range(fields)]]
    return FieldSums(
        fields=fields,
        true=fields * true,
        false=fields * false,
        missed=fields * missed,
        counted_squared=sum(c * c for c, _ in counts),
        truth_squared=sum(t * t for _, t in counts),
        counted_truth=sum(c * t for c, t in counts),
    )


def known(*domains: FieldSums, red: FieldSums | None = None) -> CountCorrection:
    """The correction of white cells, beside as many red cells a field."""
    named = {str(i): one for i, one in enumerate(domains)}
    red = red or sums(sum(domain.fields for domain in domains), 20, 0, 0)
    correction = corrections({"RBC": {"all": red}, "WBC": named})["WBC"]
    assert correction is not None
    return correction


def test_the_factor_is_precision_over_recall() -> None:
    """Of 20 cells 18 are found, and 2 things that are none: 0.9 / 0.9 is 1. With 6 such it is 0.75 / 0.9."""
    assert known(sums(500, 18, 2, 2)).factor.value == pytest.approx(1, abs=1e-3)
    over = known(sums(500, 18, 6, 2))
    assert over.factor.value == pytest.approx(0.75 / 0.9, abs=1e-3)
    assert over.total(240, 200).value == pytest.approx(200, abs=0.3)
    assert known(sums(500, 10, 0, 10)).total(100, 200).value == pytest.approx(200, abs=0.3)


def test_what_validation_fields_do_not_tell_is_not_known() -> None:
    assert corrections(None) == dict.fromkeys(("RBC", "WBC", "Platelets"))
    factors = corrections({"RBC": {"a": sums(5, 9, 1, 1)}, "WBC": {"a": sums(5, 0, 0, 2)}, "Platelets": {"a": sums(5, 0, 1, 0)}})
    assert factors["RBC"] is not None
    assert (factors["WBC"], factors["Platelets"]) == (None, None)
    assert factors["RBC"].mean([], 0) is None


@pytest.mark.parametrize("fields", [1, 50])
def test_no_cells_counted_leave_room_for_one_that_was_missed(fields: int) -> None:
    correction = known(*[sums(30, 19, 0, 1)] * 3)
    total, mean = correction.total(0, 17 * fields), correction.mean([0] * fields, 17 * fields)
    assert total == Interval(0, 0, 1)
    assert mean is not None
    assert (mean.value, mean.low) == (0, 0)
    # Garwood's limit for none, and a little for what is missed.
    assert 3.689 / fields < mean.high < 1.2 * 3.689 / fields
    assert known(*[sums(30, 10, 0, 10)] * 3).total(0, 17 * fields).high > 2


def test_domains_that_differ_and_domains_that_are_few_widen_the_interval() -> None:
    def width(*domains: FieldSums) -> float:
        total = known(*domains).total(1000, 1000)
        return total.high - total.low

    alike, one = width(*[sums(40, 19, 1, 1)] * 3), width(sums(120, 19, 1, 1))
    unlike = width(sums(40, 19, 1, 1), sums(40, 19, 1, 4), sums(40, 19, 4, 1))
    assert alike < 150
    assert unlike > 2.5 * alike
    assert one > 2.5 * alike
    assert width(*[sums(40, 19, 1, 1)] * 12) < alike


def test_fields_that_are_unlike_and_fields_that_are_few_widen_the_interval() -> None:
    even, uneven, few = (known(one).residual for one in (sums(40, 19, 1, 1), sums(40, 19, 1, 4, error=9), sums(2, 19, 1, 1)))
    assert uneven > 2 * even
    assert few > 10 * even


def test_few_cells_among_many_red_ones_may_all_be_false() -> None:
    """One false white cell for 200 red ones: 10 counted among 200 are nearly all true, among 20,000 none need be."""
    correction = known(*[sums(30, 9, 1, 0)] * 3, red=sums(90, 200, 0, 0))
    assert correction.total(10, 200).low >= 5
    assert correction.total(10, 20_000).low == 0
    assert correction.total(10, 20_000).high == correction.total(10, 200).high
    mean = correction.mean([1] * 10, 20_000)
    assert mean is not None
    assert mean.low == 0
    red = corrections({"RBC": {"all": sums(90, 180, 20, 0)}})["RBC"]
    assert red is not None
    assert red.total(100, 100).low > 60


def test_the_interval_of_the_mean_is_that_of_the_scatter_where_the_detector_is_sure() -> None:
    counts = [12, 20, 17, 9, 25, 14, 18, 11]
    sure = known(*[sums(5000, 40, 0, 0)] * 40).mean(counts, 200)
    scatter = rate(counts)
    assert sure is not None
    assert scatter is not None
    assert [sure.value, sure.low, sure.high] == pytest.approx([scatter.value, scatter.low, scatter.high], rel=0.01)
    unsure = known(sums(30, 15, 3, 3), sums(30, 15, 0, 6)).mean(counts, 200)
    assert unsure is not None
    assert unsure.high - unsure.low > 1.3 * (scatter.high - scatter.low)


numbers = st.integers(0, 40)


@given(
    st.lists(st.tuples(st.integers(1, 60), numbers, numbers, numbers), min_size=1, max_size=5),
    st.lists(st.integers(0, 300), min_size=1, max_size=20),
    st.integers(0, 10_000),
)
@example([(1, 0, 11, 1)], [2], 0)
def test_intervals_hold_their_value_and_nothing_below_zero(
    domains: list[tuple[int, int, int, int]], counts: list[int], red: int
) -> None:
    correction = corrections({"WBC": {str(i): sums(*one) for i, one in enumerate(domains)}})["WBC"]
    if correction is None:
        assert not sum(f * (a + b) for f, a, b, _ in domains) or not sum(f * (a + c) for f, a, _, c in domains)
        return
    total, mean = correction.total(sum(counts), red), correction.mean(counts, red)
    assert mean is not None
    for one in (total, mean):
        assert 0 <= one.low <= one.value <= one.high < math.inf
        assert one.low < one.high
    assert total.low == int(total.low)
    assert total.high == int(total.high)
    assert mean.value == pytest.approx(total.value / len(counts))


@pytest.mark.slow
@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_coverage(scenario: Scenario) -> None:
    """Near its nominal rate, for the cells in the fields and for the cells per field of the smear."""
    got = simulate(scenario, 250)
    assert got.total >= 0.93
    assert got.mean >= 0.93


@pytest.mark.slow
def test_a_calibration_of_another_detector_is_found_out_by_the_coverage() -> None:
    got = simulate(WRONG, 60)
    assert got.total < 0.3
    assert got.mean < 0.6


@pytest.mark.slow
def test_domains_further_apart_than_the_prior_expects_are_covered_less_as_the_page_says() -> None:
    got = simulate(FAR_APART, 120)
    assert 0.78 < got.total < 0.91
    assert 0.8 < got.mean < 0.94


@pytest.mark.slow
def test_coverage_is_not_bought_with_width() -> None:
    """After three domains that are alike, 170 cells are known to some 10 % either way."""
    few = next(scenario for scenario in SCENARIOS if scenario.name == "no difference between domains")
    assert simulate(few, 60).width < 0.22
