"""The folder layouts in which blood-cell label sets are handed around, each turned into a `Source`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from detector.annotations import coco, voc, yolo
from detector.annotations.labels import SPLITS, Item, Labels, Source, is_image, name_of, split_named
from detector.errors import AnnotationError
from detector.vision.cells import IGNORE

Reader = Callable[[Path], Labels]


def read_voc(root: Path) -> Source | None:
    """BCCD's layout: `Annotations/*.xml`, `JPEGImages`, and split lists in `ImageSets/Main`, or None."""
    annotations = _child(root, "annotations")
    if annotations is None or not any(annotations.glob("*.xml")):
        return None
    images = _child(root, "jpegimages") or _child(root, "images")
    items = _joined(_files(images, is_image), _files(annotations, _is_xml), voc.read)
    lists = split_lists(root / "ImageSets" / "Main")
    known = {item.name for item in items}
    missing = tuple(sorted({name for names in lists.values() for name in names} - known))
    listed = {name: tuple(split for split in SPLITS if name in lists.get(split, frozenset())) for name in known}
    return Source(root, "voc", tuple(_with_splits(item, listed[item.name]) for item in items), missing)


def read_cbc(root: Path) -> Source | None:
    """The CBC layout: `Training|Validation|Testing/{Images,Annotations}`, or None."""
    items: list[Item] = []
    for folder in _folders(root):
        split, annotations = split_named(folder.name), _child(folder, "annotations")
        if split is None or annotations is None or not any(annotations.glob("*.xml")):
            continue
        images = _child(folder, "images") or _child(folder, "jpegimages")
        found = _joined(_files(images, is_image), _files(annotations, _is_xml), voc.read, prefix=f"{folder.name}/")
        items += [_with_splits(item, (split,)) for item in found]
    return Source(root, "cbc", tuple(items)) if items else None


def read_yolo(root: Path) -> Source | None:
    """Folders named `images` and `labels`, in the root or in a folder a split, with or without split folders in them.

    Raises:
        AnnotationError: there are label files and nothing says what their class numbers mean.
    """
    images = {key: path for folder, prefix in _named(root, "images") for key, path in _files(folder, is_image, prefix).items()}
    texts = {key: path for folder, prefix in _named(root, "labels") for key, path in _files(folder, _is_label, prefix).items()}
    names = yolo.class_names(root)
    if not texts:
        return None
    if names is None:
        raise AnnotationError(
            f"{root}: holds YOLO label files and neither classes.txt nor data.yaml; "
            "write the class names, one a line, in the order of their numbers, into classes.txt beside 'labels'"
        )
    items = _joined(images, texts, lambda path: _with_regions(yolo.read(path, names), path, root))
    return Source(root, "yolo", tuple(_with_splits(item, _split_of_key(item.key)) for item in items))


def _with_regions(labels: Labels, label_file: Path, root: Path) -> Labels:
    """Labels of a field with its ignore regions, which have a folder of their own beside `labels`."""
    folder = root / "labels"
    regions = root / IGNORE / label_file.relative_to(folder) if label_file.is_relative_to(folder) else None
    if regions is None or not regions.is_file():
        return labels
    found = yolo.read(regions, [IGNORE])
    return replace(labels, names=labels.names + found.names, xyxy=np.concatenate([labels.xyxy, found.xyxy]))


def read_coco(root: Path) -> Source | None:
    """A COCO JSON file, or a folder with such files in it, in `annotations`, or in a folder a split; or None.

    Raises:
        AnnotationError: a JSON file in such a place is no COCO detection file.
    """
    if root.is_file():
        return Source(root.parent, "coco", tuple(_coco_items(root, root.parent)))
    folders = [root, root / "annotations", *(folder for folder in _folders(root) if split_named(folder.name))]
    files = [path for folder in folders for path in sorted(folder.glob("*.json")) if path.name != "audit.json"]
    items = tuple(item for path in files for item in _coco_items(path, root))
    return Source(root, "coco", items) if items else None


def read_images(root: Path) -> Source | None:
    """A folder tree of bare images without any labels, or None."""
    items = _joined(_files(root, is_image), {}, voc.read)
    return Source(root, "images", tuple(_with_splits(item, _split_of_key(item.key)) for item in items)) if items else None


def split_lists(folder: Path) -> dict[str, frozenset[str]]:
    """Image names by split from `train.txt`, `val.txt` and `test.txt`, as many as there are; one name or path a line."""
    return {split: names_in(folder / f"{split}.txt") for split in SPLITS if (folder / f"{split}.txt").is_file()}


