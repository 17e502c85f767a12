"""What comes of a review: counts, cells, confusion of the model, a report to sign, and a dataset to train on, beside what was counted."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import Any

from detector.annotations import audit, dataset, duplicates, splits
from detector.annotations.audit import Audit, Note, Twins
from detector.annotations.records import Record
from detector.counting.result import FieldResult
from detector.counting.smears import SmearCount
from detector.errors import ImageError, NothingToDoError, writing
from detector.output import coco, files, html, pdf, results, tables
from detector.output.exchange import formats
from detector.output.exchange import run as runs
from detector.output.figures import many
from detector.output.report import content
from detector.output.tables import Table
from detector.review import printed
from detector.review.review import FieldState, Review, smear_count
from detector.shipped import version
from detector.vision.cells import CLASSES
from detector.vision.detections import Unread
from detector.vision.drawing import HEX_COLOURS

FOLDER = "reviewed"
"""Where the results of a review stand in the folder of the count."""
CONFUSION, DATASET = "confusion.csv", "dataset"
NOTHING, REMOVED = "nothing", "removed"
RATIOS = (0.8, 0.2, 0.0)
"""Shares of train, val and test in a dataset of reviewed fields: what is trained on here is tested elsewhere."""
_TEMPLATES = Path(__file__).parent / "templates"
Mark = Mapping[str, str] | None


@dataclass(frozen=True)
class Snapshot:
    """A review at one time."""

    states: Sequence[FieldState]
    smears: Sequence[SmearCount]
    signed: Mapping[str, Mark]
    """Who signed each smear and when."""

    @classmethod
    def of(cls, review: Review) -> Snapshot:
        """The review as it is now."""
        states, signed = review.snapshot()
        by_smear: dict[str, list[FieldState]] = {}
        for state in states:
            by_smear.setdefault(state.source.result.smear, []).append(state)
        smears = [smear_count(own, review.run) for _, own in sorted(by_smear.items())]
        return cls(states, smears, signed)

    def of_smear(self, name: str) -> list[FieldState]:
        """The fields of a smear."""
        return [state for state in self.states if state.source.result.smear == name]


def write(review: Review, with_pdf: bool = False) -> Path:
    """Write `reviewed/` into the folder of the count: `counts.csv`, `smears.csv`, `detections.json`, `confusion.csv`, `run.json`,
    `report.html`, and on request `report.pdf`.

    What an earlier call wrote there is replaced.

    Returns:
        The folder.

    Raises:
        OutputError: something cannot be written. MissingExtraError: the packages that write PDF are not installed.
    """
    if with_pdf:
        pdf.require("a report as PDF")
    taken, written = Snapshot.of(review), datetime.now(UTC).isoformat(timespec="seconds")
    folder = review.run.folder / FOLDER
    with writing(folder):
        folder.mkdir(exist_ok=True)
        counts_table(taken).write(folder / results.COUNTS)
        smears_table(taken).write(folder / results.SMEARS)
        coco.write(folder / results.CELLS, (_result(state) for state in taken.states))
        confusion_table(taken).write(folder / CONFUSION)
        about = {**review.run.document, "review": {"of": str(review.run.folder.resolve()), "written": written}}
        files.write_text(folder / results.RUN, json.dumps(about, indent=2, ensure_ascii=False) + "\n")
        # An earlier one would tell of other counts.
        (folder / results.PDF).unlink(missing_ok=True)
    html.write(folder / results.REPORT, _report(taken, review, written))
    if with_pdf:
        rows = [field_row(state) for state in taken.states[: pdf.MOST_ROWS]]
        printed.write(folder / results.PDF, taken, review, written, confusion_table(taken), rows)
    return folder


def export(review: Review, names: Sequence[str]) -> formats.Exported:
    """Write the review for other tools, from what `write` left, each format into a folder of its own below a new one.

    Args:
        names: of `output.exchange.FORMATS`.

    Raises:
        UsageError: there is no such format. MissingExtraError: a package that one needs is not installed.
    """
    wanted = formats.require(names, "export")
    folder = review.run.folder / FOLDER
    places = {state.name: state.source.path for state in review.fields if not state.source.problem}
    number = 1
    # What was written before may have been corrected in another tool.
    while (out := folder / (results.EXCHANGE if number == 1 else f"{results.EXCHANGE}-{number}")).exists():
        number += 1
    exported = formats.Exported()
    for source, messages in ((folder, False), (review.run.folder, True)):
        own = [name for name in wanted if (name in formats.MESSAGES) == messages]
        if own:
            part = formats.write(runs.read(source, places), own, out)
            exported.folders |= part.folders
            exported.failed += part.failed
            exported.remarks += [remark for remark in part.remarks if remark not in exported.remarks]
    return exported


def counts_table(taken: Snapshot) -> Table:
    """A row per field as in `counts.csv`, with who looked at it and what was changed."""
    table = tables.of_fields(state.counted for state in taken.states)
    return _beside(
        table, tables.REVIEWED_COUNTS_COLUMNS, [[*_marked(state.looked), *state.edits().values()] for state in taken.states]
    )


def smears_table(taken: Snapshot) -> Table:
    """A row per smear and class as in `smears.csv`, with how much was looked at and who signed."""
    more = []
    for smear in taken.smears:
        own = taken.of_smear(smear.smear)
        readers = "; ".join(sorted({state.looked["by"] for state in own if state.looked}))
        looked_at = sum(state.looked is not None for state in own)
        more += [[looked_at, *_marked(taken.signed[smear.smear]), readers or None]] * len(smear.classes)
    return _beside(tables.of_smears(taken.smears), tables.REVIEWED_SMEARS_COLUMNS, more)


def confusion(taken: Snapshot) -> dict[tuple[str, str], int]:
    """Cells of the fields that were looked at, by what the model and what the readers called them.

    What the model found and a reader removed is `REMOVED`; what it missed and a reader drew, it called `NOTHING`.
    """
    pairs: Counter[tuple[str, str]] = Counter()
    for state in taken.states:
        for number, cell in state.cells.items() if state.looked else ():
            model = CLASSES[state.model_cells[number][4]] if number in state.model_cells else NOTHING
            reader = REMOVED if cell is None else CLASSES[cell[4]]
            if (model, reader) != (NOTHING, REMOVED):
                pairs[model, reader] += 1
    return dict(pairs)


def confusion_table(taken: Snapshot) -> Table:
    """`confusion` as a table: a row for each class of the model, a column for each of the readers."""
    pairs = confusion(taken)
    columns = (*CLASSES, REMOVED)
    rows = [
        [model, *(None if (model, reader) == (NOTHING, REMOVED) else pairs.get((model, reader), 0) for reader in columns)]
        for model in (*CLASSES, NOTHING)
    ]
    return Table(("model", *columns), rows)


def write_dataset(review: Review) -> Path:
    """Write the fields that were looked at as a dataset folder for training, `reviewed/dataset`, and return its `data.yaml`.

    Fields that show the same cells come into the same split.

    Raises:
        NothingToDoError: no field was looked at, or none of their pictures can be read.
        OutputError: it cannot be written, or something else stands there.
    """
    taken = Snapshot.of(review)
    fields, seen, failed = [], [], []
    for state in taken.states:
        if state.looked is None:
            continue
        try:
            picture = duplicates.look(state.source.path)
            if picture.size_wh != state.source.cells.size_wh:
                raise ImageError(f"is {picture.size_wh[0]} x {picture.size_wh[1]} px, other than when it was counted")
        except ImageError as error:
            failed.append(Note(state.name, str(error)))
            continue
        fields.append(state)
        seen.append(picture)
    if not fields:
        first = f": {failed[0].file}: {failed[0].reason}" if failed else "; mark fields as looked at first"
        raise NothingToDoError(f"{review.run.folder}: no field is marked as looked at and can be read{first}")
    pairs = duplicates.within(seen)
    dealt = splits.deal([state.name for state in fields], duplicates.groups(len(fields), pairs), RATIOS, seed=0)
    names = _names([state.name for state in fields])
    records = [_record(*entry) for entry in zip(fields, names, dealt, strict=True)]
    twins = (Twins(names[p.first], dealt[p.first], names[p.second], dealt[p.second], p.similarity, p.identical) for p in pairs)
    left_out = [Note(s.name, "is not marked as looked at") for s in taken.states if s.source.is_read and s.looked is None]
    about = Audit(
        source=review.run.folder.as_posix(),
        layout="review of a count",
        labels=review.run.folder.as_posix(),
        split_plan="/".join(f"{share:g}" for share in RATIOS),
        seed=0,
        splits=audit.tally(records),
        boxes=(),
        failed=tuple(failed),
        left_out=tuple(left_out),
        remarks=(),
        sizes=(),
        twins=tuple(twins),
        against=(),
    )
    out = review.run.folder / FOLDER / DATASET
    with dataset.fresh(out) as folder:
        dataset.write(folder, records)
        about.write(folder)
        smears = [state.source.result.smear for state in fields]
        files.write_csv(folder / dataset.SMEARS, ("field", "smear"), zip(names, smears, strict=True))
    return out / "data.yaml"


def _record(state: FieldState, name: str, split: str) -> Record:
    cells = state.present()
    return Record(name, state.source.path, cells.size_wh, cells.xyxy, cells.label, split)


def _names(fields: Sequence[str]) -> list[str]:
    """A name for each picture of a dataset, from its field's whole path; no two are equal, also where case makes no difference."""
    names: list[str] = []
    taken: set[str] = set()
    for field in fields:
        parts = PurePosixPath(field.replace(":", "_")).with_suffix("").parts
        name = stem = "__".join(part for part in parts if part not in ("/", ".."))
        number = 1
        while name.casefold() in taken:
            number += 1
            name = f"{stem}-{number}"
        taken.add(name.casefold())
        names.append(name)
    return names


