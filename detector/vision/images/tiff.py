"""TIFF files that are more than 8 bits of one page: deep values, planes, and red, green and blue as pages of their own.

TIFF 6.0 (Adobe, 1992); composites as ImageJ writes them; OME-TIFF (docs.openmicroscopy.org).
"""

from __future__ import annotations

import io
import math
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Any, BinaryIO

import numpy as np
import tifffile
from defusedxml import DefusedXmlException, ElementTree
from numpy.typing import NDArray

from detector.errors import ImageError
from detector.vision.images import pixels
from detector.vision.images.files import one_line
from detector.vision.images.pixels import Rgb
from detector.vision.images.tiff_page import CodecMissingError, RgbPage, is_shallow

__all__ = ["CodecMissingError", "Tiff", "check_size"]

MOST_PAGES = 10_000
"""Pages of a file that are looked for; each takes longer to find than the one before."""
_MOST_SEGMENTS = 250_000
_MOST_SEGMENT_PX = 1 << 24
_MOST_SUBIFDS = 100
_MOST_SUBPAGES_SEEN = 16

_CFA, _LINEAR_RAW, _DNG_VERSION, _SUBIFDS = 32803, 34892, 50706, 330
"""Kinds of colour of a sensor's own values, and tags of raw files (TIFF/EP, ISO 12234-2; DNG)."""
_PACKBITS, _WEBP = 32773, 50001
"""Compressions: with a predictor, which Pillow passes over, and one that its wheels take for damaged."""
_NEEDED = frozenset({258, 259, 262, 266, 270, 274, 277, 278, 284, 317, 320, 322, 323, 338, 339, 530, 532})
"""Tags that tell how a picture looks; tifffile leaves out those that lie beyond the end of a file."""
_PAGES_COMPARED = 16
_SAME_SHAPE = 0.02
"""Share by which the sides' ratio of a small copy may differ."""
_CODECS = frozenset({1, 5, 8, 32773, 32946, 34925, 50000, 50013})
"""Lossless compressions that unpack to no more than they are asked for: LZW, deflate, PackBits, LZMA, Zstandard."""
_WHOLE_RANGE = 1 << 16
_SIGNED_DEPTHS = (8, 10, 12, 14, 15)
_PURE = np.eye(3, dtype=int)
_WHITE = (255, 255, 255)
_CALLED = {
    **dict.fromkeys(("r", "red"), (255, 0, 0)),
    **dict.fromkeys(("g", "green"), (0, 255, 0)),
    **dict.fromkeys(("b", "blue"), (0, 0, 255)),
}
"""Colours of channels, by what these are called."""
_OTHER_COLOURS = "holds three channels that are not red, green and blue; save it as RGB"


@dataclass(frozen=True)
class _Channels:
    """Pictures of a file that are the channels of one."""

    pages: Sequence[int]
    """Number of each channel's page."""
    colours: Sequence[tuple[int, int, int]]
    """Colour of each channel, 0 to 255, as far as the file tells them."""


