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
