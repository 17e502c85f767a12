"""The model file, its card, and that nothing but the field decides the count."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks import lights
from detector.errors import ModelError, UsageError
from detector.synthetic.layout import plan
from detector.synthetic.render import window
from detector.synthetic.stain import preset
from detector.vision import boxes, cells, finder, images
from detector.vision import model as model_module
from detector.vision.catalogue import SHIPPED
from detector.vision.detections import Detections
from detector.vision.model import Model, canvas, is_blank, one_each
from detector.vision.scale import UNKNOWN, Scale

SAMPLES = sorted((Path(__file__).parents[2] / "datasets" / "samples").glob("*/*.jpg"))


@pytest.fixture(scope="module")
def model(afresh: None) -> Model:
    """The shipped model, which remembers nothing."""
    return Model.load()


def _same(a: Detections, b: Detections) -> bool:
    return np.array_equal(a.xyxy, b.xyxy) and np.array_equal(a.score, b.score) and np.array_equal(a.label, b.label)


def test_the_shipped_model_is_the_one_its_card_describes(model: Model) -> None:
    card = json.loads(SHIPPED.with_suffix(".json").read_text(encoding="utf-8"))
    assert card["sha256"] == model.sha256
    assert card["thresholds"] == model.card.thresholds
    assert card["licence"] == "AGPL-3.0-only"
    assert SHIPPED.stat().st_size <= 12_000_000
    assert SHIPPED.with_suffix(".md").is_file()


@pytest.mark.parametrize("wh", [(640, 480), (480, 640), (416, 300), (50, 7), (1000, 1000)])
def test_the_canvas_is_the_field_resized_with_grey_around_it(model: Model, wh: tuple[int, int]) -> None:
    rgb = np.random.default_rng(1).integers(0, 256, (wh[1], wh[0], 3), dtype=np.uint8)
    pixels, scale, offset = canvas(rgb, model.card)
    new_wh = tuple(round(side * model.card.image_px / max(wh)) for side in wh)
    left, top = (int(side) for side in offset[:2])
    inside = pixels[top : top + new_wh[1], left : left + new_wh[0]]
    assert np.array_equal(inside, cv2.resize(rgb, new_wh, interpolation=cv2.INTER_LINEAR))
    assert all(side % model.card.stride_px == 0 for side in pixels.shape[:2])
    assert scale[:2] == pytest.approx([new_wh[0] / wh[0], new_wh[1] / wh[1]])
    around = np.ones(pixels.shape[:2], dtype=bool)
    around[top : top + new_wh[1], left : left + new_wh[0]] = False
    assert (pixels[around] == 114).all()


@pytest.mark.slow
def test_the_number_of_threads_changes_nothing(model: Model) -> None:
    several = Model.load(threads=3)
    for path in SAMPLES[:4]:
        rgb = images.read(path)
        assert _same(finder.find(model, rgb).cells, finder.find(several, rgb).cells)


def test_swapped_channels_change_what_is_found(model: Model) -> None:
    rgb = images.read(SAMPLES[0])
    right = model.detect(rgb)
    swapped = model.detect(np.ascontiguousarray(rgb[:, :, ::-1]))
    assert right.counts()["WBC"] != swapped.counts()["WBC"] or right.counts()["Platelets"] != swapped.counts()["Platelets"]


def test_boxes_lie_in_the_field_and_scores_reach_the_thresholds(model: Model) -> None:
    for path in SAMPLES:
        rgb = images.read(path)
        detections = model.detect(rgb)
        h, w = rgb.shape[:2]
        assert ((detections.xyxy >= 0) & (detections.xyxy <= [w, h, w, h])).all()
        assert (detections.score >= np.array(model.card.minimum())[detections.label]).all()
        assert len(detections) > 5


def test_a_lower_score_only_adds_cells(model: Model) -> None:
    rgb = images.read(SAMPLES[0])
    counted, more = model.detect(rgb), model.detect(rgb, min_score=0.01)
    above = more[more.score >= np.array(model.card.minimum())[more.label]]
    assert len(more) > len(counted)
    assert _same(above, counted)


def test_saturation_is_said(model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model, "card", replace(model.card, max_cells=3))
    detections = model.detect(images.read(SAMPLES[0]))
    assert (len(detections), detections.saturated) == (3, True)


@pytest.mark.parametrize("size_wh", [(1, 1), (1, 500), (700, 2), (33, 31)])
def test_fields_of_odd_sizes_hold_no_cells(model: Model, size_wh: tuple[int, int]) -> None:
    blank = np.full((size_wh[1], size_wh[0], 3), 235, dtype=np.uint8)
    detections = finder.find(model, blank).cells
    assert detections.size_wh == size_wh
    assert len(detections) == 0


@pytest.mark.parametrize("grey", [128, 235, 255])
@pytest.mark.parametrize("noise", [0, 2, 6, 10])
def test_noise_alone_holds_no_cells(model: Model, grey: int, noise: float) -> None:
    pixels = np.full((416, 416, 3), grey, np.float32) + np.random.default_rng(0).normal(0, noise, (416, 416, 3))
    assert len(finder.find(model, pixels.clip(0, 255).astype(np.uint8)).cells) == 0


@pytest.mark.parametrize("lost", [0.1, 0.35, 0.5])
@pytest.mark.parametrize("noise", [0, 3, 6])
def test_noise_in_uneven_light_holds_no_cells(lost: float, noise: float) -> None:
    pixels = lights.vignette(np.full((320, 416, 3), 235, np.uint8), lost) * np.linspace(1, 0.9, 416)[:, None]
    assert is_blank((pixels + np.random.default_rng(0).normal(0, noise, pixels.shape)).clip(0, 255).astype(np.uint8))


def test_a_faint_platelet_alone_is_no_noise(model: Model) -> None:
    pixels = np.full((96, 96, 3), 200, np.uint8)
    pixels[40:56, 40:56] -= 12
    assert not is_blank(pixels)
    assert not is_blank(lights.vignette(pixels, 0.35))


def test_of_few_blocks_no_light_is_told_from_cells() -> None:
    pixels = np.full((32, 48, 3), 200, np.uint8)
    pixels[:, 16:24] -= 40
    assert not is_blank(pixels)


def test_a_field_of_another_resolution_counts_the_same_cells(model: Model) -> None:
    rgb = images.read(SAMPLES[0])
    expected = finder.find(model, rgb).cells.counts()
    for factor in (0.5, 2.5):
        other = cv2.resize(rgb, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC)
        counted = finder.find(model, other).cells.counts()
        assert abs(counted["RBC"] - expected["RBC"]) <= 2
        assert abs(counted["WBC"] - expected["WBC"]) <= 1


@pytest.mark.slow
@pytest.mark.parametrize("um_per_px", [None, 0.15])
def test_a_large_field_is_counted_in_tiles_at_the_scale_that_the_model_knows(model: Model, um_per_px: float | None) -> None:
    whole = plan((1500, 1100), preset("bccd"), 7, um_per_px=0.15)
    field = window(whole, 0, 0, 1500, 1100)
    searched = finder.find(model, field.image, um_per_px and Scale.given(um_per_px))
    detections, note = searched.cells, searched.note
    truth = int((field.label == cells.RBC).sum())
    assert truth > 100
    assert detections.counts()["RBC"] == pytest.approx(truth, rel=0.08)
    assert note == ""


@pytest.mark.slow
def test_how_many_tiles_are_looked_at_at_a_time_changes_nothing(model: Model) -> None:
    field = window(plan((1500, 1100), preset("bccd"), 7, um_per_px=0.15), 0, 0, 1500, 1100)
    looks = [finder.find(model, field.image, Scale.given(0.15), workers=workers).cells for workers in (1, 3)]
    assert len(looks[0]) > 100
    assert _same(*looks)


@pytest.mark.slow
@pytest.mark.parametrize("stain", ["bccd", "pbc", "raabin"])
@pytest.mark.parametrize("um_per_px", [0.05, 0.11, 0.22, 0.45])
def test_the_scale_is_seen_where_it_is_not_told(model: Model, stain: str, um_per_px: float) -> None:
    field = window(plan((640, 480), preset(stain), 3, um_per_px=um_per_px), 0, 0, 640, 480)
    truth = int((field.label == cells.RBC).sum())
    assert finder.find(model, field.image).cells.counts()["RBC"] == pytest.approx(truth, rel=0.03, abs=1)


def test_a_large_field_without_cells_says_that_its_scale_is_not_known(model: Model) -> None:
    searched = finder.find(model, np.full((1200, 1600, 3), 230, dtype=np.uint8))
    assert (len(searched.cells), searched.scale) == (0, Scale(None, UNKNOWN))
    assert "too few red cells" in searched.note


@pytest.mark.parametrize("um_per_px", [0.0, -1.0, 0.001, 13.3, float("nan"), float("inf")])
def test_a_scale_that_no_smear_has_is_refused(um_per_px: float) -> None:
    with pytest.raises(UsageError, match="not a scale of a smear"):
        Scale.given(um_per_px)


def test_a_scale_that_the_field_contradicts_is_told(model: Model) -> None:
    rgb = images.read(SAMPLES[0])
    assert finder.find(model, rgb, Scale.given(0.075)).note == ""
    assert (
        "by the given scale red cells should be 30 px wide, but in the field they are"
        in finder.find(model, rgb, Scale.given(0.25)).note
    )


def _copy(tmp_path: Path) -> Path:
    shutil.copy(SHIPPED, tmp_path / "own.onnx")
    return tmp_path / "own.onnx"


def test_a_model_without_a_card_beside_it_is_used(tmp_path: Path, model: Model) -> None:
    assert Model.load(_copy(tmp_path)).sha256 == model.sha256


def test_a_model_that_is_not_the_one_on_its_card_is_refused(tmp_path: Path) -> None:
    path = _copy(tmp_path)
    path.with_suffix(".json").write_text('{"sha256": "0123"}', encoding="utf-8")
    with pytest.raises(ModelError, match="its card says 0123"):
        Model.load(path)
    path.with_suffix(".json").write_text("not json", encoding="utf-8")
    with pytest.raises(ModelError, match="not a model card"):
        Model.load(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.onnx", None, "no such model file"),
        ("text.onnx", b"RBC,WBC\n", "not an ONNX model"),
        ("empty.onnx", b"", "not an ONNX model"),
        ("weights.pt", b"PK", "detector.export"),
    ],
)
def test_what_is_no_model_says_what_would_work(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(ModelError, match=message):
        Model.load(tmp_path / name)


def test_unsure_cells_are_told_and_change_no_count(model: Model) -> None:
    least = np.array(model.card.minimum(), dtype=np.float32)
    unsure_cells = 0
    for path in SAMPLES:
        rgb = (images.read(path) * (0.8, 0.9, 1.0)).astype(np.uint8)
        detections = model.detect(rgb)
        every = model.detect(rgb, float(least.min()) / 3)
        assert _same(detections, every[every.score >= least[every.label]])
        assert every.unsure is None
        unsure = detections.unsure
        assert unsure is not None
        assert (unsure.score < least[unsure.label]).all()
        assert (unsure.score >= least[unsure.label] / 3).all()
        assert (boxes.inside(unsure.xyxy, detections.xyxy) < 0.3).all()
        assert detections[:1].unsure is unsure
        unsure_cells += len(unsure)
    assert unsure_cells


PLACE, SHIFTED, OFF = [0, 0, 40, 40], [5, 5, 45, 45], [20, 0, 60, 40]
"""A box, one that overlaps it by an IoU of 0.62, and one by 0.33."""
WHITE, LOBE, HALF_IN = [0, 0, 80, 80], [10, 10, 40, 50], [60, 10, 100, 50]
"""A white cell's box, one within it, and one half within it."""
R, W, P = cells.RBC, cells.WBC, cells.PLATELETS