class Tiff:
    """The first picture of a TIFF file that is in memory."""

    def __init__(self, content: bytes) -> None:
        """Read the header.

        Raises:
            ImageError: it holds more pages than are looked for, is a camera's raw file, or has channels that are not red, green
                and blue. Other exceptions: it is damaged.
        """
        pages = _count_pages(io.BytesIO(content))
        if pages > MOST_PAGES:
            raise ImageError(_too_many_pages())
        self._file = tifffile.TiffFile(io.BytesIO(content))
        first: Any = self._file.pages[0]
        self._first = first
        if any(tag not in first.tags for tag in _codes(content, first) & _NEEDED):
            raise ImageError("is truncated or damaged (what it says of its picture cannot be read)")
        if _is_raw(first):
            raise ImageError("is a camera's raw file, which is not read; develop it to TIFF, PNG or JPEG")
        self._order = self._channel_pages(pages)
        if not self._order and self._is_small_copy(pages):
            raise ImageError("holds a small copy of a later picture as its first; save the whole picture alone, or as the first")
        shown = len(self._order) or 1
        self.note = f"first of {pages} pages" if pages > shown else ""

    @property
    def is_plain(self) -> bool:
        """Whether it is 8 bits or less, unsigned and in one page, as Pillow reads it."""
        page = self._first
        unknown = (
            page.compression == _WEBP
            or (page.compression == _PACKBITS and page.predictor != 1)
            or (self.is_weighed and page.planarconfig == 2)
            or is_shallow(page.colormap)
        )
        return not self._order and page.bitspersample <= 8 and page.sampleformat in (1, 4) and not unknown

    @property
    def is_weighed(self) -> bool:
        """Whether it says that its colours are multiplied by an alpha."""
        return bool(self._first.extrasamples[:1] == (tifffile.EXTRASAMPLE.ASSOCALPHA,))

    @property
    def is_simple(self) -> bool:
        """Whether OpenCV reads it as it is: unsigned, 16 bits, grey or RGB, its samples together."""
        page = self._first
        return bool(
            not self._order
            and (page.bitspersample, page.sampleformat, page.planarconfig) == (16, 1, 1)
            and (page.photometric, page.samplesperpixel) in ((tifffile.PHOTOMETRIC.MINISBLACK, 1), (tifffile.PHOTOMETRIC.RGB, 3))
        )

    def rgb(self) -> Rgb:
        """Its pixels, upright.

        Raises:
            CodecMissingError: a package is needed to unpack it. ImageError: it is damaged, or of a kind of which it is not sure how
                it looks; the reason says what would work.
        """
        pages = [RgbPage(self._file.pages[i]) for i in self._order] or [RgbPage(self._first)]
        first = pages[0]
        if any((p.size_wh, p.dtype, p.page.photometric) != (first.size_wh, first.dtype, first.page.photometric) for p in pages):
            raise ImageError("holds channels of unequal size or kind; save it as RGB")
        values = [_values(page) for page in pages]
        colours, depth = _colours(first, values[0] if len(values) == 1 else np.concatenate(values, axis=2))
        return pixels.upright(first.rgb(colours, depth), first.orientation)

    def _is_small_copy(self, pages: int) -> bool:
        """Whether the first page shows what a later and larger one shows, by their shapes."""
        first = self._first
        for number in range(1, min(pages, _PAGES_COMPARED)):
            try:
                page: Any = self._file.pages[number]
                across, down = page.imagewidth / first.imagewidth, page.imagelength / first.imagelength
            except Exception:  # a damaged page costs the first one nothing
                return False
            if min(across, down) > 1 and abs(across / down - 1) < _SAME_SHAPE:
                return True
        return False

    def _channel_pages(self, pages: int) -> list[int]:
        """Numbers of the pages of red, green and blue; empty where one page holds all colours."""
        if self._first.samplesperpixel > 1:
            return []
        channels = self._of_imagej() if self._file.is_imagej else _of_ome(self._first.description) or self._of_tifffile()
        if channels is None or len(channels.pages) < 2:
            return []
        if len(channels.pages) != 3:
            raise ImageError(f"holds {len(channels.pages)} channels as pictures of their own; save it as RGB")
        if max(channels.pages) >= pages:
            raise ImageError("holds one of several channels, the others lie in other files; save it as RGB")
        order = _red_green_blue(channels.colours)
        return [channels.pages[i] for i in order]

    def _of_imagej(self) -> _Channels | None:
        stated = re.search(r"^channels=(\d{1,6})$", self._first.description, re.MULTILINE)
        metadata = self._file.imagej_metadata or {}
        named = [_named(str(label)) for label in metadata.get("Labels", [])]
        names = [colour for colour in named[:3] if colour] if len(named) in (3, metadata.get("images")) else []
        if stated is None:
            # A stack of three slices, which is how ImageJ takes a picture in colour apart.
            return _Channels(range(3), names) if len(named) == len(set(names)) == 3 else None
        tables = metadata.get("LUTs", [])
        colours = [(int(table[0, -1]), int(table[1, -1]), int(table[2, -1])) for table in tables]
        if len(names) == 3 and all(len(set(colour)) == 1 for colour in colours):
            colours = names
        return _Channels(range(int(stated.group(1))), colours)

    def _of_tifffile(self) -> _Channels | None:
        """Channels as tifffile describes arrays, for example of the axes CYX."""
        described = (self._file.shaped_metadata or ({},))[0]
        axes, shape = described.get("axes", ""), described.get("shape", ())
        if not isinstance(axes, str) or len(axes) != len(shape) or "C" not in axes[:-2] or axes[-2:] != "YX":
            return None
        place = axes.index("C")
        step = math.prod(shape[place + 1 : -2])
        names = described.get("Channel", {})
        names = names.get("Name", []) if isinstance(names, dict) else []
        return _Channels([i * step for i in range(shape[place])], _told([(str(name), None, "") for name in names]))


