"""Tables of an archive's count as Parquet: partitions of one layout, which any reader of Parquet takes as one table."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np

from detector.counting.result import FieldResult
from detector.errors import MissingExtraError
from detector.output.tables import COUNTS_COLUMNS, SMEARS_COLUMNS, Table
from detector.vision.cells import CLASSES
from detector.vision.detections import Detections

if TYPE_CHECKING:
    import pyarrow

COUNTS, SMEARS, CELLS, TILES = "counts", "smears", "cells", "tiles"
"""Folders of the partitions."""
_NAMED = 10
"""Fields that are named to the driver; the tables name all."""
CELLS_COLUMNS = ("field", "smear", "class", "score", "x1", "y1", "x2", "y2")

_TEXTS = frozenset(("field", "smear", "slide", "status", "reason", "scale", "doubt", "class", "warning", "per_ul_source"))
_WHOLE = frozenset((*CLASSES, *(f"{name}_frame" for name in CLASSES), "width_px", "height_px"))
_WHOLE_OF_TILES = frozenset((*CLASSES, "x_px", "y_px", "width_px", "height_px"))
_WHOLE_OF_SMEARS = frozenset(("fields", "unread", "saturated", "fields_doubtful", "total", "total_frame"))


@dataclass
class Totals:
    """What a driver keeps of a count, however many fields there are."""

    numbers: Counter[str] = field(default_factory=Counter)
    """Of `smears`, of fields (`read`, `unread`, `saturated`, `doubtful`, `contradicted`), and of cells by class."""
    unread: list[tuple[str, str]] = field(default_factory=list)
    """The first fields that could not be read, with the reason."""
    contradicted: list[tuple[str, str]] = field(default_factory=list)
    """A field whose cells contradict the scale that was given, with its note."""
    partitions: list[str] = field(default_factory=list)
    """Names of the partitions that were written."""

    def add(self, other: Totals) -> None:
        """Take in those of other smears."""
        self.numbers.update(other.numbers)
        self.unread = (self.unread + other.unread)[:_NAMED]
        self.contradicted = (self.contradicted + other.contradicted)[:1]
        self.partitions += other.partitions


def require(extra: str) -> None:
    """See that Parquet can be written.

    Args:
        extra: what brings the package for it.

    Raises:
        MissingExtraError: it is not installed.
    """
    if find_spec("pyarrow") is None:
        raise MissingExtraError("pyarrow", extra, "writing Parquet")


def of_counts(table: Table) -> bytes:
    """A row per field, as in `counts.csv`."""
    return _file(_columns(table.rows, len(COUNTS_COLUMNS)), _schema(COUNTS_COLUMNS, _WHOLE, frozenset(("saturated",))))


def of_smears(table: Table) -> bytes:
    """A row per smear and class, as in `smears.csv`."""
    return _file(_columns(table.rows, len(SMEARS_COLUMNS)), _schema(SMEARS_COLUMNS, _WHOLE_OF_SMEARS, frozenset()))


def of_tiles(table: Table) -> bytes:
    """A row per tile of a slide, as in `tiles.csv`."""
    return _file(_columns(table.rows, len(table.columns)), _schema(table.columns, _WHOLE_OF_TILES, frozenset(("monolayer",))))


def of_cells(results: Iterable[FieldResult]) -> bytes:
    """A row per cell: its field, smear, class, score, and box in pixels of the upright picture with half-open edges."""
    read = [(result, result.cells) for result in results if isinstance(result.cells, Detections)]
    lengths = [len(cells) for _, cells in read]
    boxes = np.concatenate([np.zeros((0, 4)), *(cells.xyxy.astype(np.float64).round(2) for _, cells in read)])
    columns: list[Sequence[object]] = [
        np.repeat(np.array([result.field for result, _ in read], dtype=object), lengths).tolist(),
        np.repeat(np.array([result.smear for result, _ in read], dtype=object), lengths).tolist(),
        [cells.class_names[label] for _, cells in read for label in cells.label.tolist()],
        [score for _, cells in read for score in cells.score.astype(np.float64).round(4).tolist()],
        *boxes.T.tolist(),
    ]
    return _file(columns, _schema(CELLS_COLUMNS, frozenset(), frozenset()))


def _columns(rows: Sequence[Sequence[object]], n: int) -> list[Sequence[object]]:
    return [list(column) for column in zip(*rows, strict=True)] if rows else [[]] * n


def _schema(names: Sequence[str], whole: frozenset[str], truths: frozenset[str]) -> pyarrow.Schema:
    """The types are fixed, so that a partition in which nothing is known of a column has that of the others."""
    import pyarrow as pa

    def kind(name: str) -> pyarrow.DataType:
        if name in _TEXTS:
            return pa.string()
        return pa.int64() if name in whole else pa.bool_() if name in truths else pa.float64()

    return pa.schema([(name, kind(name)) for name in names])


def _file(columns: Sequence[Sequence[object]], schema: pyarrow.Schema) -> bytes:
    import pyarrow as pa
    import pyarrow.parquet

    cleaned = [[_clean(value) for value in column] for column in columns]
    arrays = [pa.array(column, field.type) for column, field in zip(cleaned, schema, strict=True)]
    buffer = io.BytesIO()
    # With sums, so that a reader that checks them notices what a disk changed.
    pyarrow.parquet.write_table(pa.Table.from_arrays(arrays, schema=schema), buffer, write_page_checksum=True)
    return buffer.getvalue()


def _clean(value: object) -> object:
    """Parquet takes no half of a pair of surrogates, which an undecodable name holds."""
    return value.encode("utf-8", "backslashreplace").decode("utf-8") if isinstance(value, str) else value
