"""The fields of a training: one or several converted datasets, joined for Ultralytics in a data file of our own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from detector.annotations import dataset
from detector.arguments import called
from detector.configuration import read_yaml
from detector.errors import AnnotationError
from detector.vision import cells


@dataclass(frozen=True)
class Corpus:
    """Images of a training, and folders of those it is validated on."""

    train: tuple[str, ...]
    val: tuple[str, ...]

    def write(self, target: Path) -> Path:
        """Write the data file for Ultralytics, with the list of training images beside it.

        Only paths and our own class names are written: a stranger's data file may hold code that Ultralytics runs.
        """
        images = target.with_suffix(".train.txt")
        images.write_text("".join(f"{image}\n" for image in self.train), encoding="utf-8")
        content = {"train": str(images.resolve()), "val": list(self.val), "names": dict(enumerate(cells.CLASSES))}
        target.write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")
        return target


def join(data_files: Sequence[Path], platelets_times: int = 1) -> Corpus:
    """The fields of converted datasets; those of one that is named twice are sampled twice in training.

    Args:
        platelets_times: how often fields with labelled platelets, which are few, are sampled for each time of the others.

    Raises:
        AnnotationError: a dataset that was not converted by us, or without training or validation images.
    """
    for data_file in data_files:
        _check(data_file)
    fields = [image for file in data_files for image in sorted(_images(file, "train").iterdir()) if image.is_file()]
    train = [image for image in fields for _ in range(platelets_times if _has_platelets(image) else 1)]
    val = dict.fromkeys(str(_images(file, "val")) for file in data_files)
    return Corpus(tuple(map(str, train)), tuple(val))


def _check(data_file: Path) -> None:
    dataset.require(data_file)
    names = read_yaml(data_file).get("names")
    classes = [str(names[key]) for key in sorted(names)] if isinstance(names, dict) else names
    if not isinstance(classes, list) or tuple(classes) != cells.CLASSES:
        raise AnnotationError(
            f"{data_file}: its classes are {classes}, not {list(cells.CLASSES)}; convert the dataset with {called('convert')} first"
        )
    if not dataset.is_ours(data_file.parent):
        # Ultralytics rewrites damaged images where it finds them, which must never be a user's own folder.
        raise AnnotationError(f"{data_file}: was not made by {called('convert')}; convert the dataset first")


def _images(data_file: Path, split: str) -> Path:
    folder = (data_file.parent / "images" / split).resolve()
    if not folder.is_dir() or not any(folder.iterdir()):
        raise AnnotationError(f"{data_file}: has no {split} images; convert again with a split that gives it some")
    return folder


def _has_platelets(image: Path) -> bool:
    labels = image.parents[2] / "labels" / image.parent.name / f"{image.stem}.txt"
    return any(line.startswith(f"{cells.PLATELETS} ") for line in labels.read_text(encoding="utf-8").splitlines())
