"""Domains: fields of one stain and camera, which are to weigh the same however many there are of each.

A dataset is one domain. Where the names of all its fields are `PREFIX_rest` and there are a few prefixes, each of a good part of
the fields, each prefix is a domain: `pbc_12` and `raabin_7` in the dataset `txl_pbc` are of `txl_pbc/pbc` and
`txl_pbc/raabin`; `BloodImage_00001` and `BloodImage_00002` are of one. Whoever has fields of several stains or cameras names
them so, or converts them into a dataset each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path

from detector.annotations import dataset

LEAST_SHARE = 0.05
"""Share of a dataset's fields that each prefix must have."""
MOST = 6
"""Prefixes beyond this number are taken for names of slides or patients, not of domains."""

DomainOf = Callable[[str], str]
"""The domain of a field by its name."""


def by_name(names: Iterable[str], called: str) -> DomainOf:
    """How the fields of a dataset fall into domains.

    All prefixes count, of whatever split, so a field is of the same domain wherever it is met.

    Args:
        names: of every field of the dataset, without image endings.
        called: the dataset's name, with which the name of each of its domains begins.
    """
    all_names = list(names)
    prefixes = Counter(map(_prefix, all_names))
    has_domains = 2 <= len(prefixes) <= MOST and "" not in prefixes and min(prefixes.values()) >= LEAST_SHARE * len(all_names)
    return lambda name: f"{called}/{_prefix(name)}" if has_domains and _prefix(name) in prefixes else called


def of_dataset(data_yaml: Path, called: str | None = None) -> DomainOf:
    """How the fields of a dataset folder fall into domains; `called` is the folder's name unless another is given.

    Raises:
        AnnotationError: `data_yaml` is no dataset's.
    """
    return by_name(dataset.names(data_yaml), called or data_yaml.resolve().parent.name)


def _prefix(name: str) -> str:
    """The text before the first underscore, or "" where there is none or it is a mere number."""
    prefix, underscore, rest = name.partition("_")
    return prefix if underscore and rest and any(c.isalpha() for c in prefix) else ""
