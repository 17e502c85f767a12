"""Components of variance, against certified values and against other ways to compute them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from detector.accuracy.components import NoRepeatsError, components, pooled_cv

# NIST Statistical Reference Datasets, SiRstv: resistivity by five instruments on five days; certified mean squares between and within.
SIRSTV = np.array(
    [
        [196.3052, 196.1240, 196.1890, 196.2569, 196.3403],
        [196.3042, 196.3825, 196.1669, 196.3257, 196.0422],
        [196.1303, 196.2005, 196.2889, 196.0343, 196.1811],
        [196.2795, 196.1748, 196.1494, 196.1485, 195.9885],
        [196.2119, 196.1051, 196.1850, 196.0052, 196.2090],
    ]
)
BETWEEN, WITHIN = 1.27865654e-02, 1.08318280e-02
RNG = np.random.default_rng(11)


def test_layout_of_ep15_gives_the_certified_analysis_of_nist() -> None:
    days = np.repeat(list("abcde"), 5).tolist()
    estimate = components(SIRSTV.ravel().tolist(), {"day": days})
    assert estimate.variances["repeatability"] == pytest.approx(WITHIN, rel=1e-7)
    assert estimate.variances["day"] == pytest.approx((BETWEEN - WITHIN) / 5, rel=1e-6)
    assert estimate.repeatability is not None
    assert estimate.repeatability.degrees == 20
    assert estimate.groups == {"day": 5}
    total = (BETWEEN - WITHIN) / 5 + WITHIN
    parts = (BETWEEN / 5, 0.8 * WITHIN)
    assert estimate.within_laboratory.sd.value == pytest.approx(total**0.5, rel=1e-7)
    assert estimate.within_laboratory.degrees == pytest.approx(total**2 / (parts[0] ** 2 / 4 + parts[1] ** 2 / 20), rel=1e-6)
    # Chi-squared with 20 degrees of freedom, from tables: 9.591 and 34.170.
    assert estimate.repeatability.sd.limits == pytest.approx(
        ((20 * WITHIN / 34.170) ** 0.5, (20 * WITHIN / 9.591) ** 0.5), rel=1e-4
    )


def ep05(sd: tuple[float, float, float], days: int = 20) -> tuple[np.ndarray, dict[str, list[str]]]:
    """Readings of an EP05 study, of shape (days, 2, 2), and their groups."""
    y = 100 + RNG.normal(0, sd[0], (days, 1, 1)) + RNG.normal(0, sd[1], (days, 2, 1)) + RNG.normal(0, sd[2], (days, 2, 2))
    return y, {"day": [f"{d}" for d in range(days) for _ in range(4)], "run": ["am", "am", "pm", "pm"] * days}


def test_layout_of_ep05_gives_the_formulas_of_its_balanced_case() -> None:
    y, groups = ep05((3, 2, 4))
    estimate = components(y.ravel().tolist(), groups)
    runs, days = y.mean(axis=2), y.mean(axis=(1, 2))
    error = y.var(axis=2, ddof=1).mean()
    of_runs = runs.var(axis=1, ddof=1).mean() - error / 2
    of_days = days.var(ddof=1) - runs.var(axis=1, ddof=1).mean() / 2
    assert list(estimate.variances) == ["day", "run", "repeatability"]
    assert list(estimate.variances.values()) == pytest.approx([max(of_days, 0), max(of_runs, 0), error])
    assert (estimate.groups, estimate.readings) == ({"day": 20, "run": 40}, 80)


def test_a_negative_component_is_none_and_not_in_the_sum() -> None:
    y = [1.0, 3.0, 1.0, 3.0, 1.0, 3.0]
    estimate = components(y, {"day": ["1", "1", "2", "2", "3", "3"]})
    assert estimate.variances == {"day": 0.0, "repeatability": 2.0}
    assert estimate.within_laboratory.sd.value == estimate.repeatability.sd.value
    assert estimate.within_laboratory.degrees == estimate.repeatability.degrees


def test_uneven_days_give_the_true_components_on_average() -> None:
    sizes, sums = (2, 7, 3, 4, 9, 2, 5), np.zeros(2)
    days = np.repeat(np.arange(len(sizes)), sizes)
    for _ in range(400):
        y = 50 + RNG.normal(0, 3, len(sizes))[days] + RNG.normal(0, 2, len(days))
        between, within = np.array(list(components(y.tolist(), {"day": days.astype(str).tolist()}).variances.values()))
        sums += between, within
    # Components that are set to 0 where they were negative are somewhat too large on average.
    assert sums / 400 == pytest.approx([9, 4], rel=0.12)


def test_intervals_hold_the_true_standard_deviation() -> None:
    held = 0
    for _ in range(200):
        y, groups = ep05((2, 2, 3), 10)
        limits = components(y.ravel().tolist(), groups).within_laboratory.sd.limits
        assert limits is not None
        held += limits[0] <= 17**0.5 <= limits[1]
    assert held >= 0.9 * 200


def test_without_groups_it_is_the_plain_standard_deviation() -> None:
    estimate = components([4.0, 6.0, 8.0])
    assert (estimate.mean, estimate.repeatability.sd.value, estimate.groups) == (6.0, 2.0, {})
    assert estimate.repeatability.cv is not None
    assert estimate.repeatability.cv.value == pytest.approx(1 / 3)
    low, high = (2 * (2 / stats.chi2(2).ppf(q)) ** 0.5 for q in (0.975, 0.025))
    assert estimate.repeatability.sd.limits == pytest.approx((low, high))


def test_one_run_a_day_is_not_told_from_the_day() -> None:
    estimate = components([1.0, 2.0, 3.0, 5.0], {"day": ["1", "1", "2", "2"], "run": ["a", "a", "a", "a"]})
    assert list(estimate.variances) == ["day", "repeatability"]


def test_one_reading_has_no_precision() -> None:
    with pytest.raises(NoRepeatsError, match="was counted once"):
        components([1.0], {"day": ["1"]})


def test_one_reading_a_day_tells_the_scatter_in_the_laboratory_alone() -> None:
    estimate = components([4.0, 6.0, 8.0], {"day": ["1", "2", "3"]})
    assert (estimate.groups, estimate.variances, estimate.repeatability) == ({"day": 3}, {"day": 4.0}, None)
    assert estimate.within_laboratory == components([4.0, 6.0, 8.0]).within_laboratory
    assert pooled_cv([estimate]) is None
    nested = components([1.0, 2.0, 3.0, 5.0], {"day": ["1", "1", "2", "2"], "run": ["a", "b", "a", "b"]})
    assert (list(nested.variances), nested.repeatability) == (["day", "run"], None)
    assert nested.groups == {"day": 2, "run": 4}


def test_readings_that_are_all_alike_have_no_limits() -> None:
    estimate = components([0.0] * 4, {"day": ["1", "1", "2", "2"]})
    assert (estimate.repeatability.sd.limits, estimate.repeatability.cv) == (None, None)
    assert pooled_cv([estimate]) is None


def test_the_pooled_cv_is_the_root_of_the_mean_square() -> None:
    both = [components([9.0, 11.0]), components([90.0, 130.0, 110.0])]
    cvs = [estimate.repeatability.cv.value for estimate in both if estimate.repeatability.cv]
    pooled = pooled_cv(both)
    assert pooled is not None
    assert pooled.value == pytest.approx(((cvs[0] ** 2 + 2 * cvs[1] ** 2) / 3) ** 0.5)
