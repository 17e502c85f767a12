"""Labelled fields by where they come from, read one at a time, and what could not be read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from detector.annotations import dataset
from detector.annotations.records import Record
from detector.errors import ImageError, NothingToDoError
from detector.vision import images
from detector.vision.cells import CLASSES
from detector.vision.detections import Unread


@dataclass(frozen=True, eq=False)
class Source:
    """Fields of one domain."""

    name: str
    records: Sequence[Record]
    """Those to be counted; at least one."""
    train: Sequence[Record]
    """Training fields of the domain."""

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """Which classes have a label in any of these fields; where a class has none, nobody looked for it; of shape (3,)."""
        return np.bincount(np.concatenate([record.label for record in (*self.records, *self.train)]), minlength=len(CLASSES)) > 0


def load(data: Sequence[Path], split: str, every: int = 1) -> tuple[list[Source], list[Unread]]:
    """The domains of some datasets, and fields whose labels are of no use.

    Args:
        every: takes each so many-th field of each dataset, for ids are sorted and stain changes along them.

    Raises:
        AnnotationError: a data file is no dataset's. NothingToDoError: no field is left.
    """
    sources: list[Source] = []
    unread: list[Unread] = []
    for file in data:
        domain_of, loaded = dataset.domains(file), dataset.load(file, split)
        train = [] if split == "train" else dataset.load(file, "train").records
        unread += loaded.unusable
        taken = loaded.records[::every]
        for name in sorted({domain_of(record.name) for record in taken}):
            mine, of_train = ([r for r in records if domain_of(r.name) == name] for records in (taken, train))
            sources.append(Source(name, mine, of_train))
    if not sources:
        raise NothingToDoError(f"{', '.join(map(str, data))}: no fields of the split {split!r} that can be used")
    return sources, unread


def pictures(records: Sequence[Record], unread: list[Unread]) -> Iterator[tuple[Record, images.Rgb]]:
    """Fields with their pixels; those that cannot be read are added to `unread`."""
    for record in records:
        try:
            assert record.image is not None
            yield record, images.read(record.image)
        except ImageError as error:
            unread.append(Unread(record.name, str(error)))
