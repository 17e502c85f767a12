"""One picture in a TIFF file: what its values mean, its tiles or strips, and how they become RGB."""

from __future__ import annotations

import logging
import lzma
import math
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from detector.errors import ImageError
from detector.vision.images import pixels
from detector.vision.images.files import one_line, out_of_memory
from detector.vision.images.pixels import Rgb

Window = tuple[int, int, int, int]
"""A rectangle x1, y1, x2, y2 in pixels, half-open."""

_PLAIN_BYTES = 4_000_000
_FEW_BYTES = 1 << 28
"""What may be unpacked without a look at its size before."""
_WHITE = 255
_KINDS = {
    tifffile.PHOTOMETRIC.RGB: 3,
    tifffile.PHOTOMETRIC.YCBCR: 3,
    tifffile.PHOTOMETRIC.MINISBLACK: 1,
    tifffile.PHOTOMETRIC.MINISWHITE: 1,
    tifffile.PHOTOMETRIC.PALETTE: 1,
}
"""Kinds of colour that can be shown as RGB, and their channels."""
_JPEGS = (6, 7, 33007)
_DEFLATE, _LZMA = (8, 32946, 50013), 34925
_UNUSED, _ASSOCIATED, _UNASSOCIATED = 0, 1, 2
"""What a sample beside the colours is, by TIFF's tag ExtraSamples."""

# What it has to say of a file is said in our own words.
logging.getLogger("tifffile").setLevel(logging.CRITICAL)


class CodecMissingError(ImageError):
    """A package is needed to read a file that is compressed so."""

    def __init__(self, page: Any) -> None:
        name = getattr(page.compression, "name", None) or one_line(page.compression)
        super().__init__(f"is compressed by {name}, which needs imagecodecs: pip install 'smearcount[slides]'")


