"""A whole count: fields in, journal on the way, counts of fields and smears out."""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from detector import process
from detector.counting import density, expected, shapes
from detector.counting.fields import FieldCount, UnreadField
from detector.counting.result import FieldResult
from detector.counting.smears import aggregate, judge
from detector.engines import inputs, local, manifest, slides
from detector.engines.inputs import FieldInput, Inputs
from detector.engines.local import Work
from detector.engines.options import CountOptions
from detector.engines.pool import handed_on, workers_for
from detector.errors import UsageError, writing
from detector.output import files, overlay, results
from detector.output.journal import Journal, Stamp, stamp_of
from detector.output.outcome import Outcome
from detector.output.report import page, pictures, printed
from detector.shipped import version
from detector.vision import finder, scale, tiles
from detector.vision.detections import Unread
from detector.vision.model import Model
from detector.vision.scale import OF_FILE, OF_SMEAR
from detector.vision.shapes import FieldShapes, ShapeModel
from detector.vision.slides import formats

if TYPE_CHECKING:
    from detector.accuracy.comparison import Comparison
    from detector.accuracy.tables import CountsTable

Progress = Callable[[float], None]
"""Called with the number of fields that were done since the last call; a slide is done by and by."""


def journal_key(model: Model, tile_px: int = tiles.TILE_PX, shape_model: ShapeModel | None = None) -> dict[str, Any]:
    """What must be equal for a count to be continued: everything, beside the image itself, that decides its result."""
    key = {"model_sha256": model.sha256, "backend": model.network.backend, "smearcount": version(), "tile_px": tile_px}
    return key if shape_model is None else {**key, "shapes_sha256": shape_model.sha256}


def search(options: CountOptions, spelled: Callable[[str], str] = str) -> Inputs:
    """The fields that a count is asked for, and what was skipped.

    Args:
        spelled: what the caller calls an option, from its name in `CountOptions`.

    Raises:
        UsageError: a calibration is not possible, or two do not go together. NothingToDoError: there is no field.
        ManifestError: the manifest is not valid.
    """
    check_calibration(options, spelled)
    listed = manifest.read(options.manifest) if options.manifest else None
    searched = inputs.search(options.inputs, listed, options.um_per_px)
    fields = searched.fields
    if options.ul_factor is not None and searched.rbc_per_ul:
        raise UsageError(
            f"{spelled('ul_factor')} and the column rbc_per_ul of {options.manifest} are two ways to counts per µL; give one of them"
        )
    if options.ul_factor is not None and not any(
        field.um_per_px is not None or formats.may_state_scale(field.path) for field in fields
    ):
        raise UsageError(
            f"{spelled('ul_factor')} needs cells per mm²: give {spelled('um_per_px')} too, or a manifest with a um_per_px column"
        )
    return searched


def check_calibration(options: CountOptions, spelled: Callable[[str], str] = str) -> None:
    """Refuse a calibration that no smear has, or two ways to counts per µL.

    Args:
        spelled: what the caller calls an option, from its name in `CountOptions`.

    Raises:
        UsageError: a calibration is not possible, or two do not go together.
    """
    if options.um_per_px is not None:
        scale.check(options.um_per_px, spelled("um_per_px"))
    if options.rbc_per_ul is not None:
        density.check_red_cells(options.rbc_per_ul, spelled("rbc_per_ul"))
    if options.ul_factor is not None:
        density.check_factor(options.ul_factor, spelled("ul_factor"))
    if options.rbc_per_ul is not None and options.ul_factor is not None:
        raise UsageError(f"{spelled('rbc_per_ul')} and {spelled('ul_factor')} are two ways to counts per µL; give one of them")


