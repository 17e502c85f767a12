"""Resampling of fields."""

from __future__ import annotations

import numpy as np
import pytest

from detector.accuracy.agreement import agreement
from detector.accuracy.bootstrap import Figure, figure, resamples


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


def test_figure_has_the_quantiles_of_its_samples() -> None:
    found = figure(0.5, np.linspace(0, 1, 1001))
    assert found is not None
    assert [found.value, found.low, found.high] == pytest.approx([0.5, 0.025, 0.975])


def test_undefined_figures() -> None:
    assert figure(float("nan"), np.ones(10)) is None
    assert figure(1.0, np.zeros(0)) == Figure(1.0)
    mostly = np.ones(100)
    mostly[:4] = np.nan
    assert figure(1.0, mostly) == Figure(1.0, 1.0, 1.0)
    mostly[:6] = np.nan
    assert figure(1.0, mostly) == Figure(1.0)


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
