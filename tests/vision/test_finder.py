"""Looking once for what is counted and for what average precision weighs gives what looking twice gives."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from detector.synthetic import layout, render, stain
from detector.vision import cells, finder, images, scale, tiles
from detector.vision.detections import Detections
from detector.vision.model import Model

SAMPLES = sorted((Path(__file__).parents[2] / "datasets" / "samples").glob("*/*.jpg"))
MIN_SCORE = 0.001


def _same(a: Detections, b: Detections) -> bool:
    arrays = ((a.xyxy, b.xyxy), (a.score, b.score), (a.label, b.label))
    return all(np.array_equal(*pair) for pair in arrays) and a.saturated == b.saturated


def _looks(model: Model, rgb: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> int:
    """How often the network looks at the field once its scale is known, having checked that both answers are those of two passes."""
    detections, searched = finder.find(model, rgb).cells, finder.find(model, rgb, min_score=MIN_SCORE).cells
    looks = 0
    detect = Model.detect

    def counted(self: Model, crop: np.ndarray, min_score: float | None = None, zoom: float | None = None) -> Detections:
        nonlocal looks
        looks += 1
        return detect(self, crop, min_score, zoom)

    known = scale.of_smear([scale.estimate(model, rgb)])
    with monkeypatch.context() as patch:
        patch.setattr(Model, "detect", counted)
        patch.setattr(finder, "of_smear", lambda _: known)
        patch.setattr(finder, "estimate", lambda *_: None)
        once = finder.find_and_search(model, rgb, MIN_SCORE)
    assert _same(once[0], detections)
    assert _same(once[1], searched)
    assert len(searched) >= len(detections)
    return looks


@pytest.mark.slow
@pytest.mark.parametrize("path", SAMPLES[:6], ids=lambda path: path.stem)
def test_one_look_serves_both(model: Model, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _looks(model, images.read(path), monkeypatch) == 1


@pytest.mark.slow
@pytest.mark.parametrize("most", [3, 30])
def test_where_worse_boxes_fill_the_room_it_looks_twice(model: Model, monkeypatch: pytest.MonkeyPatch, most: int) -> None:
    """With room for 3, what is counted is saturated too; with room for 30, only what is searched is."""
    monkeypatch.setattr(model, "card", replace(model.card, max_cells=most))
    assert _looks(model, images.read(SAMPLES[0]), monkeypatch) == 2


def test_a_field_without_cells_takes_one_look_at_its_whole(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _looks(model, np.full((100, 120, 3), 235, np.uint8), monkeypatch) == 1


@pytest.mark.slow
def test_in_tiles_both_are_looked_for(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    rgb = images.read(SAMPLES[0])
    many = np.ascontiguousarray(np.tile(cv2.resize(rgb, None, fx=0.5, fy=0.5), (5, 5, 1)))
    assert _looks(model, many, monkeypatch) > 2


@pytest.mark.parametrize("um_per_px", [0.25, 0.4])
def test_where_the_scale_is_known_red_cells_are_shown_as_wide_as_the_card_says(
    model: Model, um_per_px: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    rgb = np.full((600, 800, 3), 235, np.uint8)
    shown = []
    detect = Model.detect

    def watched(self: Model, crop: np.ndarray, min_score: float | None = None, zoom: float | None = None) -> Detections:
        shown.append((zoom, max(crop.shape[:2])))
        return detect(self, crop, min_score, zoom)

    monkeypatch.setattr(Model, "detect", watched)
    monkeypatch.setattr(finder, "estimate", lambda *_: None)
    finder.find(model, rgb, scale.Scale.given(um_per_px))
    rbc_px = cells.RBC_DIAMETER_UM / um_per_px
    # To the nearest of eight steps from one magnification to its double.
    assert [zoom * rbc_px for zoom, _ in shown] == pytest.approx([model.card.shown_px] * len(shown), rel=2 ** (1 / 16) - 1)
    assert max(zoom * side for zoom, side in shown) <= tiles.TILE_PX + 1


FITS, TOO_SMALL = scale.Scale(105.0, scale.OF_SMEAR), scale.Scale(30.0, scale.OF_SMEAR)
"""Scales of smears that the cells of a sample, which are about 105 px wide, agree with and speak against."""


def test_a_smears_scale_that_the_cells_agree_with_is_kept_to(model: Model) -> None:
    rgb = images.read(SAMPLES[0])
    result = finder.find(model, rgb, FITS)
    assert (result.scale, result.note) == (FITS, "")
    assert _same(result.cells, finder.find_at(model, rgb, scale.zoom_for(model.card, 105.0)))


@pytest.mark.parametrize("min_score", [None, MIN_SCORE])
def test_a_field_that_contradicts_its_smear_gets_a_scale_of_its_own_and_says_so(model: Model, min_score: float | None) -> None:
    rgb = images.read(SAMPLES[0])
    result, alone = (finder.find(model, rgb, given, min_score) for given in (TOO_SMALL, None))
    assert result.scale == alone.scale
    assert result.scale.source == scale.OF_FIELD
    assert _same(result.cells, alone.cells)
    assert alone.note == ""
    assert (
        result.note == f"own scale: red cells are {result.scale.rbc_px:.0f} px wide here, but 30 px in the smear's other fields"
    )


@pytest.mark.slow
def test_many_small_cells_that_nearly_are_counted_tell_of_a_scale_of_their_own(model: Model) -> None:
    """Red cells 15 px wide among fields whose cells are 100 px wide: of 480, two are counted at that scale, and 17 nearly."""
    plan = layout.plan((416, 416), stain.preset("bccd"), 3, None, 0.5)
    rgb = render.window(plan, 0, 0, 416, 416).image
    of_smear = scale.Scale(100.0, scale.OF_SMEAR)
    assert len(finder.find_at(model, rgb, scale.zoom_for(model.card, 100.0))) < 20
    result = finder.find(model, rgb, of_smear)
    assert result.scale.source == scale.OF_FIELD
    assert result.scale.rbc_px == pytest.approx(15.2, rel=0.15)
    assert len(result.cells) > 300


def test_a_given_scale_that_the_cells_contradict_is_kept_and_told(model: Model) -> None:
    rgb = images.read(SAMPLES[0])
    given = scale.Scale.given(0.25)
    result = finder.find(model, rgb, given)
    assert result.scale == given
    assert result.note.startswith(f"{finder.CONTRADICTED} 30 px wide, but in the field they are about 1")
    assert _same(result.cells, finder.find_at(model, rgb, scale.zoom_for(model.card, 30.0)))


def test_a_files_scale_is_taken_unless_the_cells_contradict_it(model: Model) -> None:
    rgb = images.read(SAMPLES[0])
    fits, wrong = scale.Scale(105.0, scale.OF_FILE), scale.Scale(30.0, scale.OF_FILE)
    result = finder.find(model, rgb, fits)
    assert (result.scale, result.note) == (fits, "")
    assert fits.um_per_px == pytest.approx(cells.RBC_DIAMETER_UM / 105)
    result, alone = (finder.find(model, rgb, stated) for stated in (wrong, None))
    assert (result.scale, result.scale.um_per_px) == (alone.scale, None)
    assert _same(result.cells, alone.cells)
    assert result.note.startswith("by its file red cells should be 30 px wide, but in the field they are about 1")


def test_a_given_scale_at_which_no_cell_is_found_is_told(model: Model) -> None:
    """Red cells of about 26 px in a field too large to see them in at one look; by the scale given they are 375 px wide."""
    rgb = np.ascontiguousarray(np.tile(cv2.resize(images.read(SAMPLES[0]), None, fx=0.25, fy=0.25), (8, 8, 1)))
    result = finder.find(model, rgb, scale.Scale.given(0.02))
    assert result.note.startswith(f"{finder.CONTRADICTED} 375 px wide, but in the field they are about 2")


@pytest.mark.parametrize("known", [TOO_SMALL, scale.Scale.given(0.25)])
def test_a_field_without_cells_contradicts_no_scale(model: Model, known: scale.Scale) -> None:
    result = finder.find(model, np.full((480, 640, 3), 235, np.uint8), known)
    assert (result.scale, result.note, len(result.cells)) == (known, "", 0)


def test_where_its_smear_tells_no_scale_a_field_tells_its_own_if_a_glance_shows_it(model: Model) -> None:
    rgb = images.read(SAMPLES[0])
    unknown = scale.Scale(None, scale.UNKNOWN)
    result, alone = (finder.find(model, rgb, given) for given in (unknown, None))
    assert result.scale == alone.scale
    assert _same(result.cells, alone.cells)


@pytest.mark.parametrize(("long_side", "note"), [(800, ""), (801, "scale not known: too few red cells to estimate it from")])
def test_without_a_scale_a_field_is_looked_at_whole_and_a_large_one_says_so(model: Model, long_side: int, note: str) -> None:
    result = finder.find(model, np.full((300, long_side, 3), 235, np.uint8), scale.Scale(None, scale.UNKNOWN))
    assert result.scale == scale.Scale(None, scale.UNKNOWN)
    assert result.note == note


@pytest.mark.slow
def test_parts_of_cells_as_wide_as_a_wrong_scale_says_do_not_confirm_it(model: Model) -> None:
    """Red cells of 100 px, which by the scale given are 38 px wide."""
    field = render.window(layout.plan((1600, 1200), stain.preset("bccd"), 3), 0, 0, 1600, 1200)
    result = finder.find(model, field.image, scale.Scale.given(0.2))
    assert result.note.startswith(f"{finder.CONTRADICTED} 38 px wide, but in the field they are about ")
