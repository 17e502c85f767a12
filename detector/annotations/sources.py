"""Any supported label set, read: with its images for conversion, or its boxes alone as the truth to measure against."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from detector import texts
from detector.annotations import conventions, duplicates, repair
from detector.annotations.labels import Labels, LabelSource, SourceField, boxes
from detector.annotations.layouts import (
    read_cbc,
    read_coco,
    read_cvat,
    read_file,
    read_imagej,
    read_images,
    read_qupath,
    read_voc,
    read_yolo,
)
from detector.annotations.records import Record
from detector.errors import AnnotationError, ImageError, UnknownClassError
from detector.vision import images
from detector.vision.cells import CLASSES

_LAYOUTS = (read_voc, read_cbc, read_yolo, read_cvat, read_qupath, read_imagej, read_coco)
_FILES = (".json", ".xml", ".geojson", ".zip")
"""Endings of label sets that are one file."""
_EXPECTED = (
    "expected Annotations/*.xml with JPEGImages (Pascal VOC), Training|Validation|Testing/{Images,Annotations} (CBC), "
    "images and labels with classes.txt or data.yaml (YOLO), a COCO .json file, or what CVAT (.xml), Label Studio (.json), "
    "QuPath (.geojson) or ImageJ (.zip) wrote"
)


def load(path: Path) -> LabelSource:
    """Read a label set in any supported layout; what is wrong with single files is kept in their items.

    Raises:
        AnnotationError: the path is absent or of no supported layout.
    """
    if not texts.is_there(path):
        raise AnnotationError(f"{path}: no such file or folder")
    if path.is_file() and path.suffix.lower() not in _FILES:
        raise AnnotationError(f"{path}: not a label set; {_EXPECTED}")
    source = _recognised(path)
    if source is None:
        nested = [child for child in sorted(path.iterdir()) if child.is_dir() and _is_label_set(child)] if path.is_dir() else []
        hint = f"; try {nested[0]}, which is one" if nested else ""
        raise AnnotationError(f"{path}: holds no label set: {_EXPECTED}{hint}")
    return source


def load_images(path: Path) -> LabelSource:
    """Read a label set, or failing that a folder of bare images.

    Raises:
        AnnotationError: the path is absent or holds no image.
    """
    source = (_recognised(path) or read_images(path)) if texts.is_there(path) else None
    if source is None or not any(item.image for item in source.items):
        raise AnnotationError(f"{path}: no such folder, or no images in it")
    return source


@dataclass(frozen=True)
class TrueFields:
    """The labelled fields of a set, and what of it could not be used."""

    records: Mapping[str, Record]
    """By image name without extension; fields that share a name are keyed by their path below the image or label folder
    instead (`train/name`)."""
    broken: Sequence[str]
    """Label files that cannot be understood, each with its reason; their fields have no record."""
    unknown: Mapping[str, int]
    """Boxes of classes that are none of ours, by their name; they are in no record."""
    remarks: Sequence[str] = ()
    """What was converted, and what was left out and why, a line each."""


def load_truth(path: Path) -> TrueFields:
    """Boxes by field, mended as conversion mends them; the images themselves may be elsewhere or nowhere.

    The size of a field is its image's, or what the label file states. Where neither is known, boxes stay as the file has them:
    fractions of an image of size (1, 1), or pixels of one that just holds them.

    Raises:
        AnnotationError: no label set. UnknownClassError: no box has a known class name.
    """
    source = load(path)
    labelled = [item for item in source.items if item.label_file is not None]
    headers = [_header_of(item) for item in labelled]
    items, conversions = settle(path, source, labelled, headers)
    broken = [f"{source.place_of_labels(item)}: {item.problem}" for item in items if item.labels is None]
    conventions.refuse_mostly_broken(path, broken, len(items))
    sound = [(item, item.labels, header) for item, header in zip(items, headers, strict=True) if item.labels is not None]
    require_known_names(path, [labels for _, labels, _ in sound])
    mended = [_mended(labels, header) for _, labels, header in sound]
    places = [source.place_of_labels(item) for item, _, _ in sound]
    conventions.refuse_mostly_changed(path, zip(places, [labels for _, labels, _ in sound], mended, strict=True))
    keys = _keys(path, source, [item for item, _, _ in sound], Counter(item.name for item in labelled))
    records = {key: _record(key, item, boxes) for key, (item, _, _), boxes in zip(keys, sound, mended, strict=True)}
    unknown = Counter(name for _, labels, _ in sound for name in labels.names if not repair.is_known(name))
    remarks = [*(f"{place}: {remark}" for place, remark in (*source.remarks, *conversions)), *_left_out(keys, mended)]
    return TrueFields(records, broken, dict(sorted(unknown.items())), remarks)


def settle(
    root: Path, source: LabelSource, items: Sequence[SourceField], shots: Sequence[images.Header | duplicates.Look | None]
) -> tuple[list[SourceField], list[tuple[str, str]]]:
    """The items with labels that mean their displayed pictures, judged over all of them as `conventions.settle` does.

    An item whose labels cannot be used has a `problem` in their place.

    Args:
        shots: what is known of the picture of each item, or None.

    Returns:
        The items in their order, and remarks on what was converted or taken for granted, each with the label file's place.

    Raises:
        AnnotationError: the boxes of the set are not what its files should hold.
    """
    fields = []
    at = [i for i, item in enumerate(items) if item.labels is not None]
    for i in at:
        field = conventions.JudgedField(source.place_of_labels(items[i]), items[i].labels or Labels((), boxes([])))
        shot = shots[i]
        if shot is not None:
            grey = shot.grey if isinstance(shot, duplicates.Look) else None
            field = replace(field, size_wh=shot.size_wh, orientation=shot.orientation, grey=grey)
        fields.append(field)
    settled, remarks = list(items), []
    for i, field, outcome in zip(at, fields, conventions.settle(root, fields), strict=True):
        if outcome.problem:
            settled[i] = replace(items[i], labels=None, problem=outcome.problem)
        else:
            settled[i] = replace(items[i], labels=outcome.labels)
        if outcome.remark:
            remarks.append((field.place, outcome.remark))
    return settled, remarks


def _keys(root: Path, source: LabelSource, items: Sequence[SourceField], named: Mapping[str, int]) -> list[str]:
    """The key of each field: its name, or its path where fields share the name.

    Raises:
        AnnotationError: two label files are of one field.
    """
    keys: dict[str, SourceField] = {}
    for item in items:
        key = item.name if named[item.name] == 1 else item.key
        if key in keys:
            first, second = map(source.place_of_labels, (keys[key], item))
            raise AnnotationError(f"{root}: the field {key} has labels in two places, {first} and {second}; give one of them")
        keys[key] = item
    return list(keys)


def _left_out(keys: Sequence[str], mended: Sequence[repair.Mended]) -> Iterator[str]:
    """A line for each reason why boxes of cells were dropped."""
    of_reason: dict[str, list[str]] = {}
    for key, boxes_of in zip(keys, mended, strict=True):
        for change in boxes_of.changes:
            if change.action == repair.DROPPED and change.reason != repair.UNKNOWN:
                of_reason.setdefault(change.reason, []).append(key)
    for reason, fields in of_reason.items():
        yield f"{len(fields)} box{'es' * (len(fields) > 1)} left out: {reason}, first in {fields[0]}"


def require_known_names(root: Path, labels: Iterable[Labels]) -> None:
    """Refuse a label set of which not one class name is known.

    Raises:
        UnknownClassError: there are boxes and all have unknown names.
    """
    names = {name for field_labels in labels for name in field_labels.names}
    if names and not any(repair.is_known(name) for name in names):
        listing = ", ".join(repr(name) for name in sorted(names)[:8])
        raise UnknownClassError(
            f"{root}: no box has a known class name; found {listing}; known: {', '.join(CLASSES)}, or an alias such as PLT"
        )


def _recognised(path: Path) -> LabelSource | None:
    if path.is_file():
        return read_file(path)
    return next((source for layout in _LAYOUTS if (source := layout(path)) is not None), None)


def _is_label_set(folder: Path) -> bool:
    try:
        return _recognised(folder) is not None
    except AnnotationError:
        return False


def _mended(labels: Labels, header: images.Header | None) -> repair.Mended:
    size_wh = header.size_wh if header else labels.declared_wh
    return repair.mend(labels, size_wh or _extent(labels), smallest_px=repair.SMALLEST_PX if size_wh else 0.0)


def _record(key: str, item: SourceField, mended: repair.Mended) -> Record:
    return replace(mended.record(key, item.image), split=item.splits[0] if item.splits else None)


def _header_of(item: SourceField) -> images.Header | None:
    try:
        return images.header_of(item.image) if item.image is not None else None
    except ImageError:
        return None


def _extent(labels: Labels) -> tuple[int, int]:
    """Size of the smallest image that holds the boxes."""
    if labels.normalised or not len(labels.xyxy):
        return 1, 1
    w, h = np.ceil(labels.xyxy.reshape(-1, 2).max(axis=0)).astype(int).tolist()
    return max(w, 1), max(h, 1)
