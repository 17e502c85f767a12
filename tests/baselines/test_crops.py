"""Cropped cells, their features, their classifiers, and the figures of these."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from detector.baselines import features
from detector.baselines.classifiers import CLASSIFIERS, NETWORKS, CropClassifier
from detector.baselines.crops import Crops, of_boxes, of_points
from detector.baselines.methods import LabelledField
from detector.baselines.scores import score
from detector.errors import AnnotationError, NothingToDoError, UsageError
from detector.vision.cells import CLASSES, RBC, WBC


@pytest.fixture(scope="module")
def train(train_fields: list[LabelledField]) -> Crops:
    return of_boxes(train_fields)


@pytest.fixture(scope="module")
def test(test_fields: list[LabelledField]) -> Crops:
    return of_boxes(test_fields)


def test_crops_are_those_of_the_labels(train: Crops, train_fields: list[LabelledField]) -> None:
    cells = np.concatenate([field.record.label for field in train_fields])
    assert len(train) > 0.9 * len(cells)
    assert train.numbers().keys() == set(CLASSES)
    assert set(train.fields) == {field.record.name for field in train_fields}


def test_at_most_so_many_of_each_class(train: Crops) -> None:
    drawn = train.at_most(4, seed=1)
    assert set(drawn.numbers().values()) == {4}
    assert np.array_equal(drawn.features(False), train.at_most(4, seed=1).features(False))


def test_an_outline_is_that_of_the_cell_in_the_middle() -> None:
    rgb = np.full((60, 60, 3), 225, np.uint8)
    cv2.circle(rgb, (30, 30), 15, (200, 150, 160), cv2.FILLED)
    cv2.circle(rgb, (30, 30), 5, (225, 225, 225), cv2.FILLED)
    cv2.circle(rgb, (57, 30), 5, (120, 60, 160), cv2.FILLED)
    cell = features.outline(rgb)
    assert cell.sum() == pytest.approx(np.pi * 15**2, rel=0.1)
    assert cell[30, 30]
    assert not cell[30, 57]


def test_features_are_what_their_names_say() -> None:
    rgb = np.full((64, 64, 3), 225, np.uint8)
    cv2.ellipse(rgb, (32, 32), (24, 12), 0, 0, 360, (200, 100, 100), cv2.FILLED)
    of_cell = dict(zip(features.NAMES, features.of_crop(rgb).tolist(), strict=True))
    assert of_cell["area"] == pytest.approx(np.pi * 24 * 12, rel=0.08)
    assert of_cell["long axis"] / of_cell["short axis"] == pytest.approx(2, rel=0.1)
    assert of_cell["mean of red"] > of_cell["mean of green"]
    assert of_cell["solidity"] > 0.9
    assert sum(value for name, value in of_cell.items() if name.startswith("pattern")) == pytest.approx(1)


@pytest.mark.parametrize("value", [0, 128, 255])
@pytest.mark.parametrize("side", [1, 3, 64])
def test_an_even_crop_has_finite_features(value: int, side: int) -> None:
    assert np.isfinite(features.table([np.full((side, side, 3), value, np.uint8)], enhanced=True)).all()


def test_preprocessing_raises_contrast_and_filters_noise() -> None:
    pattern = 120 + 10 * (np.indices((64, 64)) // 8).sum(axis=0) % 20
    rgb = np.repeat(pattern[:, :, None], 3, axis=2).astype(np.uint8)
    rgb[20, 20] = 255
    enhanced = features.enhance(rgb)
    assert enhanced.std() > 1.15 * pattern.std()
    assert enhanced[20, 20].max() < 200


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in CLASSIFIERS if name not in NETWORKS])
def test_classifiers_tell_rendered_cells_apart(name: str, train: Crops, test: Crops) -> None:
    first, second = CropClassifier(name, enhanced=False, seed=1), CropClassifier(name, enhanced=False, seed=1)
    first.fit(train)
    second.fit(train)
    label, probability = first.classify(test)
    scores = score(CLASSES, test.label, label, test.fields)
    assert scores.balanced is not None
    assert scores.balanced.value > 0.85
    assert probability.sum(axis=1) == pytest.approx(1)
    assert np.array_equal(probability.argmax(axis=1), label)
    assert np.array_equal(second.classify(test)[1], probability)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["random forest", "support vector machine"])
def test_a_class_without_crops_is_never_given(name: str, train: Crops, test: Crops) -> None:
    classifier = CropClassifier(name, enhanced=False)
    classifier.fit(train.subset(np.flatnonzero(train.label != WBC).tolist()))
    label, probability = classifier.classify(test)
    assert classifier.unlearnt == ("WBC",)
    assert WBC not in label
    assert (probability[:, WBC] == 0).all()


def test_one_class_only_is_refused(train: Crops) -> None:
    with pytest.raises(NothingToDoError, match=r"needs 5 crops of two classes or more, got \d+ RBC"):
        CropClassifier("decision tree", enhanced=False).fit(train.subset(np.flatnonzero(train.label == RBC).tolist()))


def test_no_crops_are_no_labels(train: Crops) -> None:
    classifier = CropClassifier("naive Bayes", enhanced=False)
    classifier.fit(train)
    label, probability = classifier.classify(train.subset([]))
    assert label.shape == (0,)
    assert probability.shape == (0, 3)


def test_scores_by_hand() -> None:
    truth, taken = np.array([0, 0, 0, 1, 1, 0]), np.array([0, 0, 1, 1, 0, 0])
    scores = score(("a", "b", "c"), truth, taken, ["f", "f", "g", "g", "h", "h"])
    assert scores.confusion == ((3, 1, 0), (1, 1, 0), (0, 0, 0))
    assert scores.accuracy is not None
    assert scores.accuracy.value == pytest.approx(4 / 6)
    assert scores.balanced is not None
    assert scores.balanced.value == pytest.approx((3 / 4 + 1 / 2) / 2)
    of_a, of_c = scores.by_class["a"], scores.by_class["c"]
    assert of_a.precision is not None
    assert of_a.precision.value == pytest.approx(3 / 4)
    assert of_a.f1 is not None
    assert of_a.f1.value == pytest.approx(3 / 4)
    assert (of_c.crops, of_c.precision, of_c.recall, of_c.f1) == (0, None, None, None)


def test_intervals_come_from_whole_fields() -> None:
    # In half of the fields all crops are right, in half all are wrong.
    truth = np.zeros(400, dtype=np.int64)
    taken = np.repeat(np.arange(10) % 2, 40)
    by_field = score(("a", "b"), truth, taken, np.repeat(np.arange(10), 40).astype(str).tolist()).accuracy
    by_crop = score(("a", "b"), truth, taken, np.arange(400).astype(str).tolist()).accuracy
    assert by_field is not None
    assert by_field.limits is not None
    assert by_crop is not None
    assert by_crop.limits is not None
    assert by_field.limits[1] - by_field.limits[0] > 3 * (by_crop.limits[1] - by_crop.limits[0])


@pytest.fixture
def chula(tmp_path: Path) -> Path:
    """Fields numbered as those of Chula RBC-12, each with points."""
    for folder in ("images", "points", "lists"):
        (tmp_path / folder).mkdir()
    for number, lines in {"1": "60 60 0\n100 70 12\n", "3": "60 60 0\n5 60 0\n80 80 10\nx y\n", "40": "70 70 3\n"}.items():
        cv2.imwrite(str(tmp_path / "images" / f"{number}.jpg"), np.full((160, 200, 3), 220, np.uint8))
        (tmp_path / "points" / f"{number}.txt").write_text(lines, encoding="utf-8")
    (tmp_path / "lists" / "train.txt").write_text("1\n3\n40\n", encoding="utf-8")
    (tmp_path / "lists" / "test.txt").write_text("41\n", encoding="utf-8")
    return tmp_path


def test_points_become_crops_of_smears(chula: Path) -> None:
    (chula / "lists" / "train.txt").write_text("1\n3\n", encoding="utf-8")
    (chula / "lists" / "test.txt").write_text("40\n", encoding="utf-8")
    shapes = of_points(chula, chula / "lists")
    held = [(shapes.train.classes[label], field) for label, field in zip(shapes.train.label, shapes.train.fields, strict=True)]
    assert held == [("normal", "1"), ("elliptocyte", "1"), ("normal", "3")]
    assert shapes.train.smears == ["1", "1", "1"]
    assert shapes.test.numbers()["spherocyte"] == 1
    assert [(field.source, field.reason.split(";")[0]) for field in shapes.unread] == [
        ("3", "line 4 of its points is not 'x y type'")
    ]


def test_points_that_are_of_no_use(chula: Path) -> None:
    with pytest.raises(AnnotationError, match=r"no labelled point of the test fields can be used; 3.*; 41: "):
        of_points(chula, chula / "lists")
    (chula / "lists" / "test.txt").write_text("40\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"40 stand in train.txt and in test.txt"):
        of_points(chula, chula / "lists")
    with pytest.raises(UsageError, match=r"give a folder with train\.txt and test\.txt"):
        of_points(chula, chula / "images")
    with pytest.raises(UsageError, match="has no folders 'images' and 'points'"):
        of_points(chula / "lists", chula / "lists")
