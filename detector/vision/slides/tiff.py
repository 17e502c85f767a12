"""Large TIFF files and pyramids, by windows: only the tiles or strips that a window touches are read."""

from __future__ import annotations

import re
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from defusedxml import DefusedXmlException, ElementTree
from numpy.typing import NDArray

from detector.errors import ImageError
from detector.texts import one_line
from detector.vision.images import Rgb, brightest, camera_depth, opened
from detector.vision.images.tiff import check_size
from detector.vision.images.tiff_page import RgbPage
from detector.vision.slides.slide import Slide, Window, is_scale

_CACHE_BYTES = 192_000_000
"""Decoded tiles or strips that are kept: strips are as wide as the picture, and all windows of a row need the same ones."""
_SEGMENT_BYTES = 256_000_000
"""Largest tile or strip that is read; a file without tiles may hold all of its pixels in one."""
_SAMPLES = 24
_TO_UM = {"nm": 1e-3, "µm": 1.0, "um": 1.0, "mm": 1e3, "cm": 1e4, "m": 1e6}


class TiffSlide(Slide):
    """A TIFF file; BigTIFF, tiles or strips, 8 or 16 bits, grey, RGB, palette or JPEG, samples together or in planes."""

    def __init__(self, path: Path) -> None:
        """Open a file; only its header is read.

        Raises:
            ImageError: it is damaged, or of a kind that cannot be read by windows; the reason says what would work.
        """
        try:
            with opened(path):
                # Files that its header names are left alone.
                self._file = tifffile.TiffFile(path, _multifile=False)
        except ImageError:
            raise
        # Damaged headers raise almost anything: TiffFileError, struct.error, ValueError, IndexError, ...
        except Exception as error:
            raise ImageError(f"its header is damaged ({one_line(error)})") from None
        try:
            self._open()
        except ImageError:
            self.close()
            raise
        except Exception as error:
            self.close()
            raise ImageError(f"its header is damaged ({one_line(error)})") from None

    def _open(self) -> None:
        check_size(self._file)
        series = self._file.series[0]
        _check(series)
        self._pages = [RgbPage(level.pages[0]) for level in series.levels]
        first = self._pages[0]
        _check_parts(first)
        w, h = first.size_wh
        # A level of another shape is no smaller copy of the first.
        self._pages = [
            p
            for p in self._pages
            if abs(p.size_wh[0] / w - p.size_wh[1] / h) < 0.02 and p.page.photometric == first.page.photometric
        ]
        self.size_wh = (w, h)
        self.factors = tuple(page.size_wh[0] / w for page in self._pages)
        self.um_per_px, self.scale_source = _scale(self._file, first.page)
        pages = len(series.pages)
        self.note = f"first of {pages} pages" if pages > 1 else ""
        self._lock = threading.Lock()
        self._cache: OrderedDict[tuple[int, int], NDArray[Any]] = OrderedDict()
        self._cached = 0
        self._opaque, self._depth = self._sampled(first)

    def level_size(self, index: int) -> tuple[int, int]:
        """Width and height of a level in its own pixels."""
        return self._pages[index].size_wh

    def level(self, index: int, window: Window) -> Rgb:
        """Pixels of a window of a level; see `Slide.level`."""
        page = self._pages[index]
        samples = page.gather(window, lambda number: self._segment(index, number))
        return page.rgb(page.flat(samples, self._opaque), self._depth)

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
            data = self._pages[level].encoded(number)
        decoded = self._pages[level].decoded(number, data)
        with self._lock:
            if key not in self._cache:
                self._cache[key] = decoded
                self._cached += decoded.nbytes
            while self._cached > _CACHE_BYTES and len(self._cache) > 1:
                self._cached -= self._cache.popitem(last=False)[1].nbytes
        return decoded

    def _sampled(self, page: RgbPage) -> tuple[bool, int]:
        """What tiles spread over the picture tell: whether alpha is unused, and the bits of the camera's depth."""
        unused, most = page.has_alpha, 0
        if not page.has_alpha and page.dtype == np.uint8:
            return False, 8
        for number in sorted({round(i) for i in np.linspace(0, page.segments - 1, _SAMPLES)}):
            try:
                segment = self._segment(0, number)
            except ImageError:
                continue
            # Planes follow each other, alpha last.
            alone = page.planes > 1 and number // (page.segments // page.planes) == page.planes - 1
            if page.has_alpha and (page.planes == 1 or alone):
                unused = unused and page.is_unused(segment[:, :, -1])
                segment = segment[:, :, :-1]
            if segment.size:
                most = max(most, brightest(segment))
        return unused, 8 if page.dtype == np.uint8 else camera_depth(most)


