"""Agreement of counts and differences of two counts: worked examples, undefined figures, and how pooled accuracy flatters."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from benchmarks.bootstrap_coverage import SCENARIOS, simulate
from detector.accuracy.counts import agreement, clear_of_border_zone, differences
from detector.counting.intervals import Interval

FIGURES = ("mae", "rmse", "bias", "pooled_accuracy", "exact", "within_one", "loa_low", "loa_high", "pearson_r", "concordance")

WRIGHT = [494, 395, 516, 434, 476, 557, 413, 442, 650, 433, 417, 656, 267, 478, 178, 423, 427]
MINI = [512, 430, 520, 428, 500, 600, 364, 380, 658, 445, 432, 626, 260, 477, 259, 350, 451]
"""Peak expiratory flow of 17 subjects by two meters, l/min, first readings (Bland and Altman, Lancet 1986; 327:307-310)."""


def value(figure: Interval | None) -> float:
    assert figure is not None
    return figure.value


def test_bland_and_altmans_example() -> None:
    """They give a mean difference of -2.1 l/min, a standard deviation of 38.8 and a correlation of 0.94."""
    result = agreement(WRIGHT, MINI)
    assert value(result.bias) == pytest.approx(-2.1, abs=0.05)
    assert (value(result.loa_high) - value(result.loa_low)) / (2 * 1.96) == pytest.approx(38.8, abs=0.05)
    assert value(result.pearson_r) == pytest.approx(0.94, abs=0.005)


def test_limits_of_agreement_are_about_as_sure_as_bland_and_altman_say() -> None:
    """For their 17 readings they give -114.3 to -45.1 and 40.9 to 110.1 l/min, by s √(3 / n) and Student's t."""
    result = agreement(WRIGHT, MINI)
    assert result.loa_low is not None
    assert result.loa_high is not None
    for limit, (low, high) in ((result.loa_low, (-114.3, -45.1)), (result.loa_high, (40.9, 110.1))):
        assert limit.low is not None
        assert limit.high is not None
        assert limit.high - limit.low == pytest.approx(high - low, rel=0.25)
        assert [limit.low, limit.high] == pytest.approx([low, high], abs=25)
    bias = result.bias
    assert bias is not None
    # They give -22.0 to 17.8.
    assert [bias.low, bias.high] == pytest.approx([-22.0, 17.8], abs=1)


def test_concordance_is_correlation_times_lins_bias_correction() -> None:
    """Lin (1989) factors his coefficient into r and C_b = 2 / (v + 1/v + u²), v a ratio of scales and u a shift of location."""
    x, y = np.array(WRIGHT), np.array(MINI)
    v, u = x.std() / y.std(), (x.mean() - y.mean()) / np.sqrt(x.std() * y.std())
    expected = np.corrcoef(x, y)[0, 1] * 2 / (v + 1 / v + u**2)
    assert value(agreement(WRIGHT, MINI).concordance) == pytest.approx(expected, abs=1e-12)


def test_small_example_by_hand() -> None:
    result = agreement([3, 5, 0, 10], [3, 4, 2, 10])
    assert [value(getattr(result, name)) for name in ("mae", "bias", "exact", "within_one", "pooled_accuracy")] == pytest.approx(
        [0.75, -0.25, 0.5, 0.75, 1 - 1 / 19]
    )
    assert value(result.rmse) == pytest.approx(np.sqrt(5 / 4))
    assert (result.fields, result.counted, result.truth) == (4, 18, 19)


def test_pooled_accuracy_flatters() -> None:
    """Wrong in every field by ten cells, and pooled accuracy is 1."""
    result = agreement([10, 30], [20, 20])
    assert value(result.pooled_accuracy) == 1
    assert value(result.mae) == 10
    assert value(result.exact) == 0


def test_pooled_accuracy_may_be_negative() -> None:
    assert value(agreement([30, 10], [5, 5]).pooled_accuracy) == -2


def test_no_truth_leaves_pooled_accuracy_undefined() -> None:
    result = agreement([0, 0, 1], [0, 0, 0])
    assert result.pooled_accuracy is None
    assert result.pearson_r is None
    assert result.concordance is None
    assert value(result.mae) == pytest.approx(1 / 3)


def test_no_variance_leaves_correlations_undefined() -> None:
    result = agreement([1, 1, 1], [1, 1, 1])
    assert (result.pearson_r, result.concordance) == (None, None)
    assert value(result.exact) == 1
    assert agreement([1, 2, 3], [2, 2, 2]).concordance is None


def test_one_field_has_no_scatter_and_no_intervals() -> None:
    result = agreement([4], [5])
    assert result.mae == Interval(1.0)
    assert (result.loa_low, result.loa_high, result.pearson_r) == (None, None, None)


def test_no_field_is_undefined_throughout() -> None:
    result = agreement([], [])
    assert [getattr(result, name) for name in FIGURES] == [None] * len(FIGURES)


def test_unlike_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="same fields"):
        agreement([1, 2], [1])


counts = st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), min_size=2, max_size=40)


