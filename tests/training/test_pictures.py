"""Fields of any magnification are loaded, joined and cropped with red cells of like width, and with their ignore regions."""

from __future__ import annotations

import pickle
import random
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from detector.annotations import dataset
from detector.annotations.records import Record
from detector.training import framework
from detector.training.augment import Disturbance
from detector.vision import boxes
from detector.vision.cells import PLATELETS, RBC, WBC

# Looked for and not imported: imported before it is prepared, ultralytics changes how Pillow opens images.
pytestmark = pytest.mark.skipif(find_spec("ultralytics") is None, reason="needs the train extra: pip install -e '.[train]'")

IMAGE_PX = 96
GROUND, RED = 220, 40
NOTHING = Disturbance(None, 0.1, None)


@pytest.fixture(scope="module", autouse=True)
def _prepared(tmp_path_factory: pytest.TempPathFactory) -> None:
    if find_spec("ultralytics") is not None:
        framework.prepare(tmp_path_factory.mktemp("state"))


def grid(rbc_px: int, columns: int, rows: int) -> np.ndarray:
    """Boxes of red cells in rows, of shape (columns * rows, 4), one and a half of their width apart."""
    corner = np.array([(x, y) for y in range(rows) for x in range(columns)], np.float32) * 1.5 * rbc_px + rbc_px / 4
    return np.concatenate([corner, corner + rbc_px], axis=1).astype(np.float32)


def drawn(xyxy: np.ndarray, size_wh: tuple[int, int]) -> np.ndarray:
    """A picture with a dark square for each box."""
    picture = np.full((size_wh[1], size_wh[0], 3), GROUND, np.uint8)
    picture[boxes.mask(xyxy, size_wh)] = RED
    return picture


def loaded(folder: Path, records: Sequence[tuple[np.ndarray, int, tuple[int, int], Any]]) -> Any:
    """Fields of our own kind; a record is boxes, their label, size, and ignore regions."""
    from ultralytics.cfg import get_cfg

    from detector.training.pictures import TrainingFields

    made = []
    for i, (xyxy, label, size_wh, regions) in enumerate(records):
        cv2.imwrite(str(folder / f"{i}.png"), drawn(xyxy, size_wh))
        ignore = np.array(regions, np.float32).reshape(-1, 4)
        made.append(Record(f"{i}", folder / f"{i}.png", size_wh, xyxy, np.full(len(xyxy), label), "train", ignore))
    dataset.write(folder / "set", made)
    data = {"names": {0: "RBC", 1: "WBC", 2: "Platelets"}, "nc": 3, "channels": 3}
    options = {"imgsz": IMAGE_PX, "batch_size": 2, "augment": False, "hyp": get_cfg(), "cache": "ram", "task": "detect"}
    return TrainingFields(img_path=str(folder / "set" / "images" / "train"), data=data, **options)


@pytest.fixture
def fields(tmp_path: Path) -> Any:
    """Fields with red cells 32, 128 and 10 px wide, the second with two ignore regions, and one with a white cell alone."""
    large, small = grid(128, 3, 2), grid(10, 8, 6)
    return loaded(
        tmp_path,
        [
            (grid(32, 3, 2), RBC, (144, 96), ()),
            (large, RBC, (576, 384), [[0, 0, 144, 96], [288, 192, 576, 384]]),
            (small, RBC, (120, 90), ()),
            (grid(64, 1, 1), WBC, (200, 100), ()),
        ],
    )


def test_red_cells_are_as_wide_in_all_fields_unless_that_enlarges_them_too_much(fields: Any) -> None:
    shapes = []
    for i in range(4):
        pixels, file_hw, here_hw = fields.load_image(i)
        assert pixels.shape[:2] == here_hw
        assert file_hw == fields.labels[i]["shape"]
        shapes.append(here_hw)
    # 64 px wide each, but for cells of 10 px, which are shown at their double.
    assert shapes[:3] == [(192, 288), (192, 288), (180, 240)]
    # Without red cells it has the size that Ultralytics gives it.
    assert max(shapes[3]) == IMAGE_PX


