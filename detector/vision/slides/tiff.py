"""Large TIFF files and pyramids, by windows: only the tiles or strips that a window touches are read."""

from __future__ import annotations

import logging
import math
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from detector.errors import ImageError
from detector.vision.images import Rgb, camera_depth, over_white, to_eight_bits
from detector.vision.slides.slide import Slide, Window
from detector.vision.slides.tiff_scale import scale

_CACHE_BYTES = 192_000_000
"""Decoded tiles or strips that are kept: strips are as wide as the picture, and all windows of a row need the same ones."""
_SEGMENT_BYTES = 256_000_000
"""Largest tile or strip that is read; a file without tiles may hold all of its pixels in one."""
_PLAIN_BYTES = 4_000_000
_SAMPLES = 24
_WHITE = 255

# What it has to say of a file is said in our own words.
logging.getLogger("tifffile").setLevel(logging.CRITICAL)


class TiffSlide(Slide):
    """A TIFF file; BigTIFF, tiles or strips, 8 or 16 bits, grey, RGB, palette or JPEG, samples together or in planes."""

    def __init__(self, path: Path) -> None:
        """Open a file; only its header is read.

        Raises:
            ImageError: it is damaged, or of a kind that cannot be read by windows; the reason says what would work.
        """
        try:
            self._file = tifffile.TiffFile(path)
        except OSError as error:
            raise ImageError(f"cannot be opened ({error.strerror or error})") from None
        # Damaged headers raise almost anything: TiffFileError, struct.error, ValueError, IndexError, ...
        except Exception as error:
            raise ImageError(f"its header is damaged ({_one_line(error)})") from None
        try:
            self._open()
        except ImageError:
            self.close()
            raise
        except Exception as error:
            self.close()
            raise ImageError(f"its header is damaged ({_one_line(error)})") from None

    def _open(self) -> None:
        series = self._file.series[0]
        self._pages = [_page(level) for level in series.levels]
        first = self._pages[0]
        _check(first, series)
        w, h = first.imagewidth, first.imagelength
        # A level of another shape is no smaller copy of the first.
        self._pages = [
            p for p in self._pages if abs(p.imagewidth / w - p.imagelength / h) < 0.02 and p.photometric == first.photometric
        ]
        self.size_wh = (w, h)
        self.factors = tuple(page.imagewidth / w for page in self._pages)
        self.um_per_px, self.scale_source = scale(self._file, first)
        pages = len(series.pages)
        self.note = f"first of {pages} pages" if pages > 1 else ""
        self._lock = threading.Lock()
        self._cache: OrderedDict[tuple[int, int], NDArray[Any]] = OrderedDict()
        self._cached = 0
        self._depth = 8 if first.dtype == np.uint8 else self._brightest_depth(first)

    def level_size(self, index: int) -> tuple[int, int]:
        """Width and height of a level in its own pixels."""
        return self._pages[index].imagewidth, self._pages[index].imagelength

    def level(self, index: int, window: Window) -> Rgb:
        """Pixels of a window of a level; see `Slide.level`."""
        page = self._pages[index]
        x1, y1, x2, y2 = window
        high, wide = _segment_hw(page)
        across, down = math.ceil(page.imagewidth / wide), math.ceil(page.imagelength / high)
        planes = page.samplesperpixel if page.planarconfig == 2 else 1
        samples = np.empty((y2 - y1, x2 - x1, page.samplesperpixel), dtype=page.dtype)
        for plane in range(planes):
            for row in range(y1 // high, min(math.ceil(y2 / high), down)):
                for column in range(x1 // wide, min(math.ceil(x2 / wide), across)):
                    segment = self._segment(index, (plane * down + row) * across + column)
                    left, top = column * wide, row * high
                    ax, ay = max(x1, left), max(y1, top)
                    bx, by = min(x2, left + segment.shape[1]), min(y2, top + segment.shape[0])
                    into = np.s_[ay - y1 : by - y1, ax - x1 : bx - x1, plane : plane + segment.shape[2]]
                    samples[into] = segment[ay - top : by - top, ax - left : bx - left]
        return self._rgb(page, samples)

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _segment(self, level: int, number: int) -> NDArray[Any]:
        """A decoded tile or strip of shape (h, w, samples)."""
        key = (level, number)
        with self._lock:
            if key in self._cache:
                self._cache.move_to_end(key)
                return self._cache[key]
            data = self._encoded(self._pages[level], number)
        decoded = _decoded(self._pages[level], number, data)
        with self._lock:
            if key not in self._cache:
                self._cache[key] = decoded
                self._cached += decoded.nbytes
            while self._cached > _CACHE_BYTES and len(self._cache) > 1:
                self._cached -= self._cache.popitem(last=False)[1].nbytes
        return decoded

    def _encoded(self, page: Any, number: int) -> bytes | None:
        try:
            offset, length = _place(page, number)
        except IndexError:
            raise ImageError("its list of tiles is too short") from None
        if not length:
            return None  # a tile of background that was never written
        handle = self._file.filehandle
        try:
            handle.seek(offset)
            data: bytes = handle.read(length)
        except (OSError, ValueError) as error:
            raise ImageError(f"cannot be read ({_one_line(error)})") from None
        if len(data) < length:
            raise ImageError(f"the file ends {length - len(data):,} bytes too early for it")
        return data

    def _brightest_depth(self, page: Any) -> int:
        """Bits of the smallest usual camera depth that holds the brightest value in tiles spread over the picture."""
        total = len(page.dataoffsets)
        brightest = 0
        for number in sorted({round(i) for i in np.linspace(0, total - 1, _SAMPLES)}):
            try:
                brightest = max(brightest, int(self._segment(0, number).max()))
            except ImageError:
                continue
        return camera_depth(brightest)

    def _rgb(self, page: Any, samples: NDArray[Any]) -> Rgb:
        if page.photometric == tifffile.PHOTOMETRIC.PALETTE:
            return np.ascontiguousarray((page.colormap[:, samples[:, :, 0]] >> 8).transpose(1, 2, 0), dtype=np.uint8)
        if samples.shape[2] == 4:
            samples = over_white(samples)
        elif samples.shape[2] == 2:
            samples = samples[:, :, :1]
        eight = to_eight_bits(samples, self._depth)
        if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE:
            eight = _WHITE - eight
        return np.ascontiguousarray(np.broadcast_to(eight, (*eight.shape[:2], 3)))


def header(path: Path) -> tuple[tuple[int, int], int]:
    """Width and height of the first picture in a TIFF file, and at how many sizes the file holds it.

    Raises:
        ImageError: its header cannot be read.
    """
    try:
        with tifffile.TiffFile(path) as file:
            series = file.series[0]
            page = _page(series)
            return (page.imagewidth, page.imagelength), len(series.levels)
    except Exception as error:
        raise ImageError(f"its header is damaged ({_one_line(error)})") from None


def _page(level: tifffile.TiffPageSeries) -> Any:
    """The first page of a level, with all of its tags."""
    first = level.pages[0]
    return first.aspage() if isinstance(first, tifffile.TiffFrame) else first


def _check(page: Any, series: tifffile.TiffPageSeries) -> None:
    """Refuse what cannot be shown as RGB or cannot be read in parts."""
    samples, kind = page.samplesperpixel, page.photometric
    if kind not in _KINDS or samples > 4:
        name = getattr(kind, "name", kind)
        raise ImageError(f"has {samples} samples a pixel of kind {name}; save it as RGB, 8 or 16 bits")
    if kind == tifffile.PHOTOMETRIC.YCBCR and page.compression not in _JPEGS:
        raise ImageError("holds YCbCr colour outside of JPEG; save it as RGB, or with JPEG compression")
    if page.dtype is None or page.dtype not in (np.uint8, np.uint16):
        raise ImageError(f"holds values of type {page.dtype or 'unknown'}; save it with 8 or 16 bits a channel")
    if samples == 1 and "C" in series.axes and series.sizes.get("channel", 1) > 1:
        raise ImageError("holds its channels as pictures of their own; save it as RGB")
    if page.imagedepth > 1:
        raise ImageError("is a volume; save one plane of it as RGB")
    turned = page.tags.get(274)
    if turned is not None and turned.value not in (0, 1):
        raise ImageError(f"is stored turned (orientation {int(turned.value)}); save it upright")
    if page.compression != 1 and page.compression not in tifffile.TIFF.DECOMPRESSORS:
        raise ImageError(_codec_missing(page))
    high, wide = _segment_hw(page)
    if high * wide * samples * page.dtype.itemsize > _SEGMENT_BYTES:
        megabytes = high * wide * samples * page.dtype.itemsize // 10**6
        raise ImageError(
            f"holds {megabytes:,} MB of pixels in one piece; save it with tiles, for example as a tiled TIFF of 256x256 px"
        )


_KINDS = frozenset(
    {
        tifffile.PHOTOMETRIC.RGB,
        tifffile.PHOTOMETRIC.YCBCR,
        tifffile.PHOTOMETRIC.MINISBLACK,
        tifffile.PHOTOMETRIC.MINISWHITE,
        tifffile.PHOTOMETRIC.PALETTE,
    }
)


_JPEGS = (6, 7, 33007)


def _is_plain(page: Any) -> bool:
    """Whether pixels lie in the file as they are, each plane in one piece, so that any rows can be read."""
    planes = page.samplesperpixel if page.planarconfig == 2 else 1
    return not page.is_tiled and page.compression == 1 and page.predictor == 1 and len(page.dataoffsets) == planes


def _segment_hw(page: Any) -> tuple[int, int]:
    """Height and width of what is read in one go: a tile, a strip, or some rows of plain pixels."""
    if page.is_tiled:
        return page.tilelength, page.tilewidth
    if _is_plain(page):
        return min(max(1, _PLAIN_BYTES // _row_bytes(page)), page.imagelength), page.imagewidth
    return min(page.rowsperstrip, page.imagelength), page.imagewidth


def _row_bytes(page: Any) -> int:
    return int(page.imagewidth * (1 if page.planarconfig == 2 else page.samplesperpixel) * page.dtype.itemsize)


def _place(page: Any, number: int) -> tuple[int, int]:
    """Where in the file a segment lies, and its length in bytes."""
    if not _is_plain(page):
        return int(page.dataoffsets[number]), int(page.databytecounts[number])
    high = _segment_hw(page)[0]
    plane, row = divmod(number, math.ceil(page.imagelength / high))
    rows = min(high, page.imagelength - row * high)
    return int(page.dataoffsets[plane]) + row * high * _row_bytes(page), rows * _row_bytes(page)


def _decoded(page: Any, number: int, data: bytes | None) -> NDArray[Any]:
    high, wide = _segment_hw(page)
    if data is None:
        white = 0 if page.photometric == tifffile.PHOTOMETRIC.MINISWHITE else np.iinfo(page.dtype).max
        return np.full((high, wide, page.samplesperpixel if page.planarconfig == 1 else 1), white, dtype=page.dtype)
    if _is_plain(page):
        values = np.frombuffer(data, dtype=page.dtype.newbyteorder(page.parent.byteorder)).astype(page.dtype, copy=False)
        return values.reshape(-1, wide, 1 if page.planarconfig == 2 else page.samplesperpixel)
    try:
        segment, _, _ = page.decode(data, number, jpegtables=page.jpegtables, jpegheader=page.jpegheader)
    # Codecs raise almost anything on damaged data.
    except Exception as error:
        if "imagecodecs" in str(error):
            raise ImageError(_codec_missing(page)) from None
        raise ImageError(f"is damaged ({_one_line(error)})") from None
    if segment is None:
        return _decoded(page, number, None)
    return np.asarray(segment[0])


def _codec_missing(page: Any) -> str:
    name = getattr(page.compression, "name", str(page.compression))
    return f"is compressed by {name}, which needs imagecodecs: pip install 'smearcount[slides]'"


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__
