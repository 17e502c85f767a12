"""The dataset folder that conversion writes and training reads: images, YOLO labels, `data.yaml`, and the audit."""

from __future__ import annotations

import json
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import yaml

from detector import texts
from detector.annotations import repair, yolo
from detector.annotations.labels import SPLITS, LabelSource, SourceField
from detector.annotations.layouts import read_yolo
from detector.annotations.records import Record
from detector.annotations.sources import require_known_names, settle
from detector.arguments import called
from detector.errors import AnnotationError, ImageError, OutputError, UnknownClassError, writing
from detector.vision import images
from detector.vision.cells import CLASSES, IGNORE
from detector.vision.detections import Unread

AUDIT = "audit.json"
SMEARS = "smears.csv"
"""Where a dataset of a review names the smear of each field: a manifest with the columns `field,smear`."""
FORMAT = "smearcount-audit"
MOST_DOMAINS = 6
"""Prefixes of names beyond this number are taken for slides or patients, not for domains."""
DomainOf = Callable[[str], str]
"""The domain of a field by its name."""
_LEAST_SHARE = 0.05
"""Share of a dataset's fields that each prefix must have."""
_TRAINED = frozenset({".jpg", ".jpeg", ".png", ".tif", ".tiff", ".bmp", ".webp", ".jp2"})
"""Name endings that training takes for images."""
_JPEGS = frozenset({".jpe", ".jfif", ".jif"})
"""Those of JPEG that it does not know."""
_MOST_AUDIT = 512 * texts.MEBIBYTE


@contextmanager
def fresh(out: Path) -> Iterator[Path]:
    """A new folder that takes the place of `out` when all went well, and is removed when not.

    Nothing that is half written is ever found at `out`: an earlier conversion stands there until the new one is whole.

    Raises:
        OutputError: `out` is a file, holds something other than an earlier conversion, or cannot be written.
    """
    refuse_foreign(out)
    partial = out.parent / f".{out.name}.{os.getpid()}.partial"
    with writing(out, "choose another --out"):
        out.parent.mkdir(parents=True, exist_ok=True)
        partial.mkdir()
    try:
        yield partial
        _swap(partial, out)
    except OSError as error:
        raise OutputError(f"{out}: writing failed: {error.strerror or error}") from None
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def refuse_foreign(out: Path) -> None:
    """Refuse to replace anything but an empty folder or an earlier conversion.

    Raises:
        OutputError: something else is there.
    """
    if out.is_dir() and (not any(out.iterdir()) or is_ours(out)):
        return
    if out.exists() or out.is_symlink():
        raise OutputError(
            f"{out}: exists and is not an earlier conversion (no {AUDIT} of smearcount); choose another --out or remove it"
        )


def write(folder: Path, records: Sequence[Record]) -> None:
    """Copy the images of records (each with its split) and write labels and `data.yaml`; images are copied byte by byte, but for
    those of more than 8 bits a channel, which become 8-bit PNG as counting sees them.

    Training repairs damaged JPEGs in place, so nothing in the folder is ever a link to a source's file.
    """
    for split in SPLITS:
        (folder / "images" / split).mkdir(parents=True)
        (folder / "labels" / split).mkdir(parents=True)
    for record in records:
        if record.image is None or record.split is None:
            raise ValueError(f"record {record.name} has no image or no split")
        copy_picture(record.image, folder / "images" / record.split, record.name)
        (folder / "labels" / record.split / f"{record.name}.txt").write_text(yolo.text(record), encoding="utf-8")
        if len(record.ignore):
            # In a folder of their own: what others read of a dataset folder knows cells only.
            regions = ignore_file(folder / "images" / record.split / f"{record.name}.txt")
            regions.parent.mkdir(parents=True, exist_ok=True)
            regions.write_text(yolo.ignore_text(record), encoding="utf-8")
    # Without `path`, the splits are looked for beside data.yaml, wherever the folder is moved to.
    layout = {**{split: f"images/{split}" for split in SPLITS}, "names": dict(enumerate(CLASSES))}
    (folder / "data.yaml").write_text(yaml.safe_dump(layout, sort_keys=False), encoding="utf-8")


