"""The folder layouts in which blood-cell label sets are handed around, each turned into a `LabelSource`."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from detector import texts
from detector.annotations import coco, cvat, imagej, labelstudio, qupath, voc, yolo
from detector.annotations.labels import SPLITS, LabelledImage, Labels, LabelSource, SourceField, is_image, name_of, split_named
from detector.errors import AnnotationError
from detector.vision import names
from detector.vision.cells import IGNORE

Reader = Callable[[Path], Labels]

_MOST_BYTES = 64 * texts.MEBIBYTE


def read_voc(root: Path) -> LabelSource | None:
    """BCCD's layout: `Annotations/*.xml`, `JPEGImages`, and split lists in `ImageSets/Main`, or None."""
    annotations = _child(root, "annotations")
    labels = _files(annotations, _is_xml)
    if not labels:
        return None
    images = _child(root, "jpegimages") or _child(root, "images")
    items = _joined(_files(images, is_image), labels, voc.read)
    lists = split_lists(root / "ImageSets" / "Main")
    item_names = {item.name for item in items}
    missing = tuple(sorted({name for names in lists.values() for name in names} - item_names))
    listed = {name: tuple(split for split in SPLITS if name in lists.get(split, frozenset())) for name in item_names}
    return LabelSource(root, "voc", tuple(_with_splits(item, listed[item.name]) for item in items), missing)


def read_cbc(root: Path) -> LabelSource | None:
    """The CBC layout: `Training|Validation|Testing/{Images,Annotations}`, or None."""
    items: list[SourceField] = []
    for folder in _folders(root):
        split, annotations = split_named(folder.name), _child(folder, "annotations")
        labels = _files(annotations, _is_xml)
        if split is None or not labels:
            continue
        images = _child(folder, "images") or _child(folder, "jpegimages")
        split_items = _joined(_files(images, is_image), labels, voc.read, prefix=f"{folder.name}/")
        items += [_with_splits(item, (split,)) for item in split_items]
    return LabelSource(root, "cbc", tuple(items)) if items else None


def read_yolo(root: Path) -> LabelSource | None:
    """Folders named `images` and `labels`, in the root or in a folder a split, with or without split folders in them.

    Raises:
        AnnotationError: there are label files, and nothing says what their class numbers mean, or they are other numbers.
    """
    images = {key: path for folder, prefix in _named(root, "images") for key, path in _files(folder, is_image, prefix).items()}
    label_files = {
        key: path for folder, prefix in _named(root, "labels") for key, path in _files(folder, _is_label, prefix).items()
    }
    classes = yolo.class_names(root)
    if not label_files:
        return None
    if classes is None:
        raise AnnotationError(
            f"{root}: holds YOLO label files and neither classes.txt nor data.yaml; "
            "write the class names, one a line, in the order of their numbers, into classes.txt beside 'labels'"
        )
    items = _joined(images, label_files, lambda path: _with_regions(yolo.read(path, classes), path, root))
    yolo.refuse_shifted(root, classes, {name for item in items if item.labels for name in item.labels.names})
    return LabelSource(root, "yolo", tuple(_with_splits(item, _split_of_key(item.key)) for item in items))


def _with_regions(labels: Labels, label_file: Path, root: Path) -> Labels:
    """Labels of a field with its ignore regions, which have a folder of their own beside `labels`."""
    folder = root / "labels"
    regions = root / IGNORE / label_file.relative_to(folder) if label_file.is_relative_to(folder) else None
    if regions is None or not regions.is_file():
        return labels
    region_labels = yolo.read(regions, [IGNORE])
    return replace(labels, names=labels.names + region_labels.names, xyxy=np.concatenate([labels.xyxy, region_labels.xyxy]))


def read_coco(root: Path) -> LabelSource | None:
    """A folder with JSON files of COCO or Label Studio in it, in `annotations`, or in a folder a split; or None.

    Raises:
        AnnotationError: a JSON file in such a place is neither, or an id in it stands for two things.
    """
    entries: dict[Path, Sequence[LabelledImage]] = {}
    remarks: list[tuple[str, str]] = []
    layout = "coco"
    for path in _coco_files(root):
        layout, entries[path], said = _of_json(path, _document(path))
        remarks += said
    return _of_entries(root, layout, entries, tuple(remarks)) if any(entries.values()) else None


