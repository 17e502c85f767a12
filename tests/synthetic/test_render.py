"""The truth is what is drawn: boxes against pixels, windows against each other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from detector.errors import UsageError
from detector.synthetic import stain
from detector.synthetic.camera import Camera
from detector.synthetic.layout import Density, Kind, Plan, plan
from detector.synthetic.render import LEAST_SIDE_PX, RenderedField, window
from detector.vision.cells import CLASSES, RBC, WBC

CELLS = [kind for kind in Kind if kind.label is not None]
HEAPS = [kind for kind in Kind if kind.unsure]
DEBRIS = [kind for kind in Kind if kind.label is None and not kind.unsure]
RADIUS_UM = {
    **dict.fromkeys([kind for kind in CELLS if kind.label == RBC], 3.8),
    Kind.FRAGMENT: 2.4,
    **dict.fromkeys([kind for kind in CELLS if kind.label == WBC], 6.3),
    Kind.LYMPHOCYTE: 5.3,
    Kind.MONOCYTE: 7.4,
    Kind.EOSINOPHIL: 6.5,
    Kind.SMALL_LYMPHOCYTE: 4.0,
    Kind.PLATELET: 1.5,
    Kind.OVERLYING: 1.5,
    **dict.fromkeys(HEAPS, 5.0),
    Kind.SPECK: 0.3,
    **dict.fromkeys(DEBRIS[1:], 4.0),
}
VISIBLE = 8
"""Grey levels by which a cell's edge differs from bare glass."""


def few(cells: list[tuple[Kind, float, float, int]], size_wh: tuple[int, int] = (320, 320), um_per_px: float = 0.075) -> Plan:
    """A plan with just these cells: kind, centre in px and seed."""
    return Plan(
        np.array([c[0] for c in cells], dtype=np.int64),
        np.array([(c[1] * um_per_px, c[2] * um_per_px) for c in cells], dtype=np.float64).reshape(-1, 2),
        np.array([RADIUS_UM[c[0]] for c in cells], dtype=np.float64),
        np.array([c[3] for c in cells], dtype=np.int64),
        (size_wh[0] * um_per_px, size_wh[1] * um_per_px),
        um_per_px,
        stain.preset("pbc"),
        1,
    )


def drawn(laid: Plan) -> tuple[RenderedField, NDArray[np.bool_]]:
    """The whole smear, and the pixels in which it differs from the same glass without anything on it."""
    field = window(laid, 0, 0, *laid.size_wh)
    nothing = replace(laid, kind=laid.kind[:0], xy_um=laid.xy_um[:0], radius_um=laid.radius_um[:0], seed=laid.seed[:0])
    bare = window(nothing, 0, 0, *laid.size_wh)
    return field, (np.abs(field.image.astype(int) - bare.image) >= VISIBLE).any(axis=2)


def extent(mask: NDArray[np.bool_]) -> list[int]:
    xs, ys = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
    return [int(xs[0]), int(ys[0]), int(xs[-1]) + 1, int(ys[-1]) + 1]


@pytest.mark.parametrize("kind", CELLS)
@settings(max_examples=4, deadline=None)
@given(x=st.floats(130, 190), y=st.floats(130, 190), seed=st.integers(0, 2**40), um_per_px=st.floats(0.07, 0.1))
def test_a_box_is_tight_to_the_pixels_drawn(kind: Kind, x: float, y: float, seed: int, um_per_px: float) -> None:
    field, seen = drawn(few([(kind, x, y, seed)], um_per_px=um_per_px))
    assert field.label.tolist() == [kind.label]
    np.testing.assert_allclose(field.xyxy[0], extent(seen), atol=2)


@pytest.mark.parametrize("kind", HEAPS)
@settings(max_examples=4, deadline=None)
@given(x=st.floats(130, 190), y=st.floats(130, 190), seed=st.integers(0, 2**40))
def test_a_heap_is_an_ignore_region_over_all_that_shows_of_it(kind: Kind, x: float, y: float, seed: int) -> None:
    field, seen = drawn(few([(kind, x, y, seed)]))
    assert len(field.label) == 0
    x1, y1, x2, y2 = field.ignore[0].astype(int)
    assert field.ignore.shape == (1, 4)
    # Its edge fades over more pixels than a cell's.
    np.testing.assert_allclose(field.ignore[0], extent(seen), atol=20)
    seen[y1 - 3 : y2 + 3, x1 - 3 : x2 + 3] = False
    assert not seen.any()


