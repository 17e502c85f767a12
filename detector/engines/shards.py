"""What workers of a distributed count do: tell a smear's scale, count a few of its fields or rows of a slide's tiles, and sum.

Each task leaves its result in the store under a name that depends on the fields alone, so one that is done twice changes nothing.
The journal has a folder per smear and in it a piece per slice of its fields: a line that says by what scale the slice was counted,
and a line per field as in the journal of a count on one machine. What a torn, changed or lost piece held is counted again.
"""

from __future__ import annotations

import hashlib
import json
import platform
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import cv2

from detector.counting import density, expected
from detector.counting.fields import FieldCount, UnreadField
from detector.counting.result import FieldResult
from detector.counting.smears import SmearCount, aggregate, judge
from detector.engines import local, slides
from detector.engines.inputs import FieldInput
from detector.engines.local import Work
from detector.engines.slides import Cut
from detector.engines.store import Fetcher, FetchError, Store, at_hand, stamp_at, url_of
from detector.errors import ImageError, ModelError, OutputError, SmearcountError, UsageError
from detector.output import partitions, results, tables
from detector.output import slides as slide_files
from detector.output.files import sealed, unsealed
from detector.output.journal import Stamp, as_line, as_tile_line, from_line, from_tile_line
from detector.output.partitions import Totals
from detector.output.tables import Table
from detector.vision import cells as classes
from detector.vision import finder, scan
from detector.vision.detections import Detections, Unread
from detector.vision.images import dicom
from detector.vision.model import Model
from detector.vision.scale import Estimate, Scale, of_smear
from detector.vision.scan import TileResult
from detector.vision.slides import formats

SLICE = 32
"""Most fields of a task; what a killed worker had counted of them is lost."""
LAYOUT = 1
FOLDER = "journal"
"""Folder of the journal's pieces."""
_SCALE = "scale.json"
_FIELDS_AT_ONCE, _CELLS_AT_ONCE = 1000, 500_000
"""Fields and cells that go into one partition; a slide is not divided."""
_DAMAGED = "was damaged or removed while the count ran; count again with --resume"
KILLED = "each worker that counted it was lost, with too little memory or by a fault in native code"


@dataclass(frozen=True, slots=True)
class ArchiveField:
    """A field of an archive."""

    place: str
    """Path or URL."""
    field: str
    smear: str
    um_per_px: float | None = None
    problem: str = ""
    """Why it cannot be read, where that is known before reading; else empty."""
    listed: Stamp = None
    """Of an object, what its store listed of it."""
    slide: bool = False
    """Whether it is a slide, as far as `Worker.scale` has looked."""

    @property
    def stamp(self) -> Stamp:
        """What tells whether it has changed."""
        return stamp_at(self.place, self.listed)

    def at(self, path: Path) -> FieldInput:
        """The field, as it lies on this machine."""
        return FieldInput(path, self.field, self.smear, self.um_per_px, self.problem)


