"""Fetching a public dataset file by file at a pinned commit, each file checked against its SHA-256 before it is kept.

Single files are pinned and not an archive: the archives that are packed on demand are not promised to stay the same to the byte.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pooch
import yaml

from detector.errors import DownloadError, UsageError
from detector.shipped import sources

DESCRIPTORS = sources()
"""Where the descriptors of public datasets are kept."""

_TIMEOUT_S = 30
_CONNECTIONS = 6
_MANIFEST_LINE = re.compile(r"([0-9a-f]{64}) [ *](.+)")


@dataclass(frozen=True)
class Descriptor:
    """A public dataset: where its files are and what they must be."""

    name: str
    title: str
    homepage: str
    url: str
    """Address that the paths of `files` are appended to; ends with a slash."""
    files: dict[str, str]
    """SHA-256 by path, with forward slashes."""


def descriptor(name: str, folder: Path = DESCRIPTORS) -> Descriptor:
    """Read the descriptor `NAME.yaml` and its manifest; descriptors without a manifest are of datasets that cannot be fetched.

    Raises:
        UsageError: there is none of that name; the message lists those there are.
        DownloadError: the manifest has a line that is not `SHA256  path`, or a path that leaves the dataset's folder.
    """
    described = {path.stem: yaml.safe_load(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.yaml"))}
    fetchable = {stem: fields for stem, fields in described.items() if "manifest" in fields}
    if name not in fetchable:
        listed = ", ".join(fetchable) or f"none, as {folder} is not there"
        raise UsageError(f"--download {name}: no dataset of that name; known: {listed}")
    fields = fetchable[name]
    files = _manifest(folder / fields["manifest"])
    return Descriptor(name, fields["title"], fields["homepage"], fields["url"], files)


def fetch(dataset: Descriptor, folder: Path, progress: Callable[[int, int], None] | None = None) -> Path:
    """Fetch the files of a dataset that are not in `folder` yet, and check all.

    Every file appears whole and checked or not at all, so a broken download is taken up again where it stopped.

    Args:
        progress: called after each file with the number of files that are there, and of all.

    Raises:
        DownloadError: a file cannot be fetched or is not what it must be; the message says what to do without a network.
    """
    pooch.get_logger().setLevel(logging.WARNING)
    store = pooch.create(path=folder, base_url=dataset.url, registry=dataset.files, retry_if_failed=1)
    downloader = pooch.HTTPDownloader(timeout=_TIMEOUT_S)
    try:
        # Made beforehand, for the fetcher trips over a folder that another thread has just made.
        for path in dataset.files:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DownloadError(f"{folder}: cannot be written ({error.strerror}); work where files can be stored") from None
    pool = ThreadPoolExecutor(_CONNECTIONS)
    try:
        tasks = {pool.submit(store.fetch, path, downloader=downloader): path for path in dataset.files}
        for done, task in enumerate(as_completed(tasks), start=1):
            _check(task.exception(), dataset, tasks[task])
            if progress:
                progress(done, len(tasks))
    finally:
        pool.shutdown(cancel_futures=True)
    return folder


def _check(error: BaseException | None, dataset: Descriptor, path: str) -> None:
    if error is None:
        return
    if isinstance(error, OSError):  # what the network raises is one, too
        reason = f"could not be fetched or stored ({error.strerror or type(error).__name__})"
    elif isinstance(error, ValueError):
        reason = "is not the file that was pinned (its SHA-256 differs) and was not kept"
    else:
        raise error
    raise DownloadError(
        f"{dataset.url}{path}: {reason}; where there is no network, get a copy of {dataset.homepage} by other means "
        "and pass its folder as SOURCE"
    ) from None


def _manifest(path: Path) -> dict[str, str]:
    files = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        match = _MANIFEST_LINE.fullmatch(line)
        if match is None:
            raise DownloadError(f"{path}: the line {line[:80]!r} is not 'SHA256  path'")
        inside = PurePosixPath(match[2])
        if inside.is_absolute() or ".." in inside.parts or "\\" in match[2] or ":" in match[2]:
            raise DownloadError(f"{path}: the path {match[2]!r} leads out of the dataset's folder")
        files[match[2]] = match[1]
    return files
