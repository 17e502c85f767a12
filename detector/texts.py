"""Texts that others wrote: files and tables are read within a limit, in the forms that spreadsheets write; names are shown without harm."""

from __future__ import annotations

import codecs
import csv
import errno
import io
import re
import unicodedata
import warnings
import zipfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from detector.errors import ManifestError, MissingExtraError

MEBIBYTE = 1 << 20
_MOST_TABLE = 64 * MEBIBYTE
_MOST_WORKBOOK = 512 * MEBIBYTE
"""Bytes of a workbook when it is unpacked."""
_ZIP, _OLE = b"PK\x03\x04", bytes.fromhex("d0cf11e0a1b11ae1")
"""How workbooks begin, and how those of before 2007 and encrypted ones do."""
_MARKS = ((codecs.BOM_UTF8, "utf-8"), (codecs.BOM_UTF16_LE, "utf-16-le"), (codecs.BOM_UTF16_BE, "utf-16-be"))
_WINDOWS = "Windows-1252"
_SEPARATORS = ",;\t"
_THREE_DECIMALS = re.compile(r"-?\d+\.\d{3}")
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


def one_line(thing: object, most: int = 200) -> str:
    """The text of an error or of a file, made safe to print and cut after `most` letters; the name of its kind where it says nothing."""
    printable = "".join(letter if letter.isprintable() else " " for letter in str(thing)[:1000])
    return " ".join(printable.split())[:most] or type(thing).__name__


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
class TextTable:
    """A table that a spreadsheet or a person wrote."""

    path: Path
    columns: Sequence[str]
    """Names of the columns, without case and outer spaces."""
    written: Sequence[str]
    """The same as they are written."""
    separator: str
    """What stands between columns: comma, semicolon or tab; empty for a workbook, which has cells."""
    rows: Sequence[tuple[int, Sequence[str]]]
    """The line of each row that is not empty, and its texts without outer spaces, as many as there are columns at least."""
    remarks: Sequence[str]
    """What a user should know of how it was read."""

    def unused(self, used: Iterable[str]) -> list[str]:
        """One remark that names all columns but those in `used` (as in `columns`); none where all are."""
        used_names = set(used)
        names = [repr(text) for name, text in zip(self.columns, self.written, strict=True) if name not in used_names and name]
        return [f"columns that are not used: {', '.join(names)}"] if names else []


def table(path: Path, expected: str) -> TextTable:
    """Read a CSV file in UTF-8, UTF-16 or Windows-1252, with comma, semicolon or tab between columns; or the first sheet of an Excel
    workbook, `.xlsx`.

    Args:
        expected: what to give, for the message where the file cannot be read.

    Raises:
        ManifestError: the file cannot be read, is neither text nor a workbook, or no CSV file. MissingExtraError: it is a workbook, and
            openpyxl is not installed.
    """
    try:
        read = content(path, _MOST_TABLE)
    except OSError as error:
        raise ManifestError(f"{path}: cannot be read ({error.strerror}); {expected}") from None
    if read.startswith(_ZIP):
        return _of_workbook(path, read)
    if read.startswith(_OLE):
        raise ManifestError(
            f"{path}: is an old (.xls) or encrypted file of Excel; save it as .xlsx without a password, or as CSV in UTF-8"
        )
    return _of_text(path, read)


def _of_text(path: Path, read: bytes) -> TextTable:
    try:
        text, encoding = _decoded(read)
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
    advice = "put quotes around a text or number that holds what stands between columns"
    return _checked(TextTable(path, [name.casefold() for name in written], written, separator, rows, remarks), advice)


def _checked(table: TextTable, advice: str) -> TextTable:
    """The table with as many cells in each row as it has columns, at least.

    Raises:
        ManifestError: a row has more.
    """
    width = len(table.columns)
    for line, row in table.rows:
        if any(row[width:]):
            raise ManifestError(
                f"{table.path}, line {line}: has {len(row)} cells where the first line has {width} columns; {advice}"
            )
    rows = [(line, [*row, *[""] * (width - len(row))]) for line, row in table.rows]
    return replace(table, rows=rows)


def _of_workbook(path: Path, read: bytes) -> TextTable:
    """The first sheet of a workbook; each entry as the text that it would be in a CSV file."""
    try:
        import openpyxl
    except ImportError:
        raise MissingExtraError("openpyxl", "exchange", f"{path}: a workbook of Excel") from None
    try:
        with zipfile.ZipFile(io.BytesIO(read)) as archive:
            if sum(member.file_size for member in archive.infolist()) > _MOST_WORKBOOK:
                raise ManifestError(
                    f"{path}: holds more than {_MOST_WORKBOOK // MEBIBYTE} MiB when unpacked; save the table as CSV in UTF-8"
                )
        with warnings.catch_warnings():
            # Of what openpyxl does not read, such as charts and lists to choose from.
            warnings.simplefilter("ignore")
            shown, written = (openpyxl.load_workbook(io.BytesIO(read), read_only=True, data_only=only) for only in (True, False))
            titles = [sheet.title for sheet in shown.worksheets]
            # A formula that gives an empty text has that type; one whose value was not written down has none.
            values = [
                ["" if c.data_type == "str" and c.value is None else c.value for c in row]
                for row in shown.worksheets[0].iter_rows()
            ]
            entered = [list(row) for row in written.worksheets[0].iter_rows(values_only=True)]
    except ManifestError:
        raise
    except Exception as error:  # a damaged workbook fails in any way
        raise ManifestError(
            f"{path}: is no workbook (.xlsx) that can be read ({_first_line(error)}); save it as CSV in UTF-8"
        ) from None
    _refuse_uncomputed(path, values, entered)
    lines = [(line, [_entry_text(value) for value in row]) for line, row in enumerate(values, start=1)]
    names = lines[0][1] if lines else []
    while names and not names[-1]:
        names.pop()
    others = ", ".join(map(repr, titles[1:]))
    remarks = [f"read from the sheet {titles[0]!r}; not used: {others}"] if others else []
    rows = [(line, row) for line, row in lines[1:] if any(row)]
    return _checked(TextTable(path, [name.casefold() for name in names], names, "", rows, remarks), "give each column a name")


def _refuse_uncomputed(path: Path, values: Sequence[Sequence[object]], entered: Sequence[Sequence[object]]) -> None:
    """Refuse formulas whose values a program did not write down: they would pass for empty cells.

    Raises:
        ManifestError: there is one.
    """
    for line, (row, formulas) in enumerate(zip(values, entered, strict=True), start=1):
        for value, formula in zip(row, formulas, strict=True):
            if value is None and formula is not None:
                raise ManifestError(
                    f"{path}, line {line}: holds the formula {str(formula)[:60]!r} without its value; save it in a spreadsheet program"
                )


def _entry_text(value: object) -> str:
    """An entry of a workbook as text; a whole number has no decimal point, and what is true or false is so in small letters.

    A number with three decimals gets a fourth, so that it cannot be read as thousands with points between them.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    text = str(value).strip()
    return f"{text}0" if isinstance(value, float) and _THREE_DECIMALS.fullmatch(text) else text


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)[:200]


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
