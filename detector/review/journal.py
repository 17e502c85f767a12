"""What readers changed: a line of JSON with its checksum for each change, only ever added to, and on disk before it is answered.

The first line says to which count the review belongs. Each further line holds a number, who made the change and when, and what it set
from which value to which, so that the state is what all lines set one after the other.
"""

from __future__ import annotations

import errno
import io
import os
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from detector.errors import OutputError, writing
from detector.output.files import lock, sealed, unsealed

JOURNAL = "review.jsonl"
LAYOUT = 1
_BEGINS = b'{"layout":'


class ReviewJournal:
    """An open journal of a review; as a context manager it is closed however the block ends."""

    def __init__(self, folder: Path, cells_sha256: str) -> None:
        """Open the journal of a folder, or begin one.

        Args:
            cells_sha256: of the count's cells, to which the review belongs.

        Raises:
            OutputError: it cannot be written, another process has it open, or it belongs to another count.
        """
        self.path = folder / JOURNAL
        self.lines: list[dict[str, Any]] = []
        """What stands in it below the first line, as far as it is as it was written."""
        self.damaged: list[int] = []
        """Numbers of lines, from 1, that are not as they were written."""
        with writing(self.path, "make the folder writable, or copy it to where it is"):
            try:
                self._file = io.FileIO(self.path, "x+")
                begun = True
            except FileExistsError:
                self._file = io.FileIO(self.path, "r+")
                begun = False
        try:
            if not lock(self._file):
                raise OutputError(f"{folder}: another program reviews this count; use its page, or end it first")
            self._length = 0 if begun else self._read(cells_sha256)
            with writing(self.path):
                self._file.truncate(self._length)
            if not self._length:
                self.append({"layout": LAYOUT, "cells_sha256": cells_sha256})
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()

    def append(self, content: Mapping[str, Any]) -> None:
        """Add a line, and return when it is on disk.

        Raises:
            OutputError: it cannot be written; then nothing was added.
        """
        line = sealed(content)
        try:
            with writing(self.path, "free space; the change was not made"):
                self._file.seek(self._length)
                # Without a buffer, so that nothing is left in it of a line that could not be written.
                if self._file.write(line) != len(line):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
                os.fsync(self._file.fileno())
        except OutputError:
            self._take_back()
            raise
        self._length += len(line)

    def _take_back(self) -> None:
        """Remove what was written of a line that could not be written whole."""
        try:
            self._file.truncate(self._length)
        except OSError:
            return  # the next line goes to the same place, and a torn last line is not believed

    def _read(self, cells_sha256: str) -> int:
        """Take in the lines, and give the length of those that are whole, in bytes."""
        length = 0
        for number, line in enumerate(io.BytesIO(self._file.read()), 1):
            if not line.endswith(b"\n") and (number > 1 or _BEGINS.startswith(line[: len(_BEGINS)])):
                break  # torn when the program was killed, so nobody was told that it was done
            content = unsealed(line)
            if number == 1:
                self._check(content, cells_sha256)
            elif content is None:
                self.damaged.append(number)
            else:
                self.lines.append(content)
            length += len(line)
        return length

    def _check(self, header: Mapping[str, Any] | None, cells_sha256: str) -> None:
        if header is None or header.get("layout") != LAYOUT:
            raise OutputError(f"{self.path}: is not a review by this version; move it away to begin a new one")
        if header.get("cells_sha256") != cells_sha256:
            raise OutputError(
                f"{self.path}: belongs to another count, for the cells in detections.json are others; "
                "bring back that file, or move the review away to begin a new one"
            )
