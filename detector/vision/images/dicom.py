"""Pictures in DICOM files: secondary captures and visible light (DICOM PS3.3, PS3.5). Only the picture and its scale are read.

Only `pixels` and `stated` need pydicom. What names a patient is never taken from a file, so no message and no result can hold it.
"""

from __future__ import annotations

import io
import logging
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

from detector.errors import ImageError
from detector.texts import one_line
from detector.vision.images import files
from detector.vision.images import pixels as px
from detector.vision.images.files import out_of_memory
from detector.vision.images.pixels import Rgb

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

SUFFIX = ".dcm"
HEAD_BYTES = 4096
"""Bytes at the start of a file that hold what `kind` tells."""
WHOLE_SLIDE = "1.2.840.10008.5.1.4.1.1.77.1.6"
"""SOP class of VL Whole Slide Microscopy Image Storage."""
MISSING = "is DICOM, which needs pydicom: pip install 'smearcount[dicom]'"

_SECONDARY_CAPTURE, _VISIBLE_LIGHT = "1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.5.1.4.1.1.77.1."
"""Roots of the SOP classes that hold photographs."""
_BASELINE_JPEG, _DEFLATED, _RLE = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.5"
_PLACE = 128
"""Where the signature stands; before it is whatever a program likes."""
_LONG = (b"OB", b"OD", b"OF", b"OL", b"OW", b"SQ", b"UC", b"UN", b"UR", b"UT")
"""Kinds of values whose length takes four bytes after two empty ones."""
_MOST_READS = 20_000
"""Reads of a header, of some two for each entry."""
_MOST_SCANS = 500
_UNEQUAL = 1.01
"""Ratio of the spacings of rows and columns from which on pixels are not square."""
_TAGS = (
    *("SOPClassUID", "Rows", "Columns", "SamplesPerPixel", "PhotometricInterpretation", "PlanarConfiguration", "NumberOfFrames"),
    *("BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation", "PixelSpacing", "PixelData"),
    *(f"{name}PaletteColorLookupTable{what}" for name in ("Red", "Green", "Blue") for what in ("Descriptor", "Data")),
    *(f"Segmented{name}PaletteColorLookupTableData" for name in ("Red", "Green", "Blue")),
)
"""All that is read of a file."""
_KINDS = {
    "MONOCHROME1": 1,
    "MONOCHROME2": 1,
    "PALETTE COLOR": 1,
    "RGB": 3,
    "YBR_FULL": 3,
    "YBR_FULL_422": 3,
    "YBR_ICT": 3,
    "YBR_RCT": 3,
}
"""Kinds of colour that can be shown as RGB, and their channels."""


@dataclass(frozen=True)
class FileKind:
    """What a file says of itself before its header proper."""

    sop_class: str
    transfer_syntax: str


@dataclass(frozen=True)
class Stated:
    """What the header says of the picture."""

    size_wh: tuple[int, int]
    um_per_px: float | None
    """Micrometres per pixel by the pixel spacing; None without one."""


def is_dicom(head: bytes) -> bool:
    """Whether a file that begins so is DICOM."""
    return head[_PLACE : _PLACE + 4] == b"DICM"


def kind(head: bytes) -> FileKind:
    """SOP class and transfer syntax, each empty where the file does not state it (PS3.10, 7.1)."""
    values: dict[int, str] = {}
    place = _PLACE + 4
    while head[place : place + 2] == b"\x02\0":
        element, long = int.from_bytes(head[place + 2 : place + 4], "little"), head[place + 4 : place + 6] in _LONG
        start = place + (12 if long else 8)
        length = int.from_bytes(head[place + 8 : start] if long else head[place + 6 : start], "little")
        values[element] = head[start : start + length].decode("ascii", "replace").rstrip("\0 ")
        place = start + length
    return FileKind(values.get(0x02, ""), values.get(0x10, ""))


def stated(content: bytes) -> Stated:
    """Size and scale.

    Raises:
        ImageError: it holds no picture that is read, or pydicom is not installed.
    """
    dataset = _dataset(content)
    _check(dataset)
    return Stated((dataset.Columns, dataset.Rows), _um_per_px(dataset))


