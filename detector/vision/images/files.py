"""Which files hold pictures, and how they are opened: regular files only, of bounded size, and known formats by name."""

from __future__ import annotations

import os
import stat
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from detector.errors import ImageError

SUFFIXES = frozenset(
    {
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".jif", ".mpo"),
        *(".png", ".apng", ".tif", ".tiff", ".bmp", ".dib", ".webp", ".gif", ".avif", ".ppm", ".pgm", ".pnm"),
        *(".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx", ".dcm"),
    }
)
"""File name endings, lower case, that are taken for images when a folder is searched."""

_SAVE = "save it as JPEG, PNG or TIFF"
_EXPORT = "export its pictures as TIFF or PNG"
_DEVELOP = "develop it to TIFF, PNG or JPEG"
_OTHERS = {
    "HEIC": (_SAVE, (".heic", ".heif", ".hif")),
    "JPEG XL": (_SAVE, (".jxl",)),
    "JPEG XR": (_SAVE, (".jxr", ".wdp", ".hdp")),
    "Photoshop's format": (_SAVE, (".psd", ".psb")),
    "GIMP's format": (_SAVE, (".xcf",)),
    "OpenEXR": (_SAVE, (".exr",)),
    "Targa": (_SAVE, (".tga",)),
    "a camera's raw file": (
        _DEVELOP,
        (
            *(".3fr", ".arw", ".cr2", ".cr3", ".crw", ".dcr", ".dng", ".erf", ".iiq", ".kdc", ".mrw", ".nef", ".nrw", ".orf"),
            *(".pef", ".raf", ".raw", ".rw2", ".sr2", ".srf", ".srw", ".x3f"),
        ),
    ),
    "Zeiss's format CZI": (_EXPORT, (".czi",)),
    "Zeiss's format ZVI": (_EXPORT, (".zvi",)),
    "Zeiss's format LSM": (_EXPORT, (".lsm",)),
    "Nikon's format ND2": (_EXPORT, (".nd2",)),
    "Leica's format LIF": (_EXPORT, (".lif", ".lof", ".xlif")),
    "Olympus's format": (_EXPORT, (".oib", ".oif", ".oir", ".vsi")),
    "Imaris's format": (_EXPORT, (".ims",)),
    "Gatan's format": (_EXPORT, (".dm3", ".dm4")),
    "DeltaVision's format": (_EXPORT, (".dv",)),
}


def _reason(name: str) -> str:
    return f"is {name}, which is not read; {_OTHERS[name][0]}"


UNREAD = {suffix: _reason(name) for name, (_, suffixes) in _OTHERS.items() for suffix in suffixes}
"""File name endings, lower case, of pictures in formats that are not read, each with the reason and what would work."""

_SIGNATURES: tuple[tuple[int, tuple[bytes, ...], str], ...] = (
    (4, tuple(b"ftyp" + brand for brand in (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")), "HEIC"),
    (4, (b"ftypcrx ",), "a camera's raw file"),
    (0, (b"FUJIFILMCCD-RAW", b"IIRO", b"IIRS", b"MMOR", b"IIU\0", b"FOVb", b"\0MRM"), "a camera's raw file"),
    (8, (b"CR\x02\0",), "a camera's raw file"),
    (0, (b"\0\0\0\x0cJXL ", b"\xff\x0a"), "JPEG XL"),
    (0, (b"II\xbc\x01",), "JPEG XR"),
    (0, (b"8BPS",), "Photoshop's format"),
    (0, (b"gimp xcf",), "GIMP's format"),
    (0, (b"\x76\x2f\x31\x01",), "OpenEXR"),
    (0, (b"ZISRAWFILE",), "Zeiss's format CZI"),
    (0, (b"\xda\xce\xbe\x0a",), "Nikon's format ND2"),
    (0, (b"\x70\0\0\0",), "Leica's format LIF"),
)
"""Place in the file, what stands there, and the format of which this is the sign."""
_AVIF = (b"avif", b"avis")
_HEAD = 64
_READ = (b"\xff\xd8\xff", b"\x89PNG", b"GIF8", b"BM", b"RIFF")
"""How common formats begin; a file of such content is read though its ending names another format."""

_warnings_lock = threading.Lock()

MOST_BYTES = 1 << 30
"""Size of the largest file that is read whole, in bytes: more than any picture of as many pixels as are read needs."""


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """A file, open to read its bytes.

    Raises:
        ImageError: it cannot be opened, is empty, or is no regular file: a pipe may never end, and a device may be changed by a look.
    """
    try:
        _check(path.stat())
        file = open(path, "rb", opener=_without_waiting)  # noqa: SIM115
    # ValueError: a name with a zero byte in it.
    except (OSError, ValueError) as error:
        raise _unopened(error) from None
    with file:
        size = _check(os.fstat(file.fileno()))
        if not size:
            raise ImageError("is empty (0 bytes)")
        yield file


def encoded(path: Path) -> bytes:
    """The bytes of an image file.

    Raises:
        ImageError: it cannot be opened, is empty, is no regular file or too large, or is of a format that is known and not read.
    """
    with opened(path) as file:
        try:
            size = os.fstat(file.fileno()).st_size
            head = file.read(_HEAD)
            reason = "" if head.startswith(_READ) else named(head) or UNREAD.get(path.suffix.lower(), "")
            if reason:
                raise ImageError(reason)
            if size > MOST_BYTES:
                raise ImageError(
                    f"has {size / 1e6:,.0f} MB, and {MOST_BYTES / 1e6:,.0f} MB are the most that is read whole; "
                    "save the one picture that is to be counted, or a tiled TIFF"
                )
            file.seek(0)
            return file.read(size)
        except OSError as error:
            raise _unopened(error) from None
        except MemoryError:
            raise ImageError(TOO_LITTLE_MEMORY) from None


TOO_LITTLE_MEMORY = "needs more memory than there is; save it smaller, or count fewer at a time (--threads 1)"
_OUT_OF_MEMORY = ("nsufficient memory", "bad_alloc", "Failed to allocate memory", "bad allocation")
"""What OpenCV and ONNX Runtime say then."""


@contextmanager
def quiet() -> Iterator[None]:
    """A block whose warnings nobody gets to see; one at a time, for Python keeps one list of what is ignored for all threads."""
    with _warnings_lock, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def out_of_memory(error: BaseException) -> bool:
    """Whether an error is the want of memory, by whatever library it is raised."""
    return isinstance(error, MemoryError) or any(words in str(error) for words in _OUT_OF_MEMORY)


def named(head: bytes) -> str:
    """Why a file that begins so is not read, where it is of a known format that never is; else empty."""
    kind = next((name for place, signs, name in _SIGNATURES if head[place:].startswith(signs)), "")
    # Some write AVIF under the general brand, and name its own among the compatible ones.
    if kind == "HEIC" and any(brand in head[16:] for brand in _AVIF):
        return ""
    return _reason(kind) if kind else ""


def is_tiff(content: bytes) -> bool:
    """Whether a file begins as TIFF or BigTIFF does."""
    return content[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")


def _check(status: os.stat_result) -> int:
    """Size of a regular file in bytes."""
    # A folder fails when it is opened, by the system's own words.
    if not stat.S_ISREG(status.st_mode) and not stat.S_ISDIR(status.st_mode):
        raise ImageError("is no regular file (but a pipe, a socket or a device)")
    return status.st_size


def _without_waiting(path: str, flags: int) -> int:
    """Open a file; one that was a pipe by then is not waited for."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))


def _unopened(error: OSError | ValueError) -> ImageError:
    return ImageError(f"cannot be opened ({getattr(error, 'strerror', None) or error})")
