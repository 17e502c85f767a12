"""Intervals: exact for one field, and covering at their nominal rate for several."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special, stats

from benchmarks.field_intervals import SINGLE, SLIVERS, Case, simulate
from detector.counting import intervals
from detector.counting.intervals import Interval, rate, ratio, share


@pytest.mark.parametrize(
    ("events", "low", "high"), [(0, 0.0, 3.689), (1, 0.0253, 5.572), (10, 4.795, 18.390), (100, 81.364, 121.627)]
)
def test_one_field_is_exact_poisson(events: int, low: float, high: float) -> None:
    """Limits from the tables of Garwood (1936) and its successors."""
    interval = rate([events])
    assert interval is not None
    assert interval.value == events
    assert [interval.low, interval.high] == pytest.approx([low, high], abs=1e-3)


def test_one_field_ratio_is_exact_binomial() -> None:
    """4 of 20: Clopper-Pearson gives a share of 0.0573 to 0.4366."""
    interval = ratio([4], [16])
    assert interval is not None
    assert interval.value == 0.25
    assert interval.low / (1 + interval.low) == pytest.approx(0.0573, abs=1e-4)
    assert interval.high / (1 + interval.high) == pytest.approx(0.4366, abs=1e-4)


def test_undefined_is_none() -> None:
    assert rate([]) is None
    assert ratio([3, 0], [0, 0]) is None
    assert ratio([], []) is None


@pytest.mark.parametrize("fields", [1, 2, 10])
def test_no_cells_give_an_upper_limit_only(fields: int) -> None:
    """None seen: the rule of three for two-sided 95 %, 3.689 over the number of fields."""
    interval = rate([0] * fields)
    assert interval is not None
    assert (interval.value, interval.low) == (0, 0)
    assert interval.high == pytest.approx(3.689 / fields, abs=1e-3)
    per = ratio([0] * fields, [50] * fields)
    assert per is not None
    assert (per.value, per.low) == (0, 0)
    assert 0 < per.high < 0.1


def test_clustered_counts_give_a_wider_interval() -> None:
    even, clustered = rate([9, 10, 11, 10, 10]), rate([0, 25, 2, 20, 3])
    assert even is not None
    assert clustered is not None
    assert even.value == clustered.value
    assert clustered.high - clustered.low > 2 * (even.high - even.low)


def test_areas_weigh_fields() -> None:
    interval = rate([10, 40], areas=[1.0, 4.0])
    assert interval is not None
    assert interval.value == 10
    equal = rate([25, 25], areas=[2.5, 2.5])
    assert equal is not None
    assert equal.value == 10


@pytest.mark.parametrize("areas", [[1.0], [1.0, 0.0], [1.0, -1.0], [1.0, float("nan")]])
def test_areas_must_fit(areas: list[float]) -> None:
    with pytest.raises(ValueError, match="one positive area"):
        rate([1, 2], areas)


def test_counts_must_fit() -> None:
    with pytest.raises(ValueError, match="negative"):
        rate([1, -1])
    with pytest.raises(ValueError, match="same fields"):
        ratio([1, 2], [1])


def test_times_changes_the_unit() -> None:
    assert Interval(2.0, 1.0, 4.0).times(3) == Interval(6.0, 3.0, 12.0)


def test_fields_of_equal_area_are_those_without_area_to_the_last_digit() -> None:
    counted = [9, 14, 3, 22, 10]
    plain, equal = rate(counted), rate(counted, [0.3] * 5)
    assert plain == Interval(11.6, 4.9324933867265175, 23.078801075553336)
    assert rate(counted, [1.0] * 5) == plain
    assert equal is not None
    assert [equal.times(0.3).low, equal.times(0.3).high] == pytest.approx([plain.low, plain.high], rel=1e-14)


def test_a_sliver_tells_hardly_more_than_nothing() -> None:
    """Eight slivers with as many cells as their area holds leave the interval of the two whole fields nearly as wide as it is."""
    two, more = rate([100, 300]), rate([100, 300, *[2] * 8], [1.0, 1.0, *[0.01] * 8])
    assert two is not None
    assert more is not None
    assert more.high - more.low > 0.8 * (two.high - two.low)


counts = st.lists(st.integers(0, 400), min_size=1, max_size=30)


@settings(deadline=None)
@given(counts, st.integers(0, 1000))
def test_interval_holds_its_value_whatever_the_order(k: list[int], seed: int) -> None:
    interval = rate(k)
    assert interval is not None
    assert 0 <= interval.low <= interval.value <= interval.high
    assert interval.low < interval.high
    shuffled = rate(np.random.default_rng(seed).permutation(k).tolist())
    assert shuffled is not None
    assert [shuffled.low, shuffled.high] == pytest.approx([interval.low, interval.high])


@settings(deadline=None)
@given(counts, st.data())
def test_ratio_interval_holds_its_value(k: list[int], data: st.DataObject) -> None:
    per = data.draw(st.lists(st.integers(0, 400), min_size=len(k), max_size=len(k)))
    areas = data.draw(st.none() | st.lists(st.sampled_from([1e-3, 0.1, 1.0, 1e3]), min_size=len(k), max_size=len(k)))
    interval = ratio(k, per, areas)
    if sum(per) == 0:
        assert interval is None
    else:
        assert interval is not None
        assert 0 <= interval.low <= interval.value <= interval.high < np.inf


@pytest.mark.parametrize("areas", [None, [1.0, 1e6]])
@pytest.mark.parametrize("k", [30, 109, 100_000])
def test_a_ratio_to_one_cell_that_lies_elsewhere_has_hardly_an_upper_limit(k: int, areas: list[float] | None) -> None:
    """As of platelets to red cells, where one field has all of the former and the other a single red cell."""
    interval = ratio([k, 0], [0, 1], areas)
    assert interval is not None
    assert 0 < interval.low < interval.value == k
    assert 1e12 < interval.high < np.inf
    of_all = share([k, 0], [0, 1])
    assert of_all is not None
    assert of_all.low < of_all.value < of_all.high == pytest.approx(1)


def test_fields_of_very_different_sizes_have_an_interval_without_a_warning_of_numpy() -> None:
    interval = ratio([109, 109], [3, 0], [0.01, 10.0])
    assert interval is not None
    assert interval.low < interval.value < interval.high < np.inf


@settings(deadline=None)
@given(counts, st.floats(0.01, 100))
def test_rate_is_per_unit_of_area(k: list[int], scale: float) -> None:
    one, other = rate(k, [1.0] * len(k)), rate(k, [scale] * len(k))
    assert one is not None
    assert other is not None
    assert other.high * scale == pytest.approx(one.high)


def clustered(rng: np.random.Generator, mean: float, cv2: float, shape: tuple[int, int]) -> np.ndarray:
    """Negative binomial counts whose rate varies by a squared coefficient of variation `cv2`; Poisson at 0."""
    return rng.poisson(rng.gamma(1 / cv2, mean * cv2, shape) if cv2 else np.full(shape, mean))


@pytest.mark.slow
@pytest.mark.parametrize("cv2", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("fields", [2, 3, 5, 12, 40])
def test_coverage(fields: int, cv2: float) -> None:
    """At its nominal rate: 0.93 and more in every cell of the grid, less three standard errors of the simulation."""
    rng, samples, means = np.random.default_rng(7), 1000, (0.2, 1.0, 4.0, 20.0, 100.0)
    covered = []
    for mean in means:
        intervals = [rate(k) for k in clustered(rng, mean, cv2, (samples, fields)).tolist()]
        covered.append(np.mean([e is not None and e.low <= mean <= e.high for e in intervals]))
    assert min(covered) >= 0.93 - 3 * np.sqrt(0.93 * 0.07 / samples)
    assert np.mean(covered) >= 0.94


@pytest.mark.slow
@pytest.mark.parametrize("cv2", [0.0, 0.25])
@pytest.mark.parametrize("fields", [3, 8, 20])
def test_coverage_with_fields_of_unlike_area(fields: int, cv2: float) -> None:
    rng, samples = np.random.default_rng(13), 1000
    areas = [1.0, 2.5, 4.0] * fields
    for per_area in (0.5, 8.0):
        rates = rng.gamma(1 / cv2, per_area * cv2, (samples, fields)) if cv2 else np.full((samples, fields), per_area)
        k = rng.poisson(rates * areas[:fields])
        intervals = [e for e in (rate(row, areas[:fields]) for row in k.tolist()) if e]
        assert np.mean([e.low <= per_area <= e.high for e in intervals]) >= 0.93 - 3 * np.sqrt(0.93 * 0.07 / samples)


@pytest.mark.parametrize("case", SLIVERS, ids=str)
def test_coverage_with_slivers_beside_whole_fields(case: Case) -> None:
    """Four whole fields and eight slivers, CV 0.5: 0.94, less three standard errors of the simulation."""
    assert simulate(case, 500).coverage >= 0.94 - 3 * np.sqrt(0.94 * 0.06 / 500)


def test_one_field_bounds_nothing_but_itself() -> None:
    """Its interval holds the density of a smear that is even, and not that of one that varies: the pages say so."""
    even, *_, varied = (simulate(case, 400).coverage for case in SINGLE)
    assert even > 0.93
    assert varied < 0.6


@pytest.mark.slow
@pytest.mark.parametrize(("fields", "times"), [(2, 1.3), (5, 1.15), (12, 1.1), (40, 1.06)])
@pytest.mark.parametrize("cv2", [0.0, 0.1, 0.5])
@pytest.mark.parametrize("mean", [20.0, 100.0])
def test_width_is_near_that_of_t_where_counts_are_large(mean: float, cv2: float, fields: int, times: float) -> None:
    """Coverage is not bought with width: for large counts, Student's interval (cut at 0) is the yardstick."""
    k = clustered(np.random.default_rng(3), mean, cv2, (600, fields))
    half = special.stdtrit(fields - 1, 0.975) * k.std(axis=1, ddof=1) / np.sqrt(fields)
    students = np.mean(k.mean(axis=1) + half - np.maximum(k.mean(axis=1) - half, 0))
    ours = np.mean([e.high - e.low for e in map(rate, k.tolist()) if e])
    assert 0.9 <= ours / students <= times


