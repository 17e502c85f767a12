"""From what a user named (files, folders, patterns, a manifest) to a list of fields in a stable order."""

from __future__ import annotations

import glob
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any

from detector import process
from detector.engines import manifest as manifests
from detector.engines.manifest import Manifest
from detector.errors import NothingToDoError, UsageError
from detector.output.results import OVERLAYS, is_result
from detector.output.slides import DENSITY
from detector.vision import names
from detector.vision.images import SUFFIXES as PICTURES
from detector.vision.images import UNREAD
from detector.vision.slides.formats import VENDOR_SUFFIXES, repeated

SUFFIXES = PICTURES | VENDOR_SUFFIXES
"""File name endings, lower case, that are taken for fields or slides when a folder is searched."""
_OF_THE_SYSTEM = frozenset({"thumbs.db", "desktop.ini"})
"""Files, lower case, that Windows puts into folders and hides."""
_FOLDERS_OF_THE_SYSTEM = frozenset({"@eadir", "__macosx", "$recycle.bin", "#recycle", "system volume information", "lost+found"})
"""Folders, lower case, of thumbnails and of what was deleted, which systems put beside pictures."""
_SINGLY = 10
"""Most skipped files that are named one by one."""


@dataclass(frozen=True, slots=True)
class FieldInput:
    """One field to count."""

    path: Path
    field: str
    """Path relative to what the inputs have in common, with forward slashes: the field's name in all results."""
    smear: str
    um_per_px: float | None = None
    problem: str = ""
    """Why it cannot be read, where that is known before reading; else empty."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """What is to be counted, as a search gives it."""

    fields: list[FieldInput]
    """Each once, sorted by smear and name."""
    skipped: list[str]
    """Files in searched folders that are no pictures by their endings, named as fields are, sorted; not hidden ones, and no results."""
    rbc_per_ul: Mapping[str, float] = field(default_factory=dict)
    """Red cells per µL by smear, where a manifest gives them."""

    def skipped_line(self) -> str:
        """What to say of the skipped files: some by their names, and the others by their endings; empty without any."""
        if not self.skipped:
            return ""
        parts = [", ".join(self.skipped[:_SINGLY])]
        others = Counter(Path(name).suffix.lower() or "no ending" for name in self.skipped[_SINGLY:])
        if others:
            kinds = ", ".join(f"{number:,} {suffix}" for suffix, number in sorted(others.items()))
            parts.append(f"{others.total():,} more ({kinds})")
        return f"{' and '.join(parts)}; such names are not those of pictures"


def search(inputs: Sequence[str], manifest: Manifest | None = None, um_per_px: float | None = None) -> Inputs:
    """Fields in the inputs, and what was skipped.

    Folders are searched with all their subfolders; each subfolder is a smear, and images directly in a folder belong to
    the smear of that folder's name. A name that leads nowhere is a field with a `problem`. A manifest, where one is given,
    says which images are fields and to which smear they belong; it may name them as true counts do (`names.joined`).

    Raises:
        NothingToDoError: there is no field at all; the message says where was looked and for what.
    """
    fields, skipped = _of_inputs(inputs, um_per_px) if manifest is None else (_of_manifest(manifest, inputs, um_per_px), [])
    if not fields:
        looked = ", ".join(inputs) or "nothing"
        raise NothingToDoError(f"{looked}: no images in it; looked for names that end with {', '.join(sorted(SUFFIXES))}")
    ordered = sorted(fields, key=lambda item: (item.smear, item.field))
    return Inputs(ordered, skipped, {} if manifest is None else manifest.rbc_per_ul)


def _of_inputs(inputs: Sequence[str], um_per_px: float | None) -> tuple[list[FieldInput], list[str]]:
    """Fields, and the names of skipped files."""
    groups = [(name, _expand(name)) for name in inputs]
    base = _common([root for _, roots in groups for root in roots])
    fields: dict[str, FieldInput] = {}
    skipped: set[Path] = set()

    def add(path: Path, problem: str = "") -> None:
        field, smear = _names(path, base)
        fields.setdefault(field, FieldInput(path, field, smear, um_per_px, problem))

    for name, roots in groups:
        images = [image for root in roots for image in _images(root, skipped)]
        for path, problem in images:
            add(path, problem)
        if not images and len(groups) == 1:
            if not roots:
                raise NothingToDoError(f"{name}: does not exist; give a folder, image files or a pattern such as 'slides/*.jpg'")
            return [], []
        if not images:
            # With one input this is an error of its own; among others it is a line in the table.
            add(Path(os.path.abspath(name)), "holds no images" if roots else "does not exist")
    others = repeated(item.path for item in fields.values() if not item.problem)
    named = sorted({_names(path, base)[0] for path in skipped})
    return [item for item in fields.values() if item.path not in others], named


def by_smear(inputs: Sequence[str], um_per_px: float | None, skipped: set[Path]) -> Iterator[tuple[str, list[FieldInput]]]:
    """The fields that `search` finds in folders and files, a smear at a time, sorted in it: no more of them is in memory.

    DICOM slides of several files are not joined. A folder that cannot be searched is a smear of its own.

    Args:
        skipped: files that are no pictures are put there.

    Raises:
        NothingToDoError: an input does not exist. UsageError: two folders would be one smear.
    """
    groups = [(name, _expand(name)) for name in inputs]
    for name, roots in groups:
        if not roots:
            raise NothingToDoError(f"{name}: does not exist; give a folder, image files or a pattern such as 'slides/*.jpg'")
    roots = sorted({root for _, roots in groups for root in roots}, key=lambda root: (root.parent, root.name))
    base = _common(roots)
    searched = {root for root in roots if root.is_dir()}
    apart = [root for root in roots if searched.isdisjoint(root.parents)]
    fields = (
        FieldInput(path, field, field if problem else smear, um_per_px, problem)
        for root in apart
        for path, problem in _images(root, skipped)
        for field, smear in (_names(path, base),)
    )
    seen: set[str] = set()
    for smear, members in groupby(fields, key=lambda given: given.smear):
        if smear in seen:
            raise UsageError(f"{smear}: two folders would make this one smear; rename one of them, or count them apart")
        seen.add(smear)
        yield smear, list(members)


def _of_manifest(manifest: Manifest, inputs: Sequence[str], um_per_px: float | None) -> list[FieldInput]:
    folders = [Path(name) for name in inputs] or [manifest.path.parent]
    for folder in folders:
        if not folder.is_dir():
            raise UsageError(f"{folder}: is not a folder; with --manifest, INPUT is the folder that its fields are named from")
    places = _places([row.field for row in manifest.rows], folders)
    fields = []
    for row in manifest.rows:
        place = places[row.field]
        field, path = place or (row.field, folders[0] / row.field)
        problem = "" if place else f"does not exist; named in line {row.line} of {manifest.path.name}"
        scale = row.um_per_px if row.um_per_px is not None else um_per_px
        fields.append(FieldInput(path, field, row.smear, scale, problem))
    return fields


def places_of(counted: Sequence[str], settings: Mapping[str, Any], folder: Path | None = None) -> dict[str, Path]:
    """Where the pictures of fields lie that were counted before, as far as they are found, by the names of the fields.

    Args:
        counted: the names of the fields.
        settings: what the count was asked for, as `run.json` has it.
        folder: where to look, by path and else by name as for a manifest; None looks where the count did.

    Raises:
        UsageError: the folder is none.
    """
    if folder is not None:
        if not folder.is_dir():
            raise UsageError(f"{folder}: is not a folder; give the one that the pictures lie in")
        return {field: place[1] for field, place in _places(counted, [folder]).items() if place}
    given, listed = settings.get("inputs"), settings.get("manifest")
    if not isinstance(given, list) or not all(isinstance(name, str) for name in given):
        return {}
    try:
        fields = search(given, manifests.read(Path(listed)) if isinstance(listed, str) else None).fields
    except (NothingToDoError, UsageError):
        return {}  # they lie elsewhere by now
    wanted = set(counted)
    return {item.field: item.path for item in fields if not item.problem and item.field in wanted}


def _places(fields: Sequence[str], folders: Sequence[Path]) -> dict[str, tuple[str, Path] | None]:
    """The file of each field and its name: at its path in one of the folders, or else what `names.joined` finds below them."""
    places = {field: _place(field, folders) for field in fields}
    if None in places.values():
        pictures = _below(folders)
        others = names.joined(pictures, places)
        places |= {field: pictures[picture] for picture, field in others.items() if places[field] is None}
    return places


def _place(field: str, folders: Sequence[Path]) -> tuple[str, Path] | None:
    """The file at that path in the first folder that has one, and its name."""
    try:
        return next(((field, folder / field) for folder in folders if (folder / field).is_file()), None)
    except OSError:  # a name longer than the system takes
        return None


def _below(folders: Sequence[Path]) -> dict[str, tuple[str, Path]]:
    """Pictures in the folders, by their paths in them; a path that several folders have is the first one's."""
    pictures: dict[str, tuple[str, Path]] = {}
    for folder in folders:
        for path, problem in _images(folder, set()):
            name = path.relative_to(folder).as_posix()
            if not problem:
                pictures.setdefault(name, (name, path))
    return pictures