def test_a_platelet_on_a_red_cell_has_a_pale_fringe() -> None:
    at = (160.0, 160.0, 4)
    flat, pressed = (drawn(few([(Kind.SPHEROCYTE, *at), (kind, *at)]))[0] for kind in (Kind.PLATELET, Kind.OVERLYING))
    np.testing.assert_array_equal(flat.xyxy, pressed.xyxy)
    x1, y1, x2, y2 = flat.xyxy[1].astype(int)
    around = np.ones((320, 320), dtype=bool)
    around[y1:y2, x1:x2] = False
    brighter = pressed.image[..., 1].astype(int) - flat.image[..., 1]
    assert (brighter[around] >= 0).all()
    assert brighter[around].max() > 15


@pytest.mark.parametrize("kind", DEBRIS)
def test_debris_shows_and_is_nothing_in_the_truth(kind: Kind) -> None:
    field, seen = drawn(few([(kind, 160.0, 160.0, 5)]))
    assert seen.any()
    assert (len(field.label), len(field.ignore)) == (0, 0)


@pytest.mark.parametrize("kind", [kind for kind in CELLS if kind.label == RBC])
@pytest.mark.parametrize("seed", range(3))
def test_red_cells_of_any_form_are_paler_than_white_cells(kind: Kind, seed: int) -> None:
    red, _ = drawn(few([(kind, 160.0, 160.0, seed)]))
    white, _ = drawn(few([(Kind.LYMPHOCYTE, 160.0, 160.0, seed)]))
    x1, y1, x2, y2 = red.xyxy[0].astype(int)
    dark = np.median(white.image[140:180, 140:180])
    assert (red.image[y1:y2, x1:x2].min(axis=2) <= dark).mean() < 0.3


@settings(max_examples=10, deadline=None)
@given(kind=st.sampled_from(CELLS), x=st.floats(90, 230), y=st.floats(90, 230), seed=st.integers(0, 2**40))
def test_cells_cut_by_the_edge_of_an_eyepiece_are_labelled_by_what_shows(kind: Kind, x: float, y: float, seed: int) -> None:
    camera = Camera(eyepiece=(0.5, 0.5, 0.4))
    lit = camera.seen((320, 320))
    field = window(few([(kind, x, y, seed)]), 0, 0, 320, 320, camera)
    _, seen = drawn(few([(kind, x, y, seed)]))
    assert (field.image[~lit].min(axis=1) < 128).all()
    if len(field.label):
        np.testing.assert_allclose(field.xyxy[0], extent(seen & lit), atol=2)
    else:
        assert (seen & lit).sum() < 0.3 * seen.sum() + 50


@settings(max_examples=15, deadline=None)
@given(kind=st.sampled_from(CELLS), x=st.floats(-60, 380), y=st.floats(-60, 380), seed=st.integers(0, 2**40))
def test_a_cut_cell_is_labelled_by_what_shows_or_is_not_there(kind: Kind, x: float, y: float, seed: int) -> None:
    field, seen = drawn(few([(kind, x, y, seed)]))
    assert len(field.label) == int(seen.any())
    if seen.any():
        np.testing.assert_allclose(field.xyxy[0], extent(seen), atol=2)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32), width=st.integers(60, 500), height=st.integers(60, 500))
def test_boxes_lie_within_the_field(seed: int, width: int, height: int) -> None:
    field = window(plan((width, height), stain.preset("bccd"), seed), 0, 0, width, height)
    assert field.image.shape == (height, width, 3)
    assert field.image.dtype == np.uint8
    assert field.xyxy.shape == (len(field.label), 4)
    assert (field.xyxy.dtype, field.label.dtype) == (np.float32, np.int64)
    assert (field.xyxy >= 0).all()
    assert (field.xyxy <= [width, height, width, height]).all()
    assert (field.xyxy[:, 2:] - field.xyxy[:, :2] >= LEAST_SIDE_PX).all()
    assert sum(field.counts().values()) == len(field.label)