def names_in(path: Path) -> frozenset[str]:
    """Image names in a list; folders and image endings in it are ignored.

    Raises:
        AnnotationError: the list is not UTF-8 text.
    """
    try:
        lines = (line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines())
    except (UnicodeDecodeError, OSError) as error:
        raise AnnotationError(f"{path}: not a readable list of image names: {error}") from None
    entries = (line.replace("\\", "/").rsplit("/", 1)[-1] for line in lines if line)
    # Only an image ending is cut off: a name may hold dots of its own.
    return frozenset(name_of(entry) if is_image(Path(entry)) else name_of(f"{entry}.x") for entry in entries)


def _joined(images: dict[str, Path], texts: dict[str, Path], reader: Reader, prefix: str = "") -> list[Item]:
    """Items by key; a second image of one key (`a.jpg` and `a.png`) keeps its ending in its own key."""
    stems = {key: _stem(key) for key in images}
    taken = {stem: key for key, stem in sorted(stems.items(), reverse=True)}
    items = []
    for key in sorted(images):
        label_file = texts.get(stems[key])
        items.append(_item(f"{prefix}{stems[key] if taken[stems[key]] == key else key}", images[key], label_file, reader))
    alone = sorted(set(texts) - set(taken))
    return items + [_item(f"{prefix}{key}", None, texts[key], reader) for key in alone]


def _item(key: str, image: Path | None, label_file: Path | None, reader: Reader) -> Item:
    name = name_of(image or label_file or key)
    labels, problem = None, None
    if label_file is not None:
        try:
            labels = reader(label_file)
        except AnnotationError as error:
            problem = str(error)
    return Item(name, key, image, labels, label_file, problem=problem)


def _with_splits(item: Item, splits: tuple[str, ...]) -> Item:
    return Item(item.name, item.key, item.image, item.labels, item.label_file, splits, item.problem)


def _coco_items(path: Path, root: Path) -> Iterator[Item]:
    words = path.stem.replace("-", "_").replace(".", "_").split("_")
    named = [split for word in (*words, path.parent.name) if (split := split_named(word))]
    splits = tuple(named[:1])
    for entry in sorted(coco.read(path), key=lambda entry: entry.file_name):
        image = _coco_image(entry.file_name, path, root, splits)
        key = "/".join((*splits, entry.file_name))
        yield Item(name_of(entry.file_name), key.rsplit(".", 1)[0], image, entry.labels, path, splits)


def _coco_image(file_name: str, path: Path, root: Path, splits: tuple[str, ...]) -> Path | None:
    """The image beside the file, or in an `images` or split folder near it; never one outside the source."""
    bases = [path.parent, path.parent / "images", root, root / "images", path.parent.parent / "images"]
    bases += [base / split for base in (root, root / "images") for split in splits]
    bases += [folder for folder in _folders(root) if splits and split_named(folder.name) == splits[0]]
    for name in (file_name, file_name.replace("\\", "/").rsplit("/", 1)[-1]):
        for base in bases:
            found = base / name
            if ".." not in Path(name).parts and not Path(name).is_absolute() and found.is_file():
                return found
    return None


def _files(folder: Path | None, wanted: Callable[[Path], bool], prefix: str = "") -> dict[str, Path]:
    """Files below a folder by their path in it; the path of a label file goes without its ending."""
    paths = sorted(path for path in folder.rglob("*") if wanted(path) and path.is_file()) if folder else []
    keys = {path: prefix + path.relative_to(folder).as_posix() for path in paths if folder}
    return {key if is_image(path) else _stem(key): path for path, key in keys.items()}


def _stem(key: str) -> str:
    folder, slash, name = key.rpartition("/")
    return f"{folder}{slash}{name_of(name)}"


def _named(root: Path, name: str) -> list[tuple[Path, str]]:
    """Folders of that name in the root and in its split folders, with the prefix of the keys of their files."""
    parents = [(root, ""), *((folder, f"{folder.name}/") for folder in _folders(root) if split_named(folder.name))]
    found = ((_child(parent, name), prefix) for parent, prefix in parents)
    return [(folder, prefix) for folder, prefix in found if folder is not None]


def _split_of_key(key: str) -> tuple[str, ...]:
    return tuple(split for part in key.split("/")[:-1] if (split := split_named(part)))[:1]


def _child(folder: Path, name: str) -> Path | None:
    """Folder of that name in lower or upper case."""
    return next((child for child in _folders(folder) if child.name.casefold() == name), None)


def _folders(folder: Path) -> list[Path]:
    return sorted(child for child in folder.iterdir() if child.is_dir()) if folder.is_dir() else []


def _is_xml(path: Path) -> bool:
    return path.suffix.lower() == ".xml" and not path.name.startswith(".")


def _is_label(path: Path) -> bool:
    return path.suffix.lower() == ".txt" and path.name != "classes.txt" and not path.name.startswith(".")
