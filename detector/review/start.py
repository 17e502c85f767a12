"""The page before there is a count: a folder of pictures is chosen and counted, and the review of the count is opened.

A browser cannot name a folder of the computer, so the program lists folders: their names and how many pictures lie in each.
"""

from __future__ import annotations

import itertools
import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from detector.engines import job
from detector.engines.inputs import SUFFIXES
from detector.engines.options import CountOptions
from detector.errors import NothingToDoError, SmearcountError, UsageError
from detector.output import results, serving
from detector.review.journal import ReviewJournal
from detector.review.opened import open_run
from detector.review.pictures import Pictures
from detector.review.review import Review
from detector.review.server import IDLE_S, MOST_CONNECTIONS, Desk, pages, taking
from detector.vision.model import Model, processors

if TYPE_CHECKING:
    from starlette.routing import BaseRoute, Router
    from starlette.types import Receive, Scope, Send

_FILES = ("review.css", "start.js", "talk.js")
_RUNS = Path("runs") / "count"
"""Where counts of folders are looked for; `results.default_folder` puts them there."""
_MOST_RUNS = 500
_MOST_ENTRIES = 20_000
"""Entries of a folder that are looked at."""
_LOOKING_S = 1.0
"""Time in which folders are looked into for a listing; how many pictures lie in later ones is not said."""
_ENDING_S = 30.0
IDLE, SEARCHING, COUNTING, DONE, FAILED, CANCELLED = "idle", "searching", "counting", "done", "failed", "cancelled"


class _CancelledError(Exception):
    """Somebody wants the count to end."""


class Counting:
    """Counts folders as `detector.count` does, one at a time, on a thread of its own; every method may be called from any thread."""

    def __init__(self, opened: Callable[[Path], str]) -> None:
        """Count nothing yet.

        Args:
            opened: opens the review of a count, and gives its address.
        """
        self._opened = opened
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._cancelled = threading.Event()
        self._unfinished: dict[Path, Path] = {}
        """Folders of cancelled counts, by the folder of pictures."""
        self._model: Model | None = None
        self._state: dict[str, Any] = {"phase": IDLE}

    def state(self) -> dict[str, Any]:
        """What becomes of the count that was asked for last.

        Returns:
            `phase`; from the start on `folder`; while it counts `done` and `total` fields and `seconds` since it began; at the end `run`,
            the review's address, or `error`.
        """
        with self._lock:
            began = self._state.get("began")
            shown = {name: value for name, value in self._state.items() if name != "began"}
            return shown if began is None else {**shown, "seconds": round(time.monotonic() - began, 1)}

    def begin(self, folder: Path) -> None:
        """Count a folder; one whose count was cancelled is counted on.

        Raises:
            UsageError: another one is counted.
        """
        with self._lock:
            if self._state["phase"] in (SEARCHING, COUNTING):
                raise UsageError(f"{self._state['folder']} is still being counted; wait for its end, or cancel it")
            self._cancelled.clear()
            self._state = {"phase": SEARCHING, "folder": str(folder)}
            self._thread = threading.Thread(target=self._run, args=(folder,), name="counting", daemon=True)
            self._thread.start()

    def cancel(self) -> None:
        """Ask the count to end with the field that it is at."""
        self._cancelled.set()

    def end(self) -> None:
        """Cancel, and wait until nothing is written any more."""
        self.cancel()
        if self._thread is not None:
            self._thread.join(_ENDING_S)

    def _run(self, folder: Path) -> None:
        try:
            out = self._count(folder)
            self._unfinished.pop(folder, None)
            self._tell(phase=DONE, run=self._opened(out))
        except _CancelledError:
            self._tell(phase=CANCELLED)
        except SmearcountError as error:
            self._unfinished.pop(folder, None)
            self._tell(phase=FAILED, error=str(error))
        except BaseException as error:
            self._tell(phase=FAILED, error=f"{folder}: a fault of the program ended the count: {error!r}")
            raise

    def _count(self, folder: Path) -> Path:
        resumed = self._unfinished.get(folder)
        out = resumed or results.default_folder("count")
        options = CountOptions([str(folder)], out=out, resume=resumed is not None)
        started = time.time()
        searched = job.search(options)
        self._check()
        if self._model is None:
            self._model = Model.load(None, options.backend, processors())
        self._check()
        self._tell(phase=COUNTING, done=0.0, total=len(searched.fields), began=time.monotonic())
        results.prepare(out, options.resume)
        outcome = job.count_into(
            out, searched, options, self._model, started, lambda done: self._advance(done, folder, out), lambda _remark: None
        )
        if not outcome.read:
            first = outcome.unread[0]
            raise NothingToDoError(f"{folder}: none of its pictures could be read; the first, {first.field}: {first.reason}")
        return out

    def _advance(self, done: float, folder: Path, out: Path) -> None:
        self._unfinished[folder] = out
        with self._lock:
            self._state["done"] += done
        self._check()

    def _check(self) -> None:
        if self._cancelled.is_set():
            raise _CancelledError

    def _tell(self, **news: Any) -> None:
        with self._lock:
            self._state |= news


