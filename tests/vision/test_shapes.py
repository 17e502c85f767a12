"""The classifier of red cell shapes: what it is shown, what it says, and what it refuses."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from detector.errors import ModelError
from detector.vision import boxes, cells, finder, images, quality, shapes
from detector.vision.detections import Detections
from detector.vision.model import Model
from detector.vision.shapes import NOT_SURE, SHIPPED, ShapeCard, ShapeModel

SAMPLE = Path(__file__).parents[2] / "datasets" / "samples" / "smear_a" / "field_01.jpg"


@pytest.fixture(scope="module")
def shape_model() -> ShapeModel:
    return ShapeModel.load()


@pytest.fixture(scope="module")
def sample(model: Model) -> tuple[images.Rgb, Detections, quality.Quality]:
    rgb = images.read(SAMPLE)
    detections = finder.find(model, rgb).cells
    return rgb, detections, quality.measure(rgb, detections)


def _disc(width_px: float, size: int = 200, ground: tuple[int, int, int] = (200, 220, 240)) -> images.Rgb:
    y, x = np.mgrid[:size, :size] + 0.5
    inside = np.hypot(x - size / 2, y - size / 2) < width_px / 2
    return np.where(inside[:, :, None], np.array(ground) // 2, np.array(ground)).astype(np.uint8)


def _dark_width(picture: images.Rgb) -> int:
    return int((picture[len(picture) // 2, :, 1] < 165).sum())


@pytest.mark.parametrize("rbc_px", [36.0, 40.0, 54.0, 90.0])
def test_a_cell_is_shown_at_one_width_whatever_the_magnification(rbc_px: float) -> None:
    box = np.array([[100 - rbc_px / 2, 100 - rbc_px / 2, 100 + rbc_px / 2, 100 + rbc_px / 2]], np.float32)
    picture = shapes.crops(_disc(rbc_px), box, rbc_px, (200, 220, 240))[0]
    assert picture.shape == (shapes.SIDE_PX, shapes.SIDE_PX, 3)
    assert abs(_dark_width(picture) - shapes.SHOWN_PX) <= 2


def test_a_small_cell_is_shown_small() -> None:
    box = np.array([[85, 85, 115, 115]], np.float32)
    picture = shapes.crops(_disc(30), box, 60, (200, 220, 240))[0]
    assert abs(_dark_width(picture) - shapes.SHOWN_PX / 2) <= 2


def test_the_lamp_is_not_shown() -> None:
    box = np.array([[75, 75, 125, 125]], np.float32)
    pictures = [shapes.crops(_disc(50, ground=ground), box, 50, ground)[0] for ground in ((200, 220, 240), (240, 200, 130))]
    assert np.abs(pictures[0].astype(int) - pictures[1]).max() <= 3


def test_a_cell_at_the_corner_is_shown_whole() -> None:
    rgb = _disc(50)
    picture = shapes.crops(rgb, np.array([[0, 0, 50, 50]], np.float32), 50, (200, 220, 240))[0]
    assert picture.shape == (shapes.SIDE_PX, shapes.SIDE_PX, 3)
    assert shapes.crops(rgb, np.zeros((0, 4), np.float32), 50, (200, 220, 240)).shape == (0, shapes.SIDE_PX, shapes.SIDE_PX, 3)


def test_each_red_cell_clear_of_the_border_is_called_something(
    shape_model: ShapeModel, sample: tuple[images.Rgb, Detections, quality.Quality]
) -> None:
    rgb, detections, measures = sample
    looked = shape_model.look(rgb, detections, None, measures)
    clear = (detections.label == cells.RBC) & boxes.clear_of_border(detections.xyxy, detections.size_wh)
    assert 0 < clear.sum() < (detections.label == cells.RBC).sum()
    assert sum(looked.cells.values()) == clear.sum()
    assert tuple(looked.cells) == (*shape_model.card.shapes, NOT_SURE)
    assert shape_model.look(rgb, detections, None, measures) == looked


def test_probabilities_add_up_and_do_not_depend_on_the_other_cells(
    shape_model: ShapeModel, sample: tuple[images.Rgb, Detections, quality.Quality]
) -> None:
    rgb, detections, measures = sample
    pictures = shapes.crops(rgb, detections.xyxy[detections.label == cells.RBC], 60, measures.background)
    together, distance = shape_model.answers(pictures)
    assert together.sum(axis=1) == pytest.approx(np.ones(len(pictures)), abs=1e-5)
    alone, its_distance = shape_model.answers(pictures[3:4])
    assert alone == pytest.approx(together[3:4], abs=1e-5)
    assert its_distance == pytest.approx(distance[3:4], abs=1e-4)
    assert [answer.shape for answer in shape_model.answers(pictures[:0])] == [(0, len(shape_model.card.shapes)), (0,)]


def test_a_field_without_red_cells_says_so(shape_model: ShapeModel) -> None:
    rgb = np.full((100, 100, 3), 220, np.uint8)
    nothing = Detections.none((100, 100))
    looked = shape_model.look(rgb, nothing, None, quality.measure(rgb, nothing))
    assert set(looked.cells.values()) == {0}
    assert "too few red cells" in looked.unlike


def test_red_cells_of_a_few_pixels_are_unlike(
    shape_model: ShapeModel, sample: tuple[images.Rgb, Detections, quality.Quality]
) -> None:
    rgb, detections, measures = sample
    assert "13 px wide" in shape_model.look(rgb, detections, 13.0, measures).unlike


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    for suffix in (".onnx", ".json"):
        shutil.copy(SHIPPED.with_suffix(suffix), tmp_path)
    copy = tmp_path / SHIPPED.name
    assert ShapeModel.load(copy).sha256 == json.loads(SHIPPED.with_suffix(".json").read_text(encoding="utf-8"))["sha256"]
    copy.write_bytes(copy.read_bytes()[:-1] + b"x")
    with pytest.raises(ModelError, match="its SHA-256 is"):
        ShapeModel.load(copy)
    (tmp_path / "shapes.json").unlink()
    copy.write_bytes(b"no model")
    with pytest.raises(ModelError, match="is not a classifier of red cell shapes"):
        ShapeModel.load(copy)
    copy.unlink()
    with pytest.raises(ModelError, match="is missing"):
        ShapeModel.load(copy)


def test_a_model_that_finds_cells_is_no_classifier_of_shapes(tmp_path: Path) -> None:
    shutil.copy(SHIPPED.with_name("smearcount.onnx"), tmp_path / "shapes.onnx")
    with pytest.raises(ModelError, match="is not a classifier of red cell shapes"):
        ShapeModel.load(tmp_path / "shapes.onnx")


def test_the_card_stands_in_the_file_and_beside_it(shape_model: ShapeModel) -> None:
    beside = json.loads(SHIPPED.with_suffix(".json").read_text(encoding="utf-8"))
    assert ShapeCard.of(beside) == shape_model.card
    assert ShapeCard.of(json.loads(shape_model.card.json())) == shape_model.card
    page = SHIPPED.with_suffix(".md").read_text(encoding="utf-8")
    for name in shape_model.card.shapes:
        assert f"| {name} |" in page


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("threshold", 1.5),
        ("shapes", ["discocyte"]),
        ("errors", {}),
        ("layout", 1),
        ("strange_from", 0),
        ("familiar", None),
        ("figures", 3),
        ("data", 1),
    ],
)
def test_a_card_that_cannot_be_is_refused(shape_model: ShapeModel, key: str, value: object) -> None:
    with pytest.raises(ValueError):
        ShapeCard.of({**json.loads(shape_model.card.json()), key: value})
