"""Datasets joined for a training."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from detector.errors import AnnotationError
from detector.training import corpus


def _dataset(folder: Path, names: object = None, splits: tuple[str, ...] = ("train", "val")) -> Path:
    for split in splits:
        for kind in ("images", "labels"):
            (folder / kind / split).mkdir(parents=True)
        (folder / "images" / split / f"{folder.name}_{split}.jpg").write_bytes(b"x")
        (folder / "labels" / split / f"{folder.name}_{split}.txt").write_text("0 0.5 0.5 0.2 0.2\n", encoding="utf-8")
    content = {**{split: f"images/{split}" for split in ("train", "val")}, "names": names or {0: "RBC", 1: "WBC", 2: "Platelets"}}
    (folder / "audit.json").write_text('{"format": "smearcount-audit"}', encoding="utf-8")
    (folder / "data.yaml").write_text(yaml.safe_dump({**content, "download": "print('run')"}), encoding="utf-8")
    return folder / "data.yaml"


def test_a_dataset_named_twice_is_sampled_twice_and_validated_once(tmp_path: Path) -> None:
    a, b = _dataset(tmp_path / "a"), _dataset(tmp_path / "b")
    joined = yaml.safe_load(corpus.join([a, b, b]).write(tmp_path / "joined.yaml").read_text(encoding="utf-8"))
    listed = [Path(line).name for line in Path(joined["train"]).read_text(encoding="utf-8").splitlines()]
    assert listed == ["a_train.jpg", "b_train.jpg", "b_train.jpg"]
    assert [Path(folder).parts[-3] for folder in joined["val"]] == ["a", "b"]
    assert joined["names"] == {0: "RBC", 1: "WBC", 2: "Platelets"}


def test_fields_with_platelets_are_seen_more_often(tmp_path: Path) -> None:
    a, b = _dataset(tmp_path / "a"), _dataset(tmp_path / "b")
    (tmp_path / "b" / "labels" / "train" / "b_train.txt").write_text("0 0.5 0.5 0.2 0.2\n2 0.1 0.1 0.05 0.05\n", encoding="utf-8")
    names = [Path(image).name for image in corpus.join([a, b], platelets_times=3).train]
    assert names == ["a_train.jpg", "b_train.jpg", "b_train.jpg", "b_train.jpg"]


def test_nothing_that_could_run_is_handed_on(tmp_path: Path) -> None:
    joined = corpus.join([_dataset(tmp_path / "a")]).write(tmp_path / "joined.yaml")
    assert set(yaml.safe_load(joined.read_text(encoding="utf-8"))) == {"train", "val", "names"}


def test_a_folder_that_conversion_did_not_make_is_refused(tmp_path: Path) -> None:
    data = _dataset(tmp_path / "a")
    (tmp_path / "a" / "audit.json").unlink()
    with pytest.raises(AnnotationError, match="was not made by"):
        corpus.join([data])


@pytest.mark.parametrize(
    ("names", "splits", "message"),
    [
        (["WBC", "RBC", "Platelets"], ("train", "val"), "its classes are"),
        ({0: "cell"}, ("train", "val"), "its classes are"),
        (None, ("train",), "has no val images"),
        (None, ("val",), "has no train images"),
    ],
)
def test_what_cannot_be_trained_on_is_refused(tmp_path: Path, names: object, splits: tuple[str, ...], message: str) -> None:
    with pytest.raises(AnnotationError, match=message):
        corpus.join([_dataset(tmp_path / "a", names, splits)])