def pixels(content: bytes) -> tuple[Rgb, float | None]:
    """The picture, and its scale in micrometres per pixel where the file states it.

    Values of more than 8 bits become 8 as those of a TIFF do. Settings of a window are not applied.

    Raises:
        ImageError: it holds no picture that is read, or a damaged one, or a package is not installed; the reason says what would work.
    """
    dataset = _dataset(content)
    _check(dataset)
    eight = _eight_bits(dataset, _decoded(dataset))
    if dataset.PhotometricInterpretation == "MONOCHROME1":
        eight = 255 - eight
    rgb = eight if eight.ndim == 3 else np.repeat(eight[:, :, None], 3, axis=2)
    return np.ascontiguousarray(rgb), _um_per_px(dataset)


def _dataset(content: bytes) -> Dataset:
    """The entries of `_TAGS` that a file has.

    Raises:
        ImageError: it is of another kind than pictures, its header cannot be read, or pydicom is not installed.
    """
    known = kind(content[:HEAD_BYTES])
    if known.sop_class == WHOLE_SLIDE:
        raise ImageError("is a whole slide in DICOM; give it the ending .dcm, and it is counted by windows")
    if known.sop_class.startswith("1.") and not _is_photograph(known.sop_class):
        raise ImageError(
            f"is DICOM of another kind ({_name(known.sop_class)}), and no photograph; "
            "export the picture as secondary capture or VL microscopic image"
        )
    if known.transfer_syntax == _DEFLATED:
        raise ImageError("is DICOM with a deflated header; save it as Explicit VR Little Endian")
    if not known.transfer_syntax:
        raise ImageError("is truncated or damaged (its DICOM header states no transfer syntax)")
    pydicom = _pydicom()
    with files.quiet():
        try:
            dataset: Dataset = pydicom.dcmread(_Header(content), specific_tags=list(_TAGS))
            for name in _TAGS:
                dataset.get(name)  # decodes its value
        except ImageError:
            raise
        # pydicom raises almost anything on damaged data. Its words are not passed on, for they may be those of the file.
        except Exception as error:
            if out_of_memory(error):
                raise MemoryError from None
            raise ImageError("is truncated or damaged (its DICOM header cannot be read)") from None
    if not _is_photograph(str(dataset.get("SOPClassUID") or known.sop_class)):
        raise ImageError("is DICOM of another kind, and no photograph; export the picture as secondary capture")
    return dataset


class _Header(io.BytesIO):
    """The bytes of a file, for a reader that may be asked to read entries without end."""

    reads = 0

    def read(self, size: int | None = -1, /) -> bytes:
        """Bytes from the place on at which it is.

        Raises:
            ImageError: there were too many reads.
        """
        self.reads += 1
        if self.reads > _MOST_READS:
            raise ImageError(f"has a DICOM header of more than {_MOST_READS // 2:,} entries; export the picture alone")
        return super().read(size)


def _pydicom() -> Any:
    try:
        import pydicom
    except ImportError:
        raise ImageError(MISSING) from None
    # What it has to say of a file is said in our own words.
    logging.getLogger("pydicom").setLevel(logging.CRITICAL)
    return pydicom


def _is_photograph(sop_class: str) -> bool:
    return sop_class == _SECONDARY_CAPTURE or sop_class.startswith((f"{_SECONDARY_CAPTURE}.", _VISIBLE_LIGHT))


def _name(uid: str) -> str:
    try:
        from pydicom.uid import UID
    except ImportError:
        return one_line(uid)
    return one_line(UID(uid, validation_mode=0).name)


