"""A count by workers on several machines, as its driver sees it: which task is next, and what is to be remembered.

The driver knows the smears that are worked on and sums of all others, so its memory does not grow with the archive.
"""

from __future__ import annotations

import json
import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path, PurePosixPath
from typing import Any

from detector.engines import inputs, job, manifest
from detector.engines.inputs import SUFFIXES
from detector.engines.options import CountOptions
from detector.engines.shards import LAYOUT, ArchiveField, ArchiveSmear, Setup
from detector.engines.store import Store, folders, url_of
from detector.errors import NothingToDoError, OutputError, SmearcountError, UsageError
from detector.output import files, partitions, results
from detector.output.files import sealed, unsealed
from detector.output.partitions import Totals
from detector.vision.images import UNREAD
from detector.vision.model import Model

HEADER = results.ARCHIVE_HEADER
"""Says with what the pieces of the journal were made."""
_PARTITION_FIELDS = 256
"""Fewest fields of a partition, but for the last."""
_ATTEMPTS = 3
"""Workers that may be lost with a task before it is done with care, or given up where it cannot be."""


@dataclass(eq=False)
class Task:
    """What a worker is to do next."""

    method: str
    """Of `shards.ShardWorker`: `scale`, `count` or `sum`; of slides `cut`, `tiles`, `join`."""
    arguments: tuple[Any, ...]
    smear: str
    lost: int = 0
    """Workers that were lost with it."""

    def again(self) -> Task:
        """The same after its worker was lost.

        Raises:
            SmearcountError: that happened too often, and no single field can be told to be the cause.
        """
        lost = self.lost + 1
        if self.method in ("count", "tiles"):
            careful = lost >= _ATTEMPTS - 1
            return Task(self.method, (*self.arguments[:-1], careful), self.smear, lost)
        if lost >= _ATTEMPTS:
            raise SmearcountError(
                f"smear {self.smear}: {lost} workers were lost while they worked on it, with too little memory or by a fault in native "
                "code; what was counted is kept: leave that smear out, or count it with --engine local"
            )
        return Task(self.method, self.arguments, self.smear, lost)


@dataclass
class _Open:
    """A smear that is worked on."""

    smear: ArchiveSmear
    left: int = 1
    """Slices and slides that are to be counted before it can be summed; its scale before these."""
    bands: dict[str, int] = field(default_factory=dict)
    """Of each slide that is searched, how many of its parts are left."""


class Flow:
    """Which task is next: of each smear the scale first, then slices of its fields, then, with its neighbours, the sum.

    A slide is cut into tiles, of which several workers search a few rows each, and joined.
    """

    def __init__(self, smears: Iterable[ArchiveSmear], advance: Callable[[float], None]) -> None:
        """Take smears as they are needed.

        Args:
            advance: called with the number of fields that were done.
        """
        self.totals = Totals()
        self.ahead = 2
        """Smears that are worked on at a time; twice as many as workers keep these at work."""
        self._smears = iter(smears)
        self._advance = advance
        self._ready: deque[Task] = deque()
        self._open: dict[str, _Open] = {}
        self._counted: list[ArchiveSmear] = []

    def next(self) -> Task | None:
        """A task for a free worker; None where others must end before, or where all is done."""
        if not self._ready and len(self._open) < self.ahead:
            smear = next(self._smears, None)
            if smear is not None:
                self._open[smear.name] = _Open(smear)
                self._ready.append(Task("scale", (smear,), smear.name))
            elif not self._open and self._counted:
                self._sum()
        return self._ready.popleft() if self._ready else None

    def done(self, task: Task, answer: Any) -> None:
        """Take what a worker answers."""
        if task.method == "sum":
            self.totals.add(answer)
            return
        entry = self._open[task.smear]
        if task.method == "scale":
            entry.smear = answer.of(entry.smear)
            parts = entry.smear.slices
            entry.left = len(parts)
            self._ready.extend(
                Task("cut", (part,), task.smear) if part[0].slide else Task("count", (part, answer.scale, False), task.smear)
                for part in parts
            )
            return
        if self._of_slide(entry, task, answer):
            return
        entry.left -= 1
        self._advance(len(task.arguments[0]))
        # In the order of the smears, so that the partitions do not depend on which worker is faster.
        while self._open and (first := next(iter(self._open.values()))).left == 0:
            del self._open[first.smear.name]
            self._counted.append(first.smear)
            if sum(len(smear.items) for smear in self._counted) >= _PARTITION_FIELDS:
                self._sum()

    def _of_slide(self, entry: _Open, task: Task, answer: Any) -> bool:
        """Whether a slide has more to be done, which is then ready."""
        part = task.arguments[0]
        slide = part[0].field
        if task.method == "cut" and answer is not None:
            entry.bands[slide] = len(answer.bands)
            self._ready.extend(Task("tiles", (part, answer, band, False), task.smear) for band in answer.bands)
            return True
        if task.method == "tiles":
            entry.bands[slide] -= 1
            if not entry.bands[slide]:
                self._ready.append(Task("join", task.arguments[:2], task.smear))
            return True
        return False

    def lost(self, task: Task) -> None:
        """Take a task back whose worker was lost.

        Raises:
            SmearcountError: that happened too often.
        """
        self._ready.appendleft(task.again())

    def _sum(self) -> None:
        self._ready.append(Task("sum", (tuple(self._counted),), self._counted[0].name))
        self._counted = []