class RgbPage:
    """A page of a TIFF file that can be shown as RGB."""

    def __init__(self, page: Any) -> None:
        """Take a page of tifffile's with all of its tags.

        Raises:
            ImageError: it holds something that is not read; the reason says what would work.
        """
        self.page = _whole(page)
        self._check()
        self.dtype: Any = self.page.dtype
        self.size_wh: tuple[int, int] = (self.page.imagewidth, self.page.imagelength)
        self.segment_hw = self._segment_hw()
        """Height and width of what is read in one go: a tile, a strip, or some rows of plain pixels."""
        self.planes: int = self.page.samplesperpixel if self.page.planarconfig == 2 else 1
        self.segments: int = (
            self.planes * math.ceil(self.size_wh[0] / self.segment_hw[1]) * math.ceil(self.size_wh[1] / self.segment_hw[0])
        )
        """Tiles or strips, those of one plane after those of another."""
        self.segment_bytes: int = math.prod(self.segment_hw) * self.page.samplesperpixel * self.dtype.itemsize
        """Size of a decoded tile or strip, or at the most so much."""

    @property
    def orientation(self) -> int:
        """How the picture is stored turned, as in EXIF; 1 where it is upright."""
        tag = self.page.tags.get(274)
        return 1 if tag is None or tag.value == 0 else int(tag.value)

    def _check(self) -> None:
        page = self.page
        samples, kind = page.samplesperpixel, page.photometric
        if page.imagewidth < 1 or page.imagelength < 1:
            raise ImageError("holds no pixels")
        if kind not in _KINDS or not 0 <= samples - _KINDS[kind] <= 1:
            name = getattr(kind, "name", None) or one_line(kind)
            raise ImageError(f"has {samples} samples a pixel of kind {name}; save it as RGB, 8 or 16 bits")
        if kind == tifffile.PHOTOMETRIC.YCBCR and page.compression not in _JPEGS:
            raise ImageError("holds YCbCr colour outside of JPEG; save it as RGB, or with JPEG compression")
        if page.dtype is None:
            raise ImageError("holds values of an unknown type; save it with 8 or 16 bits a channel")
        if page.imagedepth > 1:
            raise ImageError("is a volume; save one plane of it as RGB")
        if page.compression != 1 and page.compression not in tifffile.TIFF.DECOMPRESSORS:
            raise CodecMissingError(page)

    def _segment_hw(self) -> tuple[int, int]:
        page = self.page
        if page.is_tiled:
            return page.tilelength, page.tilewidth
        if self._is_plain():
            return min(max(1, _PLAIN_BYTES // self._row_bytes()), page.imagelength), page.imagewidth
        return min(page.rowsperstrip, page.imagelength), page.imagewidth

    def gather(self, window: Window, segment: Callable[[int], NDArray[Any]]) -> NDArray[Any]:
        """Values of a window, of shape (h, w, samples).

        Args:
            segment: gives a decoded tile or strip by its number.

        Raises:
            ImageError: whatever `segment` raises.
        """
        x1, y1, x2, y2 = window
        high, wide = self.segment_hw
        across, down = math.ceil(self.size_wh[0] / wide), math.ceil(self.size_wh[1] / high)
        samples = np.empty((y2 - y1, x2 - x1, self.page.samplesperpixel), dtype=self.dtype)
        for plane in range(self.planes):
            for row in range(y1 // high, min(math.ceil(y2 / high), down)):
                for column in range(x1 // wide, min(math.ceil(x2 / wide), across)):
                    values = segment((plane * down + row) * across + column)
                    left, top = column * wide, row * high
                    ax, ay = max(x1, left), max(y1, top)
                    bx, by = min(x2, left + values.shape[1]), min(y2, top + values.shape[0])
                    into = np.s_[ay - y1 : by - y1, ax - x1 : bx - x1, plane : plane + values.shape[2]]
                    samples[into] = values[ay - top : by - top, ax - left : bx - left]
        return samples

    def encoded(self, number: int) -> bytes | None:
        """What the file holds of a tile or strip; None for a tile of background that was never written.

        Raises:
            ImageError: it is not there, or not all of it.
        """
        try:
            offset, length = self._place(number)
        except IndexError:
            raise ImageError("its list of tiles is too short") from None
        if not length:
            return None
        handle = self.page.parent.filehandle
        early = offset + length - handle.size
        if early > 0:
            raise ImageError(f"the file ends {early:,} bytes too early for it")
        try:
            handle.seek(offset)
            data: bytes = handle.read(length)
        except (OSError, ValueError) as error:
            raise ImageError(f"cannot be read ({one_line(error)})") from None
        if len(data) < length:
            raise ImageError(f"the file ends {length - len(data):,} bytes too early for it")
        return data

    def decoded(self, number: int, data: bytes | None) -> NDArray[Any]:
        """A tile or strip of shape (h, w, samples).

        Raises:
            ImageError: it is damaged, or its codec is not installed.
        """
        page = self.page
        high, wide = self.segment_hw
        if data is None:
            return np.full(
                (high, wide, page.samplesperpixel if page.planarconfig == 1 else 1), self._nothing_written(), dtype=self.dtype
            )
        if self._is_plain():
            values = np.frombuffer(data, dtype=self.dtype.newbyteorder(page.parent.byteorder)).astype(self.dtype, copy=False)
            return values.reshape(-1, wide, 1 if page.planarconfig == 2 else page.samplesperpixel)
        self._check_length(number, data)
        try:
            segment, _, _ = page.decode(data, number, jpegtables=page.jpegtables, jpegheader=page.jpegheader)
        # Codecs raise almost anything on damaged data.
        except Exception as error:
            if out_of_memory(error):
                raise MemoryError from None
            if "imagecodecs" in str(error):
                raise CodecMissingError(page) from None
            raise ImageError(f"is damaged ({one_line(error)})") from None
        if segment is None:
            return self.decoded(number, None)
        return np.asarray(segment[0])

    def _nothing_written(self) -> int:
        if self.page.photometric == tifffile.PHOTOMETRIC.MINISWHITE or self.dtype.kind not in "ui":
            return 0
        return int(np.iinfo(self.dtype).max)

    def _check_length(self, number: int, data: bytes) -> None:
        """Refuse a tile or strip that holds less or far more than its pixels, before it is unpacked."""
        page = self.page
        high, wide = self.segment_hw
        rows = high
        if not page.is_tiled:
            rows = min(high, page.imagelength - number % math.ceil(page.imagelength / high) * high)
        samples = 1 if page.planarconfig == 2 else page.samplesperpixel
        needed = rows * -(-wide * samples * page.bitspersample // 8)
        if page.compression == 1 and len(data) < needed:
            raise ImageError(f"is truncated or damaged (a strip or tile lacks {needed - len(data):,} bytes)")
        # A little data may unpack to all of the memory.
        most = 2 * high * -(-wide * samples * page.bitspersample // 8) + (1 << 16)
        unpacked = _unpacked(page.compression, data, most + 1)
        if unpacked > most:
            raise ImageError("is damaged (a strip or tile unpacks to more than its pixels)")

    def is_unused(self, alpha: NDArray[Any]) -> bool:
        """Whether values beside the colours, of a whole picture, say nothing of transparency."""
        return self._extra() == _UNUSED or not alpha.any()

    @property
    def is_weighed(self) -> bool:
        """Whether the file says that its colours are multiplied by an alpha."""
        return self.has_alpha and self._extra() == _ASSOCIATED

    @property
    def has_alpha(self) -> bool:
        """Whether there is a sample beside the colours."""
        return bool(self.page.samplesperpixel > _KINDS[self.page.photometric])

    def _extra(self) -> int:
        extras = self.page.extrasamples
        return int(extras[0]) if extras else _UNASSOCIATED

    def flat(self, samples: NDArray[Any], opaque: bool = False) -> NDArray[Any]:
        """Colours of shape (h, w, 1 or 3) of values of shape (h, w, samples), laid over white.

        Args:
            opaque: what stands beside the colours is not used.
        """
        channels = _KINDS[self.page.photometric]
        if samples.shape[2] == channels or opaque or self._extra() == _UNUSED or channels == 1:
            return samples[:, :, :channels]
        if self._extra() == _UNASSOCIATED:
            return pixels.over_white(samples)
        # The colours are weighed by alpha already.
        white = np.iinfo(samples.dtype).max
        return np.asarray(samples[:, :, :3] + np.minimum(white - samples[:, :, 3:], white - samples[:, :, :3]))

    def flat_whole(self, samples: NDArray[Any]) -> NDArray[Any]:
        """The same of a whole picture, whose alpha tells by all of its values whether and how it is used."""
        if self._extra() in (_ASSOCIATED, _UNASSOCIATED):
            if samples.shape[2] == 4:
                return pixels.whole_over_white(samples, self.is_weighed)
            if samples.shape[2] == 2 and self.page.photometric == tifffile.PHOTOMETRIC.MINISBLACK:
                return pixels.whole_over_white(samples[:, :, [0, 0, 0, 1]], self.is_weighed)[:, :, :1]
        return self.flat(samples, self.has_alpha and self.is_unused(samples[:, :, -1]))

    def rgb(self, colours: NDArray[Any], depth: int) -> Rgb:
        """Colours of shape (h, w, 1 or 3) and of so many bits as a picture."""
        page = self.page
        if page.photometric == tifffile.PHOTOMETRIC.PALETTE:
            shown = self.palette[:, colours[:, :, 0]]
            return np.ascontiguousarray(shown.transpose(1, 2, 0))
        eight = pixels.to_eight_bits(colours, depth)
        if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
            eight = _WHITE - eight
        return np.ascontiguousarray(np.broadcast_to(eight, (*eight.shape[:2], 3)))

    @property
    def palette(self) -> NDArray[np.uint8]:
        """Colours of shape (3, n) of a palette, whose 16 bits some programs fill with 8."""
        table = self.page.colormap
        return np.asarray(table if is_shallow(table) else table >> 8, dtype=np.uint8)

    def _is_plain(self) -> bool:
        """Whether pixels lie in the file as they are, each plane in one piece, so that any rows can be read."""
        page = self.page
        planes = page.samplesperpixel if page.planarconfig == 2 else 1
        return bool(
            not page.is_tiled
            and (page.compression, page.predictor, page.fillorder) == (1, 1, 1)
            and page.bitspersample == 8 * self.dtype.itemsize
            and len(page.dataoffsets) == planes
        )

    def _row_bytes(self) -> int:
        page = self.page
        return int(page.imagewidth * (1 if page.planarconfig == 2 else page.samplesperpixel) * self.dtype.itemsize)

    def _place(self, number: int) -> tuple[int, int]:
        """Where in the file a segment lies, and its length in bytes."""
        page = self.page
        if not self._is_plain():
            return int(page.dataoffsets[number]), int(page.databytecounts[number])
        high = self.segment_hw[0]
        plane, row = divmod(number, math.ceil(page.imagelength / high))
        rows = min(high, page.imagelength - row * high)
        return int(page.dataoffsets[plane]) + row * high * self._row_bytes(), rows * self._row_bytes()


def is_shallow(palette: NDArray[Any] | None) -> bool:
    """Whether the colours of a palette are of 8 bits, where TIFF asks for 16: as libtiff judges it."""
    return palette is not None and int(palette.max()) < 256


def _whole(page: Any) -> Any:
    """A page with all of its tags, of which tifffile leaves most out for pages like the one before."""
    return page.aspage() if isinstance(page, tifffile.TiffFrame) else page


def _unpacked(compression: int, data: bytes, most: int) -> int:
    """Bytes to which data unpacks, as far as `most`; 0 for methods that keep to the size that they are asked for."""
    try:
        if compression in _DEFLATE:
            # Deflate makes at most 1,032 bytes of one.
            return len(zlib.decompressobj().decompress(data, most)) if 1032 * len(data) > max(most, _FEW_BYTES) else 0
        return len(lzma.LZMADecompressor().decompress(data, most)) if compression == _LZMA else 0
    except (zlib.error, lzma.LZMAError, EOFError):
        return 0  # its codec tells
