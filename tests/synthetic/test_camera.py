"""The camera: light, focus and noise."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from detector.synthetic import camera, stain
from detector.synthetic.camera import Camera, photograph

GLASS = (200.0, 210.0, 220.0)


def shot(density: NDArray[np.float32], how: Camera, seed: int = 0) -> NDArray[np.float64]:
    return photograph(density, GLASS, how, 0.075, np.random.default_rng(seed)).astype(float)


def bare(height: int = 120, width: int = 160) -> NDArray[np.float32]:
    return np.zeros((height, width, 3), dtype=np.float32)


def test_a_perfect_camera_follows_beer_and_lambert() -> None:
    density = bare()
    density[:, 80:] = (0.1, 0.5, 1.0)
    image = shot(density, Camera())
    np.testing.assert_array_equal(image[0, 0], GLASS)
    np.testing.assert_allclose(image[0, 100], np.array(GLASS) * np.exp([-0.1, -0.5, -1.0]), atol=0.5)


def test_vignetting_and_tilt_shape_the_light() -> None:
    dark = shot(bare(), Camera(vignetting=0.2))
    np.testing.assert_allclose(dark[0, 0] / dark[60, 80], 0.8, atol=0.02)
    lit = shot(bare(), Camera(tilt=(0.1, 0.0)))
    assert lit[60, 0, 0] < lit[60, 80, 0] < lit[60, 159, 0]


def test_white_balance_scales_each_channel() -> None:
    image = shot(bare(), Camera(balance=(1.1, 1.0, 0.9)))
    np.testing.assert_allclose(image[0, 0], np.array(GLASS) * (1.1, 1.0, 0.9), atol=0.5)


def test_noise_is_as_strong_as_asked_and_has_no_bias() -> None:
    image = shot(bare(400, 400), Camera(noise=3.0))
    np.testing.assert_allclose(image.std(axis=(0, 1)), 3.0 * np.sqrt(np.array(GLASS) / 255), rtol=0.06)
    np.testing.assert_allclose(image.mean(axis=(0, 1)), GLASS, atol=0.1)


def test_defocus_softens_an_edge_and_a_halo_sharpens_it() -> None:
    density = bare()
    density[:, 80:] = 0.3
    steps = [np.abs(np.diff(shot(density, how)[60, :, 0])).max() for how in (Camera(defocus_um=0.3), Camera(), Camera(halo=0.4))]
    assert steps[0] < steps[1] < steps[2]


def test_working_in_bands_leaves_no_seams(monkeypatch: pytest.MonkeyPatch) -> None:
    density = np.random.default_rng(1).random((300, 50, 3), dtype=np.float32)
    how = Camera(vignetting=0.1, defocus_um=0.15, halo=0.3)
    whole = shot(density, how)
    monkeypatch.setattr(camera, "_BAND_PX", 37)
    np.testing.assert_allclose(shot(density, how), whole, atol=1)


def test_a_drawn_camera_stays_within_its_stain() -> None:
    look = stain.preset("raabin")
    for seed in range(20):
        how = Camera.drawn(look, np.random.default_rng(seed))
        assert look.vignetting[0] <= how.vignetting <= look.vignetting[1]
        assert look.defocus_um[0] <= how.defocus_um <= look.defocus_um[1]
        assert (how.noise, how.halo) == (look.noise, look.halo)


def test_gamma_bends_the_middle_and_keeps_the_ends() -> None:
    density = bare()
    density[:, 80:] = 0.5
    plain, dark = shot(density, Camera()), shot(density, Camera(gamma=1.5))
    np.testing.assert_allclose(dark, 255 * (plain / 255) ** 1.5, atol=1.5)


def test_a_mono_camera_sees_grey() -> None:
    density = bare()
    density[:, 80:] = (0.1, 0.5, 1.0)
    image = shot(density, Camera(mono=True))
    assert (image[..., 0] == image[..., 1]).all()
    assert (image[..., 0] == image[..., 2]).all()
    np.testing.assert_allclose(image[0, 0, 0], np.dot(GLASS, (0.299, 0.587, 0.114)), atol=1)


def test_an_eyepiece_is_black_around_a_disc() -> None:
    how = Camera(eyepiece=(0.5, 0.375, 0.25))
    image, seen = shot(bare(), how), how.seen((160, 120))
    assert seen.sum() == pytest.approx(np.pi * 40**2, rel=0.02)
    assert (image[60, 80] == image[60, 100]).all()
    assert (image[60, :37] == 0).all()
    assert (Camera().seen((160, 120))).all()


def test_bands_of_an_eyepiece_leave_no_seams(monkeypatch: pytest.MonkeyPatch) -> None:
    how = Camera(eyepiece=(0.5, 0.5, 0.4), gamma=0.8)
    whole = shot(bare(300, 200), how)
    monkeypatch.setattr(camera, "_BAND_PX", 37)
    np.testing.assert_allclose(shot(bare(300, 200), how), whole, atol=1)


def test_any_camera_is_drawn_from_the_seed_and_blurs_by_the_pixel() -> None:
    drawn = [Camera.at_random(0.4, np.random.default_rng(seed)) for seed in range(60)]
    assert drawn[0] == Camera.at_random(0.4, np.random.default_rng(0))
    assert {how.mono for how in drawn} == {True, False}
    assert {how.eyepiece is None for how in drawn} == {True, False}
    assert min(how.defocus_um for how in drawn) >= 0.3 * 0.4