def read_cvat(root: Path) -> LabelSource | None:
    """A folder with XML files of CVAT in it or in `annotations`, or None.

    Raises:
        AnnotationError: one cannot be read, or is of another export than CVAT for images.
    """
    folders = [folder for folder in (root, _child(root, "annotations")) if folder is not None]
    files = [path for folder in folders for path in sorted(folder.glob("*")) if _is_xml(path) and cvat.is_cvat(path)]
    return _of_entries(root, "cvat", {path: cvat.read(path) for path in files}) if files else None


def read_qupath(root: Path) -> LabelSource | None:
    """A folder tree with a GeoJSON file of QuPath for each image, called as the image with `.geojson` behind it; or None."""
    return _singly(root, "qupath", sorted(path for path in root.rglob("*") if path.suffix.lower() == ".geojson"), _qupath)


def read_imagej(root: Path) -> LabelSource | None:
    """A folder tree with a set of ROIs of ImageJ for each image, called as the image with `.zip` behind it; or None.

    Raises:
        MissingExtraError: there are such sets, and roifile is not installed.
    """
    archives = sorted(path for path in root.rglob("*") if path.suffix.lower() == ".zip" and imagej.is_roi_set(path))
    return _singly(root, "imagej", archives, imagej.read)


def read_file(path: Path) -> LabelSource:
    """One file of labels: COCO, Label Studio or GeoJSON by what it holds, XML of CVAT, or a set of ROIs.

    Raises:
        AnnotationError: it is none of these, or cannot be read.
    """
    suffix = path.suffix.lower()
    if suffix == ".xml":
        return _of_entries(path, "cvat", {path: cvat.read(path)})
    if suffix == ".zip":
        if not imagej.is_roi_set(path):
            raise AnnotationError(f"{path}: is a zip without ROIs of ImageJ; unpack it, and give the folder or the file in it")
        return _single(path, "imagej", imagej.read)
    if suffix == ".geojson":
        return _single(path, "qupath", _qupath)
    document = _document(path)
    if qupath.is_geojson(document):
        return _single(path, "qupath", _qupath)
    layout, entries, remarks = _of_json(path, document)
    return _of_entries(path, layout, {path: entries}, tuple(remarks))


def _document(path: Path) -> Any:
    try:
        return coco.json_document(path)
    except AnnotationError as error:
        raise AnnotationError(f"{path}: {error}") from None


def _of_json(path: Path, document: Any) -> tuple[str, list[LabelledImage], list[tuple[str, str]]]:
    """Layout, images and remarks of a JSON file that labels many images."""
    if labelstudio.is_label_studio(document):
        entries, remarks = labelstudio.read(path, document)
        return "labelstudio", list(entries), [(path.name, remark) for remark in remarks]
    images = coco.read(path, document)
    return "coco", images, list(_crowds(path, images))


def _qupath(path: Path) -> Labels:
    return qupath.read(coco.json_document(path))


def _of_entries(
    root: Path, layout: str, entries: Mapping[Path, Sequence[LabelledImage]], remarks: tuple[tuple[str, str], ...] = ()
) -> LabelSource:
    """A set whose files label many images each; their pictures are looked for in usual places."""
    pictures = _Pictures(root if root.is_dir() else root.parent)
    items = [
        _entry_item(entry, path, pictures)
        for path, listed in entries.items()
        for entry in sorted(listed, key=lambda entry: entry.file_name)
    ]
    return LabelSource(pictures.root, layout, tuple(items), remarks=remarks)


def _single(path: Path, layout: str, reader: Reader) -> LabelSource:
    pictures = _Pictures(path.parent)
    return LabelSource(path.parent, layout, (_single_item(path, pictures, reader),))


