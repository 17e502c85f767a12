"""Figures of others, and what chance does."""

from __future__ import annotations

import numpy as np
import pytest

from detector.accuracy.agreement import agreement
from detector.accuracy.yardsticks import YARDSTICKS, counting_error, of_counting
from detector.vision.cells import CLASSES


def test_each_says_where_it_comes_from() -> None:
    for one in YARDSTICKS:
        assert one.class_name in CLASSES
        assert 0 < one.value < 1
        assert all((one.what, one.data, one.remark))
        assert any(year in one.source for year in ("2019", "2022"))


def test_counting_error_is_that_of_poissons_law() -> None:
    drawn = np.random.default_rng(0).poisson(100, 20_000)
    assert counting_error(100) == pytest.approx(drawn.std() / 100, rel=0.02)
    assert counting_error(0) is None


def test_counting_error_of_an_evaluation() -> None:
    rows = of_counting({"RBC": agreement([3, 4], [40, 60]), "WBC": agreement([1, 1], [0, 0])})
    assert [(row.class_name, row.value) for row in rows] == [("RBC", 0.1)]
    assert rows[0].data.startswith("100 cells")
