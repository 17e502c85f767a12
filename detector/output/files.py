"""Writing files so that a crash leaves either the old file or the new one, and tables that a spreadsheet opens safely."""

from __future__ import annotations

import csv
import io
import os
import re
import sys
import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import IO

_FAR = 1 << 40
"""Where Windows locks a byte: its locks keep others from reading too, and no file of ours reaches so far."""
_PART = re.compile(r"\..*\.\d+\.\d+\.part", re.DOTALL)
_ARMED = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""Spreadsheets take text that begins with these for a formula, some also in their wide forms (OWASP, CSV injection)."""


def write_bytes(target: Path, content: bytes) -> None:
    """Write a file beside its place, make it durable, and move it there in one step.

    Raises:
        OSError: it cannot be written; what stood there before still does.
    """
    write_parts(target, [content])


def write_parts(target: Path, contents: Iterable[bytes]) -> None:
    """Write a file in the same safe way from parts that are made one after the other, so that it need not fit into memory."""
    part = target.with_name(f".{target.name[:40]}.{os.getpid()}.{threading.get_ident()}.part")
    try:
        with part.open("wb") as file:
            for content in contents:
                file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def remove_parts(folder: Path) -> None:
    """Remove from a folder, and the folders in it, what writers that were killed left there; nothing else may write there now.

    Raises:
        OSError: one cannot be removed.
    """
    for part in folder.rglob(".*.part"):
        if _PART.fullmatch(part.name) and part.is_file():
            part.unlink()


def lock(file: IO[bytes]) -> bool:
    """Keep other processes from locking an open file until it is closed, or this process ends in whatever way.

    Returns False where another one holds it. A file system without locks locks nothing.
    """
    try:
        if sys.platform == "win32":
            import msvcrt

            at = file.tell()
            file.seek(_FAR)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
            file.seek(at)
        else:
            import fcntl

            fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return True
    return True


def write_text(target: Path, content: str) -> None:
    """Write text as UTF-8 in the same safe way; bytes of a file name that are no UTF-8 are written as escapes."""
    write_bytes(target, content.encode("utf-8", "backslashreplace"))


def write_csv(target: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table with a header; None becomes an empty cell, and text that a spreadsheet would run is disarmed."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([cell(value) for value in row] for row in rows)
    write_text(target, buffer.getvalue())


def rearmed(text: str) -> str:
    """Text as it was before `cell` disarmed it."""
    return text[1:] if text[:1] == "'" and text[1:2] in _ARMED else text


def cell(value: object) -> object:
    """A value as it stands in a table: None is empty, and text that a spreadsheet would run is disarmed."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, str):
        disarmed = f"'{value}" if value[:1] in _ARMED else value
        return " ".join(disarmed.splitlines())
    return value