def _result(state: FieldState) -> FieldResult:
    result = state.source.result
    return result if isinstance(result.cells, Unread) or result.slide is not None else replace(result, cells=state.present())


def _beside(table: Table, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> Table:
    return Table((*table.columns, *columns), [[*row, *more] for row, more in zip(table.rows, rows, strict=True)])


def _marked(mark: Mark) -> list[str | None]:
    return [None, None] if mark is None else [mark["by"], mark["at"]]


def _report(taken: Snapshot, review: Review, written: str) -> str:
    read = [state for state in taken.states if state.source.is_read]
    looked_at = [state for state in read if state.looked]
    sections: list[dict[str, Any]] = []
    for smear in taken.smears[: content.MOST_SMEARS]:
        own = taken.of_smear(smear.smear)
        edits: Counter[str] = Counter()
        for state in own:
            edits.update(state.edits())
        readable = [state for state in own if state.source.is_read]
        sections.append(
            {
                "smear": smear,
                "rows": content.rows(smear),
                "looked_at": sum(state.looked is not None for state in readable),
                "fields": len(readable),
                "readers": sorted({state.looked["by"] for state in own if state.looked}),
                "edits": ", ".join(f"{number:,} {what}" for what, number in edits.items()),
                "signed": taken.signed[smear.smear],
                "source": next((count.per_ul_source for count in smear.classes.values() if count.per_ul_source), ""),
            }
        )
    return html.render(
        _TEMPLATES,
        sentence=f"{len(looked_at):,} of {many(len(read), 'field')} of {many(len(taken.smears), 'smear')} were looked at.",
        complete=len(looked_at) == len(read),
        remarks=review.remarks,
        classes=CLASSES,
        colours=HEX_COLOURS,
        sections=sections,
        more=len(taken.smears) - len(sections),
        confusion=confusion_table(taken),
        fields=[field_row(state) for state in taken.states[: content.MOST_ROWS]],
        fields_more=len(taken.states) - content.MOST_ROWS,
        run=review.run.document,
        version=version(),
        written=written,
    )


def field_row(state: FieldState) -> list[str]:
    """A field's line in the report: name, counts, who looked at it when, and what is to be said of it."""
    row = content.field_row(state.counted)
    looked = f"{state.looked['by']}, {state.looked['at']}" if state.looked else "no"
    edits = ", ".join(f"{number} {what}" for what, number in state.edits().items() if number)
    problem = state.source.problem if state.source.is_read else ""
    return [row[0], *row[1 : len(CLASSES) + 1], looked, edits, "; ".join(filter(None, (row[-1], problem)))]
