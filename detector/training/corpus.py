"""The fields of a training: one or several converted datasets, joined for Ultralytics in a data file of our own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import yaml

from detector.configuration import read_yaml
from detector.errors import AnnotationError
from detector.vision import cells


def join(data_files: Sequence[Path], target: Path) -> Path:
    """Write a data file that joins converted datasets; one that is named twice is sampled twice in training.

    Only paths and our own class names are written: a stranger's data file may hold code that Ultralytics runs.

    Raises:
        AnnotationError: a dataset without training or validation images, or with other classes than ours.
    """
    train: list[str] = []
    val: list[str] = []
    for data_file in data_files:
        _check_classes(data_file)
        train.append(str(_images(data_file, "train")))
        images = str(_images(data_file, "val"))
        if images not in val:
            val.append(images)
    lists = target.with_suffix(".train.txt")
    lists.write_text("".join(f"{image}\n" for image in _listed(train)), encoding="utf-8")
    content = {"train": str(lists.resolve()), "val": val, "names": dict(enumerate(cells.CLASSES))}
    target.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")
    return target


def _check_classes(data_file: Path) -> None:
    names = read_yaml(data_file).get("names")
    found = [str(names[key]) for key in sorted(names)] if isinstance(names, dict) else names
    if not isinstance(found, list) or tuple(found) != cells.CLASSES:
        raise AnnotationError(
            f"{data_file}: its classes are {found}, not {list(cells.CLASSES)}; convert the dataset with python -m detector.convert first"
        )


def _images(data_file: Path, split: str) -> Path:
    content = read_yaml(data_file)
    folder = (data_file.parent / str(content.get(split, ""))).resolve()
    if split not in content or not folder.is_dir() or not any(folder.iterdir()):
        raise AnnotationError(f"{data_file}: has no {split} images; convert again with a split that gives it some")
    return folder


def _listed(folders: Sequence[str]) -> list[str]:
    return [str(image) for folder in folders for image in sorted(Path(folder).iterdir()) if image.is_file()]