class Start(serving.Server):
    """Serves the page on a thread of its own; as a context manager it is closed however the block ends, with the count and all reviews."""

    def __init__(self, port: int, folder: Path, reader: str) -> None:
        """Take the address, which only this computer reaches; nothing is served yet.

        Args:
            port: 0 takes one that is free.
            folder: the one that is listed first.
            reader: the name that reviews begin with.

        Raises:
            MissingExtraError: the server's packages are not installed.
            OutputError: the address cannot be taken.
        """
        self._folder, self._reader = folder, reader
        self._pictures = Pictures()
        self._counting = Counting(self._open)
        self._reviews: list[tuple[Path, Router]] = []
        self._opening = threading.Lock()
        self._journals = ExitStack()
        super().__init__((serving.LOOPBACK, port), self._routes, "app", MOST_CONNECTIONS)
        self.idle_s = IDLE_S

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._counting.end()
        super().__exit__(kind, error, trace)
        self._journals.close()

    def _routes(self) -> Sequence[BaseRoute]:
        from starlette.routing import Mount

        taken: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
            "/folder": lambda content: listing(_named(content) if content.get("folder") else self._folder),
            "/count": self._count,
            "/cancel": self._cancel,
            "/work": lambda _content: self._counting.state(),
            "/open": lambda content: {"run": self._open(_named(content))},
        }
        return [*pages("start.html", _FILES), *taking(taken), Mount("/run/{number:int}", app=self._review)]

    def _count(self, content: Mapping[str, Any]) -> dict[str, Any]:
        self._counting.begin(_named(content))
        return self._counting.state()

    def _cancel(self, _content: Mapping[str, Any]) -> dict[str, Any]:
        self._counting.cancel()
        return self._counting.state()

    def _open(self, folder: Path) -> str:
        """Open the review of a count, where it is not open yet, and give its address below the page's.

        Raises:
            SmearcountError: it is no folder of a finished count, or another program has it open.
        """
        from starlette.routing import Router

        folder = folder.resolve()
        with self._opening:
            number = next((n for n, (own, _) in enumerate(self._reviews) if own == folder), len(self._reviews))
            if number == len(self._reviews):
                run = open_run(folder)
                review = Review(run, self._journals.enter_context(ReviewJournal(folder, run.sha256)))
                desk = Desk(review, self._reader, self._pictures, start="../../")
                self._reviews.append((folder, Router(desk.routes())))
        return f"run/{number}/"

    async def _review(self, scope: Scope, receive: Receive, send: Send) -> None:
        from starlette.responses import PlainTextResponse

        number = scope["path_params"]["number"]
        closed = PlainTextResponse("this count is not open; choose it on the first page", 404, headers=serving.HEADERS)
        answer = self._reviews[number][1] if number < len(self._reviews) else closed
        await answer(scope, receive, send)


def listing(folder: Path) -> dict[str, Any]:
    """What a person chooses a folder by.

    Returns:
        `folder`, its path; `parents`, the folders above it, the uppermost first, with `name` and `path`; `pictures` directly in it;
        `is_run`, whether a count wrote it; `counts`, the counts of it with `path`, `finished` and `fields`, the latest first; and `folders`
        in it, each with `name`, `path`, `is_run`, and `pictures` and `folders` directly in it, None where they were not counted.

    Raises:
        UsageError: it is no folder, or cannot be opened.
    """
    folder = Path(os.path.abspath(folder))
    own = _tally(folder)
    until = time.monotonic() + _LOOKING_S
    inner = []
    for name in sorted(own.folders, key=lambda name: (name.casefold(), name)):
        path = folder / name
        try:
            tally = _tally(path) if time.monotonic() < until else None
        except UsageError:
            tally = None
        inner.append(
            {
                "name": name,
                "path": str(path),
                "is_run": _is_run(path),
                "pictures": tally and tally.pictures,
                "folders": tally and len(tally.folders),
            }
        )
    return {
        "folder": str(folder),
        "parents": [{"name": path.name or str(path), "path": str(path)} for path in reversed(folder.parents)],
        "pictures": own.pictures,
        "is_run": _is_run(folder),
        "counts": list(_counts_of(folder)),
        "folders": inner,
    }


class _Tally:
    """Pictures and names of folders directly in a folder; hidden ones are left out, as a count leaves them out."""

    def __init__(self, entries: Iterator[os.DirEntry[str]]) -> None:
        self.pictures, self.folders = 0, list[str]()
        for entry in itertools.islice(entries, _MOST_ENTRIES):
            if entry.name.startswith("."):
                continue
            if Path(entry.name).suffix.lower() in SUFFIXES:
                self.pictures += 1
            elif entry.is_dir():
                self.folders.append(entry.name)


def _tally(folder: Path) -> _Tally:
    try:
        with os.scandir(folder) as entries:
            return _Tally(entries)
    except (OSError, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else "") or str(error)
        raise UsageError(f"{folder}: cannot be opened ({reason}); choose another folder") from None


def _is_run(folder: Path) -> bool:
    try:
        return (folder / results.CELLS).is_file() and (folder / results.RUN).is_file()
    except OSError:
        return False


def _counts_of(folder: Path) -> Iterator[dict[str, Any]]:
    """Finished counts of a folder of pictures, the latest first."""
    for out in sorted(_RUNS.glob("*"), reverse=True)[:_MOST_RUNS]:
        try:
            document = json.loads((out / results.RUN).read_bytes())
            inputs, finished = document["settings"]["inputs"], document["finished"]
            fields = document["fields"]["read"]
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            continue
        if [os.path.abspath(name) for name in inputs] == [str(folder)] and _is_run(out):
            yield {"path": str(out.resolve()), "finished": finished, "fields": fields}


def _named(content: Mapping[str, Any]) -> Path:
    """The folder that a page names.

    Raises:
        UsageError: it names none.
    """
    folder = content.get("folder")
    if not isinstance(folder, str) or not folder.strip() or "\0" in folder:
        raise UsageError("no folder is named; choose one from the list, or write its path")
    path = Path(folder).expanduser()
    if not path.is_absolute():
        raise UsageError(f"{folder}: is no whole path; it begins with {Path.home().anchor}, or with ~ for your own folder")
    return path
