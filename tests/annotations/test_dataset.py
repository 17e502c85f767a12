"""A dataset folder that is not as conversion left it: what is of no use is listed, and the rest is read."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from detector.annotations import dataset
from detector.annotations.records import Record
from detector.errors import AnnotationError, UnknownClassError


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Fields `a` to `d` in the test split with a red cell each, and one to train on."""
    made = []
    for name, split in [("a", "test"), ("b", "test"), ("c", "test"), ("d", "test"), ("t", "train")]:
        path = tmp_path / f"{name}.png"
        cv2.imwrite(str(path), np.full((60, 80, 3), 200, np.uint8))
        made.append(Record(name, path, (80, 60), np.array([[10, 10, 30, 30]], np.float32), np.zeros(1, np.int64), split))
    dataset.write(tmp_path / "set", made)
    return tmp_path / "set" / "data.yaml"


def path(data: Path, kind: str, name: str) -> Path:
    return data.parent / kind / "test" / name


def test_a_sound_folder_is_read_whole(data: Path) -> None:
    loaded = dataset.load(data, "test")
    assert [r.name for r in loaded.records] == ["a", "b", "c", "d"]
    assert loaded.unusable == []
    assert loaded.splits == {"train": 1, "test": 4}
    assert dataset.load(data, "val").records == []
    with pytest.raises(AnnotationError, match="known: train, val, test"):
        dataset.load(data, "exam")


def test_what_is_of_no_use_is_listed_and_the_rest_is_read(data: Path) -> None:
    path(data, "labels", "a.txt").unlink()
    path(data, "images", "b.png").unlink()
    path(data, "images", "c.png").write_bytes(b"no image")
    loaded = dataset.load(data, "test")
    assert [r.name for r in loaded.records] == ["d"]
    assert [(u.source, u.reason) for u in loaded.unusable] == [
        ("a", "has no label file; a field without cells has an empty one"),
        ("b", "has labels and no image"),
        ("c", "is not an image"),
    ]
    with pytest.raises(AnnotationError, match=r"a\.png: has no label file"):
        dataset.read(data, "test")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("0 0.5 0.5 0.1", "line 1 is '0 0.5 0.5 0.1', expected 'class cx cy width height'"),
        ("0 0.5 0.5 0.1 nan", "not a finite number"),
        ("7 0.5 0.5 0.1 0.1", "unknown class: class 7; known: RBC, WBC, Platelets"),
        ("0.5 0.5 0.5 0.1 0.1", "unknown class: class 0.5"),
    ],
)
def test_labels_that_say_nothing_cost_their_field_alone(data: Path, text: str, reason: str) -> None:
    path(data, "labels", "b.txt").write_text(text, encoding="utf-8")
    loaded = dataset.load(data, "test")
    assert [r.name for r in loaded.records] == ["a", "c", "d"]
    (unusable,) = loaded.unusable
    assert unusable.source == "b"
    assert reason in unusable.reason
    with pytest.raises(AnnotationError, match=r"b\.png"):
        dataset.read(data, "test")


def test_an_empty_label_file_is_a_field_without_cells(data: Path) -> None:
    path(data, "labels", "a.txt").write_text("", encoding="utf-8")
    loaded = dataset.load(data, "test")
    assert len(loaded.records[0].label) == 0
    assert loaded.unusable == []


def test_labels_go_by_name_and_not_by_number(data: Path) -> None:
    names = {"names": ["platelet", "leukocyte", "erythrocyte"]}
    data.write_text(yaml.safe_dump(names), encoding="utf-8")
    assert dataset.load(data, "test").records[0].label.tolist() == [2]


def test_names_of_other_things_are_refused_with_the_known_ones(data: Path) -> None:
    data.write_text(yaml.safe_dump({"names": ["car", "bus"]}), encoding="utf-8")
    for read in (dataset.load, dataset.read):
        with pytest.raises(UnknownClassError, match=r"data\.yaml: no box has a known class name; found 'car'; known: RBC"):
            read(data, "test")
    data.write_text("names: [RBC, WBC", encoding="utf-8")
    with pytest.raises(AnnotationError, match="not readable as YAML"):
        dataset.load(data, "test")


def test_a_folder_without_labels_is_no_dataset(data: Path) -> None:
    for file in (data.parent / "labels").rglob("*.txt"):
        file.unlink()
    with pytest.raises(AnnotationError, match="no label files"):
        dataset.load(data, "test")
