"""Places of fields and results on local disks, network shares and object stores, by one small interface over fsspec."""

from __future__ import annotations

import hashlib
import re
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import AbstractContextManager, contextmanager
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

from detector.errors import ImageError, MissingExtraError, NothingToDoError, OutputError, writing
from detector.output import files
from detector.output.journal import Stamp, stamp_of
from detector.texts import one_line

_URL = re.compile(r"([a-z][a-z0-9+.-]+):/{1,2}(?=[^/])")
_PROBE = ".writable"
_PACKAGES = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "abfs": "adlfs", "az": "adlfs"}
_PAUSES_S = (1.0, 4.0)
"""Before a store that failed is asked again."""
_AHEAD = 2
"""Files that are fetched while one is worked on: an answer may take as long as a field's count."""
_MEANT = "check its name, and AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or their like) on each machine"


class FetchError(ImageError):
    """A store failed, and may give the picture another time."""


def url_of(place: str | Path) -> str | None:
    """The URL of a place in an object store, also where it went through `Path`, which leaves one slash of two; None for a path."""
    scheme = _URL.match(str(place))
    return None if scheme is None else f"{scheme[1]}://{str(place)[scheme.end() :]}"


class Store:
    """A folder, in which each file is written in one step or not at all."""

    def __init__(self, place: str | Path) -> None:
        """Open a folder; nothing is asked of it yet.

        Raises:
            MissingExtraError: a package for such places is not installed.
        """
        url = url_of(place)
        self.place = url or str(place)
        self._local = Path(place) if url is None else None
        self._fs: Any = None
        self._root = ""
        if url is not None:
            self._fs, self._root = _opened(url)

    def prepare(self) -> None:
        """Make the folder, and see that it can be written.

        Raises:
            OutputError: it cannot.
        """
        if self._local is not None:
            with writing(self._local, "choose another --out"):
                self._local.mkdir(parents=True, exist_ok=True)
        self.write(_PROBE, b"")
        self.remove(_PROBE)

    def read(self, name: str) -> bytes | None:
        """The content of a file; None where there is none.

        Raises:
            OutputError: it cannot be read.
        """
        try:
            return (self._local / name).read_bytes() if self._local is not None else bytes(self._fs.cat_file(self._at(name)))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except Exception as error:
            raise OutputError(f"{self.place}/{name}: cannot be read ({one_line(error)}); {_MEANT}") from None

    def write(self, name: str, content: bytes) -> None:
        """Write a file in the place of one of that name.

        Raises:
            OutputError: it cannot be written.
        """
        if self._local is not None:
            target = self._local / name
            with writing(target):
                target.parent.mkdir(parents=True, exist_ok=True)
                files.write_bytes(target, content)
            return
        try:
            self._fs.pipe_file(self._at(name), content)
        except Exception as error:
            raise OutputError(f"{self.place}/{name}: cannot be written ({one_line(error)}); {_MEANT}") from None

    def names(self, folder: str) -> set[str]:
        """Names of the files directly in a folder.

        Raises:
            OutputError: it cannot be read.
        """
        try:
            if self._local is not None:
                return {path.name for path in (self._local / folder).iterdir() if not path.name.startswith(".")}
            return {PurePosixPath(path).name for path in self._fs.ls(self._at(folder), detail=False)}
        except (FileNotFoundError, NotADirectoryError):
            return set()
        except Exception as error:
            raise OutputError(f"{self.place}/{folder}: cannot be read ({one_line(error)}); {_MEANT}") from None

    def remove(self, name: str) -> None:
        """Remove a file, where there is one.

        Raises:
            OutputError: it cannot be removed.
        """
        try:
            if self._local is not None:
                (self._local / name).unlink(missing_ok=True)
            else:
                self._fs.rm_file(self._at(name))
        except FileNotFoundError:
            return
        except Exception as error:
            raise OutputError(f"{self.place}/{name}: cannot be removed ({one_line(error)})") from None

    def _at(self, name: str) -> str:
        return f"{self._root}/{name}"


