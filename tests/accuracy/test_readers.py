"""Two readers' differentials: the limits of chance, and differences beyond them."""

from __future__ import annotations

import numpy as np
import pytest

from detector.accuracy.readers import compare_readers

RNG = np.random.default_rng(5)
SHARES = {"neutrophils": 0.6, "lymphocytes": 0.3, "monocytes": 0.08, "eosinophils": 0.02}


def drawn(shares: dict[str, float], cells: int = 200) -> dict[str, int]:
    return dict(zip(shares, RNG.multinomial(cells, list(shares.values())).tolist(), strict=True))


# Rümke's table as H20 and textbooks print it, in whole per cent: cells of 100, and lower and upper limit.
@pytest.mark.parametrize(
    ("cells", "of", "low", "high"),
    [(0, 100, 0, 4), (1, 100, 0, 6), (5, 100, 1, 12), (10, 100, 4, 18), (50, 100, 39, 61), (100, 100, 96, 100), (0, 200, 0, 2)],
)
def test_limits_of_chance_are_those_of_ruemkes_table(cells: int, of: int, low: int, high: int) -> None:
    pair = ({"a": cells, "b": of - cells}, {"a": cells, "b": of - cells})
    limits = compare_readers({"s": pair})["a"].readings[0].limits[0].limits
    assert limits is not None
    # The table is rounded outwards, but for limits within a half of the next whole number.
    assert (100 * limits[0], 100 * limits[1]) == pytest.approx((low, high), abs=1.0)
    assert 100 * limits[0] >= low
    assert 100 * limits[1] <= high


def test_readers_who_agree_differ_as_chance_says() -> None:
    agreements = compare_readers({f"{i}": (drawn(SHARES), drawn(SHARES)) for i in range(100)})
    assert list(agreements) == list(SHARES)
    for name, agreement in agreements.items():
        assert agreement.sd == pytest.approx(agreement.sd_of_chance, rel=0.25), name
        assert len(agreement.outside) <= 0.09 * 100
        assert not agreement.too_many_outside
        assert agreement.mean == pytest.approx((SHARES[name], SHARES[name]), abs=0.02)


def test_a_reader_who_takes_monocytes_for_lymphocytes_is_seen() -> None:
    other = SHARES | {"lymphocytes": 0.37, "monocytes": 0.01}
    agreements = compare_readers({f"{i}": (drawn(SHARES, 400), drawn(other, 400)) for i in range(20)})
    assert agreements["monocytes"].too_many_outside
    assert agreements["monocytes"].bias.limits is not None
    assert agreements["monocytes"].bias.value == pytest.approx(-0.07, abs=0.02)
    assert agreements["monocytes"].bias.limits[1] < 0
    assert not agreements["eosinophils"].too_many_outside


def test_one_sample_has_a_bias_without_limits_and_classes_of_one_reader_count_as_none_of_the_other() -> None:
    agreements = compare_readers({"s": ({"a": 90, "b": 10}, {"a": 100})})
    assert agreements["b"].bias.value == pytest.approx(-0.1)
    assert (agreements["b"].bias.limits, agreements["b"].sd) == (None, None)
    assert agreements["b"].outside == ["s"]


def test_variance_of_chance_is_that_of_two_binomial_shares() -> None:
    agreements = compare_readers({"s": ({"a": 100, "b": 100}, {"a": 200, "b": 200})})
    assert agreements["a"].sd_of_chance == pytest.approx((0.25 / 200 + 0.25 / 400) ** 0.5)
