"""Lines between two methods, against published examples and against other ways to compute them."""

from __future__ import annotations

import numpy as np
import pytest

from detector.accuracy import methods
from detector.accuracy.methods import UnfitError, bends, compare_methods, deming, passing_bablok

# The 20 pairs, and what R's mcr 1.x gives for them (mcreg, method.reg "PaBa", method.ci "analytical"): from the tests of the Python
# package methcomp, which hold its own figures to R's. mcr takes its limits between two slopes, the paper takes one.
OF_MCR_X = np.arange(1.0, 21.0)
OF_MCR_Y = np.array(
    [
        1.03,
        2.05,
        2.79,
        3.67,
        5.00,
        5.82,
        7.16,
        7.69,
        8.53,
        10.38,
        11.11,
        12.17,
        13.47,
        13.83,
        15.15,
        16.12,
        16.94,
        18.09,
        19.13,
        19.54,
    ]
)
# K. Pearson, Philosophical Magazine 1901; 2:559-572: ten points, and the line with the least squares of perpendicular distances.
PEARSON_X = np.array([0.0, 0.9, 1.8, 2.6, 3.3, 4.4, 5.2, 6.1, 6.5, 7.4])
PEARSON_Y = np.array([5.9, 5.4, 4.4, 4.6, 3.5, 3.7, 2.8, 2.8, 2.4, 1.5])
RNG = np.random.default_rng(3)


def test_passing_bablok_is_that_of_mcr() -> None:
    line = passing_bablok(OF_MCR_X, OF_MCR_Y)
    assert line.slope.value == pytest.approx(1.0050, abs=1e-9)
    assert line.intercept.value == pytest.approx(0.0125, abs=1e-9)
    assert line.slope.limits == pytest.approx((0.9848077, 1.0265805), abs=2e-3)
    assert line.intercept.limits == pytest.approx((-0.2975146, 0.1393271), abs=2e-2)


def by_the_paper(x: list[float], y: list[float]) -> tuple[float, float, float, float]:
    """Slope, its limits, and intercept, step by step as Passing and Bablok write them: sorted slopes, shifted by those below -1."""
    slopes = []
    for i in range(len(x)):
        for j in range(i + 1, len(x)):
            dx, dy = x[j] - x[i], y[j] - y[i]
            if dx == dy == 0:
                continue
            slope = dy / dx if dx else np.copysign(np.inf, dy)
            if slope != -1:
                slopes.append(slope)
    slopes.sort()
    number, shift = len(slopes), sum(slope < -1 for slope in slopes)
    middle = (slopes[(number + 1) // 2 + shift - 1] + slopes[number // 2 + shift]) / 2
    n = len(x)
    c = 1.959963984540054 * (n * (n - 1) * (2 * n + 5) / 18) ** 0.5
    m1 = round((number - c) / 2)
    m2 = number - m1 + 1
    return (
        middle,
        slopes[m1 + shift - 1],
        slopes[m2 + shift - 1],
        float(np.median([b - middle * a for a, b in zip(x, y, strict=True)])),
    )


@pytest.mark.parametrize("seed", range(20))
def test_passing_bablok_is_that_of_the_paper_with_ties_and_falling_pairs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    x = rng.poisson(20, 30 + seed).astype(float)
    y = rng.binomial(40, 0.5, len(x)) * (seed % 2) + np.round(x * 1.1 + rng.normal(0, 3, len(x)))
    try:
        line = passing_bablok(x, y)
    except UnfitError:
        assert not 0 < by_the_paper(x.tolist(), y.tolist())[0] < np.inf
        return
    slope, low, high, intercept = by_the_paper(x.tolist(), y.tolist())
    assert (line.slope.value, line.slope.low, line.slope.high) == pytest.approx((slope, low, high))
    assert line.intercept.value == pytest.approx(intercept)


def test_deming_is_pearsons_line_of_closest_fit() -> None:
    line = deming(PEARSON_X, PEARSON_Y)
    assert (line.slope.value, line.intercept.value) == pytest.approx((-0.5456, 5.784), abs=5e-4)


@pytest.mark.parametrize("error_ratio", [1.0, 0.25, 3.0])
def test_deming_is_the_first_principal_axis_of_values_in_units_of_their_errors(error_ratio: float) -> None:
    x = RNG.uniform(0, 100, 30)
    y = 3 + 0.9 * x + RNG.normal(0, 4, 30)
    x = x + RNG.normal(0, 4, 30)
    scaled = np.column_stack([x / np.sqrt(error_ratio), y])
    axis = np.linalg.svd(scaled - scaled.mean(axis=0))[2][0]
    slope = axis[1] / axis[0] / np.sqrt(error_ratio)
    line = deming(x, y, error_ratio=error_ratio)
    assert (line.slope.value, line.intercept.value) == pytest.approx((slope, y.mean() - slope * x.mean()))


def test_limits_of_deming_are_those_of_the_jackknife_by_hand() -> None:
    x, y = OF_MCR_X, OF_MCR_Y
    whole = deming(x, y).slope.value
    pseudo = [20 * whole - 19 * deming(np.delete(x, i), np.delete(y, i)).slope.value for i in range(20)]
    half = 2.100922 * np.std(pseudo, ddof=1) / np.sqrt(20)  # Student's t with 18 degrees of freedom, from tables
    assert deming(x, y).slope.limits == pytest.approx((whole - half, whole + half), rel=1e-6)


def test_the_bias_at_a_level_is_what_the_line_gives_there() -> None:
    result = compare_methods(OF_MCR_X, OF_MCR_Y, [5.0, 15.0])
    for line in (result.passing_bablok, result.deming):
        for level, bias in line.bias.items():
            assert bias.value == pytest.approx(line.intercept.value + (line.slope.value - 1) * level)
            assert bias.limits is not None
            assert bias.limits[0] <= bias.value <= bias.limits[1]


@pytest.mark.slow
def test_intervals_of_the_bias_hold_the_true_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(methods, "SAMPLES", 200)
    held, studies, level = dict.fromkeys(("passing_bablok", "deming"), 0), 60, 100.0
    for _ in range(studies):
        true = RNG.uniform(20, 300, 40)
        x, y = true + RNG.normal(0, 8, 40), 5 + 1.1 * true + RNG.normal(0, 8, 40)
        result = compare_methods(x, y, [level])
        for name in held:
            limits = getattr(result, name).bias[level].limits
            held[name] += limits[0] <= 15 <= limits[1]
    assert all(number >= 0.85 * studies for number in held.values()), held


def test_a_bend_is_seen_and_a_straight_line_is_none() -> None:
    x = np.linspace(1, 100, 60)
    straight = x + RNG.normal(0, 3, 60)
    bent = x + 0.01 * (x - 50) ** 2 + RNG.normal(0, 3, 60)
    for y, expected in ((straight, False), (bent, True)):
        line = passing_bablok(x, y)
        assert bends(x, y, line.slope.value, line.intercept.value) is expected
    remarks = compare_methods(x, bent, [500.0]).remarks
    assert "the points bend away" in remarks[0]
    assert "outside the values measured (1 to 100): 500" in remarks[-1]


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (range(9), range(9), "9 samples have a value by both methods; at least 10 are needed, and EP09 asks for 40"),
        ([5] * 12, range(12), "all values of the comparative method are 5"),
        (range(12), [0] * 12, "all values of the test method are 0"),
        (range(12), range(12, 0, -1), "do not rise together"),
    ],
)
def test_what_has_no_line_is_refused(x: list[float], y: list[float], message: str) -> None:
    with pytest.raises(UnfitError, match=message):
        compare_methods(list(x), list(y))