def _singly(root: Path, layout: str, label_files: Sequence[Path], reader: Reader) -> LabelSource | None:
    """A set with a label file for each image, somewhere below the root; images without one are in it too. None without a label file."""
    if not label_files:
        return None
    pictures = _Pictures(root)
    items = [_single_item(path, pictures, reader) for path in label_files]
    labelled = {item.image for item in items}
    bare = [path for path in _files(root, is_image).values() if path not in labelled]
    return LabelSource(
        root, layout, (*items, *(_item(_stem(path.relative_to(root).as_posix()), path, None, reader) for path in bare))
    )


def _single_item(path: Path, pictures: _Pictures, reader: Reader) -> SourceField:
    """The item of a label file that is called as its image, with or without the image's ending."""
    named = path.relative_to(pictures.root).with_suffix("").as_posix()
    image, doubt = pictures.find(named, path, ())
    item = _item(named, None, path, reader)
    name = unicodedata.normalize("NFC", names.stem(named))
    return replace(item, name=name, image=image, problem=item.problem or doubt, splits=_split_of_key(named))


def _coco_files(root: Path) -> list[Path]:
    folders = [root, root / "annotations", *(folder for folder in _folders(root) if split_named(folder.name))]
    return [path for folder in folders for path in sorted(folder.glob("*.json")) if path.name != "audit.json"]


def _crowds(path: Path, entries: Sequence[LabelledImage]) -> Iterator[tuple[str, str]]:
    for number, taken in (
        (sum(entry.crowd_cells for entry in entries), "each was taken for one cell"),
        (
            sum(entry.crowd_regions for entry in entries),
            "as they are larger than cells of their class, they became ignore regions",
        ),
    ):
        if number:
            yield path.name, f"{number} annotation{'s are' if number > 1 else ' is'} marked iscrowd; {taken}"


def read_images(root: Path) -> LabelSource | None:
    """A folder tree of bare images without any labels, or None."""
    items = _joined(_files(root, is_image), {}, voc.read)
    return LabelSource(root, "images", tuple(_with_splits(item, _split_of_key(item.key)) for item in items)) if items else None


def split_lists(folder: Path) -> dict[str, frozenset[str]]:
    """Image names by split from `train.txt`, `val.txt` and `test.txt`, as many as there are; one name or path a line."""
    return {split: names_in(folder / f"{split}.txt") for split in SPLITS if (folder / f"{split}.txt").is_file()}


def names_in(path: Path) -> frozenset[str]:
    """Image names in a list; folders and image endings in it are ignored.

    Raises:
        AnnotationError: the list is not UTF-8 text.
    """
    try:
        text = texts.content(path, _MOST_BYTES).decode("utf-8-sig")
    except (UnicodeDecodeError, OSError) as error:
        raise AnnotationError(f"{path}: not a readable list of image names: {error}") from None
    lines = (line.strip() for line in text.splitlines())
    entries = (line.replace("\\", "/").rsplit("/", 1)[-1] for line in lines if line)
    # Only an image ending is cut off: a name may hold dots of its own.
    return frozenset(name_of(entry) if is_image(Path(entry)) else name_of(f"{entry}.x") for entry in entries)


def _joined(images: dict[str, Path], label_files: dict[str, Path], reader: Reader, prefix: str = "") -> list[SourceField]:
    """Items by key; a second image of one key (`a.jpg` and `a.png`) keeps its ending in its own key."""
    stems = {key: _stem(key) for key in images}
    taken = {stem: key for key, stem in sorted(stems.items(), reverse=True)}
    items = []
    for key in sorted(images):
        label_file = label_files.get(stems[key])
        items.append(_item(f"{prefix}{stems[key] if taken[stems[key]] == key else key}", images[key], label_file, reader))
    alone = sorted(set(label_files) - set(taken))
    return items + [_item(f"{prefix}{key}", None, label_files[key], reader) for key in alone]


def _item(key: str, image: Path | None, label_file: Path | None, reader: Reader) -> SourceField:
    name = name_of(image or label_file or key)
    labels, problem = None, None
    if label_file is not None:
        try:
            labels = reader(label_file)
        except AnnotationError as error:
            problem = str(error)
    return SourceField(name, key, image, labels, label_file, problem=problem)


