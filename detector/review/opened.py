"""The folder of a count, opened for a review: its fields with their cells, and where their pictures are; it is only read."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from detector import texts
from detector.counting.fields import UnreadField
from detector.counting.result import FieldResult
from detector.engines import job
from detector.engines.inputs import FieldInput, Inputs
from detector.engines.options import CountOptions
from detector.errors import OutputError, SmearcountError, UsageError
from detector.output import coco, files, results, slides
from detector.output.journal import Stamp, is_written, results_in, stamp_of
from detector.vision.cells import CLASSES
from detector.vision.detections import Detections, Unread
from detector.vision.scale import Scale

_NEEDED = (results.CELLS, results.COUNTS, results.RUN)
_MOST_BYTES = 2048 * texts.MEBIBYTE
_SLIDE = (
    "a whole slide, whose cells are not reviewed here, and whose counts stay as they were counted; look at it in QuPath "
    "(detector.exchange RUN --to qupath), or save regions of it as PNG or JPEG pictures, and give their folder"
)


@dataclass
class OpenedField:
    """One field of a count."""

    result: FieldResult
    """What the model found in it."""
    path: Path
    """Where its picture is, or was."""
    doubt: str
    """Why its counts are doubtful; empty where they are not."""
    problem: str
    """Why nobody can look at it here; empty where it can be looked at."""

    @property
    def cells(self) -> Detections:
        """What the model found; no cell where the field was not read."""
        return Detections.none((1, 1)) if isinstance(self.result.cells, Unread) else self.result.cells

    @property
    def is_read(self) -> bool:
        """Whether the count could read it."""
        return not isinstance(self.result.cells, Unread)


@dataclass(frozen=True)
class OpenedRun:
    """A count as it stands in its folder."""

    folder: Path
    fields: Sequence[OpenedField]
    """In the order of `counts.csv`."""
    document: Mapping[str, Any]
    """What `run.json` holds."""
    sha256: str
    """Of `detections.json`: a review belongs to these cells."""

    rbc_per_ul: Mapping[str, float | None]
    """Red cells per µL from an analyser by smear, where they were given and are still known."""
    remarks: Sequence[str] = ()
    """What a reader must know of the count."""

    @property
    def thresholds(self) -> dict[str, float]:
        """Least score of a counted cell, by class name."""
        return dict(self.document["model"]["thresholds"])


def open_run(folder: Path, pictures: Path | None = None) -> OpenedRun:
    """Open the folder that a count wrote.

    Args:
        pictures: the folder from which the fields are named, where their pictures are elsewhere than at the count.

    Raises:
        OutputError: it is no folder of a finished count, a count writes into it, or its files cannot be read or contradict each other.
        UsageError: it is that of a stream or of a review, or `pictures` is no folder.
    """
    if is_written(folder / results.JOURNAL):
        raise OutputError(f"{folder}: a count writes into it; wait for its end")
    missing = [name for name in _NEEDED if not (folder / name).is_file()]
    if missing:
        raise OutputError(f"{folder}: is not the folder of a finished count: {', '.join(missing)} is missing")
    document = coco.document_of(folder / results.RUN)
    if "stream" in document:
        raise UsageError(
            f"{folder}: is the result of a stream, whose pictures were not kept, so that nobody can look at its cells; "
            "photograph fields of the smear, and give the folder of the pictures"
        )
    if "review" in document:
        raise UsageError(f"{folder}: is the result of a review; open the count that was reviewed, {folder.resolve().parent}")
    if pictures is not None and not pictures.is_dir():
        raise UsageError(f"--pictures {pictures}: is not a folder; give the one from which the fields are named")
    try:
        entries = _results(folder, document)
        rows = _rows(folder / results.COUNTS)
        sources = _sources(document["settings"], folder)
        places = {} if sources is None else {field.field: field for field in sources.fields}
        fields = [_field(*entries[name], rows.get(_key(name), {}), places, pictures) for name in _ordered(entries, rows)]
        red_cells, remark = _red_cells(document["settings"], fields, sources)
        remarks = [text for text in (remark, _otherwise_counted(folder, fields, rows)) if text]
        digest = hashlib.sha256(texts.content(folder / results.CELLS, _MOST_BYTES)).hexdigest()
        run = OpenedRun(folder, fields, document, digest, red_cells, remarks)
        run.thresholds  # noqa: B018 - to know now that they are there
    except (KeyError, TypeError, AttributeError, IndexError, ValueError) as error:
        raise OutputError(f"{folder}: its files are not as a count writes them ({error!r}); count the pictures again") from None
    except OSError as error:
        raise OutputError(f"{folder}: cannot be read ({error.strerror or error})") from None
    return run


def _results(folder: Path, document: Mapping[str, Any]) -> dict[str, tuple[FieldResult, Stamp]]:
    """The fields by name: from the journal, which knows most, else from the tables."""
    journal = folder / results.JOURNAL
    if not journal.is_file():
        if (folder / slides.TILES).exists():
            raise OutputError(f"{folder}: holds slides and no {results.JOURNAL}, so their tiles are not known; count them again")
        return {result.field: (result, None) for result in _from_tables(folder, document)}
    entries = results_in(journal)
    written = coco.read(folder / results.CELLS)
    named = {field.name for field in written.fields} | written.unread.keys()
    lost = sorted(named - entries.keys())
    if lost:
        raise OutputError(f"{journal}: holds nothing of {lost[0]}; remove it, or count again with --resume")
    # A count that was continued may have been asked for fewer fields the second time.
    return {name: entry for name, entry in entries.items() if name in named}


def _from_tables(folder: Path, document: Mapping[str, Any]) -> Iterator[FieldResult]:
    """Fields of a count without a journal, as `Outcome.save` leaves them."""
    written, rows = coco.read(folder / results.CELLS), _rows(folder / results.COUNTS)
    um_per_px = document["settings"].get("um_per_px") if document["settings"].get("manifest") is None else None
    for field in written.fields:
        row = rows[_key(field.name)]
        cells = replace(field.cells, saturated=row["saturated"] == "true")
        scale = Scale(float(row["rbc_px"]) if row["rbc_px"] else None, row["scale"]) if row["scale"] else None
        yield FieldResult(field.name, field.smear, um_per_px, cells, row["reason"], scale=scale)
    for name, reason in written.unread.items():
        yield FieldResult(name, rows[_key(name)]["smear"], um_per_px, Unread(name, reason))


def _rows(path: Path) -> dict[str, dict[str, str]]:
    """Rows of `counts.csv` by their field as it stands there, in their order."""
    table = texts.table(path, "count the pictures again")
    rows = (dict(zip(table.columns, row, strict=False)) for _, row in table.rows)
    return {row["field"]: {name: files.rearmed(value) for name, value in row.items()} for row in rows}


def _key(field: str) -> str:
    """A field's name as it stands in a table."""
    return files.readable(str(files.as_entry(field))).strip()