def ignore_file(image: Path) -> Path:
    """Where the ignore regions of an image of a dataset folder stand, if it has any."""
    return image.parents[2] / IGNORE / image.parent.name / f"{image.stem}.txt"


def copy_picture(image: Path, folder: Path, name: str) -> Path:
    """Copy an image as training reads it: byte by byte where it can, else as 8-bit PNG as counting sees it.

    Returns:
        The copy: `name` in `folder`, with its ending.

    Raises:
        OSError: it cannot be read or written. ImageError: it cannot be decoded.
    """
    suffix = image.suffix.lower()
    if images.is_deep(image) or suffix not in _TRAINED | _JPEGS:
        # Training would keep the high byte of 16 bits, which leaves a 12-bit camera black, and passes over other endings.
        bgr = images.read(image)[:, :, ::-1]
        target = folder / f"{name}.png"
        target.write_bytes(cv2.imencode(".png", bgr)[1].tobytes())
        return target
    # Only the content is copied, so that the copy of a read-only file can be written.
    return Path(shutil.copyfile(image, folder / f"{name}{'.jpg' if suffix in _JPEGS else image.suffix}"))


@dataclass(frozen=True)
class Loaded:
    """The fields of one split; each is either a record or unusable."""

    records: Sequence[Record]
    """Sorted by name."""
    unusable: Sequence[Unread]
    """Images without labels, labels without an image, files that cannot be read, labels of unknown classes; sorted by name."""
    splits: Mapping[str, int]
    """How many images each split has that has any."""


def load(data_yaml: Path, split: str) -> Loaded:
    """One split of a dataset folder, with what of it is of no use.

    Raises:
        AnnotationError: `data_yaml` is no dataset's. UnknownClassError: no box has a known class name.
    """
    items = _source(data_yaml).items
    records, unusable = [], []
    for item in sorted(_of_split(items, split), key=lambda item: item.name):
        try:
            records.append(_record(item, split))
        except (AnnotationError, ImageError) as error:
            unusable.append(Unread(item.name, str(error)))
    sizes = Counter(split_name for item in items if item.image is not None for split_name in item.splits)
    return Loaded(records, unusable, {split_name: sizes[split_name] for split_name in SPLITS if split_name in sizes})


def read(data_yaml: Path, split: str) -> list[Record]:
    """Records of one split of a dataset folder, sorted by name; empty where the split is.

    Raises:
        AnnotationError: `data_yaml` is no dataset's, or an image of the split or its labels are of no use.
    """
    records = []
    for item in _of_split(_source(data_yaml).items, split):
        if item.image is not None:
            try:
                records.append(_record(item, split))
            except (AnnotationError, ImageError) as error:
                raise AnnotationError(f"{item.image}: {error}") from None
    return sorted(records, key=lambda record: record.name)


def _of_split(items: Iterable[SourceField], split: str) -> Iterator[SourceField]:
    if split not in SPLITS:
        raise AnnotationError(f"{split!r} is not a split; known: {', '.join(SPLITS)}")
    return (item for item in items if item.splits == (split,))


def _record(item: SourceField, split: str) -> Record:
    """The record of a field; what the errors say is a reason without its path."""
    if item.labels is None:
        raise AnnotationError(item.problem or "has no label file; a field without cells has an empty one")
    unknown = sorted({name for name in item.labels.names if not repair.is_known(name)})
    if unknown:
        raise UnknownClassError(f"has boxes of unknown class: {', '.join(unknown)}; known: {', '.join(CLASSES)}")
    if item.image is None:
        raise ImageError("has labels and no image")
    mended = repair.mend(item.labels, images.size_of(item.image))
    return replace(mended.record(item.name, item.image), split=split)