def folders(url: str) -> Iterator[tuple[str, dict[str, Stamp]]]:
    """The folders of an object store from `url` on, each by its path below it with the stamps of its files by name, both sorted.

    Hidden files and folders are left out.

    Raises:
        NothingToDoError: it cannot be read, or there is none.
    """
    fs, root = _opened(url)
    try:
        waiting = [root]
        while waiting:
            folder = waiting.pop()
            entries = {PurePosixPath(entry["name"]).name: entry for entry in fs.ls(folder, detail=True)}
            named = {name: entry for name, entry in sorted(entries.items()) if name and not name.startswith(".")}
            waiting += [entry["name"] for entry in reversed(named.values()) if entry["type"] == "directory"]
            yield (
                folder[len(root) :].strip("/"),
                {name: _stamp(entry) for name, entry in named.items() if entry["type"] == "file" and entry["name"] != folder},
            )
    except Exception as error:
        if isinstance(error, FileNotFoundError) and str(error) == "":
            error = FileNotFoundError("there is no such bucket or folder")
        raise NothingToDoError(f"{url}: cannot be read ({one_line(error)}); {_MEANT}") from None


@contextmanager
def at_hand(place: str) -> Iterator[Path]:
    """A file for as long as a block lasts: where it lies, or, from an object store, as a copy.

    Raises:
        ImageError: it does not exist, or must not be read. FetchError: the store failed, however often it was asked.
    """
    url = url_of(place)
    if url is None:
        yield Path(place)
        return
    with tempfile.TemporaryDirectory(prefix="smearcount-") as folder:
        yield _copied(url, Path(folder) / "field")


class Fetcher:
    """Hands out files one after the other, with the next ones of an object store on their way."""

    def __init__(self) -> None:
        # The same threads for all files, for each has a connection of its own.
        self._threads = ThreadPoolExecutor(_AHEAD, "fetch")

    def each(self, places: Sequence[str]) -> Iterator[AbstractContextManager[Path]]:
        """For each place what `at_hand` gives; it can be used until the next one is asked for, or left unused."""
        if not any(map(url_of, places)):
            yield from map(at_hand, places)
            return
        with tempfile.TemporaryDirectory(prefix="smearcount-") as folder:
            waiting = ((url_of(place), place, Path(folder) / str(number)) for number, place in enumerate(places))
            coming: deque[tuple[str, Future[Path] | None]] = deque()
            begun: list[Future[Path]] = []
            try:
                while True:
                    for url, place, copy in islice(waiting, 1 + _AHEAD - len(coming)):
                        if url is not None:
                            begun.append(self._threads.submit(_copied, url, copy))
                        coming.append((place, None if url is None else begun[-1]))
                    if not coming:
                        return
                    yield _handed(*coming.popleft())
            finally:
                # None may write into the folder after its end.
                wait([copy for copy in begun if not copy.cancel()])


@contextmanager
def _handed(place: str, copy: Future[Path] | None) -> Iterator[Path]:
    if copy is None:
        yield Path(place)
        return
    path = copy.result()
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


def _copied(url: str, copy: Path) -> Path:
    """A copy of a file of an object store, with its ending."""
    fs, path = _opened(url)
    copy = copy.with_name(copy.name + PurePosixPath(path).suffix)
    _fetch(fs, path, copy)
    return copy


def _fetch(fs: Any, path: str, copy: Path) -> None:
    for pause_s in (*_PAUSES_S, None):
        try:
            fs.get_file(path, str(copy))
            return
        except FileNotFoundError:
            raise ImageError("does not exist") from None
        except PermissionError as error:
            raise ImageError(f"cannot be fetched ({one_line(error)})") from None
        except Exception as error:
            if pause_s is None:
                raise FetchError(f"cannot be fetched ({one_line(error)}); count again with --resume") from None
            time.sleep(pause_s)


def stamp_at(place: str, listed: Stamp) -> Stamp:
    """What tells whether a file has changed: as it was listed in an object store, and of others as the disk has it now."""
    return stamp_of(Path(place)) if url_of(place) is None else listed


def _opened(url: str) -> tuple[Any, str]:
    """The file system of a URL, which keeps no listing in memory, and the path in it."""
    scheme = url.partition(":")[0]
    try:
        import fsspec

        fs, path = fsspec.core.url_to_fs(url, use_listings_cache=False)
    except ImportError:
        raise MissingExtraError(_PACKAGES.get(scheme, "fsspec"), "ray", f"reading {scheme}://") from None
    except ValueError as error:
        raise NothingToDoError(f"{url}: {one_line(error)}; give a path, or a URL such as s3://bucket/folder") from None
    return fs, str(path).rstrip("/")


def _stamp(entry: dict[str, Any]) -> Stamp:
    """Size, and a number made of what tells versions of an object apart."""
    version = next((str(entry[key]) for key in ("ETag", "etag", "md5", "LastModified", "mtime", "created") if entry.get(key)), "")
    return int(entry.get("size") or 0), int(hashlib.sha256(version.encode()).hexdigest()[:12], 16)