@pytest.mark.parametrize(
    ("found", "stays"),
    [
        pytest.param([], [], id="nothing"),
        pytest.param([(PLACE, R, 1.2), (PLACE, R, 1.1), (PLACE, P, 1.0)], [1, 1, 1], id="no white cells"),
        pytest.param([(PLACE, R, 1.2), (SHIFTED, W, 1.5)], [0, 1], id="red and white in one place: white is surer"),
        pytest.param([(SHIFTED, W, 1.2), (PLACE, R, 1.5)], [0, 1], id="red and white in one place: red is surer"),
        pytest.param([(PLACE, R, 1.2), (OFF, W, 1.5)], [1, 1], id="red and white that only touch"),
        pytest.param([(PLACE, P, 1.2), (PLACE, W, 1.5)], [1, 1], id="a platelet is no red cell"),
        pytest.param([(WHITE, W, 1.2), (LOBE, W, 1.1)], [1, 0], id="a lobe"),
        pytest.param([(LOBE, W, 1.9), (WHITE, W, 1.1)], [0, 1], id="a lobe that is surer than its cell"),
        pytest.param([(WHITE, W, 1.2), (LOBE, W, 1.1), ([45, 20, 75, 60], W, 1.1)], [1, 0, 0], id="two lobes"),
        pytest.param([(WHITE, W, 1.2), (HALF_IN, W, 1.1)], [1, 1], id="white cells side by side"),
        pytest.param([(WHITE, W, 1.2), (WHITE, W, 1.2)], [1, 0], id="the same white box twice"),
        pytest.param([(WHITE, W, 1.2), (LOBE, R, 1.1)], [1, 1], id="a red cell on a white one"),
        pytest.param([(WHITE, W, 0.9), (LOBE, W, 1.0)], [0, 1], id="a cell around a lobe is not counted"),
        pytest.param([(WHITE, W, 0.9), (LOBE, W, 0.5)], [1, 0], id="neither is counted"),
        pytest.param([(PLACE, R, 1.0), (PLACE, W, 0.9)], [1, 0], id="a white cell on a red one is not counted"),
    ],
)
def test_each_cell_has_one_box_and_one_class(found: list[tuple[list[int], int, float]], stays: list[int]) -> None:
    xyxy = np.array([box for box, *_ in found], np.float32).reshape(-1, 4)
    label, sure = np.array([field[1] for field in found], np.int64), np.array([field[2] for field in found])
    assert one_each(xyxy, label, sure).tolist() == [bool(one) for one in stays]


