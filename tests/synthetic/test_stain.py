"""Stains: the presets and their variation."""

from __future__ import annotations

import numpy as np
import pytest

from detector.errors import UsageError
from detector.synthetic import stain


def test_an_unknown_stain_is_told_the_known_ones() -> None:
    with pytest.raises(UsageError, match="unknown stain 'pap'; known: bccd, pbc, raabin"):
        stain.preset("pap")


@pytest.mark.parametrize("name", stain.PRESETS)
def test_another_slide_looks_like_the_first_but_not_the_same(name: str) -> None:
    look = stain.preset(name)
    for seed in range(10):
        other = look.varied(np.random.default_rng(seed))
        assert other == look.varied(np.random.default_rng(seed))
        assert other.glass != look.glass
        assert max(other.glass) <= 254
        for part in ("red", "nucleus", "cytoplasm", "plasma", "granule", "platelet"):
            np.testing.assert_allclose(getattr(other, part), getattr(look, part), rtol=0.45)


@pytest.mark.parametrize("name", stain.PRESETS)
def test_nuclei_are_darkest_and_red_cells_never_blue(name: str) -> None:
    look = stain.preset(name)
    assert sum(look.nucleus) > sum(look.platelet) > sum(look.cytoplasm)
    assert look.red[2] > look.nucleus[2] / 3
    assert look.nucleus[1] > look.nucleus[0] > look.nucleus[2]


def test_stains_at_random_differ_widely_and_keep_nuclei_darkest() -> None:
    looks = [stain.drawn(np.random.default_rng(seed)) for seed in range(60)]
    assert looks[0] == stain.drawn(np.random.default_rng(0))
    glass = np.array([look.glass for look in looks])
    assert glass.max() <= 255
    assert glass.min() > 60
    assert (glass.max(axis=0) - glass.min(axis=0) > 90).all()
    assert (glass[:, 2] - glass[:, 0]).max() > 40
    assert (glass[:, 0] - glass[:, 2]).max() > 30
    for look in looks:
        assert sum(look.nucleus) > 1.49 * sum(look.red)
        assert min(sum(look.red), sum(look.platelet)) > 0.25
        assert 0 <= look.pallor[0] <= look.pallor[1] < 1


def test_a_mixed_colour_lies_between() -> None:
    assert stain.mixed((0, 1, 2), (4, 1, 0), 0.25) == (1, 1, 1.5)
