"""A label set becomes a dataset folder; its faults are told; the source stays as it was."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
import yaml
from PIL import Image

from detector.annotations import dataset, splits
from detector.annotations.conversion import Conversion, convert
from detector.errors import AnnotationError, NothingToDoError, OutputError, UnknownClassError, UsageError
from detector.vision import images


def tree(root: Path) -> dict[str, str]:
    """Content of every file below a folder."""
    files = (path for path in root.rglob("*") if path.is_file())
    return {path.relative_to(root).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


@pytest.fixture
def bccd(make: Any, tmp_path: Path) -> Path:
    fields = dict.fromkeys(("a", "b", "c", "d e", "fä"), make.CELLS)
    lists = {"train": ["a", "d e", "f\u00e4"], "val": ["b"], "test": ["c"]}
    return make.voc(tmp_path / "bccd", fields, lists)


def test_official_splits_and_what_is_written(bccd: Path, tmp_path: Path) -> None:
    audit = convert(Conversion(bccd, tmp_path / "out"))
    assert {split: t.images for split, t in audit.splits.items()} == {"train": 3, "val": 1, "test": 1}
    assert audit.splits["train"].boxes == {"RBC": 3, "WBC": 3, "Platelets": 3}
    assert audit.failed == audit.left_out == audit.boxes == audit.twins == ()
    document = yaml.safe_load((tmp_path / "out" / "data.yaml").read_text(encoding="utf-8"))
    assert document == {
        "train": "images/train",
        "val": "images/val",
        "test": "images/test",
        "names": {0: "RBC", 1: "WBC", 2: "Platelets"},
    }
    copy = tmp_path / "out" / "images" / "train" / "d e.jpg"
    assert copy.read_bytes() == (bccd / "JPEGImages" / "d e.jpg").read_bytes()
    assert not copy.is_symlink()
    assert copy.stat().st_nlink == 1


def test_deep_images_become_eight_bits_as_counting_sees_them(make: Any, bccd: Path, tmp_path: Path) -> None:
    source = bccd / "JPEGImages" / "b.jpg"
    rgb = images.read(source)
    twelve_bits = np.round(rgb.astype(np.float64) * 4095 / 255).astype(np.uint16)
    twelve_bits[0, 0] = 4095
    source.unlink()
    cv2.imwrite(str(source.with_suffix(".png")), twelve_bits[:, :, ::-1])
    convert(Conversion(bccd, tmp_path / "out"))
    copy = tmp_path / "out" / "images" / "val" / "b.png"
    stored = cv2.imread(str(copy), cv2.IMREAD_UNCHANGED)
    assert stored.dtype == np.uint8
    assert np.abs(stored[1:, 1:, ::-1].astype(int) - rgb[1:, 1:]).max() <= 1


def test_what_training_would_read_otherwise_is_copied_as_counting_sees_it(make: Any, bccd: Path, tmp_path: Path) -> None:
    folder = bccd / "JPEGImages"
    rgb = images.read(folder / "b.jpg")
    jfif = (folder / "a.jpg").read_bytes()
    (folder / "a.jpg").rename(folder / "a.jfif")
    (folder / "b.jpg").unlink()
    tifffile.imwrite(folder / "b.tif", rgb.transpose(2, 0, 1), imagej=True, metadata={"axes": "CYX", "mode": "composite"})
    convert(Conversion(bccd, tmp_path / "out"))
    assert (tmp_path / "out" / "images" / "train" / "a.jpg").read_bytes() == jfif
    stored = cv2.imread(str(tmp_path / "out" / "images" / "val" / "b.png"))
    assert np.array_equal(stored[:, :, ::-1], rgb)


def test_reading_the_dataset_gives_the_boxes_back(make: Any, bccd: Path, tmp_path: Path) -> None:
    convert(Conversion(bccd, tmp_path / "out"))
    records = dataset.read(tmp_path / "out" / "data.yaml", "train")
    assert [record.name for record in records] == ["a", "d e", "f\u00e4"]
    for record in records:
        assert record.split == "train"
        assert record.label.tolist() == [0, 1, 2]
        assert abs(record.xyxy - [corners for _, *corners in make.CELLS]).max() < 0.01
    with pytest.raises(AnnotationError, match="known: train, val, test"):
        dataset.read(tmp_path / "out" / "data.yaml", "trainval")
    with pytest.raises(AnnotationError, match="no such file"):
        dataset.read(tmp_path / "data.yaml", "train")


def test_the_source_is_never_written_to(bccd: Path, tmp_path: Path) -> None:
    before = tree(bccd)
    folders = [bccd, *(path for path in bccd.rglob("*") if path.is_dir())]
    for path in [*folders, *(p for p in bccd.rglob("*") if p.is_file())]:
        path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        convert(Conversion(bccd, tmp_path / "out", against=(bccd,)))
        assert tree(bccd) == before
        # Training rewrites damaged JPEGs, so the copies must be writable although the originals are not.
        with (tmp_path / "out" / "images" / "val" / "b.jpg").open("ab") as copy:
            copy.write(b"x")
        assert tree(bccd) == before
    finally:
        for path in folders:
            path.chmod(0o755)


def test_files_that_cannot_be_used_are_listed_and_the_rest_is_converted(make: Any, bccd: Path, tmp_path: Path) -> None:
    images, annotations = bccd / "JPEGImages", bccd / "Annotations"
    (annotations / "a.xml").write_text("<annotation><object>", encoding="utf-8")
    (images / "b.jpg").write_bytes(b"")
    (images / "c.jpg").write_bytes((images / "c.jpg").read_bytes()[:700])
    (images / "d e.jpg").unlink()
    make.save(images / "unlabelled.jpg", make.picture(50))
    audit = convert(Conversion(bccd, tmp_path / "out", plan=splits.plan("0.5/0.25/0.25")))
    assert sum(t.images for t in audit.splits.values()) == 1
    failed = {note.file: note.reason for note in audit.failed}
    assert sorted(failed) == ["Annotations/a.xml", "Annotations/d e.xml", "JPEGImages/b.jpg", "JPEGImages/c.jpg"]
    assert "not readable as XML" in failed["Annotations/a.xml"]
    assert failed["Annotations/d e.xml"] == "there is no image for d e"
    assert "empty" in failed["JPEGImages/b.jpg"]
    assert "truncated or damaged" in failed["JPEGImages/c.jpg"]
    assert [(note.file, note.reason) for note in audit.left_out] == [("JPEGImages/unlabelled.jpg", "has no label file")]


def test_mended_boxes_and_empty_fields_are_told_by_file(make: Any, tmp_path: Path) -> None:
    fields = {
        "a": [("RBC", 30, 28, 4, 6), ("RBC", 90, 50, 120, 60), ("Platelets", 5, 5, 5, 5), ("smudge", 1, 1, 9, 9)],
        "b": [("WBC", 10, 10, 40, 40), ("WBC", 10, 10, 40, 40), ("WBC", 200, 10, 240, 40)],
    }
    audit = convert(Conversion(make.voc(tmp_path / "in", fields, {"train": ["a"], "val": ["b"]}), tmp_path / "out"))
    assert [(note.field, note.action, note.reason) for note in audit.boxes] == [
        ("a", "repaired", "corners were inverted"),
        ("a", "repaired", "reached outside the image and was clipped"),
        ("a", "dropped", "one pixel wide or high"),
        ("a", "dropped", "unknown class name"),
        ("b", "dropped", "outside the image"),
        ("b", "dropped", "the same box twice"),
    ]
    assert audit.splits["val"].without_rbc == ("b",)
    text = (tmp_path / "out" / "audit.md").read_text(encoding="utf-8")
    assert "- `a` (train): smudge [1, 1, 9, 9] unknown class name" in text
    document = json.loads((tmp_path / "out" / "audit.json").read_text(encoding="utf-8"))
    assert (document["format"], document["version"]) == ("smearcount-audit", 1)
    assert document["splits"]["train"]["boxes"] == {"RBC": 2, "WBC": 0, "Platelets": 0}


def test_a_rotated_image_has_its_displayed_size(make: Any, tmp_path: Path) -> None:
    root = make.voc(tmp_path / "in", {"a": [("RBC", 10, 60, 40, 90)]})
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(make.picture(3)).save(root / "JPEGImages" / "a.jpg", exif=exif)
    audit = convert(Conversion(root, tmp_path / "out", plan=splits.plan("1/0/0")))
    assert [(note.field, note.declared_wh, note.actual_wh) for note in audit.sizes] == [("a", (96, 64), (64, 96))]
    (record,) = dataset.read(tmp_path / "out" / "data.yaml", "train")
    assert record.size_wh == (64, 96)
    assert abs(record.xyxy - [[10, 60, 40, 90]]).max() < 0.01


def test_labels_of_another_set_replace_those_of_the_same_name(make: Any, bccd: Path, tmp_path: Path) -> None:
    other = make.yolo(tmp_path / "complete", {"a": [*make.CELLS, ("RBC", 50, 54, 70, 63)], "z": ()})
    shutil.rmtree(other / "images")
    audit = convert(Conversion(bccd, tmp_path / "mixed", labels=other))
    assert audit.splits["train"].boxes["RBC"] == 4
    assert [(note.file, note.reason) for note in audit.remarks] == [("z", "has replacement labels but is not in the source")]
    audit = convert(Conversion(bccd, tmp_path / "only", labels=other, only_relabelled=True))
    assert {split: t.images for split, t in audit.splits.items()} == {"train": 1, "val": 0, "test": 0}
    assert len(audit.left_out) == 4
    assert dataset.read(tmp_path / "only" / "data.yaml", "val") == []


def test_lists_find_fields_in_whatever_split_they_were(make: Any, tmp_path: Path) -> None:
    source = make.yolo(tmp_path / "in", {"train/a": make.CELLS, "val/b": make.CELLS, "val/c": make.CELLS})
    lists = tmp_path / "lists"
    lists.mkdir()
    (lists / "train.txt").write_text("b\n", encoding="utf-8")
    (lists / "test.txt").write_text("a\nghost\n", encoding="utf-8")
    audit = convert(Conversion(source, tmp_path / "out", plan=splits.plan(str(lists))))
    assert {split: t.images for split, t in audit.splits.items()} == {"train": 1, "val": 0, "test": 1}
    assert [(note.file, note.reason) for note in audit.left_out] == [("images/val/c.png", "is in no split list")]
    assert [note.file for note in audit.remarks] == ["ghost"]


def test_a_copy_in_another_split_is_kept_and_told(make: Any, tmp_path: Path) -> None:
    for folder, names in (("Training", ["a", "b"]), ("Validation", ["a"])):
        make.voc(tmp_path / "cbc" / folder, dict.fromkeys(names, make.CELLS))
    audit = convert(Conversion(tmp_path / "cbc", tmp_path / "out"))
    assert {split: t.images for split, t in audit.splits.items()} == {"train": 2, "val": 1, "test": 0}
    assert [(t.first, t.first_split, t.second, t.second_split, t.identical) for t in audit.twins] == [
        ("a", "train", "a", "val", True)
    ]
    drawn = convert(Conversion(tmp_path / "cbc", tmp_path / "drawn", plan=splits.plan("1/0/0")))
    assert drawn.splits["train"].images == 2
    assert [note.reason for note in drawn.left_out] == ["is a copy of another image of its name in train"]


def test_different_images_of_one_name_get_names_of_their_own(make: Any, tmp_path: Path) -> None:
    source = make.yolo(tmp_path / "in", {"train/a": make.CELLS, "val/a": make.CELLS[:1]})
    audit = convert(Conversion(source, tmp_path / "out", plan=splits.plan("1/0/0")))
    counts = {record.name: len(record.xyxy) for record in dataset.read(tmp_path / "out" / "data.yaml", "train")}
    assert counts == {"a": 3, "a-2": 1}
    assert "written as a-2" in audit.remarks[0].reason


def test_drawn_splits_keep_moved_fields_together_and_repeat(make: Any, tmp_path: Path) -> None:
    source = make.yolo(tmp_path / "in", {f"f{i:02}": make.CELLS for i in range(20)})
    wide = make.picture(77, (128, 64))
    for i, name in enumerate(("f03", "f11")):
        make.save(source / "images" / f"{name}.png", np.ascontiguousarray(wide[:, 10 * i : 96 + 10 * i]))
    plan = splits.plan("0.6/0.2/0.2")
    first = convert(Conversion(source, tmp_path / "one", plan=plan, seed=4))
    convert(Conversion(source, tmp_path / "two", plan=plan, seed=4))
    assert tree(tmp_path / "one" / "images") == tree(tmp_path / "two" / "images")
    assert [(t.first, t.second, t.leaks) for t in first.twins] == [("f03", "f11", False)]
    assert {split: t.images for split, t in first.splits.items()} == {"train": 12, "val": 4, "test": 4}


def test_fields_that_another_dataset_has_too(make: Any, bccd: Path, tmp_path: Path) -> None:
    other = make.yolo(tmp_path / "other", {"train/x": (), "val/y": ()})
    shutil.copyfile(bccd / "JPEGImages" / "c.jpg", other / "images" / "val" / "copy.jpg")
    again = cv2.GaussianBlur(cv2.imread(str(bccd / "JPEGImages" / "a.jpg")), (0, 0), 1)
    for path in (other / "images" / "train" / "x.png", other / "images" / "val" / "y.png"):
        make.save(path, make.picture(900 + len(path.name)))
    make.save(other / "images" / "train" / "again.png", again)
    (comparison,) = convert(Conversion(bccd, tmp_path / "out", against=(other,))).against
    pairs = {(t.first, t.first_split, t.second, t.second_split, t.identical) for t in comparison.twins}
    assert pairs == {("c", "test", "copy", "val", True), ("a", "train", "again", "train", False)}


def test_an_earlier_conversion_is_replaced_and_nothing_else(make: Any, bccd: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    convert(Conversion(bccd, out))
    (out / "labels" / "train.cache").write_text("of a training run", encoding="utf-8")
    convert(Conversion(bccd, out))
    assert not (out / "labels" / "train.cache").exists()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years", encoding="utf-8")
    with pytest.raises(OutputError, match="not an earlier conversion"):
        convert(Conversion(bccd, tmp_path / "mine"))
    assert (tmp_path / "mine" / "thesis.txt").read_text(encoding="utf-8") == "years"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bccd", "mine", "out"]


def test_a_crash_leaves_the_earlier_conversion_whole(bccd: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    convert(Conversion(bccd, out))
    before = tree(out)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    with pytest.raises(OutputError, match="No space left on device"):
        convert(Conversion(bccd, out))
    assert tree(out) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bccd", "out"]


@pytest.mark.parametrize("out", [".", "bccd", "bccd/inside", "bccd/JPEGImages"])
def test_the_output_never_lies_in_or_around_the_source(bccd: Path, tmp_path: Path, out: str) -> None:
    before = tree(bccd)
    with pytest.raises((UsageError, OutputError)):
        convert(Conversion(bccd, tmp_path / out))
    assert tree(bccd) == before


def test_nothing_to_convert(make: Any, tmp_path: Path) -> None:
    root = make.voc(tmp_path / "in", {"a": make.CELLS})
    (root / "JPEGImages" / "a.jpg").write_bytes(b"text")
    with pytest.raises(NothingToDoError, match=r"JPEGImages/a\.jpg"):
        convert(Conversion(root, tmp_path / "out"))
    with pytest.raises(UsageError, match="has no splits of its own"):
        convert(Conversion(root, tmp_path / "out", plan=splits.plan("official")))
    with pytest.raises(UsageError, match="needs --labels"):
        convert(Conversion(root, tmp_path / "out", only_relabelled=True))
    unknown = make.voc(tmp_path / "unknown", {"a": [("cat", 1, 1, 20, 20)]})
    with pytest.raises(UnknownClassError, match="known: RBC, WBC, Platelets"):
        convert(Conversion(unknown, tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_names_in_the_audit_are_shown_as_they_are(make: Any, tmp_path: Path) -> None:
    name = "<img src=x> `tick` | bar"
    convert(Conversion(make.voc(tmp_path / "in", {name: ()}, {"train": [name]}), tmp_path / "out"))
    assert "`<img src=x> 'tick' | bar`" in (tmp_path / "out" / "audit.md").read_text(encoding="utf-8")


@pytest.fixture
def bare(make: Any, tmp_path: Path) -> Conversion:
    """Three images without labels, and a COCO file with cells and ignore regions for two of them."""
    for seed, name in enumerate("abc"):
        make.save(tmp_path / "bare" / f"{name}.png", make.picture(seed))
    fields = {
        "a.png": [*make.CELLS, ("ignore", 60, 40, 120, 60)],
        "b.png": [("ignore", 0, 0, 20, 20), ("ignore", 30, 30, 60, 60)],
    }
    (tmp_path / "ours.json").write_text(make.coco_json(fields), encoding="utf-8")
    return Conversion(tmp_path / "bare", tmp_path / "out", splits.plan("1/0/0"), labels=tmp_path / "ours.json")


def test_labels_over_bare_images_with_their_ignore_regions(bare: Conversion) -> None:
    audit = convert(bare)
    assert (audit.splits["train"].images, audit.splits["train"].ignore) == (2, 3)
    assert audit.splits["train"].boxes == {"RBC": 1, "WBC": 1, "Platelets": 1}
    assert audit.splits["val"].ignore == 0
    assert [(note.file, note.reason) for note in audit.left_out] == [("c.png", "has no label file")]
    assert [(note.field, note.name, note.reason) for note in audit.boxes] == [
        ("a", "ignore", "reached outside the image and was clipped")
    ]
    a, b = dataset.read(bare.out / "data.yaml", "train")
    assert a.ignore == pytest.approx(np.array([[60, 40, 96, 60]]), abs=0.01)
    assert (len(b.ignore), len(b.label)) == (2, 0)
    assert json.loads((bare.out / "audit.json").read_text(encoding="utf-8"))["splits"]["train"]["ignore"] == 3
    assert "| train | 2 | 1 | 1 | 1 | 3 | 1 |" in (bare.out / "audit.md").read_text(encoding="utf-8")


def test_bare_images_alone_are_no_label_set(bare: Conversion) -> None:
    with pytest.raises(AnnotationError):
        convert(dataclasses.replace(bare, labels=None))


@pytest.mark.slow
def test_real_bccd_with_complete_labels(real: Callable[[str], Path], tmp_path: Path) -> None:
    request = Conversion(real("bccd"), tmp_path / "out", labels=real("bccd_complete"), only_relabelled=True)
    audit = convert(request)
    assert sum(t.images for t in audit.splits.values()) == 170
    assert sum(t.boxes["RBC"] for t in audit.splits.values()) > 3500
    assert audit.failed == ()