def count_fields(
    fields: Sequence[FieldInput],
    work: Work,
    progress: Progress | None = None,
    on_result: Callable[[FieldResult], None] | None = None,
) -> Outcome:
    """Count fields, and write each into the journal as soon as it is done.

    Fields that the journal holds already, from a run that was interrupted, are not counted again unless their image,
    smear or scale has changed. Slides are searched one by one, each with all workers.

    Args:
        on_result: called with what became of each field, in the order of the fields.
    """
    counted: list[FieldCount | UnreadField] = []
    looked: list[tuple[str, FieldShapes]] = []
    for result in _counted(fields, work, progress or (lambda _done: None)):
        counted.append(result.count())
        if result.shapes is not None:
            looked.append((result.smear, result.shapes))
        if on_result is not None:
            on_result(result)
    read = judge([field for field in counted if isinstance(field, FieldCount)], work.model.card.familiar)
    unread = [field for field in counted if isinstance(field, UnreadField)]
    smears = aggregate(read, unread, expected.corrections(work.model.card.val_sums))
    judged = iter(read)
    ordered = (field if isinstance(field, UnreadField) else next(judged) for field in counted)
    shares = None if work.shapes is None else shapes.of_smears(looked, work.shapes)
    warnings = (*_warnings(read), *_without_shapes(read) * (shares is not None))
    return Outcome(tuple(ordered), tuple(smears), warnings, shapes=shares)


def count_into(
    folder: Path,
    searched: Inputs,
    options: CountOptions,
    model: Model,
    started: float,
    progress: Progress,
    warn: Callable[[str], None],
) -> Outcome:
    """Count fields into a folder that `results.prepare` made: with their journal on the way, and tables, cells and report at the end.

    Args:
        started: seconds since the epoch.
        warn: told what of a journal that is continued cannot be believed.

    Raises:
        OutputError: something cannot be written, or another process writes there. KeyboardInterrupt: a signal waits.
    """
    fields = searched.fields
    shape_model = ShapeModel.load() if options.shapes else None
    with Journal(folder / results.JOURNAL, journal_key(model, options.tile_px, shape_model), options.resume) as journal:
        if journal.remark:
            warn(journal.remark)
        if options.resume:
            # Half-written files of a count that was killed.
            with writing(folder):
                files.remove_parts(folder)
        drawn = folder / results.OVERLAYS if options.overlays else None
        most = pictures.most_bytes(len(fields))
        work = Work(model, workers_for(options.threads), journal, drawn, most, options.tile_px, shape_model)
        with handed_on(partial(results.write_cells, folder)) as write_down:
            outcome = count_fields(fields, work, progress, write_down)
        outcome = completed(outcome, options, searched, model, started)
        results.write(folder, outcome, outcome.run)
        page.write(folder / results.REPORT, outcome, entries(fields, journal), outcome.run)
        if options.pdf:
            printed.write(folder / results.PDF, outcome, outcome.run)
    return outcome


def completed(outcome: Outcome, options: CountOptions, searched: Inputs, model: Model, started: float) -> Outcome:
    """The outcome with cells per µL, where something tells them, and with how it was made.

    Args:
        searched: what `search` gives; its red cell counts go before that of the options.
        started: seconds since the epoch.
    """
    smears = (
        density.per_ul(smear, searched.rbc_per_ul.get(smear.smear, options.rbc_per_ul), options.ul_factor)
        for smear in outcome.smears
    )
    run = results.describe_run(model, options.recorded(), outcome.fields, started, time.time())
    if outcome.shapes is not None:
        run["shapes"] = results.describe_shapes(outcome.shapes)
    return replace(outcome, smears=tuple(smears), run=run)


def truth_of(path: Path) -> CountsTable:
    """True counts from labels or a table.

    Raises:
        ManifestError: a table that is not valid. AnnotationError: no label set, or none with known classes.
    """
    from detector.accuracy import tables  # imports much, which few counts need

    return tables.read_counts(path)


def compare(outcome: Outcome, truth: CountsTable) -> Comparison:
    """The counts beside true ones.

    Raises:
        ManifestError: they cannot be compared.
    """
    from detector.accuracy import comparison
    from detector.accuracy.tables import CountsTable

    smears = {field.field: field.smear for field in outcome.read}
    return comparison.compare(CountsTable({field.field: field.raw for field in outcome.read}, smears=smears), truth)


