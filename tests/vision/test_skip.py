"""What is skipped holds no cell that would have been found, and what is empty or blurred is skipped."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from detector.synthetic import layout, render, stain
from detector.synthetic.layout import Density
from detector.vision import skip

NOTHING = Density(rbc_per_mm2=0, wbc_per_mm2=0, platelets_per_mm2=0, debris_per_mm2=0)
RBC_PX = 100.0


def field(look: str, seed: int, side: int = 700, **density: float) -> render.RenderedField:
    """A field in which a red cell is 100 px wide."""
    plan = layout.plan((side, side), stain.preset(look), seed, Density(**{**vars(NOTHING), **density}))
    return render.window(plan, 0, 0, side, side)


@pytest.mark.slow
@pytest.mark.parametrize("look", list(stain.PRESETS))
@pytest.mark.parametrize("kind", ["rbc_per_mm2", "wbc_per_mm2", "platelets_per_mm2"])
def test_a_single_cell_of_any_kind_is_never_empty(look: str, kind: str) -> None:
    held = 0
    for seed in range(12):
        one = field(look, seed, **{kind: 400.0})
        whole = one.xyxy[((one.xyxy > 3) & (one.xyxy < 697)).all(axis=1)]
        held += bool(len(whole))
        for level in (1.0, 0.25, 0.08):
            rgb = cv2.resize(one.image, None, fx=level, fy=level, interpolation=cv2.INTER_AREA)
            assert not (len(whole) and skip.is_empty(rgb, RBC_PX * level)), (seed, level)
    assert held


@pytest.mark.parametrize("look", list(stain.PRESETS))
def test_bare_glass_is_empty_with_its_noise_and_uneven_light(look: str) -> None:
    glass = field(look, 1).image
    noisy = glass + np.random.default_rng(0).normal(0, 3, glass.shape)
    for rgb in (glass, noisy, glass * np.linspace(0.98, 1, 700)[None, :, None], np.full_like(glass, 255)):
        assert skip.is_empty(np.clip(rgb, 0, 255).astype(np.uint8), RBC_PX)


@pytest.mark.parametrize("look", list(stain.PRESETS))
@pytest.mark.parametrize("density", [{"rbc_per_mm2": 9300.0}, {"rbc_per_mm2": 1500.0}, {"platelets_per_mm2": 1500.0}], ids=str)
def test_sharp_and_slightly_blurred_cells_are_kept_whether_few_or_many(look: str, density: dict[str, float]) -> None:
    rgb = field(look, 3, **density).image
    for share in (0.0, 0.05, 0.1):
        seen = rgb if not share else cv2.GaussianBlur(rgb, (0, 0), share * RBC_PX)
        assert not skip.is_unfocused(seen, RBC_PX), share


@pytest.mark.parametrize("look", list(stain.PRESETS))
def test_hopelessly_blurred_cells_are_out_of_focus_but_not_empty(look: str) -> None:
    rgb = cv2.GaussianBlur(field(look, 3, rbc_per_mm2=9300.0).image, (0, 0), 0.4 * RBC_PX)
    assert skip.is_unfocused(rgb, RBC_PX)
    assert not skip.is_empty(rgb, RBC_PX)


def test_a_sharp_cell_among_blurred_ones_or_on_a_shadow_is_kept() -> None:
    sharp = field("bccd", 3, rbc_per_mm2=9300.0).image
    blurred = cv2.GaussianBlur(sharp, (0, 0), 0.4 * RBC_PX)
    blurred[200:500, 200:500] = sharp[200:500, 200:500]
    assert not skip.is_unfocused(blurred, RBC_PX)
    shadow = field("bccd", 2, platelets_per_mm2=800.0).image * np.linspace(0.7, 1, 700)[None, :, None]
    assert not skip.is_unfocused(shadow.astype(np.uint8), RBC_PX)
    assert not skip.is_empty(shadow.astype(np.uint8), RBC_PX)


def test_nothing_to_judge_focus_by_is_none() -> None:
    assert skip.sharpness(field("bccd", 1).image, RBC_PX) is None