def _check(dataset: Dataset) -> None:
    """Refuse what is not read before anything is decoded.

    Raises:
        ImageError: the reason says what would work.
    """
    if "PixelData" not in dataset or not dataset.PixelData:
        raise ImageError("is DICOM without a picture in it, or ends before it (no pixel data); export the picture itself")
    missing = [
        name for name in _TAGS[1:4] + _TAGS[7:11] if name != "PlanarConfiguration" and not isinstance(dataset.get(name), int)
    ]
    if missing:
        raise ImageError(f"is truncated or damaged (its DICOM header does not state {missing[0]})")
    if dataset.Rows < 1 or dataset.Columns < 1:
        raise ImageError("holds no pixels")
    if dataset.Rows * dataset.Columns > px.most_pixels():
        raise ImageError(px.too_many_pixels())
    if int(dataset.get("NumberOfFrames") or 1) > 1:
        raise ImageError(f"holds {int(dataset.NumberOfFrames)} frames; save each that is to be counted as a file of its own")
    _check_values(dataset)


def _check_values(dataset: Dataset) -> None:
    colour = str(dataset.get("PhotometricInterpretation", ""))
    if _KINDS.get(colour) != dataset.SamplesPerPixel:
        raise ImageError(
            f"has {dataset.SamplesPerPixel} samples a pixel of kind {one_line(colour) if colour else 'unknown'}; save it as RGB"
        )
    stored = dataset.BitsStored
    if dataset.BitsAllocated not in (8, 16) or not 8 <= stored <= dataset.BitsAllocated:
        raise ImageError(f"holds {stored} bits in {dataset.BitsAllocated}; save it with 8 or 16 bits a channel")
    if colour.startswith("YBR_FULL") and dataset.BitsAllocated != 8:
        raise ImageError("holds YCbCr colour of more than 8 bits; save it as RGB")
    if dataset.PixelRepresentation or dataset.HighBit != stored - 1:
        raise ImageError(
            "holds signed values, or values that do not begin at the lowest bit; save it unsigned, 8 or 16 bits a channel"
        )


def _decoded(dataset: Dataset) -> NDArray[Any]:
    """Values of shape (h, w) or (h, w, 3), in the file's own depth; colours are RGB but for those of a palette.

    Raises:
        ImageError: they are damaged, or compressed in a way that is not read.
    """
    syntax = dataset.file_meta.TransferSyntaxUID
    decoder = _decoder(syntax)
    with _damage("its pixels"):
        if syntax.is_encapsulated:
            frame = _frame(dataset)
            if syntax == _BASELINE_JPEG and dataset.PhotometricInterpretation != "RGB":
                # By the reader of JPEG files, so that the same JPEG gives the same pixels; it is strict about damage.
                values = simplejpeg.decode_jpeg(frame, "GRAY" if dataset.SamplesPerPixel == 1 else "RGB")
                return np.asarray(values[:, :, 0] if dataset.SamplesPerPixel == 1 else values)
        with files.quiet():
            values, meaning = decoder.as_array(dataset, index=0, raw=True)
        if values.shape[:2] != (dataset.Rows, dataset.Columns):
            raise ImageError(_OTHER_SIZE)
        if str(meaning["photometric_interpretation"]).startswith("YBR_FULL"):
            # Rounded as in JPEG; pydicom cuts the decimals off.
            return cv2.cvtColor(np.ascontiguousarray(values[:, :, [0, 2, 1]]), cv2.COLOR_YCrCb2RGB)
        return np.asarray(values)


def _decoder(syntax: Any) -> Any:
    from pydicom.pixels.decoders.base import get_decoder

    try:
        decoder = get_decoder(syntax)
    except NotImplementedError:
        raise ImageError(f"is compressed in a way that is not read ({one_line(syntax.name)}); save it uncompressed") from None
    if not decoder.is_available:
        raise ImageError(
            f"is compressed by {one_line(syntax.name)}, for which a package is missing: pip install 'smearcount[dicom]'"
        )
    return decoder


_OTHER_SIZE = "is damaged (its picture is of another size than its header says)"


