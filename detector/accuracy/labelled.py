"""The labelled fields that are to be evaluated: a split of a dataset folder, less those that are to be left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from detector.annotations import dataset
from detector.annotations.labels import SPLITS
from detector.annotations.records import Record
from detector.errors import ConfigError, NothingToDoError
from detector.vision.detections import Unread


@dataclass(frozen=True)
class Labelled:
    """Fields to evaluate."""

    records: Sequence[Record]
    """At least one."""
    unusable: Sequence[Unread]
    """Fields of the split whose image or labels are missing or cannot be understood."""
    left_out: int
    """Fields of the split that were not asked for."""
    absent: Sequence[str]
    """Names that were to be left out and are not in the split."""


def load(data: Path, split: str, exclude: Path | None = None) -> Labelled:
    """Fields of a split.

    Args:
        exclude: a text file of field names to leave out, one a line.

    Raises:
        AnnotationError: `data` is no dataset's. ConfigError: `exclude` cannot be read. NothingToDoError: no field is left.
    """
    loaded, out = dataset.load(data, split), _names(exclude)
    records = [record for record in loaded.records if record.name not in out]
    unusable = [field for field in loaded.unusable if field.source not in out]
    if not records:
        sizes = ", ".join(f"{name} has {n}" for name, n in loaded.splits.items()) or "no split has any"
        reasons = "".join(f"; {field.source}: {field.reason}" for field in unusable[:3])
        raise NothingToDoError(f"{data}: split {split!r} has no fields to evaluate (of images {sizes}){reasons}")
    known = {record.name for record in loaded.records} | {field.source for field in loaded.unusable}
    return Labelled(records, unusable, len(out & known), sorted(out - known))


def every(data: Path) -> list[Record]:
    """The records of all splits, as other labels of fields that are joined by name.

    Raises:
        AnnotationError: `data` is no dataset's.
    """
    return [record for split in SPLITS for record in dataset.load(data, split).records]


def _names(path: Path | None) -> set[str]:
    if path is None:
        return set()
    try:
        return {line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines()} - {""}
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ConfigError(f"{path}: cannot be read as a list of names, one a line ({reason})") from None