def check_size(file: tifffile.TiffFile) -> None:
    """Refuse a file whose header asks for endless work, before all of its pages are looked for.

    Raises:
        ImageError: it holds, or says that it holds, more pages than are looked for.
    """
    handle = file.filehandle
    place = handle.tell()
    handle.seek(0)
    pages = _count_pages(handle)
    handle.seek(place)
    first: Any = file.pages[0]
    stated = [math.prod(_ome_sizes(first.description).values())] if file.is_ome else []
    if file.is_imagej:
        stated += [int(n) for n in re.findall(r"^(?:images|channels|slices|frames)=(\d+)$", first.description, re.MULTILINE)]
    smaller = first.tags.get(_SUBIFDS)
    if max(pages, *stated, 0) > MOST_PAGES or (smaller is not None and smaller.count > _MOST_SUBIFDS):
        raise ImageError(_too_many_pages())


def _too_many_pages() -> str:
    return f"holds more than {MOST_PAGES:,} pages; save the one picture that is to be counted"


def _count_pages(file: BinaryIO | tifffile.FileHandle) -> int:
    """Pages that are chained in a file, at the most one more than `MOST_PAGES`; a chain that is broken or a circle ends."""
    head = file.read(16)
    order = "<" if head[:2] == b"II" else ">"
    # Of the number of tags, of one tag, of an offset.
    big = head[2:4] in (b"+\0", b"\0+")
    number, tag_bytes, offset = (f"{order}Q", 20, f"{order}Q") if big else (f"{order}H", 12, f"{order}I")
    number_bytes, offset_bytes = struct.calcsize(number), struct.calcsize(offset)
    seen: set[int] = set()
    try:
        (place,) = struct.unpack_from(offset, head, 8 if big else 4)
        while place and place not in seen and len(seen) <= MOST_PAGES:
            file.seek(place)
            (tags,) = struct.unpack(number, file.read(number_bytes))
            seen.add(place)
            file.seek(place + number_bytes + tags * tag_bytes)
            (place,) = struct.unpack(offset, file.read(offset_bytes))
    except (struct.error, OSError, OverflowError, ValueError):
        pass
    return len(seen)


def _codes(content: bytes, page: Any) -> set[int]:
    """Numbers of the tags that a page has by its list, whether or not they can be read."""
    form = page.parent.tiff
    first = page.offset + form.tagnosize
    (number,) = struct.unpack_from(form.tagnoformat, content, page.offset)
    places = range(first, min(first + number * form.tagsize, len(content) - 1), form.tagsize)
    return {struct.unpack_from(form.byteorder + "H", content, place)[0] for place in places}


def _is_raw(page: Any) -> bool:
    """Whether a page is, or is the small preview of, a sensor's own values."""
    if page.photometric in (_CFA, _LINEAR_RAW) or _DNG_VERSION in page.tags:
        return True
    if _SUBIFDS not in page.tags or page.tags[_SUBIFDS].count > _MOST_SUBPAGES_SEEN:
        return False
    return any(getattr(inner, "photometric", None) in (_CFA, _LINEAR_RAW) for inner in page.pages)


def _of_ome(description: str) -> _Channels | None:
    """Channels as OME-XML has them; None for any other text."""
    pixels_of = _ome_pixels(description)
    if pixels_of is None:
        return None
    sizes = _ome_sizes(description)
    if sizes["C"] > MOST_PAGES:
        return None
    order = pixels_of.get("DimensionOrder", "XYCZT")[2:]
    step = math.prod(sizes[name] for name in order[: order.index("C")])
    pages = [channel * step for channel in range(sizes["C"])]
    for data in pixels_of:
        if data.tag.endswith("TiffData") and "IFD" in data.attrib and not int(data.get("FirstZ", 0)) + int(data.get("FirstT", 0)):
            channel = int(data.get("FirstC", 0))
            if int(data.get("PlaneCount", 1)) == 1 and 0 <= channel < len(pages):
                pages[channel] = int(data.attrib["IFD"])
    described = [part for part in pixels_of if part.tag.endswith("Channel")]
    colours = _told([(part.get("Name", ""), part.get("Color"), part.get("EmissionWavelength", "")) for part in described])
    return _Channels(pages, colours if len(colours) == len(pages) else [])


def _ome_pixels(description: str) -> Any:
    if "<OME" not in description[:2000] and not description.rstrip().endswith("OME>"):
        return None
    try:
        root = ElementTree.fromstring(description)
    except (ElementTree.ParseError, DefusedXmlException, ValueError, LookupError):
        return None
    return next((part for part in root.iter() if part.tag.endswith("}Pixels") or part.tag == "Pixels"), None)


def _ome_sizes(description: str) -> dict[str, int]:
    """Numbers of channels, planes and times."""
    element = _ome_pixels(description)
    return {name: 1 if element is None else max(1, int(element.get(f"Size{name}", 1))) for name in "CZT"}