def _with_splits(item: SourceField, splits: tuple[str, ...]) -> SourceField:
    return SourceField(item.name, item.key, item.image, item.labels, item.label_file, splits, item.problem)


def _entry_item(entry: LabelledImage, path: Path, pictures: _Pictures) -> SourceField:
    words = path.stem.replace("-", "_").replace(".", "_").split("_")
    splits = tuple(split for word in (*words, path.parent.name) if (split := split_named(word)))[:1]
    image, doubt = pictures.find(entry.file_name, path, splits)
    key = _stem("/".join((*splits, entry.file_name)))
    problem = entry.problem or doubt
    return SourceField(name_of(entry.file_name), key, image, None if entry.problem else entry.labels, path, splits, problem)


class _Pictures:
    """The pictures of a set whose label files name them in ways of their own; never one outside the set."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._by_stem: dict[str, list[Path]] | None = None

    def find(self, file_name: str, label_file: Path, splits: tuple[str, ...]) -> tuple[Path | None, str | None]:
        """The picture that a label file names, or None; and why none can be told where several could be meant.

        It is the one at that path below a usual folder; else, of those of its name, the one that has most of the path in common.
        """
        named = PurePosixPath(file_name).parts
        parts = [part for part in named if part not in ("/", "..") and not part.endswith(":")]
        if not parts:
            return None, None
        bases = self._bases(label_file, splits)
        if len(parts) == len(named):
            for base in bases:
                if _is_file(base.joinpath(*parts)):
                    return base.joinpath(*parts), None
        alike = _alike(self._pictures(label_file).get(_folded(name_of(parts[-1])), []), parts)
        # Of several, one in a usual folder for this split.
        chosen = alike if len(alike) == 1 else [path for base in bases for path in alike if path.parent == base]
        if alike and not chosen:
            return None, f"{file_name} could be {len(alike)} pictures, such as {alike[0]} and {alike[1]}"
        chosen = chosen or [base / parts[-1] for base in bases if _is_file(base / parts[-1])]
        return (chosen[0] if chosen else None), None

    def _pictures(self, label_file: Path) -> dict[str, list[Path]]:
        """All pictures of the set by their names without ending; beside a file that lies in a folder of label files, too."""
        if self._by_stem is None:
            beside = self.root == label_file.parent and self.root.name.casefold() in ("annotations", "labels")
            self._by_stem = {}
            for path in _files(self.root.parent if beside else self.root, is_image).values():
                self._by_stem.setdefault(_folded(name_of(path)), []).append(path)
        return self._by_stem

    def _bases(self, label_file: Path, splits: tuple[str, ...]) -> list[Path]:
        """Folders in which pictures usually are, for a label file of a split."""
        near = label_file.parent
        bases = [near, near / "images", self.root, self.root / "images", near.parent / "images"]
        bases += [base / split for base in (self.root, self.root / "images") for split in splits]
        folders = [*_folders(self.root), *_folders(self.root / "images")]
        return bases + [folder for folder in folders if splits and split_named(folder.name) == splits[0]]


def _alike(paths: Sequence[Path], parts: Sequence[str]) -> list[Path]:
    """Those of one stem whose names are most like `parts`: with its ending, then in most of the folders, then in its case."""
    if not paths:
        return []
    wanted = [_folded(part) for part in reversed(parts)]

    def likeness(path: Path) -> tuple[bool, int, bool]:
        own = [_folded(part) for part in reversed(path.parts)]
        common = next((k for k, (a, b) in enumerate(zip(own, wanted, strict=False)) if a != b), min(len(own), len(wanted)))
        return common > 0, common, path.name == parts[-1]

    best = max(map(likeness, paths))
    return [path for path in paths if likeness(path) == best]


def _folded(name: str) -> str:
    return unicodedata.normalize("NFC", name).casefold()


def _is_file(path: Path) -> bool:
    """Whether a file is there; no name is too long to ask for."""
    try:
        return path.is_file()
    except OSError:
        return False


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
    children = ((_child(parent, name), prefix) for parent, prefix in parents)
    return [(folder, prefix) for folder, prefix in children if folder is not None]


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
