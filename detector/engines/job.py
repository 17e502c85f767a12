"""A whole count: fields in, journal on the way, counts of fields and smears out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from detector.counting import expected
from detector.counting.fields import FieldCount, UnreadField
from detector.counting.smears import aggregate
from detector.engines import local
from detector.engines.inputs import FieldInput
from detector.output import overlay
from detector.output.journal import Entry, Journal, stamp_of
from detector.output.outcome import Outcome
from detector.output.results import version
from detector.vision import quality
from detector.vision.detections import Unread
from detector.vision.model import Model

Progress = Callable[[int], None]
"""Called with the number of fields that were done since the last call."""


def journal_key(model: Model) -> dict[str, Any]:
    """What must be equal for a count to be continued: everything, beside the image itself, that decides its result."""
    return {"model_sha256": model.sha256, "backend": model.network.backend, "smearcount": version()}


def count(
    fields: Sequence[FieldInput],
    model: Model,
    workers: int,
    journal: Journal | None = None,
    overlays: Path | None = None,
    progress: Progress | None = None,
    picture_bytes: int = 0,
) -> Outcome:
    """Count fields, and write each into the journal as soon as it is done.

    Fields that the journal holds already, from a run that was interrupted, are not counted again unless their image,
    smear or scale has changed.

    Args:
        overlays: folder to draw each field's cells in; None draws none.
        picture_bytes: most bytes of the small picture of each field that goes into the journal; with 0 none is made.
    """
    tell = progress or (lambda _done: None)
    todo = [one for one in fields if journal is None or not _known(journal, one, overlays)]
    tell(len(fields) - len(todo))
    fresh: dict[str, FieldCount | UnreadField] = {}
    notes: dict[str, str] = {}
    for result in local.run(todo, model, workers, overlays, picture_bytes):
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
    smears = aggregate(read, unread, expected.corrections(model.card.val_sums))
    return Outcome(ordered, kept_notes, _doubts(read), tuple(smears))


def entries(fields: Sequence[FieldInput], journal: Journal) -> Iterator[Entry]:
    """The journal's entries in the order of the fields."""
    return (journal.read(one.field) for one in fields)


def entry_of(result: local.FieldResult) -> Entry:
    """A result as it is written down."""
    one = result.input
    return Entry(
        one.field, one.smear, one.um_per_px, stamp_of(one.path), result.found, result.note, result.quality, result.picture
    )


def field_of(entry: Entry) -> FieldCount | UnreadField:
    """The counts of an entry."""
    if isinstance(entry.found, Unread):
        return UnreadField(entry.field, entry.smear, entry.found.reason)
    return FieldCount.of(entry.found, entry.field, entry.smear, entry.um_per_px, entry.quality)


def _doubts(read: Sequence[FieldCount]) -> dict[str, str]:
    """What makes fields doubtful, by field; each is compared with the others of its smear."""
    by_smear: dict[str, dict[str, quality.Quality]] = {}
    for field in read:
        if field.quality is not None:
            by_smear.setdefault(field.smear, {})[field.field] = field.quality
    found = {
        name: doubt for one in by_smear.values() for name, doubt in zip(one, quality.doubts(list(one.values())), strict=True)
    }
    return {name: doubt for name, doubt in found.items() if doubt}


def _known(journal: Journal, one: FieldInput, overlays: Path | None) -> bool:
    if not journal.has(one.field, stamp_of(one.path)):
        return False
    if overlays is not None and not overlay.path_of(overlays, one.field).is_file():
        return False
    entry = journal.read(one.field)
    return (entry.smear, entry.um_per_px) == (one.smear, one.um_per_px) and not isinstance(entry.found, Unread)