_box = st.tuples(*[st.integers(0, 30)] * 2, *[st.integers(1, 40)] * 2)


@given(st.lists(st.tuples(_box, st.sampled_from([R, W, P]), st.sampled_from([0.4, 0.9, 1.0, 1.3, 2.0])), max_size=8))
def test_what_is_not_counted_takes_the_place_of_nothing_that_is(found: list[tuple[tuple[int, ...], int, float]]) -> None:
    xyxy = np.array([(x, y, x + w, y + h) for (x, y, w, h), *_ in found], np.float32).reshape(-1, 4)
    label, sure = np.array([field[1] for field in found], np.int64), np.array([field[2] for field in found])
    counts = sure >= 1
    among_all = one_each(xyxy, label, sure)[counts]
    assert np.array_equal(among_all, one_each(xyxy[counts], label[counts], sure[counts]))


@pytest.fixture
def changed(tmp_path: Path) -> Callable[[Callable[[Any], None]], Path]:
    """Writes the shipped model with a change made to what ONNX holds."""
    onnx = pytest.importorskip("onnx", reason="needs the train extra: pip install -e '.[train]'")

    def write(change: Callable[[Any], None]) -> Path:
        content = onnx.load(str(SHIPPED))
        change(content)
        path = tmp_path / "changed.onnx"
        onnx.save(content, str(path))
        return path

    return write


