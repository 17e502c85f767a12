"""What a stream has counted so far, safe against a crash: a line every two seconds with what changed, only ever added to.

From it and `frames.csv` the results of a run that was killed are made. Each line begins with its checksum; one that was torn or changed
ends what is believed.
"""

from __future__ import annotations

import io
import json
import os
import time
import zlib
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from detector.errors import OutputError
from detector.output.results import JOURNAL
from detector.streams.modes import Mode
from detector.streams.sources.source import Fault, Frame
from detector.streams.survey import FinishedSurvey, Verdict
from detector.streams.totals import StreamTotals

LAYOUT = 1
_EVERY_S = 2.0


class Journalled(Mode):
    """A mode of which a journal is kept; as a context manager it is closed however the block ends.

    Where it cannot be written any more, that is told by `problem`, and the count goes on.
    """

    def __init__(self, mode: Mode, folder: Path, header: Mapping[str, Any]) -> None:
        """Begin a journal.

        Args:
            header: what is to be known of the run to make its results.
        """
        self.problem = ""
        self._mode = mode
        self._path = folder / JOURNAL
        # Without a buffer, so that nothing is left in it where the process is killed.
        self._file: io.FileIO | None = None
        self._written = time.monotonic()
        try:
            self._file = io.FileIO(self._path, "x")
            _lock(self._file)
        except OSError as error:
            self._failed(error)
        self._write({"layout": LAYOUT, **header})

    def __enter__(self) -> Journalled:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._file is not None:
            self._file.close()

    def take(self, frame: Frame) -> Verdict:
        """See `Mode.take`."""
        verdict = self._mode.take(frame)
        if time.monotonic() - self._written > _EVERY_S:
            self._write(self._mode.record())
        return verdict

    def fault(self, fault: Fault) -> None:
        """See `Mode.fault`."""
        self._mode.fault(fault)

    def totals(self) -> StreamTotals:
        """See `Mode.totals`."""
        return self._mode.totals()

    def finish(self) -> FinishedSurvey:
        """See `Mode.finish`."""
        finished = self._mode.finish()
        # Where the results cannot be written, they can be made of it later.
        self._write(self._mode.record())
        return finished

    def record(self) -> dict[str, Any]:
        """See `Mode.record`."""
        return self._mode.record()

    def restore(self, records: list[dict[str, Any]]) -> None:
        """See `Mode.restore`."""
        self._mode.restore(records)

    def _write(self, record: Mapping[str, Any]) -> None:
        if self._file is None:
            return
        line = json.dumps(record, separators=(",", ":")).encode("ascii")
        try:
            self._file.write(b"%08x %s\n" % (zlib.crc32(line), line))
            os.fsync(self._file.fileno())
        except OSError as error:
            self._failed(error)
        self._written = time.monotonic()

    def _failed(self, error: OSError) -> None:
        self.problem = f"{JOURNAL}: cannot be written any more ({error.strerror}); the count goes on"
        if self._file is not None:
            self._file.close()
            self._file = None


def read(folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The header and the records of the run that was killed in a folder.

    Raises:
        OutputError: there is none, or it runs.
    """
    path = folder / JOURNAL
    try:
        with path.open("rb") as file:
            _lock(file)
            lines = file.read().split(b"\n")[:-1]
    except BlockingIOError:
        raise OutputError(f"{folder}: is in use by a run that goes on; wait until it has ended") from None
    except OSError as error:
        raise OutputError(f"{path}: cannot be read ({error.strerror}); a stream that ended has its results already") from None
    records: list[dict[str, Any]] = []
    for line in lines:
        if len(line) < 10 or line[:9] != b"%08x " % zlib.crc32(line[9:]):
            break
        records.append(json.loads(line[9:]))
    if not records or records[0].get("layout") != LAYOUT or "settings" not in records[0]:
        raise OutputError(f"{path}: is not a journal of a stream by this version")
    return records[0], records[1:]


def _lock(file: io.FileIO | io.BufferedReader) -> None:
    """Hold a file for as long as it is open, where the system can.

    Raises:
        BlockingIOError: another process holds it.
    """
    if os.name == "posix":
        import fcntl

        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