def header(path: Path) -> tuple[tuple[int, int], int]:
    """Width and height of the first picture in a TIFF file, and at how many sizes the file holds it.

    Raises:
        ImageError: its header cannot be read.
    """
    try:
        with opened(path), tifffile.TiffFile(path, _multifile=False) as file:
            check_size(file)
            series = file.series[0]
            page: Any = series.pages[0]
            return (page.imagewidth, page.imagelength), len(series.levels)
    except ImageError:
        raise
    except Exception as error:
        raise ImageError(f"its header is damaged ({one_line(error)})") from None


def _check(series: tifffile.TiffPageSeries) -> None:
    """Refuse a picture whose channels are pages of their own."""
    page: Any = series.pages[0]
    # What an axis is called in `sizes` is not the same in all versions of tifffile.
    channels = dict(zip(series.axes, series.shape, strict=True)).get("C", 1)
    if page.samplesperpixel == 1 and channels > 1:
        raise ImageError("holds its channels as pictures of their own; save it as RGB")


def _check_parts(page: RgbPage) -> None:
    """Refuse what cannot be read in parts."""
    if page.dtype not in (np.uint8, np.uint16):
        raise ImageError(f"holds values of type {page.dtype}; save it with 8 or 16 bits a channel")
    if page.orientation != 1:
        raise ImageError(f"is stored turned (orientation {page.orientation}); save it upright")
    if page.segment_bytes > _SEGMENT_BYTES:
        raise ImageError(
            f"holds {page.segment_bytes // 10**6:,} MB of pixels in one piece; save it with tiles, "
            "for example as a tiled TIFF of 256x256 px"
        )


def _scale(file: tifffile.TiffFile, page: Any) -> tuple[float | None, str]:
    """Micrometres per pixel of a file's first page and where they stand in it; None and nothing where they are not known.

    Only what no program writes by default can be trusted.
    """
    candidates = [(_ome(file), "OME-XML"), (_aperio(page), "Aperio's description"), (_resolution(page), "the TIFF resolution")]
    return next(((um, source) for um, source in candidates if um is not None and is_scale(um)), (None, ""))


def _ome(file: tifffile.TiffFile) -> float | None:
    if not file.is_ome or not file.ome_metadata:
        return None
    try:
        root = ElementTree.fromstring(file.ome_metadata)
    except (ElementTree.ParseError, DefusedXmlException, ValueError, LookupError):
        return None
    pixels = next((element for element in root.iter() if element.tag.endswith("}Pixels") or element.tag == "Pixels"), None)
    if pixels is None:
        return None
    factor = _TO_UM.get(pixels.get("PhysicalSizeXUnit", "µm").replace("\u03bc", "µ"))
    value = _number(pixels.get("PhysicalSizeX", ""))
    return None if factor is None or value is None else factor * value


def _aperio(page: Any) -> float | None:
    match = re.search(r"\|\s*MPP\s*=\s*([0-9.]+)", page.description or "")
    return _number(match.group(1)) if match else None


def _resolution(page: Any) -> float | None:
    """From the resolution tags. Screens' and printers' dots per inch are no scale of a smear, and `is_scale` refuses them."""
    tag, unit = page.tags.get(282), page.tags.get(296)
    um = {2: 25_400.0, 3: 10_000.0}.get(int(unit.value)) if unit is not None else None
    if tag is None or um is None:
        return None
    top, bottom = tag.value
    return um * bottom / top if top else None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