def test_ignore_regions_are_labels_of_a_class_of_their_own(fields: Any) -> None:
    from detector.training.pictures import IGNORED

    label = fields.labels[1]
    assert label["cls"].reshape(-1).tolist() == [RBC] * 6 + [IGNORED] * 2
    assert label["bboxes"][6:] == pytest.approx(np.array([[0.125, 0.125, 0.25, 0.25], [0.75, 0.75, 0.5, 0.5]]))
    assert all((one["cls"] != IGNORED).all() for i, one in enumerate(fields.labels) if i != 1)


def test_a_mosaic_of_fields_larger_than_itself_shows_cells_where_they_are_labelled(fields: Any) -> None:
    from ultralytics.data import augment

    from detector.training.pictures import IGNORED, MosaicPicture

    mosaic = augment.Mosaic(fields, imgsz=IMAGE_PX, p=1.0)
    MosaicPicture.take(mosaic)
    random.seed(3)
    for i in [0, 1, 2, 3] * 10:
        labels = mosaic(fields.get_image_and_label(i))
        picture, instances = labels["img"], labels["instances"]
        assert picture.shape == (2 * IMAGE_PX, 2 * IMAGE_PX, 3)
        instances.convert_bbox("xyxy")
        cell = labels["cls"].reshape(-1) != IGNORED
        expected = boxes.mask(instances.bboxes[cell], (2 * IMAGE_PX, 2 * IMAGE_PX))
        # What no field covers is grey, of 114; enlarging softens edges, so only wrong places wider than these are told.
        wrong = (picture[:, :, 0] < 100) != expected
        assert not cv2.erode(wrong.astype(np.uint8), np.ones((3, 3), np.uint8)).any()
        assert expected.mean() > 0.2


def picture(rbc_px: int, size_wh: tuple[int, int], region: Sequence[float] = ()) -> dict[str, Any]:
    """A picture full of red cells as Ultralytics hands it on, with an ignore region at its end if there is one."""
    from ultralytics.utils.instance import Instances

    from detector.training.pictures import IGNORED

    xyxy = (
        grid(rbc_px, int(size_wh[0] / rbc_px / 1.5), int(size_wh[1] / rbc_px / 1.5)) if rbc_px else np.zeros((0, 4), np.float32)
    )
    label = np.array([RBC] * len(xyxy) + [IGNORED] * bool(region), np.float32).reshape(-1, 1)
    everything = np.concatenate([xyxy, np.array(region, np.float32).reshape(-1, 4)])
    instances = Instances(everything, np.zeros((0, 1000, 2), np.float32), bbox_format="xyxy", normalized=False)
    return {"img": drawn(xyxy, size_wh), "cls": label, "instances": instances, "resized_shape": size_wh[::-1]}


def crop(smallest_px: float, largest_px: float, size_wh: tuple[int, int] = (300, 300)) -> Any:
    from detector.training.pictures import Crop

    return Crop(degrees=0.0, translate=0.1, scale=(smallest_px, largest_px), shear=0.0, perspective=0.0, size=size_wh)


@pytest.mark.parametrize("rbc_px", [12, 50, 90])
@pytest.mark.parametrize("normalised", [False, True])
def test_the_width_of_red_cells_in_a_picture(rbc_px: int, normalised: bool) -> None:
    from detector.training.pictures import rbc_px as width

    labels = picture(rbc_px, (600, 300), (0, 0, 600, 300))
    if normalised:
        labels["instances"].normalize(600, 300)
    assert width(labels) == pytest.approx(rbc_px)
    assert width(picture(0, (600, 300), (0, 0, 600, 300))) is None