@settings(deadline=None, max_examples=60)
@given(counts)
def test_bounds_and_symmetry(pairs: list[tuple[int, int]]) -> None:
    p, t = [a for a, _ in pairs], [b for _, b in pairs]
    result, swapped = agreement(p, t), agreement(t, p)
    assert value(result.rmse) >= value(result.mae) - 1e-9 >= abs(value(result.bias)) - 2e-9
    assert value(result.exact) <= value(result.within_one) <= 1
    assert value(result.loa_low) <= value(result.bias) <= value(result.loa_high)
    assert value(swapped.bias) == -value(result.bias)
    assert (result.concordance is None) == (swapped.concordance is None)
    if result.concordance is not None:
        assert abs(value(result.concordance)) <= abs(value(result.pearson_r)) + 1e-9
        assert value(swapped.concordance) == pytest.approx(value(result.concordance))


@settings(deadline=None, max_examples=30)
@given(counts)
def test_every_interval_is_ordered(pairs: list[tuple[int, int]]) -> None:
    result = agreement([a for a, _ in pairs], [b for _, b in pairs])
    for name in FIGURES:
        figure = getattr(result, name)
        if figure is not None and figure.low is not None:
            assert figure.low <= figure.high


def test_perfect_counts_are_perfect() -> None:
    result = agreement([3, 1, 4, 1, 5], [3, 1, 4, 1, 5])
    assert result.mae is not None
    assert (result.mae.value, result.mae.low) == (0, 0)
    assert result.mae.high == pytest.approx(3.689 / 5, abs=1e-3)
    assert (result.rmse, result.pooled_accuracy) == (Interval(0), Interval(1))
    assert (result.loa_low, result.loa_high) == (Interval(0), Interval(0))
    assert value(result.concordance) == pytest.approx(1)


def test_a_few_fields_without_error_do_not_show_that_there_is_none() -> None:
    """Clopper and Pearson's lower limit for n of n is 0.025 ** (1 / n)."""
    exact = agreement([1] * 20, [1] * 20).exact
    assert exact is not None
    assert (exact.value, exact.high) == (1, 1)
    assert exact.low == pytest.approx(0.025 ** (1 / 20))
    in_smears = agreement([1, 1, 2] * 8, [1] * 24, ["a", "b", "c"] * 8).exact
    assert in_smears is not None
    assert in_smears.low is not None
    assert in_smears.low < 0.2


@pytest.mark.parametrize("factor", [1, 1e6])
def test_counts_that_are_no_whole_numbers(factor: float) -> None:
    """An analyser's counts, in 10¹² and in 10⁶ per litre: the figures are in their unit, and none is right to the cell."""
    counted, truth = [4.61 * factor, 5.02 * factor, 3.9 * factor], [4.6 * factor, 5.1 * factor, 3.85 * factor]
    result = agreement(counted, truth)
    assert (result.exact is None, result.within_one is None) == (factor == 1, factor == 1)
    assert value(result.bias) == pytest.approx(-0.02 / 3 * factor)
    assert result.counted == pytest.approx(13.53 * factor)
    expected = (
        2 * np.cov(counted, truth, ddof=0)[0, 1] / (np.var(counted) + np.var(truth) + np.mean(np.subtract(counted, truth)) ** 2)
    )
    assert value(result.concordance) == pytest.approx(expected)
    assert agreement([0.1] * 7, [0.1, 0.2] * 3 + [0.7]).pearson_r is None


def test_sums_of_whole_numbers_stay_whole() -> None:
    result = agreement([4610000, 3], [4600000, 4])
    assert (repr(result.counted), repr(result.truth)) == ("4610003", "4600004")
    assert repr(agreement([0.1, 0.2], [1, 2]).counted) == "0.3"


@pytest.mark.parametrize(
    ("box", "clear"),
    [
        ((20, 20, 60, 60), True),
        ((10.4, 20, 60, 60), False),
        ((10.6, 20, 60, 60), True),
        ((20, 5.2, 60, 60), False),
        ((20, 5.3, 60, 60), True),
        ((20, 20, 689.6, 60), False),
        ((20, 20, 689.4, 60), True),
        ((20, 20, 60, 344.8), False),
        ((20, 20, 60, 344.7), True),
    ],
)
def test_clear_of_border_is_a_share_of_each_side(box: tuple[float, ...], clear: bool) -> None:
    """Of a field of 700 x 350 px, 1.5 % are 10.5 and 5.25 px."""
    assert clear_of_border_zone(np.array([box], np.float32), (700, 350)).tolist() == [clear]


def test_clear_of_border_without_boxes() -> None:
    assert clear_of_border_zone(np.zeros((0, 4), np.float32), (10, 10)).shape == (0,)


@pytest.mark.parametrize("seed", range(3))
def test_correlations_equal_those_of_independent_code(seed: int) -> None:
    """Pearson's by scipy; Lin's by his definition, 1 - E(x - y)² / the same if the two were independent."""
    rng = np.random.default_rng(seed)
    x, y = rng.poisson(15, 40), rng.poisson(15, 40)
    y = (x + y) // 2
    result = agreement(x.tolist(), y.tolist())
    assert value(result.pearson_r) == pytest.approx(stats.pearsonr(x, y).statistic, abs=1e-12)
    apart = np.subtract.outer(x, y) ** 2
    assert value(result.concordance) == pytest.approx(1 - np.mean((x - y) ** 2) / apart.mean(), abs=1e-12)