@pytest.mark.parametrize(("fields", "times"), [(2, 2.2), (5, 1.5), (20, 1.2)])
def test_width_is_near_poissons_where_counts_are_small(fields: int, times: float) -> None:
    k = clustered(np.random.default_rng(5), 0.5, 0.0, (600, fields))
    exact = [rate([sum(row)]) for row in k.tolist()]
    ours = np.mean([e.high - e.low for e in map(rate, k.tolist()) if e])
    assert 1 <= ours / np.mean([(e.high - e.low) / fields for e in exact if e]) <= times


@pytest.mark.slow
@pytest.mark.parametrize(("ratio_cv2", "base_cv2"), [(0.0, 0.0), (0.0, 0.1), (0.25, 0.1)])
@pytest.mark.parametrize("fields", [2, 4, 12, 30])
def test_ratio_coverage(fields: int, ratio_cv2: float, base_cv2: float) -> None:
    rng, samples = np.random.default_rng(11), 500
    for true, base in ((0.05, 20.0), (0.002, 200.0), (0.3, 5.0)):
        per = clustered(rng, base, base_cv2, (samples, fields))
        k = clustered(rng, base * true, ratio_cv2, (samples, fields))
        intervals = [e for e in map(ratio, k.tolist(), per.tolist()) if e]
        assert np.mean([e.low <= true <= e.high for e in intervals]) >= 0.93 - 3 * np.sqrt(0.93 * 0.07 / samples)


def test_shares_are_clopper_and_pearsons_of_one_field() -> None:
    interval, expected = share([7], [3]), stats.binomtest(7, 10).proportion_ci()
    assert interval is not None
    assert (interval.value, interval.low, interval.high) == pytest.approx((0.7, expected.low, expected.high), abs=0.02)
    none, all_of_them = share([0], [10]), share([10], [0])
    assert none is not None
    assert all_of_them is not None
    assert (none.value, none.low) == (0, 0)
    assert (all_of_them.low, all_of_them.high) == (1 - none.high, 1)
    assert share([0], [0]) is None


def test_quantiles_are_those_of_their_distributions() -> None:
    assert intervals.normal_quantile(0.975) == pytest.approx(1.959963984540054)
    assert intervals.normal_quantile(np.array([0.5, 0.841344746068543])) == pytest.approx([0, 1])
    # With one degree of freedom Student's t is Cauchy's distribution.
    assert intervals.student_quantile(1, 0.9) == pytest.approx(math.tan(math.pi * 0.4))
    assert intervals.gamma_quantile(1, 0.3) == pytest.approx(-math.log(0.7))
    assert intervals.beta_quantile(2, 1, 0.25) == pytest.approx(0.5)