@pytest.mark.slow
@pytest.mark.parametrize("rbc_px", [20, 60])
def test_a_crop_shows_red_cells_between_the_least_and_the_greatest_width(rbc_px: int, monkeypatch: pytest.MonkeyPatch) -> None:
    from detector.training import pictures

    monkeypatch.setattr(pictures, "draw_disturbance", lambda _: NOTHING)
    random.seed(2)
    one, widths = crop(20, 40), []
    for _ in range(60):
        labels = one(picture(rbc_px, (900, 900)))
        assert labels["img"].shape == (300, 300, 3)
        shown = labels["instances"]
        shown.convert_bbox("xyxy")
        widths.append(boxes.median(boxes.sides_clear_of_border(shown.bboxes, (300, 300))))
        expected = boxes.mask(shown.bboxes, (300, 300))
        assert (labels["img"][:, :, 0] < 130)[expected].mean() > 0.8
    assert 20 <= min(widths) < 24
    assert 34 < max(widths) <= 40
    assert np.median(widths) == pytest.approx(np.sqrt(20 * 40), rel=0.1)
    assert one.scale == (20, 40)


def test_a_picture_without_red_cells_is_made_a_little_smaller_or_larger() -> None:
    random.seed(2)
    factors = [crop(20, 40).get_params(picture(0, (300, 300)))["scale"] for _ in range(100)]
    assert 0.6 <= min(factors) < 0.7
    assert 1.3 < max(factors) <= 1.4


def test_cells_in_the_black_surround_are_not_labelled_and_regions_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    from detector.training import pictures
    from detector.training.pictures import IGNORED

    eyepiece = Disturbance((150.0, 150.0, 90.0), 0.1, None)
    monkeypatch.setattr(pictures, "draw_disturbance", lambda _: eyepiece)
    random.seed(2)
    labels = crop(20, 40)(picture(30, (900, 900), (0, 0, 900, 900)))
    assert not labels["img"][:40].any()
    shown, label = labels["instances"], labels["cls"].reshape(-1)
    shown.convert_bbox("xyxy")
    assert label.tolist().count(IGNORED) == 1
    assert shown.bboxes[label == IGNORED][0] == pytest.approx([0, 0, 300, 300])
    centres = boxes.centre(shown.bboxes[label == RBC])
    assert 5 < len(centres) < 60
    assert np.hypot(*(centres - 150).T).max() < 90


def test_ultralytics_crops_follow_the_rule_of_the_border() -> None:
    from ultralytics.data import augment as theirs
    from ultralytics.utils.instance import Instances

    from detector.training import pictures

    original = theirs.RandomPerspective
    # A shift of 40 px to the left leaves 30, 8 and 8 px of three cells 40 px wide, the last of them a platelet.
    xyxy = np.array([[30, 50, 70, 90], [8, 100, 48, 140], [8, 20, 48, 60], [100, 20, 140, 60]], dtype=np.float32)
    label = np.array([RBC, RBC, PLATELETS, RBC], dtype=np.float32).reshape(-1, 1)
    shift = np.array([[1, 0, -41], [0, 1, 0], [0, 0, 1.0]])
    params = {"M": shift, "scale": 1.0, "orig_shape": (160, 200), "size": (200, 160), "disturbance": NOTHING}
    with pictures.cut_like_the_border():
        crop = theirs.RandomPerspective()
        instances = Instances(xyxy.copy(), np.zeros((0, 1000, 2), np.float32), bbox_format="xyxy", normalized=False)
        labels = crop.apply_instances({"cls": label, "instances": instances}, params)
    assert theirs.RandomPerspective is original
    # Processes that load data on Windows and macOS are handed a copy.
    assert type(pickle.loads(pickle.dumps(crop))) is type(crop)
    assert labels["cls"].reshape(-1).tolist() == [RBC, PLATELETS, RBC]
    assert labels["instances"].bboxes[0] == pytest.approx([0, 50, 29, 90])
    height = labels["instances"].bboxes[1, 3] - labels["instances"].bboxes[1, 1]
    assert height == pytest.approx(2 * np.sqrt(20**2 - 13**2), abs=0.01)