def _frame(dataset: Dataset) -> bytes:
    """The encoded picture, whose own header was looked at, so that it unpacks to no more than it should.

    Raises:
        ImageError: it does not agree with the file's header.
    """
    from pydicom.encaps import get_frame

    frame: bytes = get_frame(dataset.PixelData, 0, number_of_frames=1)
    size_wh = (dataset.Columns, dataset.Rows)
    if dataset.file_meta.TransferSyntaxUID == _RLE:
        most = math.prod(size_wh) * dataset.SamplesPerPixel * dataset.BitsAllocated // 8
        if _runs(frame, most) > most + 2 * dataset.SamplesPerPixel:
            raise ImageError(_OTHER_SIZE)
        return frame
    coded_wh = _coded_size(frame)
    if coded_wh is None:
        raise ImageError("is truncated or damaged (its pixels are not compressed as its header says)")
    if coded_wh != size_wh:
        raise ImageError(_OTHER_SIZE)
    if frame.count(b"\xff\xda") > _MOST_SCANS:
        raise ImageError(f"has more than {_MOST_SCANS} scans, as no camera writes; save it anew")
    return frame


def _runs(frame: bytes, most: int) -> int:
    """Bytes to which segments of RLE unpack, as far as somewhat more than `most` (PS3.5, annex G)."""
    starts = [int.from_bytes(frame[place : place + 4], "little") for place in range(4, 64, 4)]
    number = int.from_bytes(frame[:4], "little")
    ends = [*starts[1:number], len(frame)]
    unpacked = 0
    for place, end in zip(starts[:number], ends, strict=False):
        while place < end - 1 and unpacked <= 2 * most:
            code = frame[place]
            unpacked += code + 1 if code < 128 else 257 - code if code > 128 else 0
            place += code + 2 if code < 128 else 2 if code > 128 else 1
    return unpacked


def _coded_size(frame: bytes) -> tuple[int, int] | None:
    """Width and height in the header of a JPEG, JPEG-LS or JPEG 2000 picture; None where it has none."""
    if frame[:4] == b"\xff\x4f\xff\x51":
        right, lower, left, upper = (int.from_bytes(frame[place : place + 4], "big") for place in (8, 12, 16, 20))
        return right - left, lower - upper
    place = 2
    while frame[:2] == b"\xff\xd8" and frame[place : place + 1] == b"\xff":
        marker = frame[place + 1]
        if (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)) or marker == 0xF7:
            return int.from_bytes(frame[place + 7 : place + 9], "big"), int.from_bytes(frame[place + 5 : place + 7], "big")
        place += 1 if marker == 0xFF else 2 + int.from_bytes(frame[place + 2 : place + 4], "big")
    return None


def _eight_bits(dataset: Dataset, values: NDArray[Any]) -> NDArray[np.uint8]:
    if dataset.PhotometricInterpretation == "PALETTE COLOR":
        from pydicom.pixels.processing import apply_color_lut

        with _damage("its palette"), files.quiet():
            colours = apply_color_lut(values, dataset)
        # Some write tables of 8 bits as 16.
        deep = colours.dtype != np.uint8 and colours.max() > 255
        return np.asarray(colours >> 8 if deep else colours, dtype=np.uint8)
    if values.dtype == np.uint8:
        return values
    values = values.astype(np.uint16, copy=False)
    stored = dataset.BitsStored
    return px.to_eight_bits(values, stored if stored < 16 else px.camera_depth(px.brightest(values)))


def _um_per_px(dataset: Dataset) -> float | None:
    """Micrometres per pixel by the pixel spacing in mm (PS3.3, 10.7.1.3), where pixels are square."""
    try:
        down, across = (1000 * float(text) for text in dataset.get("PixelSpacing") or ())
    except (TypeError, ValueError):
        return None
    if not (math.isfinite(down) and math.isfinite(across) and down > 0 and across > 0):
        return None
    return (down * across) ** 0.5 if max(down / across, across / down) < _UNEQUAL else None


@contextmanager
def _damage(what: str) -> Iterator[None]:
    """Whatever goes wrong in a block is the damage of something."""
    try:
        yield
    except ImageError:
        raise
    except Exception as error:
        if out_of_memory(error):
            raise MemoryError from None
        raise ImageError(f"is truncated or damaged ({what}: {one_line(error)})") from None
