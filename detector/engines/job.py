"""A whole count: fields in, journal on the way, counts of fields and smears out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from detector.counting import expected
from detector.counting.fields import FieldCount, UnreadField
from detector.counting.smears import SmearCount, aggregate
from detector.engines import local
from detector.engines.inputs import FieldInput
from detector.output import overlay, tables
from detector.output.journal import Entry, Journal, stamp_of
from detector.output.results import version
from detector.vision.detections import Unread
from detector.vision.model import Model

if TYPE_CHECKING:
    import pandas as pd

Progress = Callable[[int], None]
"""Called with the number of fields that were done since the last call."""


@dataclass(frozen=True)
class Outcome:
    """What a count found."""

    fields: tuple[FieldCount | UnreadField, ...]
    """In the order of smears and names."""
    notes: dict[str, str]
    """What a user should know of fields that were read, by field."""
    smears: tuple[SmearCount, ...]

    @property
    def read(self) -> list[FieldCount]:
        """Fields that were read."""
        return [field for field in self.fields if isinstance(field, FieldCount)]

    @property
    def unread(self) -> list[UnreadField]:
        """Fields that could not be read."""
        return [field for field in self.fields if isinstance(field, UnreadField)]

    def counts_table(self) -> pd.DataFrame:
        """A row per field, with the columns of `counts.csv`."""
        return tables.counts_frame(self.fields, self.notes)

    def smears_table(self) -> pd.DataFrame:
        """A row per smear and class, with the columns of `smears.csv` but for those per µL."""
        return tables.smears_frame(self.smears)


def journal_key(model: Model) -> dict[str, Any]:
    """What must be equal for a count to be continued: everything, beside the image itself, that decides its result."""
    return {"model_sha256": model.sha256, "smearcount": version()}


def count(
    fields: Sequence[FieldInput],
    model: Model,
    workers: int,
    journal: Journal | None = None,
    overlays: Path | None = None,
    progress: Progress | None = None,
) -> Outcome:
    """Count fields, and write each into the journal as soon as it is done.

    Fields that the journal holds already, from a run that was interrupted, are not counted again unless their image,
    smear or scale has changed.
    """
    tell = progress or (lambda _done: None)
    todo = [one for one in fields if journal is None or not _known(journal, one, overlays)]
    tell(len(fields) - len(todo))
    fresh: dict[str, FieldCount | UnreadField] = {}
    notes: dict[str, str] = {}
    for result in local.run(todo, model, workers, overlays):
        entry = entry_of(result)
        if journal is not None:
            journal.add(entry)
        fresh[entry.field] = field_of(entry)
        notes[entry.field] = entry.note
        tell(1)
    for one in fields:
        if journal is not None and one.field not in fresh:
            entry = journal.read(one.field)
            fresh[one.field] = field_of(entry)
            notes[one.field] = entry.note
    ordered = tuple(fresh[one.field] for one in fields)
    read = [field for field in ordered if isinstance(field, FieldCount)]
    unread = [field for field in ordered if isinstance(field, UnreadField)]
    kept_notes = {one.field: notes[one.field] for one in fields if notes[one.field]}
    return Outcome(ordered, kept_notes, tuple(aggregate(read, unread, expected.corrections(model.card.val_sums))))


def entries(fields: Sequence[FieldInput], journal: Journal) -> Iterator[Entry]:
    """The journal's entries in the order of the fields."""
    return (journal.read(one.field) for one in fields)


def entry_of(result: local.FieldResult) -> Entry:
    """A result as it is written down."""
    one = result.input
    return Entry(one.field, one.smear, one.um_per_px, stamp_of(one.path), result.found, result.note)


def field_of(entry: Entry) -> FieldCount | UnreadField:
    """The counts of an entry."""
    if isinstance(entry.found, Unread):
        return UnreadField(entry.field, entry.smear, entry.found.reason)
    return FieldCount.of(entry.found, entry.field, entry.smear, entry.um_per_px)


def _known(journal: Journal, one: FieldInput, overlays: Path | None) -> bool:
    if not journal.has(one.field, stamp_of(one.path)):
        return False
    if overlays is not None and not overlay.path_of(overlays, one.field).is_file():
        return False
    entry = journal.read(one.field)
    return (entry.smear, entry.um_per_px) == (one.smear, one.um_per_px) and not isinstance(entry.found, Unread)
