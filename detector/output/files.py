"""Writing files so that a crash leaves either the old file or the new one, and tables that a spreadsheet opens safely."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import re
import sys
import threading
import zlib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import IO, Any

_FAR = 1 << 40
"""Where Windows locks a byte: its locks keep others from reading too, and no file of ours reaches so far."""
_PART = re.compile(r"\..*\.\d+\.\d+\.part", re.DOTALL)
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f:\\\\\ud800-\udfff\ufffe\uffff]")
"""Signs that some system does not take in a path, or XML in a text."""
_LONGEST_PART = 200
"""Bytes of a part of a path."""
_SUMMED = re.compile(rb'(\{.*),"crc32":"([0-9a-f]{8})"\}\n', re.DOTALL)
"""A line with its checksum: CRC-32 of what stands before the comma."""
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


def sealed(content: Mapping[str, Any]) -> bytes:
    """A line of a journal: JSON that ends with its checksum."""
    body = json.dumps(content, separators=(",", ":")).encode("ascii").removesuffix(b"}")
    return b'%s,"crc32":"%08x"}\n' % (body, zlib.crc32(body))


def seal_holds(line: bytes) -> bool | None:
    """Whether a line is as `sealed` wrote it; None where it has no checksum."""
    summed = _SUMMED.fullmatch(line)
    return None if summed is None else int(summed[2], 16) == zlib.crc32(summed[1])


def parsed(line: bytes) -> dict[str, Any] | None:
    """The object that a line of a journal holds, sealed or not; None where it holds none."""
    try:
        content = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def unsealed(line: bytes) -> dict[str, Any] | None:
    """What a line holds that is as `sealed` wrote it; None for any other."""
    return parsed(line) if seal_holds(line) else None


def readable(text: str) -> str:
    """A text as files and tables can hold it: bytes of a file name that are no UTF-8 become escapes such as `\\udce9`."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def write_text(target: Path, content: str) -> None:
    """Write text as UTF-8 in the same safe way; see `readable`."""
    write_bytes(target, readable(content).encode("utf-8"))


def write_csv(target: Path, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a table with a header; None becomes an empty entry, and text that a spreadsheet would run is disarmed."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([as_entry(value) for value in row] for row in rows)
    write_text(target, buffer.getvalue())


def portable(field: str) -> str:
    """A field's name as a relative path that stays below whatever folder it is put in; no two fields share one.

    It is the name itself, but for what cannot stand in a path: steps upwards, a drive, signs that no text file holds, and parts that
    are too long. A part of the name's hash then tells it from the field that is named so.
    """
    parts = ["__" if part == ".." else _shortened(part) for part in PurePosixPath(_UNSAFE.sub("_", field)).parts if part != "/"]
    name = "/".join(parts)
    if name == field and name:
        return name
    path = PurePosixPath(name or "_")
    return str(
        path.with_name(f"{path.stem}.{hashlib.sha256(field.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}{path.suffix}")
    )


def _shortened(part: str) -> str:
    """A part of a path that leaves room for another ending; systems take 255 bytes."""
    if len(part.encode("utf-8", "surrogatepass")) <= _LONGEST_PART:
        return part
    path = PurePosixPath(part)
    return path.stem[: _LONGEST_PART // 6] + path.suffix[:10]


def rearmed(text: str) -> str:
    """Text as it was before `as_entry` disarmed it."""
    return text[1:] if text[:1] == "'" and text[1:2] in _ARMED else text


def as_entry(value: object) -> object:
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