def _ordered(names: Iterable[str], rows: Mapping[str, object]) -> list[str]:
    places = {name: number for number, name in enumerate(rows)}
    return sorted(names, key=lambda name: (places.get(_key(name), len(places)), name))


def _sources(settings: Mapping[str, Any], folder: Path) -> Inputs | None:
    """Where the pictures are: the inputs of the count, as seen from here or from a folder above the results; None where nowhere."""
    for base in dict.fromkeys((Path.cwd(), *folder.resolve().parents)):
        manifest = settings.get("manifest")
        inputs = [str(base / name) for name in settings["inputs"]]
        try:
            searched = job.search(CountOptions(inputs, None if manifest is None else base / manifest, settings.get("um_per_px")))
        except SmearcountError:
            continue
        if any(not field.problem for field in searched.fields):
            return searched
    return None


def _red_cells(
    settings: Mapping[str, Any], fields: Sequence[OpenedField], sources: Inputs | None
) -> tuple[dict[str, float | None], str]:
    """Red cells per µL by smear as the count had them, and what to tell where they are not known any more."""
    given = settings.get("rbc_per_ul")
    smears = dict.fromkeys(field.result.smear for field in fields)
    if settings.get("manifest") is None:
        return dict.fromkeys(smears, given), ""
    if sources is None:
        return dict.fromkeys(
            smears
        ), f"the manifest {settings['manifest']} or its pictures are not found, so counts per µL are not given"
    return {smear: sources.rbc_per_ul.get(smear, given) for smear in smears}, ""


def _otherwise_counted(folder: Path, fields: Sequence[OpenedField], rows: Mapping[str, Mapping[str, str]]) -> str:
    """What to tell where this version counts the cells of the counting frame otherwise than the one that counted.

    Raises:
        ValueError: the cells are not those that were counted.
    """
    others = 0
    for field in fields:
        counted, row = field.result.count(), rows.get(_key(field.result.field), {})
        if isinstance(counted, UnreadField):
            continue
        if any(str(counted.raw[name]) != row[name.casefold()] for name in CLASSES):
            raise ValueError(f"{results.COUNTS} counts other cells in {field.result.field} than {results.CELLS}")
        others += any(str(counted.frame[name]) != row[f"{name}_frame".casefold()] for name in CLASSES)
    return (
        f"{others:,} of {len(fields):,} fields of {folder} were counted by another version, which counted cells at the border otherwise: "
        "ratios and densities here are by this version"
    ) * bool(others)


def _field(
    result: FieldResult, stamp: Stamp, row: Mapping[str, str], sources: Mapping[str, FieldInput], pictures: Path | None
) -> OpenedField:
    source = sources.get(result.field)
    path = pictures / result.field if pictures is not None else Path(result.field) if source is None else source.path
    return OpenedField(result, path, row.get("doubt", ""), _problem(result, path, stamp))


def _problem(result: FieldResult, path: Path, stamp: Stamp) -> str:
    """Why nobody can look at a field."""
    if isinstance(result.cells, Unread):
        return f"not read: {result.cells.reason}"
    if result.slide is not None:
        return _SLIDE
    if not path.is_file():
        return f"its picture is not at {path}; with --pictures, give the folder in which {result.field} is"
    now = stamp_of(path)
    if stamp is not None and now is not None and now[0] != stamp[0]:
        return f"its picture {path} has changed since it was counted ({now[0]:,} bytes, then {stamp[0]:,})"
    return ""
