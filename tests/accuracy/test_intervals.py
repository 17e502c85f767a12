"""Resampling of fields."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from detector.accuracy.counts import agreement
from detector.accuracy.intervals import SHARE, bootstrap, by_chance, groups_by_smear, resamples, units
from detector.counting.intervals import Interval


def test_samples_draw_as_many_fields_as_there_are() -> None:
    weights = resamples(7, samples=500)
    assert weights.shape == (500, 7)
    assert (weights.sum(axis=1) == 7).all()
    assert weights.mean() == pytest.approx(1)
    assert (weights == resamples(7, samples=500)).all()
    assert (weights != resamples(7, samples=500, seed=1)).any()


@pytest.mark.parametrize("fields", [0, 1])
def test_fewer_than_two_fields_give_no_samples(fields: int) -> None:
    assert resamples(fields).shape == (0, fields)


def test_whole_smears_are_drawn() -> None:
    weights = resamples(5, samples=400, groups=["a", "b", "a", "c", "b"])
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights[:, 1] == weights[:, 4]).all()
    assert (weights[:, 0] + weights[:, 1] + weights[:, 3] == 3).all()
    assert weights.mean() == pytest.approx(1, abs=0.1)


def test_one_smear_and_smears_of_one_field_are_as_fields() -> None:
    assert (resamples(6, samples=50, groups=["s"] * 6) == resamples(6, samples=50)).all()
    assert (resamples(12, samples=50, groups=[f"{i:02}" for i in range(12)]) == resamples(12, samples=50)).all()
    assert [units(6, ["s"] * 6), units(6, ["s", "t"] * 3), units(6), units(0)] == [6, 2, 6, 0]
    with pytest.raises(ValueError, match="2 for 3 fields"):
        resamples(3, groups=["a", "b"])


def test_a_field_of_no_known_smear_is_drawn_by_itself() -> None:
    groups = groups_by_smear(["a", "b", "c", "d"], ["s", None, "s", None])
    assert groups is not None
    assert units(4, groups) == 3
    weights = resamples(4, samples=50, groups=groups)
    assert (weights[:, 0] == weights[:, 2]).all()
    assert (weights[:, 1] != weights[:, 3]).any()
    assert groups_by_smear(["a", "b"], [None, None]) is None


def test_fields_of_few_smears_tell_less_than_as_many_smears() -> None:
    """The error is the smear's: forty fields of four smears hold four errors."""
    smears = [s for s in "abcd" for _ in range(10)]
    counted, truth = [10 + "abcd".index(s) for s in smears], [10] * 40
    by_field, smearwise = agreement(counted, truth).bias, agreement(counted, truth, smears).bias
    assert by_field is not None
    assert smearwise is not None
    assert None not in (by_field.low, by_field.high, smearwise.low, smearwise.high)
    assert smearwise.high - smearwise.low > 2 * (by_field.high - by_field.low)


def test_the_interval_of_a_mean_is_students() -> None:
    """Student, Biometrika 1908; 6:1-25: mean ± t s / √n."""
    errors = np.array([0, 1, -1, 2, 0, 3, 1, 0, -2, 4])
    low, high = stats.t.interval(0.95, 9, errors.mean(), errors.std(ddof=1) / np.sqrt(10))
    interval = bootstrap(errors.mean(), resamples(10, samples=40_000) @ errors / 10, 10)
    assert interval is not None
    assert [interval.value, interval.low, interval.high] == pytest.approx([errors.mean(), low, high], abs=0.02)


def test_limits_keep_within_bounds() -> None:
    spread = np.random.default_rng(0).normal(0.95, 0.1, 1000)
    interval = bootstrap(0.95, spread, 5, SHARE)
    assert interval is not None
    assert interval.high == 1
    assert interval.low is not None
    assert 0 < interval.low < 0.7


def test_undefined_figures() -> None:
    drawn = np.random.default_rng(0).normal(1, 0.1, 100)
    assert bootstrap(float("nan"), drawn, 10) is None
    assert bootstrap(1.0, np.zeros(0), 1) == Interval(1.0)
    drawn[:4] = np.nan
    assert bootstrap(1.0, drawn, 10) != Interval(1.0)
    drawn[:6] = np.nan
    assert bootstrap(1.0, drawn, 10) == Interval(1.0)


def test_samples_that_are_all_alike_tell_no_interval() -> None:
    assert bootstrap(0.1, np.full(100, 0.1), 10) == Interval(0.1)


@pytest.mark.slow
def test_coverage() -> None:
    """The interval of a bias of 0.3 cells over 60 fields holds it in about 95 % of datasets."""
    rng, held = np.random.default_rng(2), 0
    for _ in range(300):
        truth = rng.poisson(12, 60)
        counted = truth + rng.choice([-1, 0, 1, 2], 60, p=[0.2, 0.5, 0.1, 0.2])
        bias = agreement(counted.tolist(), truth.tolist()).bias
        assert bias is not None
        assert bias.low is not None
        assert bias.high is not None
        held += bias.low <= 0.3 <= bias.high
    assert 0.90 <= held / 300 <= 0.98


def test_chance_is_that_of_all_signs() -> None:
    # Darwin's maize, the worked example of Fisher's book: of 2^15 sums of signed differences, 863 are as high, or as low, as theirs.
    maize = np.array([49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48], np.float64)
    assert by_chance(maize) == pytest.approx(863 / 2**15, abs=0.008)
    differences = np.array([3.0, 1.0, 2.0, -1.0, 4.0, 0.0])
    by_others = stats.permutation_test(
        (differences,), np.sum, permutation_type="samples", alternative="greater", n_resamples=np.inf, vectorized=False
    )
    assert by_chance(differences) == pytest.approx(by_others.pvalue)


def test_five_fields_that_are_all_better_are_hardly_chance() -> None:
    assert by_chance(np.full(5, 0.1)) == pytest.approx(1 / 32)
    assert by_chance(np.full(5, -0.1)) == 1
    assert by_chance(np.zeros(5)) == 1


def test_fields_of_a_smear_have_one_sign() -> None:
    assert by_chance(np.ones(6), ["a", "a", "a", "b", "b", "b"]) == pytest.approx(1 / 4)