def _damaged(content: Any) -> None:
    from onnx import numpy_helper

    weights = next(item for item in content.graph.initializer if len(item.dims) == 4)
    values = np.full(tuple(weights.dims), np.nan, numpy_helper.to_array(weights).dtype)
    weights.CopyFrom(numpy_helper.from_array(values, weights.name))


def _instead_of_the_answer(content: Any) -> Any:
    """Give the answer another name, so that what is made of it can have its own; gives the output."""
    output = content.graph.output[0]
    for node in content.graph.node:
        for at, name in enumerate(node.output):
            if name == output.name:
                node.output[at] = "whole"
    return output


def _endless(content: Any) -> None:
    from onnx import TensorProto, helper

    output = _instead_of_the_answer(content)
    info = helper.make_tensor_value_info
    turn, truth = info("turn", TensorProto.INT64, []), info("on", TensorProto.BOOL, [])
    before, after = (info(name, TensorProto.FLOAT, None) for name in ("before", "after"))
    again = info("again", TensorProto.BOOL, [])
    steps = [helper.make_node("Identity", ["on"], ["again"]), helper.make_node("Identity", ["before"], ["after"])]
    body = helper.make_graph(steps, "body", [turn, truth, before], [again, after])
    content.graph.initializer.append(helper.make_tensor("for_ever", TensorProto.BOOL, [], [True]))
    content.graph.node.append(helper.make_node("Loop", ["", "for_ever", "whole"], [output.name], body=body))


def _of_one_class(content: Any) -> None:
    from onnx import TensorProto, helper

    output = _instead_of_the_answer(content)
    for name, value in (("from", 0), ("to", 5), ("axis", 1)):
        content.graph.initializer.append(helper.make_tensor(name, TensorProto.INT64, [1], [value]))
    content.graph.node.append(helper.make_node("Slice", ["whole", "from", "to", "axis"], [output.name]))
    output.type.tensor_type.shape.dim[1].dim_value = 5


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (_damaged, r"changed\.onnx: answers with no numbers \(NaN\), so its weights are damaged"),
        (_endless, r"changed\.onnx: does not answer within 0\.5 s; make it again"),
        (_of_one_class, r"changed\.onnx: does not give a box and 3 scores for each place"),
    ],
)
def test_a_network_that_cannot_count_is_refused_when_it_is_opened(
    changed: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, change: Callable[[Any], None], told: str
) -> None:
    monkeypatch.setattr(model_module, "_PATIENCE_S", 0.5)
    with pytest.raises(ModelError, match=told):
        Model.load(changed(change))


def test_no_numbers_in_an_answer_are_an_error_and_no_empty_field(model: Model) -> None:
    output = np.array([[1, 1, 9, 9, 0.9, np.nan, 0.1]], np.float32)
    broken = Model(replace(model.network, run=lambda _pixels, _least: output), model.card, model.path, model.sha256)
    with pytest.raises(ArithmeticError, match="no numbers"):
        broken.detect(images.read(SAMPLES[0]))
