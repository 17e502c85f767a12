"""What a count found, before it is written anywhere."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from detector.counting.fields import FieldCount, UnreadField
from detector.counting.smears import SmearCount
from detector.output import tables
from detector.vision.cells import CLASSES

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
class Outcome:
    """What a count found."""

    fields: tuple[FieldCount | UnreadField, ...]
    """In the order of smears and names."""
    notes: dict[str, str]
    """What a user should know of fields that were read, by field."""
    doubts: dict[str, str]
    """What makes fields that were read doubtful, by field."""
    smears: tuple[SmearCount, ...]
    warnings: tuple[str, ...] = ()
    """What a user must know before any number is believed."""

    def __repr__(self) -> str:
        totals = Counter[str]()
        for field in self.read:
            totals.update(field.raw)
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

    def counts_table(self) -> pd.DataFrame:
        """A row per field, with the columns of `counts.csv`."""
        return tables.counts_frame(self.fields, self.notes, self.doubts)

    def smears_table(self) -> pd.DataFrame:
        """A row per smear and class, with the columns of `smears.csv` but for those per µL."""
        return tables.smears_frame(self.smears)
