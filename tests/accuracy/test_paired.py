"""Two counts of the same fields."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.bootstrap_coverage import SCENARIOS, simulate
from detector.accuracy.agreement import agreement
from detector.accuracy.paired import differences
from detector.counting.intervals import Interval

FIGURES = ("mae", "rmse", "bias", "bias_size", "exact", "within_one", "concordance")


def test_differences_are_those_of_the_figures() -> None:
    a, b, truth = [3, 5, 0, 10], [4, 9, 2, 10], [3, 4, 2, 11]
    found = differences(a, b, truth)
    one, other = agreement(a, truth), agreement(b, truth)
    for name in set(FIGURES) - {"bias_size"}:
        assert getattr(found, name).value == pytest.approx(getattr(one, name).value - getattr(other, name).value), name
    assert (found.bias_size.value, found.bias.value) == (0.5 - 1.25, -0.5 - 1.25)
    assert (found.fields, found.a_nearer, found.b_nearer) == (4, 2, 1)


def test_equal_counts_differ_by_nothing_and_prove_nothing() -> None:
    found = differences([3, 5, 0], [3, 5, 0], [3, 4, 2])
    assert [getattr(found, name) for name in FIGURES] == [Interval(0.0)] * len(FIGURES)
    assert found.a_nearer == found.b_nearer == 0


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
        found = differences(a.tolist(), b.tolist(), truth.tolist())
        for share in (found.exact, found.within_one):
            assert share is not None
            assert share.value == pytest.approx(sign * 5 / 6)
            assert (share.low, share.high)[sign > 0] == sign


def test_undefined_differences() -> None:
    found = differences([4], [5], [5])
    assert (found.mae, found.concordance) == (Interval(1.0), None)
    assert [getattr(differences([], [], []), name) for name in FIGURES] == [None] * len(FIGURES)
    assert differences([1.5, 2], [1, 2], [1, 2]).exact is None
    with pytest.raises(ValueError, match="got 2, 1 and 2"):
        differences([1, 2], [1], [1, 2])


@pytest.mark.parametrize("index", [2, 7])
def test_intervals_hold_the_true_figures(index: int) -> None:
    """With 20 fields and with 3 smears; the quantiles of the samples would hold the bias of 3 smears in 0.72."""
    agreement_held, difference_held = simulate(SCENARIOS[index], 120, seed=3)
    for name in ("mae", "rmse", "bias", "exact", "within_one", "loa_low", "loa_high", "concordance"):
        assert agreement_held[name].held >= 0.88, name
        assert agreement_held[name].given > 0.95, name
    for name in ("mae", "bias", "exact", "concordance"):
        assert difference_held[name].held >= 0.88, name