def _told(channels: Sequence[tuple[str, str | None, str]]) -> list[tuple[int, int, int]]:
    """Colours of channels by their names, colours and wavelengths as OME has them; white where a file tells nothing of them.

    Raises:
        ImageError: there are three, of which names or wavelengths tell something else than red, green and blue.
    """
    values = [-1 if number is None else int(number) for _, number, _ in channels]
    colours = [
        (_named(name) or _WHITE) if value == -1 else (value >> 24 & 255, value >> 16 & 255, value >> 8 & 255)
        for (name, _, _), value in zip(channels, values, strict=True)
    ]
    # Names that differ by their numbers only, such as Channel 1, tell nothing.
    told = {(re.sub(r"[\W\d_]", "", name).casefold(), wavelength) for name, _, wavelength in channels}
    if len(channels) == 3 and len(told) > 1 and all(colour == _WHITE for colour in colours):
        raise ImageError(_OTHER_COLOURS)
    return colours


def _named(name: str) -> tuple[int, int, int] | None:
    """The colour that a channel is called by, if one of its words is red, green or blue; one letter will do."""
    found = {_CALLED[word] for word in re.split(r"[\W\d_]+", name.casefold()) if word in _CALLED}
    return found.pop() if len(found) == 1 else None


def _red_green_blue(colours: Sequence[tuple[int, int, int]]) -> tuple[int, ...]:
    """Which of three channels are red, green and blue, in this order; as they stand where the file does not tell their colours.

    Raises:
        ImageError: they have other colours.
    """
    if len(colours) != 3 or all(len(set(colour)) == 1 for colour in colours):
        return (0, 1, 2)
    pure = np.array(colours) > 127
    for order in permutations(range(3)):
        if np.array_equal(pure[list(order)], _PURE.astype(bool)):
            return order
    raise ImageError(_OTHER_COLOURS)


def _values(page: RgbPage) -> NDArray[Any]:
    """All values of a page, of shape (h, w, samples)."""
    w, h = page.size_wh
    if w * h > pixels.most_pixels():
        raise ImageError(pixels.too_many_pixels())
    if page.page.compression not in _CODECS:
        name = getattr(page.page.compression, "name", None) or one_line(page.page.compression)
        raise ImageError(f"is compressed by {name}, which is not read with such values; save it uncompressed or with deflate")
    high, wide = page.segment_hw
    if high * wide > max(2 * w * h, _MOST_SEGMENT_PX) or page.segments > _MOST_SEGMENTS:
        raise ImageError(f"is damaged, or stored in tiles of {wide}x{high} px; save it with tiles of 256x256 px")
    return page.gather((0, 0, w, h), lambda number: page.decoded(number, _written(page, number)))


def _written(page: RgbPage, number: int) -> bytes:
    data = page.encoded(number)
    if data is None:
        raise ImageError("is truncated or damaged (a part of the picture was never written)")
    return data


def _colours(page: RgbPage, values: NDArray[Any]) -> tuple[NDArray[Any], int]:
    """Unsigned colours of shape (h, w, 1 or 3) of 8 or 16 bits, and how many of these are used."""
    whole = _unsigned(values)
    colours = whole if values.shape[2] == 3 and page.page.samplesperpixel == 1 else page.flat_whole(whole)
    if colours.dtype == np.uint8:
        return colours, 8
    if 8 < page.page.bitspersample < 16:
        return colours, page.page.bitspersample
    brightest = pixels.brightest(colours)
    if values.dtype == np.int16:
        return colours, next(bits for bits in _SIGNED_DEPTHS if brightest < 1 << bits)
    return colours, pixels.camera_depth(brightest)


def _unsigned(values: NDArray[Any]) -> NDArray[Any]:
    """Values as 8 or 16 bits without a sign, where that changes none of them.

    Raises:
        ImageError: it does, so that nobody knows which value is white.
    """
    kind, bits = values.dtype.kind, 8 * values.dtype.itemsize
    if kind == "u" and bits <= 16:
        return values
    if kind not in "fiu" or (kind == "i" and bits == 8):
        raise ImageError("holds values of a kind that is not read; save it with 8 or 16 bits a channel, unsigned")
    least, most = values.min(), values.max()
    if kind == "f" and not (1 < most < _WHOLE_RANGE and least >= 0 and np.array_equal(values, np.rint(values))):
        raise ImageError(pixels.FLOATING)
    if least < 0:
        raise ImageError("holds values below zero; save it with 8 or 16 bits a channel, unsigned")
    if most >= _WHOLE_RANGE:
        raise ImageError(f"holds values of {bits} bits; save it with 8 or 16 bits a channel")
    return values.astype(np.uint16)
