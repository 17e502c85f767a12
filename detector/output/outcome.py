"""What a count found, before it is written anywhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from detector.counting.fields import FieldCount, UnreadField
from detector.counting.result import FieldResult
from detector.counting.shapes import ShapeShares
from detector.counting.smears import SmearCount
from detector.errors import UsageError
from detector.output import results, tables
from detector.output.tables import Table
from detector.vision.cells import CLASSES

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class AgainstTruth:
    """Counts beside true ones, as tables."""

    errors: Table
    """A row per field and class, as in `errors.csv`."""
    agreement: Table
    """A row per class with the interval of each figure, as in `agreement.csv`."""
    remarks: tuple[str, ...]
    """What stands on one side only, and what of the truth could not be used."""


@dataclass(frozen=True, repr=False)
class Outcome:
    """What a count found."""

    fields: tuple[FieldCount | UnreadField, ...]
    """In the order of smears and names."""
    smears: tuple[SmearCount, ...]
    warnings: tuple[str, ...] = ()
    """What a user must know before any number is believed."""
    results: tuple[FieldResult, ...] = field(default=(), compare=False)
    """The fields with their cells, in the same order; empty where a journal holds them."""
    run: Mapping[str, Any] = field(default_factory=dict, compare=False)
    """How it was made, as `run.json` tells it."""
    shapes: ShapeShares | None = None
    """Shares of red cell shapes; None where they were not asked for."""
    against_truth: AgainstTruth | None = field(default=None, compare=False)
    """None where no truth was given."""

    def __repr__(self) -> str:
        totals = Counter[str]()
        for counted in self.read:
            totals.update(counted.raw)
        cells = ", ".join(f"{totals[name]} {name}" for name in CLASSES)
        return f"Outcome({len(self.read)} fields read, {len(self.unread)} unread, {len(self.smears)} smears: {cells})"

    @property
    def read(self) -> list[FieldCount]:
        """Fields that were read."""
        return [field for field in self.fields if isinstance(field, FieldCount)]

    @property
    def unread(self) -> list[UnreadField]:
        """Fields that could not be read."""
        return [field for field in self.fields if isinstance(field, UnreadField)]

    @property
    def saturated(self) -> list[FieldCount]:
        """Fields in which the model reported as many cells as it may."""
        return [field for field in self.read if field.saturated]

    @property
    def doubtful(self) -> list[FieldCount]:
        """Fields that were read and are doubtful; each tells why in `doubt`."""
        return [field for field in self.read if field.doubt]

    @property
    def noted(self) -> list[FieldCount]:
        """Fields that were read with a remark, their `note`."""
        return [field for field in self.read if field.note]

    def counts_table(self) -> pd.DataFrame:
        """A row per field, as in `counts.csv`."""
        return tables.of_fields(self.fields).frame()

    def smears_table(self) -> pd.DataFrame:
        """A row per smear and class, as in `smears.csv`."""
        return tables.of_smears(self.smears).frame()

    def shapes_table(self) -> pd.DataFrame:
        """A row per smear and shape of red cells, as in `shapes.csv`.

        Raises:
            UsageError: shapes were not asked for.
        """
        if self.shapes is None:
            raise UsageError("shapes were not looked at; ask the count for them: shapes=True")
        return tables.of_shapes(self.shapes).frame()

    def errors_table(self) -> pd.DataFrame:
        """A row per field and class with its error, as in `errors.csv`.

        Raises:
            UsageError: no truth was given.
        """
        return self._truth().errors.frame()

    def agreement_table(self) -> pd.DataFrame:
        """A row per class with its agreement with truth, as in `agreement.csv`.

        Raises:
            UsageError: no truth was given.
        """
        return self._truth().agreement.frame()

    def _truth(self) -> AgainstTruth:
        if self.against_truth is None:
            raise UsageError("nothing was compared; give the count its truth, for example truth='truth.csv'")
        return self.against_truth

    def save(self, folder: str | PathLike[str]) -> None:
        """Write the files that `detector.count` writes, but for its journal and overlays, into a folder without such files.

        Raises:
            OutputError: one cannot be written, or the folder holds results already.
        """
        results.save(Path(folder), self)
