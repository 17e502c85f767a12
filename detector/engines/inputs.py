"""From what a user named (files, folders, patterns, a manifest) to a list of fields in a stable order."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from detector.engines.manifest import Manifest
from detector.errors import NothingToDoError
from detector.vision.images import SUFFIXES

RESULT_FILES = ("run.json", "counts.csv")
"""A folder that holds these is a result of ours; its pictures are no fields."""


@dataclass(frozen=True)
class FieldInput:
    """One field to count."""

    path: Path
    field: str
    """Path relative to what the inputs have in common, with forward slashes: the field's name in all results."""
    smear: str
    um_per_px: float | None = None
    problem: str = ""
    """Why it cannot be read, where that is known before reading; else empty."""


def find(inputs: Sequence[str], manifest: Manifest | None = None, um_per_px: float | None = None) -> list[FieldInput]:
    """Fields in the inputs, each once, sorted by smear and name.

    Folders are searched with all their subfolders; each subfolder is a smear, and images directly in a folder belong to
    the smear of that folder's name. A name that leads nowhere is a field with a `problem`. A manifest, where one is given,
    says which images are fields and to which smear they belong.

    Raises:
        NothingToDoError: there is no field at all; the message says where was looked and for what.
    """
    found = _of_inputs(inputs, um_per_px) if manifest is None else _of_manifest(manifest, inputs, um_per_px)
    if not found:
        looked = ", ".join(inputs) or "nothing"
        raise NothingToDoError(f"{looked}: no images in it; looked for names that end with {', '.join(sorted(SUFFIXES))}")
    return sorted(found, key=lambda one: (one.smear, one.field))


def _of_inputs(inputs: Sequence[str], um_per_px: float | None) -> list[FieldInput]:
    groups = [(name, _expand(name)) for name in inputs]
    base = _common([root for _, roots in groups for root in roots])
    found: list[FieldInput] = []
    seen: set[Path] = set()
    for name, roots in groups:
        paths = [path for root in roots for path in _images(root)]
        if not paths and len(inputs) > 1:
            # With one input this is an error of its own; among others it is a line in the table.
            problem = "holds no images" if roots else "does not exist"
            found.append(FieldInput(Path(name), Path(name).as_posix(), "", um_per_px, problem))
        elif not roots:
            raise NothingToDoError(f"{name}: does not exist; give a folder, image files or a pattern such as 'slides/*.jpg'")
        for path in paths:
            if path not in seen:
                seen.add(path)
                field, smear = _names(path, base)
                found.append(FieldInput(path, field, smear, um_per_px))
    return found


def _of_manifest(manifest: Manifest, inputs: Sequence[str], um_per_px: float | None) -> list[FieldInput]:
    folders = [Path(name) for name in inputs] or [manifest.path.parent]
    found = []
    for row in manifest.rows:
        places = [folder / row.field for folder in folders]
        path = next((place for place in places if place.is_file()), None)
        problem = "" if path else f"does not exist; named in line {row.line} of {manifest.path.name}"
        scale = row.um_per_px if row.um_per_px is not None else um_per_px
        found.append(FieldInput(path or places[0], row.field, row.smear, scale, problem))
    return found


def _expand(name: str) -> list[Path]:
    path = Path(name).expanduser()
    if path.exists():
        return [Path(os.path.abspath(path))]
    return sorted(Path(os.path.abspath(match)) for match in glob.glob(str(path), recursive=True))


def _images(root: Path) -> Iterator[Path]:
    if not root.is_dir():
        yield root
        return
    for folder, subfolders, names in os.walk(root):
        if all((Path(folder) / name).is_file() for name in RESULT_FILES):
            subfolders.clear()
            continue
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in sorted(names):
            if Path(name).suffix.lower() in SUFFIXES and not name.startswith("."):
                yield Path(folder) / name


def _common(roots: Sequence[Path]) -> Path | None:
    folders = [root if root.is_dir() else root.parent for root in roots]
    try:
        return Path(os.path.commonpath(folders)) if folders else None
    except ValueError:
        return None  # on different drives


def _names(path: Path, base: Path | None) -> tuple[str, str]:
    if base is None:
        return path.as_posix(), path.parent.as_posix()
    relative = path.relative_to(base)
    smear = relative.parent.as_posix()
    return relative.as_posix(), base.name if smear == "." else smear