DIFFERENCES = ("mae", "rmse", "bias", "bias_size", "exact", "within_one", "concordance")


def test_differences_are_those_of_the_figures() -> None:
    a, b, truth = [3, 5, 0, 10], [4, 9, 2, 10], [3, 4, 2, 11]
    result = differences(a, b, truth)
    one, other = agreement(a, truth), agreement(b, truth)
    for name in set(DIFFERENCES) - {"bias_size"}:
        assert getattr(result, name).value == pytest.approx(getattr(one, name).value - getattr(other, name).value), name
    assert (result.bias_size.value, result.bias.value) == (0.5 - 1.25, -0.5 - 1.25)
    assert (result.fields, result.a_nearer, result.b_nearer) == (4, 2, 1)


def test_equal_counts_differ_by_nothing_and_prove_nothing() -> None:
    result = differences([3, 5, 0], [3, 5, 0], [3, 4, 2])
    assert [getattr(result, name) for name in DIFFERENCES] == [Interval(0.0)] * len(DIFFERENCES)
    assert result.a_nearer == result.b_nearer == 0


def test_fields_that_are_hard_for_both_do_not_hide_the_difference() -> None:
    """b is wrong by one cell more than a in nearly every field, and both are far off in some."""
    rng = np.random.default_rng(0)
    truth = rng.poisson(20, 30)
    a = truth + rng.choice([0, 0, 0, 12], 30)
    b = a + (rng.random(30) < 0.8)
    mae = differences(a.tolist(), b.tolist(), truth.tolist()).mae
    assert mae is not None
    assert mae.high is not None
    assert mae.high < 0
    one, other = agreement(a.tolist(), truth.tolist()).mae, agreement(b.tolist(), truth.tolist()).mae
    assert one is not None
    assert other is not None
    assert one.high is not None
    assert other.low is not None
    assert one.high > other.low


def test_smears_are_drawn_whole() -> None:
    groups = [name for name in "abcd" for _ in range(10)]
    a, b = [10 + "abcd".index(name) for name in groups], [10] * 40
    by_field, by_smear = differences(a, b, [10] * 40), differences(a, b, [10] * 40, groups)
    assert by_smear.mae.high - by_smear.mae.low > 2 * (by_field.mae.high - by_field.mae.low)


def test_differences_of_shares_stay_within_what_they_can_be() -> None:
    rng = np.random.default_rng(1)
    truth = rng.poisson(10, 6)
    off = truth + np.array([2, 2, 2, 2, 2, 0])
    for a, b, sign in ((truth, off, 1), (off, truth, -1)):
        result = differences(a.tolist(), b.tolist(), truth.tolist())
        for share in (result.exact, result.within_one):
            assert share is not None
            assert share.value == pytest.approx(sign * 5 / 6)
            assert (share.low, share.high)[sign > 0] == sign


def test_undefined_differences() -> None:
    result = differences([4], [5], [5])
    assert (result.mae, result.concordance) == (Interval(1.0), None)
    assert [getattr(differences([], [], []), name) for name in DIFFERENCES] == [None] * len(DIFFERENCES)
    assert differences([1.5, 2], [1, 2], [1, 2]).exact is None
    with pytest.raises(ValueError, match="got 2, 1 and 2"):
        differences([1, 2], [1], [1, 2])


@pytest.mark.slow
@pytest.mark.parametrize("index", [2, 7])
def test_intervals_hold_the_true_figures(index: int) -> None:
    """With 20 fields and with 3 smears; the quantiles of the samples would hold the bias of 3 smears in 0.72."""
    agreement_held, difference_held = simulate(SCENARIOS[index], 120, seed=3)
    for name in ("mae", "rmse", "bias", "exact", "within_one", "loa_low", "loa_high", "concordance"):
        assert agreement_held[name].held >= 0.88, name
        assert agreement_held[name].given > 0.95, name
    for name in ("mae", "bias", "exact", "concordance"):
        assert difference_held[name].held >= 0.88, name


@pytest.mark.slow
def test_the_interval_of_rare_errors_is_that_of_a_count() -> None:
    """Eight wrong fields in 199: a bootstrap holds the true MAE in 0.89 of studies."""
    rng, held = np.random.default_rng(5), []
    for _ in range(120):
        error = (rng.random(199) < 0.04).astype(int)
        mae = agreement((1 + error).tolist(), [1] * 199).mae
        assert mae is not None
        held.append(mae.low <= 0.04 <= mae.high)
    assert np.mean(held) >= 0.93 - 3 * np.sqrt(0.93 * 0.07 / 120)
    one_field = agreement([3], [3]).mae
    assert one_field == Interval(0)
    by_smear = agreement([1, 2, 1, 1], [1, 1, 1, 1], ["a", "a", "b", "b"]).mae
    assert by_smear is not None
    assert by_smear.value == 0.25
    assert by_smear.low < 0.25 < by_smear.high