@dataclass(frozen=True)
class ArchiveSmear:
    """A smear of an archive."""

    name: str
    items: tuple[ArchiveField, ...]
    """Sorted by their fields' names."""
    rbc_per_ul: float | None = None
    """Red cells per µL, where they are known."""

    @property
    def slices(self) -> list[tuple[ArchiveField, ...]]:
        """Its fields in parts of nearly the same size, at most `SLICE`, and each slide by itself."""
        fields = tuple(item for item in self.items if not item.slide)
        parts = -(-len(fields) // SLICE)
        bounds = [len(fields) * i // parts for i in range(parts + 1)] if parts else []
        return [fields[a:b] for a, b in pairwise(bounds)] + [(item,) for item in self.items if item.slide]


@dataclass(frozen=True)
class SettledScale:
    """What the fields of a smear say of its scale, and which of them are slides, which have their own."""

    scale: Scale | None
    """None where each field is to tell its own."""
    problems: Mapping[str, str]
    """Fields that a store did not give, with the reason; they are not to be counted by a scale in which they have no part."""
    slides: frozenset[str] = frozenset()

    def of(self, smear: ArchiveSmear) -> ArchiveSmear:
        """The smear, whose items now say these problems, and which are slides."""
        items = (
            replace(item, problem=self.problems.get(item.field, item.problem), slide=item.field in self.slides)
            for item in smear.items
        )
        return replace(smear, items=tuple(items))


@dataclass(frozen=True)
class Setup:
    """What a worker needs to know, and what it must have like the driver."""

    out: str
    model: Path | None
    backend: str
    key: Mapping[str, Any]
    """As `job.journal_key` has it."""
    versions: Mapping[str, str]
    """As `results.versions` has them."""
    ul_factor: float | None = None


class ShardWorker:
    """A model, and what is done with it."""

    def __init__(self, setup: Setup) -> None:
        """Load the model.

        Raises:
            ModelError: it is not here, or another one than the driver's. UsageError: packages differ from the driver's.
        """
        here = f"worker on {platform.node()}"
        differing = [
            f"{name} {results.versions().get(name, 'none')} instead of {version}"
            for name, version in setup.versions.items()
            if results.versions().get(name) != version
        ]
        if differing:
            raise UsageError(f"{here}: has {', '.join(differing)}; install the driver's versions on each machine of the cluster")
        try:
            self._model = Model.load(setup.model, setup.backend)
        except SmearcountError as error:
            raise ModelError(f"{here}: {error}; put the model at the same path on each machine of the cluster") from None
        if self._model.sha256 != setup.key["model_sha256"]:
            raise ModelError(f"{here}: {self._model.path} is another model than the driver's; put the same one on each machine")
        cv2.setNumThreads(1)
        self._setup = setup
        self._store = Store(setup.out)
        self._work = Work(self._model, 1, tile_px=setup.key["tile_px"])
        self._fetcher = Fetcher()
        self._copy = ExitStack()
        self._copied: tuple[str, Stamp] = ("", None)
        self._path = Path()

    def scale(self, smear: ArchiveSmear) -> SettledScale:
        """Settle the scale of a smear, and cut the journal's pieces as the fields are now."""
        folder = _folder(smear.name)
        present = self._store.names(folder)
        settled = self._settle(smear, folder)
        smear, scale = settled.of(smear), settled.scale
        wanted = {_piece(part): part for part in smear.slices}
        stale = present - wanted.keys() - {_SCALE}
        if stale:
            known = {name: line for piece in sorted(stale) for name, line in self._lines(f"{folder}/{piece}", scale).items()}
            for piece, part in wanted.items():
                lines = [known[item.field] for item in part if item.field in known]
                if piece not in present and lines:
                    self._write(f"{folder}/{piece}", scale, lines)
            for piece in stale:
                self._store.remove(f"{folder}/{piece}")
        return settled

    def _settle(self, smear: ArchiveSmear, folder: str) -> SettledScale:
        problems: dict[str, str] = {}
        large = set()
        for item in smear.items:
            try:
                if not item.problem and _is_slide(item):
                    large.add(item.field)
            except FetchError as error:
                problems[item.field] = str(error)
        out = {*large, *problems}
        telling = local.probed(
            [item for item in smear.items if item.um_per_px is None and not item.problem and item.field not in out]
        )
        if not telling:
            return SettledScale(None, problems, frozenset(large))
        probes = [[item.field, item.stamp and list(item.stamp)] for item in telling]
        written = unsealed(self._store.read(f"{folder}/{_SCALE}") or b"")
        if written is not None and written["probes"] == probes and written["key"] == self._key:
            return SettledScale(Scale(**written["scale"]), problems, frozenset(large))
        estimates = []
        for item, copy in zip(telling, self._fetcher.each([item.place for item in telling]), strict=True):
            try:
                estimates.append(self._estimate(copy))
            except FetchError as error:
                problems[item.field] = str(error)
            # Whatever one field does to the model must not cost the others their counts.
            except Exception as error:
                problems[item.field] = local.not_searched(error)
        scale = of_smear(estimates)
        # Where a field is missing, the next run is to look again.
        if not problems:
            self._store.write(f"{folder}/{_SCALE}", sealed({"probes": probes, "key": self._key, "scale": asdict(scale)}))
        return SettledScale(scale, problems, frozenset(large))

    def _estimate(self, copy: AbstractContextManager[Path]) -> Estimate | None:
        try:
            with copy as path:
                return local.estimate_of(self._model, path)
        except FetchError:
            raise
        except ImageError:
            return None

    def count(self, part: Sequence[ArchiveField], scale: Scale | None, careful: bool = False) -> None:
        """Count the fields of a slice that its piece of the journal does not hold yet, or holds as unread.

        Args:
            careful: write the piece after each field, and before it that it is begun. A field that was begun before and did not end
                is not begun again, but unread.
        """
        name = f"{_folder(part[0].smear)}/{_piece(part)}"
        lines = self._lines(name, scale)
        begun = self._begun(name) if careful else set()
        todo = [item for item in part if not _holds(lines.get(item.field), item, careful)]
        # What is not to be read has no place to fetch it from.
        places = ["" if item.problem or item.field in begun else item.place for item in todo]
        for item, copy in zip(todo, self._fetcher.each(places), strict=True):
            if careful and item.field not in begun:
                self._write(name, scale, [*_in_order(part, lines), sealed({"begun": item.field})])
            stamp = item.stamp
            result = _unread(item, KILLED) if item.field in begun else self._counted(item, scale, copy)
            lines[item.field] = as_line(result, stamp)
            if careful:
                self._write(name, scale, _in_order(part, lines))
        if todo and not careful:
            self._write(name, scale, _in_order(part, lines))

    def _counted(self, item: ArchiveField, scale: Scale | None, copy: AbstractContextManager[Path]) -> FieldResult:
        if item.problem:
            return _unread(item, item.problem)
        try:
            with copy as path:
                return local.detect_field(
                    item.at(path), self._work, lambda given, picture: local.own_scale(given, picture) or scale
                )
        except ImageError as error:
            return _unread(item, str(error))

    def cut(self, part: Sequence[ArchiveField]) -> Cut | None:
        """Cut a slide into tiles; None where its piece of the journal holds it already, or now holds why it cannot be read."""
        (item,) = part
        name = f"{_folder(item.smear)}/{_piece(part)}"
        if _holds(self._lines(name, None).get(item.field), item, careful=False):
            return None
        stamp = item.stamp
        try:
            return slides.cut(self._slide(item), self._work, stamp)
        except ImageError as error:
            self._write(name, None, [as_line(_unread(item, str(error)), stamp)])
            return None

    def tiles(self, part: Sequence[ArchiveField], way: Cut, band: tuple[int, int], careful: bool = False) -> None:
        """Search rows of a slide's tiles, as far as the band's piece of the journal does not hold them yet.

        Args:
            careful: write the piece after each tile, and before it that it is begun. A tile that was begun before and did not end is not
                begun again, but cannot be read.
        """
        (item,) = part
        name = _band(item, band)
        lines = self._tile_lines(name, item, way)
        begun = self._begun(name) if careful else set()
        todo = [number for number in range(*band) if number not in lines]
        if not todo:
            return
        try:
            for numbers in ([number] for number in todo) if careful else [todo]:
                if begun.isdisjoint(numbers):
                    if careful:
                        self._store.write(name, b"".join([*lines.values(), sealed({"begun": numbers[0]})]))
                    searched = slides.search(self._slide(item), self._work, item.stamp, way, numbers)
                else:
                    searched = iter([(numbers[0], TileResult(scan.UNREADABLE, KILLED, Detections.none(way.size_wh)))])
                lines |= {number: as_tile_line(item.field, way.key, number, result) for number, result in searched}
                self._store.write(name, b"".join(lines.values()))
        except ImageError as error:
            self._store.write(name, sealed({"problem": str(error)}))

    def join(self, part: Sequence[ArchiveField], way: Cut) -> None:
        """Count a slide from all of its bands, and write its piece of the journal in place of theirs.

        Raises:
            OutputError: a piece of the journal is damaged or gone.
        """
        (item,) = part
        piece = f"{_folder(item.smear)}/{_piece(part)}"
        stamp = item.stamp
        bands = {_band(item, band): band[1] - band[0] for band in way.bands}
        lines = {name: self._tile_lines(name, item, way) for name in bands}
        missing = [name for name, number in bands.items() if len(lines[name]) < number]
        # A worker that was lost may have come to the end of this.
        joined = any(self._store.read(name) is None for name in missing) and item.field in self._lines(piece, None)
        if not joined:
            try:
                if missing:
                    raise ImageError(self._problem(missing[0]))
                tiles = (from_tile_line(line, item.field, way.key) for band in lines.values() for line in band.values())
                result = slides.join(self._slide(item), self._work, stamp, way, dict(filter(None, tiles)))
            except ImageError as error:
                result = _unread(item, str(error))
            self._write(piece, None, [as_line(result, stamp)])
        for name in bands:
            self._store.remove(name)

    def _slide(self, item: ArchiveField) -> FieldInput:
        """A slide as it lies on this machine; the copy of one from an object store stays until another slide is asked for."""
        if url_of(item.place) is None:
            return item.at(Path(item.place))
        wanted = (item.place, item.stamp)
        if self._copied != wanted:
            self._copy.close()
            self._copied = ("", None)
            self._path = self._copy.enter_context(at_hand(item.place))
            self._copied = wanted
        return item.at(self._path)

    def _tile_lines(self, name: str, item: ArchiveField, way: Cut) -> dict[int, bytes]:
        """The intact lines of a band's piece, by the number of their tile."""
        lines = (self._store.read(name) or b"").splitlines(keepends=True)
        return {tile[0]: line for line in lines if (tile := from_tile_line(line, item.field, way.key)) is not None}

    def _problem(self, name: str) -> str:
        content = unsealed(self._store.read(name) or b"")
        if content is None or "problem" not in content:
            raise OutputError(f"{self._store.place}/{name}: {_DAMAGED}")
        return str(content["problem"])

    def sum(self, smears: Sequence[ArchiveSmear]) -> Totals:
        """Sum smears whose fields are all counted, and write their partitions of the tables.

        Raises:
            OutputError: a piece of the journal is damaged or gone, or a partition cannot be written.
        """
        totals = Totals()
        fields: list[FieldCount | UnreadField] = []
        summed: list[SmearCount] = []
        name = _hash([smear.name for smear in smears])
        kept: list[FieldResult] = []
        tiles: list[list[object]] = []
        cells = 0
        for smear in smears:
            counts = []
            for result in self._results(smear):
                counts.append(result.count())
                kept.append(result)
                if result.slide is not None:
                    tiles += slide_files.rows_of(result)
                    self._store.write(slide_files.picture_path(Path(), result.field).as_posix(), slide_files.picture_of(result))
                cells += len(result.cells) if isinstance(result.cells, Detections) else 0
                if len(kept) == _FIELDS_AT_ONCE or cells > _CELLS_AT_ONCE:
                    self._write_cells(name, kept, totals)
                    cells = 0
            read = judge([count for count in counts if isinstance(count, FieldCount)], self._model.card.familiar)
            judged = {count.field: count for count in read}
            lost = [count for count in counts if isinstance(count, UnreadField)]
            corrections = expected.corrections(self._model.card.val_sums)
            (total,) = aggregate(read, lost, corrections)
            summed.append(density.per_ul(total, smear.rbc_per_ul, self._setup.ul_factor))
            fields += [judged.get(count.field, count) for count in counts]
            _note(totals, read, lost)
        if kept:
            self._write_cells(name, kept, totals)
        if tiles:
            self._write_partition(partitions.TILES, name, partitions.of_tiles(Table(slide_files.COLUMNS, tiles)), totals)
        self._write_partition(partitions.COUNTS, name, partitions.of_counts(tables.of_fields(fields)), totals)
        self._write_partition(partitions.SMEARS, name, partitions.of_smears(tables.of_smears(summed)), totals)
        return totals

    def _results(self, smear: ArchiveSmear) -> Iterator[FieldResult]:
        """In the order of the smear's items, which puts slides between its fields."""
        part_of = {item.field: part for part in smear.slices for item in part}
        counted: dict[str, FieldResult] = {}
        for item in smear.items:
            if item.field not in counted:
                name = f"{_folder(smear.name)}/{_piece(part_of[item.field])}"
                entries = filter(None, map(from_line, (self._store.read(name) or b"").splitlines(keepends=True)))
                counted |= {result.field: result for result, _ in entries}
            if item.field not in counted:
                raise OutputError(f"{self._store.place}/{name}: {_DAMAGED}")
            yield counted.pop(item.field)

    def _write_cells(self, name: str, kept: list[FieldResult], totals: Totals) -> None:
        number = sum(written.startswith(f"{partitions.CELLS}/") for written in totals.partitions)
        self._write_partition(partitions.CELLS, f"{name}-{number}", partitions.of_cells(kept), totals)
        kept.clear()

    def _write_partition(self, table: str, name: str, content: bytes, totals: Totals) -> None:
        target = f"{table}/{name}.parquet"
        self._store.write(target, content)
        totals.partitions.append(target)

    @property
    def _key(self) -> dict[str, Any]:
        return dict(self._setup.key)

    def _write(self, name: str, scale: Scale | None, lines: Iterable[bytes]) -> None:
        head = sealed({"layout": LAYOUT, "key": self._key, "scale": None if scale is None else asdict(scale)})
        self._store.write(name, b"".join([head, *lines]))

    def _lines(self, name: str, scale: Scale | None) -> dict[str, bytes]:
        """The intact lines of a piece by field, where it was counted with the same settings and by the same scale."""
        content = (self._store.read(name) or b"").splitlines(keepends=True)
        head = unsealed(content[0]) if content else None
        if head is None or head.get("layout") != LAYOUT or head.get("key") != self._key:
            return {}
        entries = [(line, entry) for line in content[1:] if (entry := from_line(line)) is not None]
        alike = head["scale"] == (None if scale is None else asdict(scale))
        return {result.field: line for line, (result, _) in entries if alike or result.um_per_px is not None or result.slide}

    def _begun(self, name: str) -> set[str]:
        lines = (self._store.read(name) or b"").splitlines(keepends=True)
        return {content["begun"] for line in lines if (content := unsealed(line)) is not None and "begun" in content}


def _note(totals: Totals, read: Sequence[FieldCount], lost: Sequence[UnreadField]) -> None:
    wrong = [count for count in read if finder.CONTRADICTED in count.note]
    numbers = Counter(
        smears=1,
        read=len(read),
        unread=len(lost),
        saturated=sum(count.saturated for count in read),
        doubtful=sum(bool(count.doubt) for count in read),
        contradicted=len(wrong),
    )
    numbers.update({name: sum(count.raw[name] for count in read) for name in classes.CLASSES})
    noted = [(count.field, count.note) for count in wrong[:1]]
    totals.add(Totals(numbers, [(count.field, count.reason) for count in lost], noted))


def _holds(line: bytes | None, item: ArchiveField, careful: bool) -> bool:
    """Whether a line tells of a field as it is now that it was read; or, in a careful count, that it took workers with it."""
    entry = None if line is None else from_line(line)
    if entry is None:
        return False
    result, stamp = entry
    same = (result.smear, result.um_per_px, stamp) == (item.smear, item.um_per_px, item.stamp)
    return same and (not isinstance(result.cells, Unread) or (careful and result.cells.reason == KILLED))


def _unread(item: ArchiveField, reason: str) -> FieldResult:
    return local.unread(item.at(Path(item.place)), reason)


def _in_order(part: Sequence[ArchiveField], lines: Mapping[str, bytes]) -> list[bytes]:
    return [lines[item.field] for item in part if item.field in lines]


def _is_slide(item: ArchiveField) -> bool:
    """Whether a file is a slide, which has a scale of its own; only of TIFF and DICOM is the file looked at.

    Raises:
        FetchError: it must be looked at, and its store fails.
    """
    suffix = Path(item.field).suffix.lower()
    if suffix not in formats.TIFF_SUFFIXES and suffix != dicom.SUFFIX:
        return suffix in formats.VENDOR_SUFFIXES
    try:
        with at_hand(item.place) as path:
            return formats.is_slide(path)
    except FetchError:
        raise
    except ImageError:
        return False


def _folder(smear: str) -> str:
    return f"{FOLDER}/{_hash([smear])}"


def _band(item: ArchiveField, band: tuple[int, int]) -> str:
    """The piece of the journal for rows of a slide's tiles."""
    return f"{FOLDER}/{_hash([item.smear, item.field])}/{band[0]}-{band[1]}.jsonl"


def _piece(part: Sequence[ArchiveField]) -> str:
    return f"{_hash([item.field for item in part])}.jsonl"


def _hash(names: Sequence[str]) -> str:
    return hashlib.sha256(json.dumps(names).encode()).hexdigest()[:16]