@dataclass
class Archive:
    """The fields that a count is asked for, a smear at a time."""

    options: CountOptions
    skipped: Counter[str] = field(default_factory=Counter)
    """Files that are no pictures by their endings, by ending, of the folders that were gone through so far."""

    def smears(self) -> Iterator[ArchiveSmear]:
        """The smears in the order of their folders, or of their names in a manifest.

        Raises:
            NothingToDoError: there is no field. UsageError, ManifestError: what names them is not valid.
        """
        n = 0
        for smear in self._listed() if self.options.manifest else self._searched():
            yield smear
            n += 1
        if not n:
            looked = ", ".join(self.options.inputs)
            raise NothingToDoError(f"{looked}: no images in it; looked for names that end with {', '.join(sorted(SUFFIXES))}")

    def skipped_line(self) -> str:
        """What to say of files that were skipped; empty without any."""
        kinds = ", ".join(f"{number:,} {suffix}" for suffix, number in sorted(self.skipped.items()))
        return f"{kinds}; such names are not those of pictures" if kinds else ""

    def _searched(self) -> Iterator[ArchiveSmear]:
        given = self.options.um_per_px
        urls = [url for name in self.options.inputs if (url := url_of(name))]
        if urls:
            if len(self.options.inputs) > 1:
                raise UsageError(f"{urls[0]}: give a folder of an object store alone, not with other inputs")
            yield from (self._smear(name, items) for name, items in _of_bucket(urls[0], given, self.skipped))
            return
        for name, fields in inputs.by_smear(self.options.inputs, given, _Endings(self.skipped)):
            yield self._smear(name, [ArchiveField(str(f.path), f.field, f.smear, f.um_per_px, f.problem) for f in fields])

    def _listed(self) -> Iterator[ArchiveSmear]:
        """Those of a manifest, which is read whole."""
        assert self.options.manifest is not None
        url = next(filter(None, map(url_of, self.options.inputs)), None)
        if url is None:
            searched = job.search(self.options)
            items = [ArchiveField(str(f.path), f.field, f.smear, f.um_per_px, f.problem) for f in searched.fields]
            red_cells = searched.rbc_per_ul
        else:
            listed = manifest.read(self.options.manifest)
            scale = self.options.um_per_px
            rows = sorted(listed.rows, key=lambda row: (row.smear, row.field))
            items = [ArchiveField(f"{url.rstrip('/')}/{row.field}", row.field, row.smear, row.um_per_px or scale) for row in rows]
            red_cells = listed.rbc_per_ul
        for name, members in groupby(items, key=lambda item: item.smear):
            yield ArchiveSmear(name, tuple(members), red_cells.get(name, self.options.rbc_per_ul))

    def _smear(self, name: str, items: Iterable[ArchiveField]) -> ArchiveSmear:
        return ArchiveSmear(name, tuple(items), self.options.rbc_per_ul)


class _Endings(set[Path]):
    """A set that keeps of each path only how its name ends, for there may be as many as fields."""

    def __init__(self, counted: Counter[str]) -> None:
        super().__init__()
        self._counted = counted

    def add(self, path: Path) -> None:
        """Count it."""
        self._counted[path.suffix.lower() or "no ending"] += 1