def names(data_yaml: Path) -> list[str]:
    """Names of the labelled fields of all splits of a dataset folder, sorted.

    Raises:
        AnnotationError: `data_yaml` is no dataset's. UnknownClassError: no box has a known class name.
    """
    return sorted(item.name for item in _source(data_yaml).items if item.image is not None)


def domains_by_name(field_names: Iterable[str], called: str) -> DomainOf:
    """How the fields of a dataset fall into domains.

    A domain is what weighs the same as any other, however many fields there are of each. A dataset is one. Where the names of all its
    fields are `PREFIX_rest` and there are a few prefixes, each of a good part of the fields, each prefix is a domain: `pbc_12` and
    `raabin_7` in the dataset `txl_pbc` are of `txl_pbc/pbc` and `txl_pbc/raabin`; `BloodImage_00001` and `BloodImage_00002` are of one.
    Whoever has fields of several stains or cameras names them so, or converts them into a dataset each.

    All prefixes count, of whatever split, so a field is of the same domain wherever it is met.

    Args:
        field_names: of every field of the dataset, without image endings.
        called: the dataset's name, with which the name of each of its domains begins.
    """
    all_names = list(field_names)
    prefixes = Counter(map(_prefix, all_names))
    has_domains = (
        2 <= len(prefixes) <= MOST_DOMAINS and "" not in prefixes and min(prefixes.values()) >= _LEAST_SHARE * len(all_names)
    )
    return lambda name: f"{called}/{_prefix(name)}" if has_domains and _prefix(name) in prefixes else called


def domains(data_yaml: Path, called: str | None = None) -> DomainOf:
    """How the fields of a dataset folder fall into domains; `called` is the folder's name unless another is given.

    Raises:
        AnnotationError: `data_yaml` is no dataset's.
    """
    return domains_by_name(names(data_yaml), called or data_yaml.resolve().parent.name)


def _prefix(name: str) -> str:
    """The text before the first underscore, or "" where there is none or it is a mere number."""
    prefix, underscore, rest = name.partition("_")
    return prefix if underscore and rest and any(c.isalpha() for c in prefix) else ""


def _source(data_yaml: Path) -> LabelSource:
    require(data_yaml)
    source = read_yolo(data_yaml.parent)
    if source is None:
        raise AnnotationError(f"{data_yaml}: there are no label files in 'labels' beside it")
    items, _ = settle(data_yaml, source, source.items, [None] * len(source.items))
    require_known_names(data_yaml, [item.labels for item in items if item.labels is not None])
    return replace(source, items=tuple(items))


def require(data_yaml: Path) -> None:
    """Refuse a data file that is not there, or is none of a dataset folder.

    Raises:
        AnnotationError: it is not, or is called otherwise.
    """
    if data_yaml.is_dir():
        raise AnnotationError(f"{data_yaml}: is a folder; give the data.yaml of a dataset")
    if not data_yaml.is_file():
        raise AnnotationError(f"{data_yaml}: no such file; {called('convert')} writes one")
    if data_yaml.name not in yolo.DATA_FILES:
        # The names of classes are those of the folder's data.yaml, whatever another file says.
        raise AnnotationError(f"{data_yaml}: is not called {yolo.DATA_FILES[0]}, as the data file of a dataset folder is")


def is_ours(folder: Path) -> bool:
    """Whether a folder is a conversion of ours, by its audit."""
    try:
        document = json.loads(texts.content(folder / AUDIT, _MOST_AUDIT))
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(document, dict) and document.get("format") == FORMAT


def _swap(partial: Path, out: Path) -> None:
    """Put the finished folder in its place; between the two renames `out` is absent, never half."""
    aside = partial.with_suffix(".replaced")
    if out.exists():
        out.replace(aside)
    try:
        partial.replace(out)
    except OSError:
        if aside.exists():
            aside.replace(out)
        raise
    shutil.rmtree(aside, ignore_errors=True)
