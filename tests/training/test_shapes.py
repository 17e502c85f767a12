"""Learning shapes of red cells: whole smears are left out, probabilities are calibrated, and the file says what the network says."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

pytest.importorskip("onnx", reason="needs the train extra: pip install -e '.[train]'")
pytest.importorskip("torch", reason="needs the train extra: pip install -e '.[train]'")

import torch
from scipy import special

from detector import shapes as command
from detector.annotations import points
from detector.errors import AnnotationError, NothingToDoError
from detector.training import shape_card, shape_cells, shapes
from detector.training.shape_cells import TAUGHT, WIDER_PX, ShapeCells
from detector.vision.shapes import SIDE_PX, ShapeModel


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """A training of a second or two."""
    for name, value in {"CHANNELS": (4, 6, 8, 8, 8), "UNITS": 8, "STEPS": 30, "BATCH": 24}.items():
        monkeypatch.setattr(shapes, name, value)


def _cells(smears: int = 4, each: int = 60, seed: int = 0) -> ShapeCells:
    """Discs of two sizes, called normal cells and spherocytes."""
    rng = np.random.default_rng(seed)
    label = 3 * rng.integers(2, size=smears * each)
    pictures = np.full((len(label), 2, WIDER_PX, WIDER_PX, 3), 220, np.uint8)
    for picture, kind in zip(pictures, label, strict=True):
        for light in picture:
            cv2.circle(light, (WIDER_PX // 2, WIDER_PX // 2), 18 if kind else 11, (150, 90, 110), cv2.FILLED)
        picture += rng.integers(0, 20, picture.shape, dtype=np.uint8)
    of = [str(i // each) for i in range(len(label))]
    numbers = {str(i): {"focus": 1.0 + 0.1 * i, "contrast": 0.4 + 0.01 * i} for i in range(smears)}
    return ShapeCells(pictures, label.astype(np.int64), of, of, numbers)


def test_one_smear_cannot_be_cross_validated() -> None:
    with pytest.raises(NothingToDoError, match="of one smear"):
        shapes.learn(_cells(1))


def test_what_differs_in_size_is_learned_and_the_file_says_the_same(tmp_path: Path, brief: None) -> None:
    cells, tests = _cells(3, 40), _cells(2, 40, 9)
    learned = shapes.learn(cells, 1)
    card = shape_card.finish(tmp_path / "shapes.onnx", learned, cells, tests, {"seed": 1})
    assert card.figures["accuracy"] > 0.9
    assert (card.figures["smears"], card.figures["test"]["smears"]) == (3, 2)
    opened = ShapeModel.load(tmp_path / "shapes.onnx")
    middle = shapes.middles(cells.pictures[:, 0])
    assert middle.shape == (120, SIDE_PX, SIDE_PX, 3)
    expected = shape_card.probability(learned.network.answers(middle), card.training["temperature"])
    probability, distance = opened.answers(middle)
    assert probability == pytest.approx(expected, abs=1e-4)
    assert distance == pytest.approx(learned.appearance.distance(middle), rel=1e-3)
    assert opened.card == card
    page = (tmp_path / "shapes.md").read_text(encoding="utf-8")
    assert all(f"**{name}**" in page for name in card.shapes)


def test_the_same_cells_and_seed_give_the_same_network(brief: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shapes, "STEPS", 3)
    cells = _cells(2, 20)
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    first, again, other = (shapes.learn(cells, seed) for seed in (1, 1, 2))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert np.array_equal(first.held_out, again.held_out)
    assert np.array_equal(first.held_out_distance, again.held_out_distance)
    assert not np.array_equal(first.held_out, other.held_out)
    weights = zip(first.network.state_dict().values(), again.network.state_dict().values(), strict=True)
    assert all(torch.equal(one, same) for one, same in weights)


def test_each_smear_is_judged_by_a_network_that_did_not_see_it(brief: None) -> None:
    cells = _cells(3, 40)
    # In the last smear names are swapped: who has not seen it gets all of it wrong.
    swapped = np.array(cells.smears) == "2"
    cells.shape[swapped] = 3 - cells.shape[swapped]
    right = shapes.learn(cells).held_out.argmax(axis=1) == cells.shape
    assert right[swapped].mean() < 0.1


def test_cells_of_another_stain_are_farther_away_than_cells_alike(brief: None) -> None:
    cells, alike = _cells(3, 40), _cells(2, 40, 9)
    learned = shapes.learn(cells)
    assert np.median(learned.held_out_distance) == pytest.approx(1, abs=0.2)
    appearance, pictures = learned.appearance, shapes.middles(alike.pictures[:, 0])
    greener = np.where(pictures < 180, pictures * np.array([0.8, 1.3, 0.9]), pictures).astype(np.uint8)
    limit = np.quantile(learned.held_out_distance, 0.95)
    assert (appearance.distance(pictures) > limit).mean() < 0.15
    assert (appearance.distance(greener) > limit).mean() > 0.95
    assert appearance.distance(pictures[:0]).shape == (0,)


def test_the_shipped_network_has_the_parts_that_are_trained() -> None:
    """A change of the network is one of the shipped file, too."""
    card = ShapeModel.load().card
    trained = (list(shapes.CHANNELS), shapes.UNITS, shapes.STEPS, shapes.BATCH, shapes.RATE)
    assert tuple(card.training[name] for name in ("channels", "units", "batches", "batch", "rate")) == trained


def _harmonics(pictures: np.ndarray) -> np.ndarray:
    harmonics = shapes.ShapeNetwork().harmonics(shapes._levels(torch.from_numpy(np.ascontiguousarray(pictures))))
    return harmonics.numpy()


def test_a_turned_or_mirrored_cell_has_the_same_harmonics() -> None:
    picture = np.full((SIDE_PX, SIDE_PX, 3), 220, np.uint8)
    cv2.ellipse(picture, (SIDE_PX // 2, SIDE_PX // 2 - 2), (18, 11), 20, 0, 360, (150, 90, 110), cv2.FILLED)
    turned = np.stack([picture, picture[::-1], np.rot90(picture), np.rot90(picture, 2)])
    seen = _harmonics(turned)
    assert seen.shape == (4, shapes.RINGS * (3 + shapes.WAVES))
    assert np.abs(seen - seen[0]).max() < 1e-3


def test_cells_are_learned_turned_and_mirrored_in_their_place(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("_SIZE", "_SHIFT_PX", "_CONTRAST"):
        monkeypatch.setattr(shapes, name, 0.0)
    picture = np.full((WIDER_PX, WIDER_PX, 3), 220, np.uint8)
    cv2.ellipse(picture, (WIDER_PX // 2, WIDER_PX // 2 - 2), (18, 11), 20, 0, 360, (150, 90, 110), cv2.FILLED)
    network = shapes.ShapeNetwork()
    changed = shapes._changed(shapes._levels(torch.from_numpy(np.stack([picture] * 8))))
    assert changed.shape == (8, 3, SIDE_PX, SIDE_PX)
    assert (changed[1:] - changed[0]).abs().amax(dim=(1, 2, 3)).min() > 1
    assert np.abs(network.harmonics(changed).numpy() - _harmonics(shapes.middles(picture[None]))).max() < 0.1


def test_a_cell_with_so_many_spikes_varies_so_many_times_around() -> None:
    def strongest(spikes: int) -> int:
        picture = np.full((SIDE_PX, SIDE_PX, 3), 220, np.uint8)
        turn = np.linspace(0, 2 * np.pi, 400)
        radius = 17 + 3.5 * np.cos(spikes * turn)
        corners = np.stack([SIDE_PX / 2 + radius * np.cos(turn), SIDE_PX / 2 + radius * np.sin(turn)], axis=1)
        cv2.fillPoly(picture, [corners.round().astype(np.int32)], (150, 90, 110))
        waves = _harmonics(picture[None])[0, 3 * shapes.RINGS :].reshape(shapes.RINGS, shapes.WAVES)
        return int(waves[9:15].max(axis=0).argmax()) + 1

    assert [strongest(spikes) for spikes in (2, 3, 5, 9)] == [2, 3, 5, 9]


def _sharpened(factor: float) -> tuple[np.ndarray, np.ndarray]:
    """Answers whose probabilities are right once they are divided by `factor`."""
    rng = np.random.default_rng(3)
    answers = rng.normal(0, 1.5, (4000, len(TAUGHT)))
    chances = shape_card.probability(answers, 1.0)
    label = np.array([rng.choice(len(shape_card.SHAPES), p=row / row.sum()) for row in chances])
    return answers * factor, label


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_the_temperature_undoes_too_much_confidence(factor: float) -> None:
    answers, label = _sharpened(factor)
    heat = shape_card.temperature(answers, label)
    assert heat == pytest.approx(factor, rel=0.08)
    assert shape_card.calibration_error(shape_card.probability(answers, heat), label) < 0.02


def test_other_classifiers_are_calibrated_before_they_are_compared() -> None:
    answers, label = _sharpened(3.0)
    sure = special.softmax(answers, axis=1)
    before = shape_card.rates(sure @ shape_card.grouped(), label)
    after = shape_card.calibrated_rates(sure, label)
    assert before["ece"] > 0.1
    assert after["ece"] < 0.02
    assert after["accuracy"] == pytest.approx(before["accuracy"], abs=0.02)


def test_other_classifiers_stand_on_the_page(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, brief: None) -> None:
    pytest.importorskip("sklearn", reason="needs the baselines extra: pip install -e '.[baselines]'")
    monkeypatch.setattr(shapes, "STEPS", 2)
    cells = _cells(3, 30)
    told = command._classical(cells, ["k nearest neighbours"], 0)
    assert told["k nearest neighbours"]["accuracy"] > 0.95
    assert command._classical(cells, [], 0) == {}
    learned = shapes.learn(cells, 1)
    card = shape_card.finish(tmp_path / "shapes.onnx", learned, cells, _cells(2, 20, 9), {"classical": told})
    assert "| k nearest neighbours: accuracy, balanced accuracy | " in shape_card.page(card)


def test_the_calibration_error_is_the_distance_from_what_is_right() -> None:
    chances = np.zeros((100, len(shape_card.SHAPES)))
    chances[:, 0], chances[:, 1] = 0.8, 0.2
    right = np.zeros(100, dtype=np.int64)
    assert shape_card.calibration_error(chances, right) == pytest.approx(0.2)
    right[:20] = 1
    assert shape_card.calibration_error(chances, right) == pytest.approx(0.0)


def test_the_limit_is_where_nine_of_ten_are_right() -> None:
    highest = np.repeat([0.5, 0.62, 0.72, 0.92], 100)
    chances = np.zeros((400, len(shape_card.SHAPES)))
    chances[:, 0], chances[:, 1] = highest, 1 - highest
    label = np.zeros(400, dtype=np.int64)
    label[:100] = 1
    label[100:130] = 1
    assert shape_card.threshold(chances, label) == pytest.approx(0.55)
    assert shape_card.called(chances, 0.55)[0] == len(shape_card.SHAPES)


def test_errors_are_those_of_each_smear() -> None:
    label = np.array([0] * 60 + [1] * 20 + [0] * 60)
    named = label.copy()
    named[:6] = 1
    named[60:70] = len(shape_card.SHAPES)
    told = shape_card.errors(named, label, ["a"] * 80 + ["b"] * 60)
    second = told[shape_card.SHAPES[1]]
    assert second.false == (0.1, 0.0)
    assert second.found == (0.5,)
    assert told[shape_card.SHAPES[0]].found == (0.9, 1.0)


def test_labelled_points_become_cells_of_known_shape(tmp_path: Path) -> None:
    data, labels = tmp_path / "data", tmp_path / "labels"
    for folder in (data / "images", data / "points", labels / "labels"):
        folder.mkdir(parents=True)
    (labels / "classes.txt").write_text("RBC\nWBC\nPlatelets\nignore\n", encoding="utf-8")
    xy = [(x, y) for x in (60, 140, 220) for y in (60, 140)]
    for name, level in {"1": 220, "30": 220, "31": 210, "50": 205}.items():
        picture = np.full((200, 280, 3), level, np.uint8)
        for x, y in xy:
            cv2.circle(picture, (x, y), 22, (150, 100, 120), cv2.FILLED)
        cv2.imwrite(str(data / "images" / f"{name}.jpg"), picture)
        lines = [f"0 {x / 280:.5f} {y / 200:.5f} {44 / 280:.5f} {44 / 200:.5f}" for x, y in xy]
        (labels / "labels" / f"{name}.txt").write_text("\n".join(lines), encoding="utf-8")
        kinds = ["62 61 4", "140 139 12", "220 60 10", "270 190 0", "60 60 0"]
        (data / "points" / f"{name}.txt").write_text("\n".join(kinds), encoding="utf-8")
    cells = shape_cells.read(data, labels, ("1", "30", "31", "50", "99"), 1)
    # A point far from each box, one of no shape, and a second one of a cell are left out. Fields 1 and 30 are one picture, which is there
    # once, and their smears are one.
    assert [TAUGHT[kind] for kind in cells.shape] == ["target cell", "ovalocyte"] * 3
    assert list(cells.fields) == ["1", "1", "31", "31", "50", "50"]
    assert list(cells.smears) == ["1", "1", "1", "1", "50", "50"]
    assert cells.pictures.shape == (6, 2, WIDER_PX, WIDER_PX, 3)
    assert [unread.source for unread in cells.unread] == ["99"]
    middle = cells.pictures[:, 0, WIDER_PX // 2, WIDER_PX // 2]
    assert (middle < 200).any(axis=1).all()
    again = shape_cells.read(data, labels, ("50", "31", "30", "1"), 1)
    assert np.array_equal(again.pictures, cells.pictures)
    with pytest.raises(AnnotationError, match="no field with labelled points"):
        shape_cells.read(data, labels, ("99",), 1)


def test_all_shapes_that_can_be_told_apart_are_taught() -> None:
    assert {member for members in shape_card.GROUPS.values() for member in members} == set(TAUGHT)
    assert set(TAUGHT) <= set(points.SHAPES)


def test_the_shipped_card_is_of_these_shapes() -> None:
    assert ShapeModel.load().card.shapes == shape_card.SHAPES
    json.loads(ShapeModel.load().card.json())
