"""Names of fields, and which names of two lists are those of one field: for manifests, true counts and tables alike."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterable
from pathlib import PurePosixPath

from detector.vision.images import SUFFIXES


def joined(fields: Iterable[str], keys: Iterable[str]) -> dict[str, str]:
    """The key of each field that has one.

    A key is that of a field if both have the same relative path, else the same path without the image's ending, else the same file
    name without it; in each step only where the name stands once on either side.
    """
    fields, keys = list(fields), list(keys)
    pairs: dict[str, str] = {}
    for reduced in (path, bare, stem):
        of_fields, of_keys = _grouped(fields, reduced), _grouped(keys, reduced)
        taken = set(pairs.values())
        for name in of_fields.keys() & of_keys.keys():
            # Unique among all names, not only among those left over: a leftover would be paired by elimination.
            if len(of_fields[name]) == len(of_keys[name]) == 1:
                (field,), (key,) = of_fields[name], of_keys[name]
                if field not in pairs and key not in taken:
                    pairs[field] = key
    return pairs


def path(name: str) -> str:
    """A name with forward slashes and composed accents, which names from a Mac may have apart."""
    return str(PurePosixPath(unicodedata.normalize("NFC", name).replace("\\", "/")))


def bare(name: str) -> str:
    """A name without the image's ending; one such as "slide.3" ends in none, so all of it is the name."""
    whole = PurePosixPath(path(name))
    return str(whole.with_suffix("")) if whole.suffix.lower() in SUFFIXES else str(whole)


def stem(name: str) -> str:
    """The file name without folders and the image's ending."""
    return PurePosixPath(bare(name)).name


def _grouped(names: Iterable[str], reduced: Callable[[str], str]) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(reduced(name), []).append(name)
    return groups
