"""Which fields of a split are evaluated, and what is said of the others."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from detector.accuracy import labelled
from detector.annotations import dataset
from detector.annotations.records import Record
from detector.errors import ConfigError, NothingToDoError


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Fields `a` to `d` to test on, `d` without labels, and `t` to train on."""
    made = []
    for name in "abcdt":
        cv2.imwrite(str(tmp_path / f"{name}.png"), np.full((60, 80, 3), 200, np.uint8))
        cell = np.array([[10, 10, 30, 30]], np.float32), np.zeros(1, np.int64)
        made.append(Record(name, tmp_path / f"{name}.png", (80, 60), *cell, "train" if name == "t" else "test"))
    dataset.write(tmp_path / "set", made)
    (tmp_path / "set" / "labels" / "test" / "d.txt").unlink()
    return tmp_path / "set" / "data.yaml"


def names(tmp_path: Path, *listed: str) -> Path:
    (tmp_path / "names.txt").write_text("\n".join(listed), encoding="utf-8")
    return tmp_path / "names.txt"


def test_all_fields_of_use(data: Path) -> None:
    made = labelled.load(data, "test")
    assert [record.name for record in made.records] == ["a", "b", "c"]
    assert [field.source for field in made.unusable] == ["d"]
    assert (made.left_out, made.absent) == (0, [])


def test_what_is_left_out_is_not_asked_for(data: Path, tmp_path: Path) -> None:
    """Nor is anything said of its faults."""
    made = labelled.load(data, "test", names(tmp_path, "a", " d ", "", "nowhere"))
    assert [record.name for record in made.records] == ["b", "c"]
    assert made.unusable == []
    assert (made.left_out, made.absent) == (2, ["nowhere"])


def test_nothing_left(data: Path, tmp_path: Path) -> None:
    with pytest.raises(NothingToDoError, match=r"'val' has no fields to evaluate \(of images train has 1, test has 4\)$"):
        labelled.load(data, "val")
    with pytest.raises(NothingToDoError, match="d: has no label file"):
        labelled.load(data, "test", names(tmp_path, "a", "b", "c"))
    with pytest.raises(ConfigError, match=r"none\.txt: cannot be read as a list of names"):
        labelled.load(data, "test", tmp_path / "none.txt")


def test_other_labels_are_those_of_all_splits(data: Path) -> None:
    assert sorted(record.name for record in labelled.every(data)) == ["a", "b", "c", "t"]
