"""True counts: from tables of manual counts, and from labelled fields."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from detector import texts
from detector.accuracy import counts_table
from detector.accuracy.counts_table import Counts, CountsTable
from detector.annotations import sources
from detector.annotations.records import Record
from detector.errors import ManifestError
from detector.vision.cells import CLASSES

TABLES = (".csv", ".tsv", ".txt")
"""Endings of files that are tables."""


def read(path: Path) -> CountsTable:
    """Read true counts from a CSV file of manual counts, or from boxes in any layout that conversion reads.

    Raises:
        ManifestError: a table that is not valid, or a folder that holds one. AnnotationError: no label set, or none with known classes.
    """
    if path.suffix.lower() in TABLES and not (texts.is_there(path) and path.is_dir()):
        return counts_table.read(path)
    if texts.is_there(path / "counts.csv"):
        raise ManifestError(f"{path}: is a folder of results; give {path / 'counts.csv'}")
    labelled = sources.load_truth(path)
    unknown = [f"{n} boxes of class {name!r}, which is none of ours" for name, n in labelled.unknown.items()]
    counts = {key: of_records([record])[record.name] for key, record in labelled.records.items()}
    return CountsTable(counts, remarks=[*labelled.broken, *labelled.remarks, *unknown])


def of_records(records: Iterable[Record]) -> dict[str, Counts]:
    """Counts of labelled fields by name, every class named, zeros included."""
    counts: dict[str, Counts] = {}
    for record in records:
        totals = np.bincount(record.label, minlength=len(CLASSES))
        counts[record.name] = {name: int(n) for name, n in zip(CLASSES, totals, strict=True)}
    return counts