def _of_bucket(url: str, um_per_px: float | None, skipped: Counter[str]) -> Iterator[tuple[str, list[ArchiveField]]]:
    """The fields below a folder of an object store, named as those of a local folder are."""
    base = PurePosixPath(url).name
    of_results: list[str] = []
    for folder, names in folders(url):
        if results.JOURNAL in names:
            of_results.append(f"{folder}/".lstrip("/"))
        if any(f"{folder}/".startswith(result) for result in of_results):
            continue
        smear = folder or base
        prefix = f"{folder}/" if folder else ""
        items = []
        for name, stamp in names.items():
            suffix = PurePosixPath(name).suffix.lower()
            if suffix in SUFFIXES or suffix in UNREAD:
                items.append(ArchiveField(f"{url.rstrip('/')}/{prefix}{name}", f"{prefix}{name}", smear, um_per_px, listed=stamp))
            else:
                skipped[suffix or "no ending"] += 1
        if items:
            yield smear, items


def check(options: CountOptions, spelled: Callable[[str], str]) -> None:
    """Refuse what a cluster does not do, and calibrations that are not possible.

    Args:
        spelled: what the caller calls an option, from its name in `CountOptions`.

    Raises:
        UsageError: one of both is asked for. MissingExtraError: a package is not installed.
    """
    partitions.require("ray")
    of_one_machine = ("truth", "overlays", "pdf", "shapes", "export", "json")
    asked = [spelled(name) for name in of_one_machine if getattr(options, name)]
    if asked:
        raise UsageError(
            f"{', '.join(asked)}: not with {spelled('engine')} ray, which writes Parquet; use {spelled('engine')} local"
        )
    job.check_calibration(options, spelled)
    if options.ul_factor is not None and options.um_per_px is None and options.manifest is None:
        raise UsageError(
            f"{spelled('ul_factor')} needs cells per mm²: give {spelled('um_per_px')} too, or a manifest with a um_per_px column"
        )


@contextmanager
def folder_of(options: CountOptions, key: Mapping[str, Any]) -> Iterator[Store]:
    """The folder for the results; no other count writes into it meanwhile, as far as its disk has locks.

    Raises:
        OutputError: it cannot be written, holds other results, or is not to be continued.
    """
    store = Store(options.out or results.default_folder("count"))
    header = sealed({"layout": LAYOUT, "key": dict(key)})
    present = store.read(HEADER)
    if options.resume:
        _check(store, present, header, key)
        store.remove(results.RUN)
    else:
        taken = [HEADER] if present is not None else sorted(store.names("") & set(results.FILES))
        if taken:
            raise OutputError(
                f"{store.place}: holds {', '.join(taken)} already; choose another --out, or continue a count of the same engine with "
                "--resume"
            )
        store.prepare()
        store.write(HEADER, header)
    if url_of(store.place) is not None:
        yield store
        return
    with (Path(store.place) / HEADER).open("r+b") as file:
        if not files.lock(file):
            raise OutputError(f"{store.place}: another count writes into it; wait for its end, or choose another --out")
        yield store


def _check(store: Store, present: bytes | None, header: bytes, key: Mapping[str, Any]) -> None:
    if present is None:
        raise OutputError(f"{store.place}: holds no count of this engine to resume; leave out --resume to begin one")
    if present == header:
        return
    made = (unsealed(present) or {}).get("key", {})
    different = sorted(name for name in {*made, *key} if made.get(name) != key.get(name))
    what = ", ".join(different) if made else "another layout"
    raise OutputError(f"{store.place}: was made with different settings ({what}); repeat them, or choose another --out")


def setup_of(options: CountOptions, store: Store, key: Mapping[str, Any]) -> Setup:
    """What the workers are told."""
    model = options.model and Path(os.path.abspath(options.model)) if options.model and options.model.exists() else options.model
    out = store.place if url_of(store.place) else os.path.abspath(store.place)
    return Setup(out, model, options.backend, key, results.versions(), options.ul_factor)


def finish(store: Store, totals: Totals, options: CountOptions, model: Model, started: float) -> None:
    """Write `run.json`, which says that all is there, and remove partitions of a former state of the archive.

    Raises:
        OutputError: it cannot be written.
    """
    kept = set(totals.partitions)
    for table in (partitions.COUNTS, partitions.SMEARS, partitions.CELLS, partitions.TILES):
        for name in store.names(table) - {Path(written).name for written in kept if written.startswith(f"{table}/")}:
            store.remove(f"{table}/{name}")
    run = results.describe_run(model, options.recorded(), (), started, time.time())
    run["fields"] = {name: totals.numbers[name] for name in ("read", "unread", "saturated")}
    del run["scales"]
    store.write(results.RUN, (json.dumps(run, indent=2, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace"))