@pytest.mark.parametrize("seed", range(4))
def test_nothing_is_drawn_that_is_not_labelled(seed: int) -> None:
    field, seen = drawn(plan((640, 480), stain.preset("pbc"), seed, Density(debris_per_mm2=0)))
    for x1, y1, x2, y2 in field.xyxy.astype(int):
        assert seen[y1:y2, x1:x2].any()
        seen[max(y1 - 4, 0) : y2 + 4, max(x1 - 4, 0) : x2 + 4] = False
    assert not seen.any()


@pytest.mark.slow
@settings(max_examples=5, deadline=None)
@given(x=st.integers(0, 500), y=st.integers(0, 300), seed=st.integers(0, 3))
def test_windows_agree_with_the_whole(x: int, y: int, seed: int) -> None:
    laid = plan((900, 700), stain.preset("bccd"), seed)
    whole, part = window(laid, 0, 0, 900, 700), window(laid, x, y, 400, 400)
    # A sliver of the largest white cell reaches no deeper than this.
    rim = 70
    np.testing.assert_array_equal(part.image[rim:-rim, rim:-rim], whole.image[y + rim : y + 400 - rim, x + rim : x + 400 - rim])
    inner = (whole.xyxy[:, :2] > [x, y]).all(axis=1) & (whole.xyxy[:, 2:] < [x + 400, y + 400]).all(axis=1)
    boxes = {(*box, label) for box, label in zip((part.xyxy + np.array([x, y, x, y])).tolist(), part.label.tolist(), strict=True)}
    for box, label in zip(whole.xyxy[inner].tolist(), whole.label[inner].tolist(), strict=True):
        assert (*box, label) in boxes or 0 in box or box[2] == 900 or box[3] == 700


def test_overlapping_red_cells_absorb_one_after_the_other() -> None:
    one, two = (Kind.RED, 120.0, 150.0, 1), (Kind.RED, 190.0, 150.0, 2)
    both, first, second, none = (
        window(few(cells), 0, 0, 320, 320).image.astype(float) for cells in ([one, two], [one], [two], [])
    )
    np.testing.assert_allclose(both * none, first * second, atol=2 * 255)
    assert both[150, 155].mean() < min(first[150, 155].mean(), second[150, 155].mean())


def test_the_same_seed_gives_the_same_field_and_another_does_not() -> None:
    def field(seed: int, exposure: int = 0) -> RenderedField:
        return window(plan((300, 200), stain.preset("raabin"), seed), 0, 0, 300, 200, Camera(noise=2.0), exposure)

    np.testing.assert_array_equal(field(5).image, field(5).image)
    np.testing.assert_array_equal(field(5).xyxy, field(5).xyxy)
    assert (field(5).image != field(6).image).any()
    assert 0 < np.abs(field(5).image.astype(int) - field(5, exposure=1).image).mean() < 5
    np.testing.assert_array_equal(field(5).xyxy, field(5, exposure=1).xyxy)


def test_glass_without_cells_is_an_empty_field_of_every_class() -> None:
    field = window(few([]), 0, 0, 50, 40)
    assert field.counts() == dict.fromkeys(CLASSES, 0)
    assert field.xyxy.shape == (0, 4)
    np.testing.assert_allclose(field.image.mean(axis=(0, 1)), stain.preset("pbc").glass, rtol=0.05)


@pytest.mark.parametrize("place", [(-1, 0, 50, 50), (0, 0, 321, 50), (300, 300, 50, 50), (0, 0, 0, 50)])
def test_a_window_beyond_the_smear_is_refused(place: tuple[int, int, int, int]) -> None:
    with pytest.raises(UsageError, match="within the smear of 320x320"):
        window(few([]), *place)


def test_white_cells_have_dark_nuclei_and_red_cells_pale_middles() -> None:
    pallor = []
    for seed in range(12):
        red = window(few([(Kind.RED, 160.0, 160.0, seed)]), 0, 0, 320, 320).image[:, :, 1]
        pallor.append(float(red[155:165, 155:165].mean()) - float(red[155:165, 122:130].mean()))
        white = window(few([(Kind.LYMPHOCYTE, 160.0, 160.0, seed)]), 0, 0, 320, 320).image[:, :, 1]
        assert white[150:170, 150:170].mean() < red.min()
    assert np.median(pallor) > 10