def _expand(name: str) -> list[Path]:
    if not name.strip():
        raise UsageError("an INPUT is empty; give a folder, image files or a pattern such as 'slides/*.jpg'")
    try:
        if Path(name).exists():
            return [Path(os.path.abspath(name))]
        return sorted(Path(os.path.abspath(match)) for match in glob.glob(name, recursive=True))
    except OSError:
        return []


def _images(root: Path, skipped: set[Path]) -> Iterator[tuple[Path, str]]:
    """Images in a folder, or a file itself, each with a problem or an empty word; other files are put to the skipped ones."""
    if not root.is_dir():
        yield root, ""
        return
    closed: list[OSError] = []
    visited: set[str] = set()
    for place, subfolders, files in os.walk(root, onerror=closed.append, followlinks=True):
        process.check()
        folder = Path(place)
        # A link may lead back to a folder above it.
        real = os.path.realpath(folder)
        own_result = is_result(folder)
        if real in visited or (own_result and folder != root):
            subfolders.clear()
            continue
        visited.add(real)
        left_out = {OVERLAYS, DENSITY} if own_result else set()
        subfolders[:] = sorted(name for name in subfolders if not _is_hidden(name) and name not in left_out)
        # A slide of this format has a folder beside it, of which its reader takes what it needs.
        silent = own_result or folder.with_name(folder.name + ".mrxs").is_file()
        for name in sorted(files):
            if name.startswith(".") or name.lower() in _OF_THE_SYSTEM:
                continue
            # A format that is not read is told so by its reader.
            if Path(name).suffix.lower() in SUFFIXES or Path(name).suffix.lower() in UNREAD:
                yield folder / name, ""
            elif not silent:
                skipped.add(folder / name)
    for error in closed:
        yield Path(error.filename), f"cannot be searched ({error.strerror})"


def _is_hidden(folder: str) -> bool:
    return folder.startswith(".") or folder.lower() in _FOLDERS_OF_THE_SYSTEM


def _common(roots: Sequence[Path]) -> Path | None:
    folders = [root if root.is_dir() else root.parent for root in roots]
    try:
        return Path(os.path.commonpath(folders)) if folders else None
    except ValueError:
        return None  # on different drives


def _names(path: Path, base: Path | None) -> tuple[str, str]:
    if base is None or not path.is_relative_to(base):
        return path.as_posix(), path.parent.as_posix()
    relative = path.relative_to(base)
    smear = relative.parent.as_posix()
    return relative.as_posix(), base.name if smear == "." else smear
