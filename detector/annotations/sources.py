"""Any supported label set, read: with its images for conversion, or its boxes alone as the truth to measure against."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from detector.annotations import pictures, repair
from detector.annotations.labels import Item, Labels, Source
from detector.annotations.layouts import read_cbc, read_coco, read_images, read_voc, read_yolo
from detector.annotations.records import Record
from detector.errors import AnnotationError, ImageError, UnknownClassError
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


def load_truth(path: Path, sizes: Mapping[str, tuple[int, int]] | None = None) -> dict[str, Record]:
    """Boxes by field name, mended as conversion mends them; the images themselves may be elsewhere or nowhere.

    A field's key is its image name without extension; fields that share a name are keyed by their path below the image or
    label folder instead (`train/name`). The image size is, in this order, what `sizes` gives for that key, the image file's, what
    the label file states. Where none is known the size is (1, 1) and the boxes are fractions of the image.

    Raises:
        AnnotationError: no label set, a label file that cannot be understood, or boxes in pixels with no size known.
        UnknownClassError: no box has a known class name.
    """
    source = load(path)
    labelled = [item for item in source.items if item.label_file is not None]
    broken = next((item for item in labelled if item.labels is None), None)
    if broken is not None:
        raise AnnotationError(f"{source.relative(broken.place)}: {broken.problem}")
    require_known_names(path, [item.labels for item in labelled if item.labels is not None])
    shared = Counter(item.name for item in labelled)
    keys = [item.name if shared[item.name] == 1 else item.key for item in labelled]
    return {key: _record(key, item, sizes or {}) for key, item in zip(keys, labelled, strict=True)}


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


def _record(key: str, item: Item, sizes: Mapping[str, tuple[int, int]]) -> Record:
    if item.labels is None:
        raise AnnotationError(f"{item.place}: has no labels")
    size_wh = sizes.get(key) or _size_of(item)
    if size_wh is None and not item.labels.normalised:
        raise AnnotationError(f"{item.place}: boxes are in pixels and the image size is unknown; put the images beside them")
    mended = repair.mend(item.labels, size_wh or (1, 1), smallest_px=repair.SMALLEST_PX if size_wh else 0.0)
    split = item.splits[0] if item.splits else None
    return replace(mended.record(key, item.image), split=split)


def _size_of(item: Item) -> tuple[int, int] | None:
    if item.image is not None:
        try:
            return pictures.size_of(item.image)
        except ImageError as error:
            raise AnnotationError(f"{item.image}: {error}") from None
    return item.labels.declared_wh if item.labels else None
