"""Every layout is recognised, its classes matched by name, and bad files told apart from good ones."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from detector.annotations import sources
from detector.errors import AnnotationError, UnknownClassError

BOXES = [[4, 6, 30, 28], [40, 10, 78, 52], [10, 40, 16, 47]]


def test_bccd_layout_with_lists_and_wrong_file_names(make: Any, tmp_path: Path) -> None:
    root = make.voc(tmp_path, {"a": make.CELLS, "b": ()}, {"train": ["a", "ghost"], "test": ["b"]})
    source = sources.load(root)
    assert source.layout == "voc"
    assert [(item.name, item.splits) for item in source.items] == [("a", ("train",)), ("b", ("test",))]
    assert source.missing == ("ghost",)


def test_cbc_layout(make: Any, tmp_path: Path) -> None:
    for folder in ("Training", "Validation", "Testing"):
        make.voc(tmp_path / folder, {"a": make.CELLS})
        (tmp_path / folder / "JPEGImages").rename(tmp_path / folder / "Images")
    source = sources.load(tmp_path)
    assert source.layout == "cbc"
    assert [(item.key, item.splits) for item in source.items] == [
        ("Testing/a", ("test",)),
        ("Training/a", ("train",)),
        ("Validation/a", ("val",)),
    ]


@pytest.mark.parametrize("name", ["a", "train/a", "valid/a b", "test/\u00e4.1"])
def test_yolo_layout_by_name_of_class(make: Any, tmp_path: Path, name: str) -> None:
    records = sources.load_truth(make.yolo(tmp_path, {name: make.CELLS})).records
    record = records[name.rsplit("/", 1)[-1]]
    assert record.label.tolist() == [0, 1, 2]
    assert abs(record.xyxy - BOXES).max() < 1e-3
    assert record.size_wh == (96, 64)
    assert record.split == {"train": "train", "valid": "val", "test": "test"}.get(name.split("/")[0])


def test_yolo_folders_by_split(make: Any, tmp_path: Path) -> None:
    for split in ("train", "valid"):
        make.yolo(tmp_path / split, {f"{split}_a": make.CELLS})
    (tmp_path / "data.yaml").write_text("names: {0: WBC, 1: RBC, 2: Platelet}\n", encoding="utf-8")
    records = sources.load_truth(tmp_path).records
    assert {name: record.split for name, record in records.items()} == {"train_a": "train", "valid_a": "val"}


def test_coco_file_with_ids_of_its_own(make: Any, tmp_path: Path) -> None:
    make.save(tmp_path / "images" / "a.png", make.picture(1))
    (tmp_path / "truth.json").write_text(make.coco_json({"a.png": make.CELLS}), encoding="utf-8")
    source = sources.load(tmp_path / "truth.json")
    assert source.items[0].image == tmp_path / "images" / "a.png"
    record = sources.load_truth(tmp_path / "truth.json").records["a"]
    assert record.label.tolist() == [0, 1, 2]
    assert record.xyxy.tolist() == BOXES


def test_coco_folder_takes_its_splits_from_file_names(make: Any, tmp_path: Path) -> None:
    (tmp_path / "annotations").mkdir()
    for split, name in (("train2017", "a.png"), ("val2017", "b.png")):
        make.save(tmp_path / split / name, make.picture(len(name)))
        text = make.coco_json({name: make.CELLS})
        (tmp_path / "annotations" / f"instances_{split}.json").write_text(text, encoding="utf-8")
    source = sources.load(tmp_path)
    assert [(item.name, item.splits, item.image is not None) for item in source.items] == [
        ("a", ("train",), True),
        ("b", ("val",), True),
    ]


def test_coco_never_reaches_out_of_its_folder(make: Any, tmp_path: Path) -> None:
    make.save(tmp_path / "secret.png", make.picture(1))
    inner = tmp_path / "set"
    inner.mkdir()
    (inner / "truth.json").write_text(make.coco_json({"../secret.png": make.CELLS}), encoding="utf-8")
    assert sources.load(inner).items[0].image is None


def test_truth_without_images_takes_sizes_as_given_or_stays_in_fractions(make: Any, tmp_path: Path) -> None:
    make.yolo(tmp_path, {"a": make.CELLS, "b": make.CELLS})
    for path in (tmp_path / "images").iterdir():
        path.unlink()
    records = sources.load_truth(tmp_path).records
    assert records["b"].size_wh == (1, 1)
    assert records["b"].xyxy[0].tolist() == pytest.approx([4 / 96, 6 / 64, 30 / 96, 28 / 64], abs=1e-6)


def test_truth_of_fields_that_share_a_name_is_keyed_by_path(make: Any, tmp_path: Path) -> None:
    make.yolo(tmp_path, {"train/a": make.CELLS, "val/a": make.CELLS[:1], "val/b": ()})
    counts = {key: len(record.xyxy) for key, record in sources.load_truth(tmp_path).records.items()}
    assert counts == {"train/a": 3, "val/a": 1, "b": 0}


def test_voc_truth_without_images_uses_the_stated_size(make: Any, tmp_path: Path) -> None:
    (tmp_path / "Annotations").mkdir()
    (tmp_path / "Annotations" / "a.xml").write_text(make.voc_xml(make.CELLS), encoding="utf-8")
    assert sources.load_truth(tmp_path).records["a"].size_wh == (96, 64)
    (tmp_path / "Annotations" / "b.xml").write_text(make.voc_xml(make.CELLS, size_wh=None), encoding="utf-8")
    assert sources.load_truth(tmp_path).records["b"].xyxy.tolist() == BOXES


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "not readable as XML"),
        ("<annotation><object>", "not readable as XML"),
        ("<html></html>", "root is <html>, expected <annotation>"),
        ("<annotation><object><name>RBC</name></object></annotation>", "an <object> has no <bndbox>"),
        (
            "<annotation><object><name>RBC</name><bndbox><xmin>x</xmin></bndbox></object></annotation>",
            "<xmin> is 'x', expected a number",
        ),
        (
            "<annotation><object><name>RBC</name><bndbox><xmin>nan</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox></object>"
            "</annotation>",
            "not a finite number",
        ),
        ('<!DOCTYPE a [<!ENTITY b "c">]><annotation>&b;</annotation>', "EntitiesForbidden"),
        ('<?xml version="1.0" encoding="no-such"?><annotation/>', "not readable as XML"),
    ],
)
def test_a_bad_xml_is_a_problem_of_its_field(make: Any, tmp_path: Path, text: str, reason: str) -> None:
    make.voc(tmp_path, {"good": make.CELLS})
    (tmp_path / "Annotations" / "bad.xml").write_text(text, encoding="utf-8")
    bad, good = sorted(sources.load(tmp_path).items, key=lambda item: item.name)
    assert reason in str(bad.problem)
    assert good.problem is None
    truth = sources.load_truth(tmp_path)
    assert list(truth.records) == ["good"]
    assert [line.split(":")[0] for line in truth.broken] == ["Annotations/bad.xml"]
    assert reason in truth.broken[0]


def test_boxes_of_other_classes_are_told_and_not_counted(make: Any, tmp_path: Path) -> None:
    make.voc(tmp_path, {"a": [("RBC", 1, 1, 20, 20), ("Lymphocyte", 30, 30, 60, 60), ("Lymphocyte", 5, 30, 20, 60)]})
    truth = sources.load_truth(tmp_path)
    assert truth.records["a"].label.tolist() == [0]
    assert truth.unknown == {"Lymphocyte": 2}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("0 0.5 0.5 0.1", "line 1"),
        ("0 0.5 0.5 0.1 0.1 0.9", "line 1"),
        ("RBC 0.5 0.5 0.1 0.1", "line 1"),
        ("0 0.5 0.5 inf 0.1", "not a finite number"),
        ("inf 0.5 0.5 0.1 0.1", "line 1"),
    ],
)
def test_a_bad_yolo_line_is_a_problem_of_its_field(make: Any, tmp_path: Path, line: str, reason: str) -> None:
    make.yolo(tmp_path, {"a": ()})
    (tmp_path / "labels" / "a.txt").write_text(line, encoding="utf-8")
    assert reason in str(sources.load(tmp_path).items[0].problem)


@pytest.mark.parametrize("document", [[], {}, {"images": [{"id": 1}]}, {"images": [], "annotations": [{"image_id": 3}]}, "text"])
def test_json_that_is_no_coco_is_refused(tmp_path: Path, document: object) -> None:
    (tmp_path / "a.json").write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(AnnotationError, match=r"a\.json: .*(COCO detection file|image_id 3)"):
        sources.load(tmp_path / "a.json")


def test_numbers_beyond_the_names_are_unknown_classes(make: Any, tmp_path: Path) -> None:
    make.yolo(tmp_path, {"a": make.CELLS})
    (tmp_path / "labels" / "a.txt").write_text("7 0.5 0.5 0.5 0.5\n1.5 0.5 0.5 0.5 0.5\n", encoding="utf-8")
    labels = sources.load(tmp_path).items[0].labels
    assert labels is not None
    assert labels.names == ("class 7", "class 1.5")


def test_a_set_without_one_known_class_lists_those_there_are(make: Any, tmp_path: Path) -> None:
    make.voc(tmp_path, {"a": [("cat", 1, 1, 20, 20), ("dog", 1, 1, 20, 20)]})
    with pytest.raises(UnknownClassError, match="found 'cat', 'dog'; known: RBC, WBC, Platelets"):
        sources.load_truth(tmp_path)


def test_label_numbers_without_names_are_refused(make: Any, tmp_path: Path) -> None:
    make.yolo(tmp_path, {"a": make.CELLS})
    (tmp_path / "classes.txt").unlink()
    with pytest.raises(AnnotationError, match=r"neither classes\.txt nor data\.yaml"):
        sources.load(tmp_path)


@pytest.mark.parametrize("text", ["names: 3\n", "names: []\n", "- RBC\n", "names: [RBC\n", "names: {a: RBC}\n"])
def test_a_data_yaml_without_names_is_refused(make: Any, tmp_path: Path, text: str) -> None:
    make.yolo(tmp_path, {"a": make.CELLS})
    (tmp_path / "data.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(AnnotationError, match=r"data\.yaml: "):
        sources.load(tmp_path)


def test_places_that_hold_no_label_set(make: Any, tmp_path: Path) -> None:
    (tmp_path / "note.txt").write_text("hello", encoding="utf-8")
    for path, reason in [
        (tmp_path / "nowhere", "no such file or folder"),
        (tmp_path / "note.txt", "not a label set"),
        (tmp_path, "holds no label set"),
    ]:
        with pytest.raises(AnnotationError, match=reason):
            sources.load(path)
    make.voc(tmp_path / "BCCD", {"a": make.CELLS})
    with pytest.raises(AnnotationError, match=r"try .*BCCD, which is one"):
        sources.load(tmp_path)


def test_real_txl_classes_by_name(real: Callable[[str], Path]) -> None:
    source = sources.load(real("txl_pbc"))
    assert source.layout == "yolo"
    assert len(source.items) == 900
    names = [name for item in source.items if item.labels for name in item.labels.names]
    # Red cells are the second class of that set, and by far the most frequent.
    assert names.count("RBC") > 10 * names.count("WBC") > 0


@pytest.mark.parametrize(("first", "refused"), [(0, False), (1, True)])
def test_class_numbers_that_begin_at_1_are_refused_and_not_taken_for_others(
    make: Any, tmp_path: Path, first: int, refused: bool
) -> None:
    make.yolo(tmp_path, {"a": make.CELLS})
    rows = "".join(f"{first + k} 0.{k + 2} 0.5 0.1 0.1\n" for k in range(3))
    (tmp_path / "labels" / "a.txt").write_text(rows, encoding="utf-8")
    if refused:
        with pytest.raises(AnnotationError, match="use the class numbers 1 to 3, and names are given for 0 to 2; YOLO counts"):
            sources.load(tmp_path)
    else:
        assert len(sources.load(tmp_path).items) == 1


@pytest.mark.parametrize(("step", "said"), [(-1, "6 to 8"), (1, "8 to 10")])
def test_category_ids_one_off_those_with_names_are_refused(make: Any, tmp_path: Path, step: int, said: str) -> None:
    document = json.loads(make.coco_json({"a.png": make.CELLS}))
    for annotation in document["annotations"]:
        annotation["category_id"] += step
    (tmp_path / "a.json").write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(AnnotationError, match=f"use the category ids {said}, and categories have the ids 7 to 9; give each"):
        sources.load(tmp_path)


@pytest.mark.parametrize(
    ("other", "refused"),
    [("WBC\nRBC\nPlatelets\n", True), ("dog\nperson\n", True), ("red blood cell\nwbc\nPLT\nother\n", False)],
)
def test_two_files_that_name_a_class_otherwise_are_refused(make: Any, tmp_path: Path, other: str, refused: bool) -> None:
    make.yolo(tmp_path, {"a": make.CELLS})
    (tmp_path / "data.yaml").write_text("names: [RBC, WBC, Platelets]\n", encoding="utf-8")
    (tmp_path / "classes.txt").unlink()
    (tmp_path / "labels" / "classes.txt").write_text(other, encoding="utf-8")
    if refused:
        with pytest.raises(AnnotationError, match=r"data\.yaml and .*classes\.txt: class 0 is 'RBC' in the one and"):
            sources.load(tmp_path)
    else:
        assert sources.load(tmp_path).items[0].labels is not None
