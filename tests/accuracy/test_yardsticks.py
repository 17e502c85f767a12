"""Figures of others, and what chance does."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from detector.accuracy.counts import agreement
from detector.accuracy.yardsticks import YARDSTICKS, constant_baseline, counting_error, of_counting
from detector.vision.cells import CLASSES


def test_each_says_where_it_comes_from() -> None:
    for yardstick in YARDSTICKS:
        assert yardstick.class_name in CLASSES
        assert 0 < yardstick.value < 1
        assert all((yardstick.what, yardstick.data, yardstick.remark))
        assert any(year in yardstick.source for year in ("2019", "2022"))


def test_counting_error_is_that_of_poissons_law() -> None:
    drawn = np.random.default_rng(0).poisson(100, 20_000)
    assert counting_error(100) == pytest.approx(drawn.std() / 100, rel=0.02)
    assert counting_error(0) is None


def test_counting_error_of_an_evaluation() -> None:
    rows = of_counting({"RBC": agreement([3, 4], [40, 60]), "WBC": agreement([1, 1], [0, 0])})
    assert [(row.class_name, row.value) for row in rows] == [("RBC", 0.1)]
    assert rows[0].data.startswith("100 cells")


def test_the_constant_baseline_is_the_median_in_whole_cells() -> None:
    assert constant_baseline([[10, 1, 0], [12, 1, 3], [40, 0, 1]]) == (12, 1, 1)
    assert constant_baseline([[10, 1, 0], [13, 1, 0]]) == (12, 1, 0)
    with pytest.raises(ValueError, match="at least one field"):
        constant_baseline([])


DATA = Path(__file__).parents[2].parent / "shared" / "data" / "bccd"


@pytest.mark.skipif(not DATA.is_dir(), reason="needs the BCCD labels beside the repository")
def test_the_constant_baseline_on_the_official_bccd_test() -> None:
    """A constant of 12, 1, 1 is published for this test split: pooled 92.7 / 98.6 / 95.7 %, MAE 3.15 / 0.10 / 0.88."""
    names = (DATA / "ImageSets" / "Main" / "test.txt").read_text().split()
    texts = [(DATA / "Annotations" / f"{name}.xml").read_text() for name in names]
    figures = [agreement([constant] * len(texts), [text.count(f"<name>{c}</name>") for text in texts])
             for c, constant in (("RBC", 12), ("WBC", 1), ("Platelets", 1))]  # fmt: skip
    assert len(texts) == 72
    assert [round(100 * a.pooled_accuracy.value, 1) for a in figures] == [92.7, 98.6, 95.7]
    assert [round(a.mae.value, 2) for a in figures] == [3.15, 0.10, 0.88]