def entries(fields: Sequence[FieldInput], journal: Journal) -> Iterator[FieldResult]:
    """What the journal holds of the fields, in their order."""
    for field in fields:
        process.check()
        yield journal.read(field.field)


def _counted(fields: Sequence[FieldInput], work: Work, tell: Progress) -> Iterator[FieldResult]:
    """What becomes of each field, in their order; what is not in the journal is counted and written there."""
    journal = work.journal
    # Taken before a picture is read: one that changes while it is searched differs from its stamp, and is counted again.
    stamps = {} if journal is None else {field.field: stamp_of(field.path) for field in fields}
    todo = {
        field.field: field
        for field in fields
        if journal is None or not _in_journal(journal, field, stamps[field.field], work.overlays)
    }
    large = {field.field for field in fields if not field.problem and formats.is_slide(field.path)}
    scales = local.SmearScales(work.model, [field for field in fields if field.field not in large])
    if journal is not None and len(todo) < len(fields):
        todo |= {field.field: field for field in _of_another_scale(fields, todo, large, journal, scales)}
    tell(len(fields) - len(todo))
    small = [field for field in fields if field.field in todo and field.field not in large]
    with closing(local.run(small, work, scales)) as done:
        for field in fields:
            process.check()
            if journal is not None and field.field not in todo:
                yield journal.read(field.field)
                continue
            result = slides.count_slide(field, work, tell) if field.field in large else next(done)
            if journal is not None:
                journal.add(result, stamps[field.field])
            if field.field not in large:
                tell(1)
            yield result


def _of_another_scale(
    fields: Sequence[FieldInput], todo: Container[str], large: Container[str], journal: Journal, scales: local.SmearScales
) -> Iterator[FieldInput]:
    """Fields in the journal that are counted again, since fields of their smear came or changed, and with them the smear's scale.

    Args:
        todo: names of fields that are counted anyway.
        large: names of slides, which have scales of their own.
    """
    own = [field for field in fields if field.um_per_px is None and not field.problem and field.field not in large]
    for smear in {field.smear for field in own if field.field in todo}:
        counted = {field: journal.read(field.field).scale for field in own if field.smear == smear and field.field not in todo}
        # What a field's file states does not change with other fields.
        known = [field for field, scale in counted.items() if scale is None or scale.source != OF_FILE]
        if not known:
            continue
        expected = scales.of(known[0])
        taken = {scale for field in known if (scale := counted[field]) is not None and scale.source == OF_SMEAR}
        if taken != ({expected} if expected is not None and expected.source == OF_SMEAR else set()):
            yield from known


def _warnings(read: Sequence[FieldCount]) -> tuple[str, ...]:
    """What a user must know before any number is believed: a scale that was given and that the cells contradict."""
    wrong = [field for field in read if finder.CONTRADICTED in field.note]
    if not wrong:
        return ()
    note = wrong[0].note
    first = note[note.index(finder.CONTRADICTED) :].split(";")[0]
    return (
        f"the given scale contradicts the cells in {len(wrong)} of {len(read)} fields: in {wrong[0].field}, {first}. "
        "It was still used; leave it out if it is wrong",
    )


def _without_shapes(read: Sequence[FieldCount]) -> tuple[str, ...]:
    """What a user must know of shapes: that slides are left out."""
    slides_read = sum(bool(field.tiles) for field in read)
    return (f"shapes of red cells are told in photographs only; {slides_read} slides are left out of them",) * bool(slides_read)


def _in_journal(journal: Journal, field: FieldInput, stamp: Stamp, overlays: Path | None) -> bool:
    if not journal.has(field.field, stamp):
        return False
    result = journal.read(field.field)
    if overlays is not None and result.slide is None and not overlay.path_of(overlays, field.field).is_file():
        return False
    return (result.smear, result.um_per_px) == (field.smear, field.um_per_px) and not isinstance(result.cells, Unread)
