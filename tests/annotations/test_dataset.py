"""A dataset folder: what is of no use is listed, the rest is read, and names tell which fields are of one stain and camera."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from detector.annotations import dataset
from detector.annotations.conversion import Conversion, convert
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


REGIONS = np.array([[0, 0, 12.5, 60], [40, 20, 80, 60]], np.float32)


@pytest.fixture
def with_regions(tmp_path: Path) -> Path:
    """A field `a` with a red cell and two ignore regions, `b` with a region and no cell, and `c` with neither."""
    made = []
    for name, label, regions in (("a", [0], REGIONS), ("b", [], REGIONS[1:]), ("c", [], REGIONS[:0])):
        path = tmp_path / f"{name}.png"
        cv2.imwrite(str(path), np.full((60, 80, 3), 200, np.uint8))
        xyxy = np.array([[10, 10, 30, 30]] * len(label), np.float32).reshape(-1, 4)
        made.append(Record(name, path, (80, 60), xyxy, np.array(label, np.int64), "val", regions))
    dataset.write(tmp_path / "set", made)
    return tmp_path / "set" / "data.yaml"


def test_ignore_regions_come_back_as_they_were_written(with_regions: Path) -> None:
    folder = with_regions.parent
    assert sorted(path.relative_to(folder).as_posix() for path in (folder / "ignore").rglob("*.txt")) == [
        "ignore/val/a.txt",
        "ignore/val/b.txt",
    ]
    # What others read of the folder knows nothing of them.
    assert (folder / "labels" / "val" / "a.txt").read_text(encoding="utf-8") == "0 0.25000000 0.33333333 0.25000000 0.33333333\n"
    assert yaml.safe_load(with_regions.read_text(encoding="utf-8"))["names"] == {0: "RBC", 1: "WBC", 2: "Platelets"}
    a, b, c = dataset.read(with_regions, "val")
    assert a.ignore == pytest.approx(REGIONS)
    assert b.ignore == pytest.approx(REGIONS[1:])
    assert c.ignore.shape == (0, 4)
    assert [one.label.tolist() for one in (a, b, c)] == [[0], [], []]


def test_a_broken_file_of_regions_costs_its_field_alone(with_regions: Path) -> None:
    dataset.ignore_file(with_regions.parent / "images" / "val" / "b.png").write_text("0 0.5 0.5", encoding="utf-8")
    loaded = dataset.load(with_regions, "val")
    assert [one.name for one in loaded.records] == ["a", "c"]
    assert [(one.source, one.reason) for one in loaded.unusable] == [
        ("b", "line 1 is '0 0.5 0.5', expected 'class cx cy width height'")
    ]


def test_a_dataset_folder_that_is_converted_again_keeps_its_regions(with_regions: Path, tmp_path: Path) -> None:
    audit = convert(Conversion(with_regions.parent, tmp_path / "again"))
    assert audit.splits["val"].ignore == 3
    again = dataset.read(tmp_path / "again" / "data.yaml", "val")
    assert [len(one.ignore) for one in again] == [2, 1, 0]
    assert again[0].ignore == pytest.approx(REGIONS)


PBC, RAABIN = [f"pbc_{i}" for i in range(50)], [f"raabin_{i}" for i in range(50)]


def _domains(names: list[str], called: str = "mine") -> dict[str, int]:
    of = dataset.domains_by_name(names, called)
    return dict(Counter(map(of, names)))


def test_each_of_a_few_prefixes_is_a_domain() -> None:
    assert _domains([*PBC, *RAABIN], "txl_pbc") == {"txl_pbc/pbc": 50, "txl_pbc/raabin": 50}


@pytest.mark.parametrize(
    "names",
    [
        [f"BloodImage_{i:05}" for i in range(20)],
        [*PBC, *PBC, "raabin_1"],  # too few of one
        [*PBC, *RAABIN, "test"],  # one without a prefix
        [f"{slide}_{i}" for slide in (101, 102) for i in range(9)],  # mere numbers
        [f"slide{k}_{i}" for k in range(dataset.MOST_DOMAINS + 1) for i in range(9)],
        ["a_", "b_"],
        ["field"],
        [],
    ],
)
def test_otherwise_the_dataset_is_one_domain(names: list[str]) -> None:
    assert set(_domains(names)) <= {"mine"}


def test_a_prefix_may_be_as_rare_as_the_rule_says() -> None:
    names = [f"a_{i}" for i in range(95)] + [f"b_{i}" for i in range(5)]
    assert _domains(names) == {"mine/a": 95, "mine/b": 5}
    assert _domains([*names, "a_95"]) == {"mine": 101}


def test_a_stranger_is_of_the_dataset() -> None:
    assert dataset.domains_by_name([*PBC, *RAABIN], "mine")("bccd_1") == "mine"


def _written(folder: Path, names: list[tuple[str, str]]) -> Path:
    image = folder.parent / "image.png"
    image.write_bytes(b"not looked into")
    box = (np.array([[1, 1, 5, 5]], np.float32), np.array([0]))
    dataset.write(folder, [Record(name, image, (9, 9), *box, split) for name, split in names])
    return folder / "data.yaml"


def test_the_prefixes_of_all_splits_count(tmp_path: Path) -> None:
    data = _written(tmp_path / "mine", [("a_1", "train"), ("a_2", "train"), ("b_1", "test"), ("a_3", "val")])
    assert dataset.names(data) == ["a_1", "a_2", "a_3", "b_1"]
    of = dataset.domains(data)
    assert [of(name) for name in ("a_3", "b_1")] == ["mine/a", "mine/b"]
    assert dataset.domains(data, "mine (2)")("a_3") == "mine (2)/a"
    with pytest.raises(AnnotationError, match="no such file"):
        dataset.domains(tmp_path / "none.yaml")
