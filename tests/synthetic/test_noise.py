"""Textures depend on seed and place alone."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.synthetic import noise


@settings(max_examples=30, deadline=None)
@given(
    x=st.integers(-500, 500),
    y=st.integers(-500, 500),
    width=st.integers(1, 40),
    height=st.integers(1, 40),
    scale=st.floats(1.5, 60),
)
def test_a_part_of_the_ground_is_cut_from_the_whole(x: int, y: int, width: int, height: int, scale: float) -> None:
    whole = noise.ground(7, (x - 11, y - 5), (width + 30, height + 20), scale)
    part = noise.ground(7, (x, y), (width, height), scale)
    assert part.shape == (height, width)
    np.testing.assert_array_equal(part, whole[5 : 5 + height, 11 : 11 + width])


def test_the_lattice_is_the_same_on_every_machine() -> None:
    values = noise.lattice(42, np.array([-1, 0, 1, 1000]), np.array([5]))
    np.testing.assert_allclose(
        values, [0.7180812892310171, 0.5981128885387659, 0.18936489200543138, 0.08042130226173938], rtol=1e-12
    )


def test_textures_are_centred_and_differ_by_seed() -> None:
    texture = noise.ground(1, (0, 0), (600, 600), 3.0)
    assert abs(float(texture.mean())) < 0.05
    assert 0.4 < float(texture.std()) < 1.0
    other = noise.ground(2, (0, 0), (600, 600), 3.0)
    assert abs(float(np.corrcoef(texture.ravel(), other.ravel())[0, 1])) < 0.05


def test_a_patch_has_the_shape_asked_for() -> None:
    assert noise.patch(np.random.default_rng(0), (30, 47), 5.0, 0.5).shape == (30, 47)
    assert noise.patch(np.random.default_rng(0), (3, 2), 0.2, 5.0).shape == (3, 2)
