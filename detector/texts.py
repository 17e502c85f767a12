"""Texts that others wrote: files are read within a limit, in the encodings that spreadsheets write; names are shown without harm."""

from __future__ import annotations

import codecs
import csv
import errno
import io
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from detector.errors import ManifestError

MEBIBYTE = 1 << 20
_MOST_TABLE = 64 * MEBIBYTE
_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_WINDOWS = "Windows-1252"
_SEPARATORS = ",;\t"
_STATED_SEPARATOR = re.compile(r"""["']?sep=([,;\t])["']?[\r\n]*""", re.IGNORECASE)
"""A first line by which Excel is told what stands between columns."""


_COMMANDS = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
"""Categories of Unicode of which no sign is shown: controls, marks of format and direction, halves of signs, breaks of lines."""


def harmless(text: str) -> str:
    """Text with signs that move the cursor, colour, send or reorder what a terminal or page shows, as escapes such as `\\x1b`.

    Names of files and smears may hold them. Line breaks, tabs, and letters of scripts that run from right to left stay.
    """
    if text.isascii() and text.replace("\n", " ").isprintable():
        return text
    return "".join(_escaped(sign) if unicodedata.category(sign) in _COMMANDS and sign not in "\n\t" else sign for sign in text)


def _escaped(sign: str) -> str:
    return sign.encode("unicode_escape").decode("ascii")


def content(path: Path, most_bytes: int) -> bytes:
    """The bytes of a regular file; a pipe or a device might never end.

    Raises:
        OSError: it cannot be opened, is no regular file, or has more than `most_bytes`; `strerror` is the reason.
    """
    try:
        if path.exists() and not path.is_file() and not path.is_dir():
            raise OSError(errno.EINVAL, "is no regular file")
        with path.open("rb") as file:
            size = path.stat().st_size
            # Some files of the system state no size, and reading them may wait for ever.
            read = file.read(min(most_bytes, size) + 1) if size else b""
    except ValueError:
        raise OSError(errno.EINVAL, "a file name cannot hold NUL") from None
    if len(read) > most_bytes:
        raise OSError(errno.EFBIG, f"is larger than {most_bytes // MEBIBYTE} MiB")
    return read


def is_there(path: Path) -> bool:
    """Whether a file or folder is there; one whose name is too long, or no name, is not."""
    try:
        return path.exists()
    except (OSError, ValueError):
        return False


@dataclass(frozen=True)
class Table:
    """A table that a spreadsheet or a person wrote."""

    path: Path
    columns: Sequence[str]
    """Names of the columns, without case and outer spaces."""
    written: Sequence[str]
    """The same as they are written."""
    separator: str
    """What stands between columns: comma, semicolon or tab."""
    rows: Sequence[tuple[int, Sequence[str]]]
    """The line of each row that is not empty, and its texts without outer spaces, as many as there are columns at least."""
    remarks: Sequence[str]
    """What a user should know of how it was read."""

    def unused(self, used: Iterable[str]) -> list[str]:
        """One remark that names all columns but those in `used` (as in `columns`); none where all are."""
        used_names = set(used)
        names = [repr(text) for name, text in zip(self.columns, self.written, strict=True) if name not in used_names and name]
        return [f"columns that are not used: {', '.join(names)}"] if names else []


def table(path: Path, expected: str) -> Table:
    """Read a CSV file in UTF-8, UTF-16 or Windows-1252, with comma, semicolon or tab between columns.

    Args:
        expected: what to give, for the message where the file cannot be read.

    Raises:
        ManifestError: the file cannot be read, is not text, or no CSV file.
    """
    try:
        text, encoding = _decoded(content(path, _MOST_TABLE))
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read ({error.strerror}); {expected}") from None
    except UnicodeDecodeError:
        raise ManifestError(f"{path}: is not text in UTF-8, UTF-16 or {_WINDOWS}; save it as CSV in UTF-8") from None
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise ManifestError(f"{path}, line {line}: holds a NUL character, so it is no text; save it as CSV in UTF-8")
    remarks = [f"read as {_WINDOWS}, for it is not UTF-8; check names with accents"] if encoding == _WINDOWS else []
    lines = io.StringIO(text, newline="")
    first = lines.readline()
    stated = _STATED_SEPARATOR.fullmatch(first)
    separator = stated[1] if stated else max(_SEPARATORS, key=first.count)
    if not stated:
        lines.seek(0)
    try:
        reader = csv.reader(lines, delimiter=separator, skipinitialspace=True)
        written = [name.strip() for name in next(reader, [])]
        above = 1 if stated else 0
        rows = [(reader.line_num + above, [text.strip() for text in row]) for row in reader if any(map(str.strip, row))]
    except csv.Error as error:
        raise ManifestError(f"{path}: is not a CSV file ({error})") from None
    for line, row in rows:
        if any(row[len(written) :]):
            raise ManifestError(
                f"{path}, line {line}: has {len(row)} cells where the first line has {len(written)} columns; "
                "put quotes around a text or number that holds what stands between columns"
            )
        row += [""] * (len(written) - len(row))
    return Table(path, [name.casefold() for name in written], written, separator, rows, remarks)


def _decoded(read: bytes) -> tuple[str, str]:
    for mark, encoding in _MARKS:
        if read.startswith(mark):
            return read[len(mark) :].decode(encoding), encoding
    # Without a mark, UTF-16 shows by the zeros in every other byte of Latin letters.
    sample = read[:1000]
    for start, encoding in ((1, "utf-16-le"), (0, "utf-16-be")):
        if len(sample) >= 4 and sample[start::2].count(0) > len(sample) // 3:
            return read.decode(encoding), encoding
    try:
        return read.decode("utf-8"), "utf-8"
    except UnicodeDecodeError:
        return read.decode("cp1252"), _WINDOWS
