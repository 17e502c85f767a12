"""How wide red cells are in a picture, and what is made of several pictures of a smear."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.errors import UsageError
from detector.synthetic import layout, render, stain
from detector.synthetic.layout import Density
from detector.synthetic.render import RenderedField
from detector.vision import boxes, cells, scale
from detector.vision.detections import Detections
from detector.vision.model import Model
from detector.vision.scale import Estimate, Scale

SIZE = (640, 480)


def field(um_per_px: float, density: Density | None = None, size_wh: tuple[int, int] = SIZE) -> RenderedField:
    plan = layout.plan(size_wh, stain.preset("bccd"), 3, density, um_per_px)
    return render.window(plan, 0, 0, *size_wh)


def drawn_px(of: RenderedField) -> float:
    """Median side of the red cells that are drawn whole."""
    return boxes.median(boxes.sides_clear_of_border(of.xyxy[of.label == cells.RBC], (of.image.shape[1], of.image.shape[0])))


def told(*widths: float | None) -> list[Estimate | None]:
    return [None if width is None else Estimate(width, 0.3) for width in widths]


def test_the_scale_of_a_smear_is_the_median_of_what_tells_it_in_any_order() -> None:
    for order in itertools.permutations((50.0, None, 400.0, 52.0)):
        assert scale.of_smear(told(*order)) == Scale(52.0, scale.OF_SMEAR)
    assert scale.of_smear(told(50, 60)) == Scale(55.0, scale.OF_SMEAR)


def test_a_single_field_tells_its_own_scale_and_none_tells_nothing() -> None:
    assert scale.of_smear(told(50)) == Scale(50.0, scale.OF_FIELD)
    assert scale.of_smear(told(None, None)) == scale.of_smear([]) == Scale(None, scale.UNKNOWN)


@pytest.mark.parametrize(("fields", "expected"), [(0, []), (1, [0]), (3, [0, 1, 2]), (5, [0, 1, 2, 3, 4]), (9, [0, 2, 4, 6, 8])])
def test_few_fields_all_tell_the_scale_and_many_by_five_of_them(fields: int, expected: list[int]) -> None:
    assert scale.probes(fields) == expected


@given(st.integers(6, 10**6))
def test_the_fields_that_tell_it_are_spread_from_the_first_to_the_last(fields: int) -> None:
    chosen = scale.probes(fields)
    assert (len(chosen), chosen[0], chosen[-1]) == (scale.PROBES, 0, fields - 1)
    gaps = np.diff(chosen)
    assert gaps.max() - gaps.min() <= 1


@given(st.floats(5, 1000))
def test_magnifications_go_in_steps_that_doubling_a_picture_keeps_to(model: Model, rbc_px: float) -> None:
    zoom = scale.zoom_for(model.card, rbc_px)
    shown_px = zoom * rbc_px
    assert max(shown_px / model.card.shown_px, model.card.shown_px / shown_px) <= 2 ** (1 / 16) * (1 + 1e-9)
    assert math.log2(zoom) * 8 == pytest.approx(round(math.log2(zoom) * 8), abs=1e-9)
    assert scale.zoom_for(model.card, 2 * rbc_px) * 2 == zoom


def test_estimates_that_nearly_agree_give_one_magnification(model: Model) -> None:
    card = replace(model.card, shown_px=64.0)
    assert scale.zoom_for(card, 64.0) == scale.zoom_for(card, 62.0) == scale.zoom_for(card, 66.0) == 1.0
    assert scale.zoom_for(card, 60.0) > 1.0


@pytest.mark.parametrize(("ratio", "expected"), [(1.0, False), (1.49, False), (1.51, True), (10.0, True)])
def test_widths_contradict_each_other_either_way_round(ratio: float, expected: bool) -> None:
    assert scale.contradict(40 * ratio, 40) == scale.contradict(40, 40 * ratio) == expected


@pytest.mark.parametrize("um_per_px", [0.0, -0.1, 0.009, 1.01, 75.0, math.inf, math.nan])
def test_a_scale_that_no_photograph_of_a_smear_has_is_refused_by_its_source(um_per_px: float) -> None:
    with pytest.raises(UsageError, match=r"^row 3: .* is not a scale of a smear, which is 0\.01 to 1;"):
        scale.check(um_per_px, "row 3")
    with pytest.raises(UsageError, match="um_per_px"):
        Scale.given(um_per_px)


@pytest.mark.parametrize(("um_per_px", "rbc_px"), [(0.01, 750.0), (0.075, 100.0), (1.0, 7.5)])
def test_a_given_scale_is_the_width_of_a_normal_red_cell(um_per_px: float, rbc_px: float) -> None:
    assert Scale.given(um_per_px) == Scale(pytest.approx(rbc_px), scale.GIVEN)


@pytest.mark.slow
@pytest.mark.parametrize("um_per_px", [0.05, 0.075, 0.15, 0.3, 0.5])
def test_the_width_is_told_at_any_magnification(model: Model, um_per_px: float) -> None:
    smear = field(um_per_px)
    estimate = scale.estimate(model, smear.image)
    assert estimate is not None
    assert estimate.rbc_px == pytest.approx(drawn_px(smear), rel=0.2)
    assert 0 < estimate.support <= 1


def test_a_picture_made_larger_has_cells_so_much_larger(model: Model) -> None:
    image = field(0.15).image
    once, twice = (scale.estimate(model, cv2.resize(image, None, fx=by, fy=by)) for by in (1, 2))
    assert once is not None
    assert twice is not None
    assert twice.rbc_px == pytest.approx(2 * once.rbc_px, rel=0.05)


@pytest.mark.parametrize("um_per_px", [0.075, 0.15])
def test_where_one_look_leaves_no_doubt_there_is_no_other(model: Model, um_per_px: float) -> None:
    image = field(um_per_px).image
    assert scale.glance(model, image) == scale.estimate(model, image) is not None


@pytest.mark.slow
def test_one_look_at_cells_far_too_small_for_it_tells_nothing(model: Model) -> None:
    assert scale.glance(model, field(0.5).image) is None


def test_a_few_cells_tell_the_width_and_leave_a_doubt(model: Model) -> None:
    smear = field(0.1, Density(2500, 0, 0, 0, touching=0))
    assert (smear.label == cells.RBC).sum() == 5
    estimate = scale.estimate(model, smear.image)
    assert estimate is not None
    assert estimate.rbc_px == pytest.approx(drawn_px(smear), rel=0.2)
    assert scale.glance(model, smear.image) is None


@pytest.mark.parametrize("side", [1, 20, 500])
def test_a_blank_field_tells_nothing(model: Model, side: int) -> None:
    blank = np.full((side, side, 3), 235, np.uint8)
    assert scale.estimate(model, blank) is scale.glance(model, blank) is None


def test_cells_that_were_found_tell_their_width_where_enough_are_whole() -> None:
    """Eight whole cells 20 px wide, two at the border and a white cell."""
    whole = [[30 * i, 40, 30 * i + 20, 60] for i in range(1, 9)]
    xyxy = np.array([*whole, [0, 100, 90, 190], [200, 110, 290, 200], [100, 80, 180, 160]], np.float32)
    label = np.array([cells.RBC] * 10 + [cells.WBC])
    detections = Detections(xyxy, np.ones(11, np.float32), label, (300, 200))
    assert scale.measure(detections) == pytest.approx(20)
    assert scale.measure(detections[1:]) is None
    assert scale.measure(Detections.none((300, 200))) is None


@pytest.mark.parametrize(
    ("width_px", "support", "expected"),
    [(20.0, 0.05, False), (20.0, 0.4, True), (90.0, 0.05, True), (300.0, 0.05, True)],
)
def test_larger_cells_of_the_whole_picture_refute_small_ones_that_cover_less(
    width_px: float, support: float, expected: bool
) -> None:
    xyxy = np.array([[0, 0, 100, 100], [100, 100, 200, 200], [0, 150, 100, 250]], np.float32)
    whole = Detections(xyxy, np.full(3, 0.9, np.float32), np.zeros(3, np.int64), (400, 300), cells.CLASSES)
    assert scale._stands(Estimate(width_px, support), whole) is expected
    assert scale._stands(Estimate(width_px, support), whole[[False, False, False]])


class Looks:
    """Stands for a model: large red cells in the whole field, small ones in each closer look."""

    def __init__(self, model: Model, large: np.ndarray) -> None:
        self.card, self._large = model.card, large

    def detect(self, rgb: np.ndarray, min_score: float | None = None, zoom: float | None = None) -> Detections:
        h, w = rgb.shape[:2]
        if w == 400:
            xyxy = self._large if zoom == self.card.image_px / 400 else np.zeros((0, 4), np.float32)
        else:
            # Four cells of a fifth of the crop's side, clear of its border.
            corner = np.array([(x, y) for x in (0.2, 0.6) for y in (0.2, 0.6)], np.float32) * w
            xyxy = np.concatenate([corner, corner + w / 5], axis=1).astype(np.float32)
        return Detections(xyxy, np.full(len(xyxy), 0.9), np.zeros(len(xyxy), np.int64), (w, h))


def test_a_close_look_does_not_outweigh_larger_cells_that_the_border_cuts(model: Model) -> None:
    # Three large cells clear of the border cover 0.1 of the field, with those that it cuts 0.2; the small ones cover 0.14 of a crop.
    clear = [[20, 20, 100, 90], [150, 150, 230, 220], [280, 280, 360, 350]]
    cut = [[0, 150, 80, 220], [150, 0, 230, 70], [320, 100, 400, 170]]
    field = np.zeros((400, 400, 3), np.uint8)
    reading = scale.estimate(Looks(model, np.array([*clear, *cut], np.float32)), field)  # type: ignore[arg-type]
    assert reading is not None
    assert reading.rbc_px == pytest.approx(np.sqrt(80 * 70), rel=0.01)
    # Without those that are cut, the small ones cover more.
    alone = scale.estimate(Looks(model, np.array(clear, np.float32)), field)  # type: ignore[arg-type]
    assert alone is not None
    assert alone.rbc_px < 50
