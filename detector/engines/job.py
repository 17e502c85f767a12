"""A whole count: fields in, journal on the way, counts of fields and smears out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from detector.counting import expected
from detector.counting.fields import FieldCount, UnreadField
from detector.counting.smears import aggregate
from detector.engines import local, slides
from detector.engines.inputs import FieldInput
from detector.output import overlay
from detector.output.html import as_base64
from detector.output.journal import Entry, Journal, stamp_of
from detector.output.outcome import Outcome
from detector.shipped import version
from detector.vision import doubts, finder, quality, tiles
from detector.vision.detections import Unread
from detector.vision.familiar import Familiar
from detector.vision.model import Model
from detector.vision.slides import formats

Progress = Callable[[float], None]
"""Called with the number of fields that were done since the last call; a slide is done by and by."""


def journal_key(model: Model) -> dict[str, Any]:
    """What must be equal for a count to be continued: everything, beside the image itself, that decides its result."""
    return {"model_sha256": model.sha256, "backend": model.network.backend, "smearcount": version()}


def count(  # noqa: PLR0913
    fields: Sequence[FieldInput],
    model: Model,
    workers: int,
    journal: Journal | None = None,
    overlays: Path | None = None,
    progress: Progress | None = None,
    picture_bytes: int = 0,
    tile_px: int = tiles.TILE_PX,
    each: Callable[[Entry], None] | None = None,
) -> Outcome:
    """Count fields, and write each into the journal as soon as it is done.

    Fields that the journal holds already, from a run that was interrupted, are not counted again unless their image,
    smear or scale has changed. Slides are searched one by one, each with all workers.

    Args:
        overlays: folder to draw each field's cells in; None draws none.
        picture_bytes: most bytes of the small picture of each field that goes into the journal; with 0 none is made.
        tile_px: side of a slide's tiles in the model's own pixels.
        each: called with what became of each field, in the order of the fields.
    """
    counted: list[FieldCount | UnreadField] = []
    notes: dict[str, str] = {}
    lacking: dict[str, str] = {}
    work = slides.Work(model, workers, tile_px, journal)
    for entry in _counted(fields, work, overlays, progress or (lambda _done: None), picture_bytes):
        counted.append(field_of(entry))
        if entry.note:
            notes[entry.field] = entry.note
        if entry.slide is not None:
            lacking[entry.field] = entry.slide.doubt()
        if each is not None:
            each(entry)
    read = [field for field in counted if isinstance(field, FieldCount)]
    unread = [field for field in counted if isinstance(field, UnreadField)]
    doubtful = _doubts(read, lacking, model.card.familiar)
    smears = aggregate(read, unread, expected.corrections(model.card.val_sums), doubtful)
    return Outcome(tuple(counted), notes, doubtful, tuple(smears), _warnings(read, notes))


def _counted(
    fields: Sequence[FieldInput], work: slides.Work, overlays: Path | None, tell: Progress, picture_bytes: int
) -> Iterator[Entry]:
    """What becomes of each field, in their order; what is not in the journal is counted and written there."""
    journal = work.journal
    todo = {one.field: one for one in fields if journal is None or not _known(journal, one, overlays)}
    tell(len(fields) - len(todo))
    large = {one.field for one in todo.values() if not one.problem and formats.is_slide(one.path)}
    small = [one for one in todo.values() if one.field not in large]
    scales = local.SmearScales(work.model, [one for one in fields if one.problem or not formats.is_slide(one.path)])
    with closing(local.run(small, work.model, work.workers, scales, overlays, picture_bytes)) as results:
        for one in fields:
            if journal is not None and one.field not in todo:
                yield journal.read(one.field)
                continue
            entry = slides.count(one, work, tell) if one.field in large else entry_of(next(results))
            if journal is not None:
                journal.add(entry)
            if one.field not in large:
                tell(1)
            yield entry


def entries(fields: Sequence[FieldInput], journal: Journal) -> Iterator[Entry]:
    """The journal's entries in the order of the fields."""
    return (journal.read(one.field) for one in fields)


def entry_of(result: local.FieldResult) -> Entry:
    """A result as it is written down."""
    one = result.input
    picture = as_base64(result.picture)
    return Entry(
        one.field,
        one.smear,
        one.um_per_px,
        stamp_of(one.path),
        result.found,
        result.note,
        result.quality,
        picture,
        scale=result.scale,
    )


def field_of(entry: Entry) -> FieldCount | UnreadField:
    """The counts of an entry."""
    if isinstance(entry.found, Unread):
        return UnreadField(entry.field, entry.smear, entry.found.reason)
    if entry.slide is not None:
        return entry.slide.field(entry.found, entry.field, entry.smear, entry.um_per_px)
    return replace(FieldCount.of(entry.found, entry.field, entry.smear, entry.um_per_px, entry.quality), scale=entry.scale)


def _warnings(read: Sequence[FieldCount], notes: Mapping[str, str]) -> tuple[str, ...]:
    """What a user must know before any number is believed: a scale that was given and that the cells contradict."""
    wrong = [field for field in read if finder.CONTRADICTED in notes.get(field.field, "")]
    if not wrong:
        return ()
    told = notes[wrong[0].field]
    first = told[told.index(finder.CONTRADICTED) :].split(";")[0]
    return (
        f"the given scale contradicts the cells in {len(wrong)} of {len(read)} fields: in {wrong[0].field}, {first}. "
        "It was still used; leave it out if it is wrong",
    )


def _doubts(read: Sequence[FieldCount], lacking: Mapping[str, str], known: Familiar | None) -> dict[str, str]:
    """What makes fields doubtful, by field; each is compared with the others of its smear.

    Args:
        lacking: what is missing in the counts of slides, by their names.
        known: what the fields of the model's training are like.
    """
    by_smear: dict[str, dict[str, quality.Quality]] = {}
    for field in read:
        if field.quality is not None:
            by_smear.setdefault(field.smear, {})[field.field] = field.quality
    judged = ((one, doubts.of(list(one.values()), known)) for one in by_smear.values())
    found = {name: doubt for one, reasons in judged for name, doubt in zip(one, reasons, strict=True)}
    told = {field.field: "; ".join(filter(None, (lacking.get(field.field), found.get(field.field)))) for field in read}
    return {name: doubt for name, doubt in told.items() if doubt}


def _known(journal: Journal, one: FieldInput, overlays: Path | None) -> bool:
    if not journal.has(one.field, stamp_of(one.path)):
        return False
    entry = journal.read(one.field)
    if overlays is not None and entry.slide is None and not overlay.path_of(overlays, one.field).is_file():
        return False
    return (entry.smear, entry.um_per_px) == (one.smear, one.um_per_px) and not isinstance(entry.found, Unread)
