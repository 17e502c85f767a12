"""Any supported label set, read: with its images for conversion, or its boxes alone as the truth to measure against."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from detector.annotations import repair
from detector.annotations.labels import Item, Labels, Source
from detector.annotations.layouts import read_cbc, read_coco, read_images, read_voc, read_yolo
from detector.annotations.records import Record
from detector.errors import AnnotationError, ImageError, UnknownClassError
from detector.vision import images
from detector.vision.cells import CLASSES

_LAYOUTS = (read_voc, read_cbc, read_yolo, read_coco)
_EXPECTED = (
    "expected Annotations/*.xml with JPEGImages (Pascal VOC), Training|Validation|Testing/{Images,Annotations} (CBC), "
    "images and labels with classes.txt or data.yaml (YOLO), or a COCO .json file"
)


def load(path: Path) -> Source:
    """Read a label set in any supported layout; what is wrong with single files is kept in their items.

    Raises:
        AnnotationError: the path is absent or of no supported layout.
    """
    if not path.exists():
        raise AnnotationError(f"{path}: no such file or folder")
    if path.is_file() and path.suffix.lower() != ".json":
        raise AnnotationError(f"{path}: not a label set; {_EXPECTED}")
    found = _recognised(path)
    if found is None:
        nested = [child for child in sorted(path.iterdir()) if child.is_dir() and _is_label_set(child)] if path.is_dir() else []
        hint = f"; try {nested[0]}, which is one" if nested else ""
        raise AnnotationError(f"{path}: holds no label set: {_EXPECTED}{hint}")
    return found


def load_images(path: Path) -> Source:
    """Read a label set, or failing that a folder of bare images.

    Raises:
        AnnotationError: the path is absent or holds no image.
    """
    found = (_recognised(path) or read_images(path)) if path.exists() else None
    if found is None or not any(item.image for item in found.items):
        raise AnnotationError(f"{path}: no such folder, or no images in it")
    return found


@dataclass(frozen=True)
class Truth:
    """The labelled fields of a set, and what of it could not be used."""

    records: Mapping[str, Record]
    """By image name without extension; fields that share a name are keyed by their path below the image or label folder
    instead (`train/name`)."""
    broken: Sequence[str]
    """Label files that cannot be understood, each with its reason; their fields have no record."""
    unknown: Mapping[str, int]
    """Boxes of classes that are none of ours, by their name; they are in no record."""


def load_truth(path: Path) -> Truth:
    """Boxes by field, mended as conversion mends them; the images themselves may be elsewhere or nowhere.

    The size of a field is its image's, or what the label file states. Where neither is known, boxes stay as the file has them:
    fractions of an image of size (1, 1), or pixels of one that just holds them.

    Raises:
        AnnotationError: no label set. UnknownClassError: no box has a known class name.
    """
    source = load(path)
    labelled = [item for item in source.items if item.label_file is not None]
    sound = [(item, item.labels) for item in labelled if item.labels is not None]
    require_known_names(path, [labels for _, labels in sound])
    shared = Counter(item.name for item in labelled)
    keys = [item.name if shared[item.name] == 1 else item.key for item, _ in sound]
    records = {key: _record(key, item, labels) for key, (item, labels) in zip(keys, sound, strict=True)}
    broken = [f"{source.relative(item.label_file or item.place)}: {item.problem}" for item in labelled if item.labels is None]
    unknown = Counter(name for _, labels in sound for name in labels.names if not repair.known(name))
    return Truth(records, broken, dict(sorted(unknown.items())))


def require_known_names(root: Path, labels: Iterable[Labels]) -> None:
    """Refuse a label set of which not one class name is known.

    Raises:
        UnknownClassError: there are boxes and all have unknown names.
    """
    names = {name for found in labels for name in found.names}
    if names and not any(repair.known(name) for name in names):
        listing = ", ".join(repr(name) for name in sorted(names)[:8])
        raise UnknownClassError(
            f"{root}: no box has a known class name; found {listing}; known: {', '.join(CLASSES)}, or an alias such as PLT"
        )


def _recognised(path: Path) -> Source | None:
    if path.is_file():
        return read_coco(path)
    return next((found for layout in _LAYOUTS if (found := layout(path)) is not None), None)


def _is_label_set(folder: Path) -> bool:
    try:
        return _recognised(folder) is not None
    except AnnotationError:
        return False


def _record(key: str, item: Item, labels: Labels) -> Record:
    size_wh = _size_of(item) or labels.declared_wh
    mended = repair.mend(labels, size_wh or _extent(labels), smallest_px=repair.SMALLEST_PX if size_wh else 0.0)
    split = item.splits[0] if item.splits else None
    return replace(mended.record(key, item.image), split=split)


def _size_of(item: Item) -> tuple[int, int] | None:
    try:
        return images.size_of(item.image) if item.image is not None else None
    except ImageError:
        return None


def _extent(labels: Labels) -> tuple[int, int]:
    """Size of the smallest image that holds the boxes."""
    if labels.normalised or not len(labels.xyxy):
        return 1, 1
    w, h = np.ceil(labels.xyxy.reshape(-1, 2).max(axis=0)).astype(int).tolist()
    return max(w, 1), max(h, 1)
