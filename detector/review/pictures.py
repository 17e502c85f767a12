"""Pictures of fields and crops of cells, made when a page asks for them and kept within a bound."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Generic, TypeVar

import cv2
import numpy as np

from detector.errors import ImageError
from detector.review.opened import OpenedField
from detector.review.review import Cell
from detector.vision import images
from detector.vision.images import Rgb

CROP_PX = 96
"""Side of a crop; a multiple of 16, so that crops beside each other in a JPEG mix in the pixels at their seam only."""
_MARGIN = 0.3
"""Share of a box's longer side that is shown on each side of it."""
_CROP_QUALITY, _PICTURE_QUALITY = 82, 95
_MOST_PICTURES, _MOST_CROPS = 512 << 20, 192 << 20
"""Bytes of decoded pictures and of crops that are kept."""
_EMPTY = 32
"""Grey around a cell at the border."""
_BESIDE, _LINE = 0.7, 235
"""Light of what is beside the box, as a share, and of the line around it."""
V = TypeVar("V")


class _Kept(Generic[V]):
    """What was used last, up to a number of bytes; each entry is made once however many ask for it at a time."""

    def __init__(self, most_bytes: int, size: Callable[[V], int]) -> None:
        self._most, self._size = most_bytes, size
        self._entries: OrderedDict[Hashable, V] = OrderedDict()
        self._bytes = 0
        self._making: dict[Hashable, threading.Lock] = {}
        self._lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], V]) -> V:
        """The entry of a key; what `make` raises is passed on."""
        with self._lock:
            if key in self._entries:
                self._entries.move_to_end(key)
                return self._entries[key]
            making = self._making.setdefault(key, threading.Lock())
        with making:
            with self._lock:
                if key in self._entries:
                    return self._entries[key]
            try:
                entry = make()
            finally:
                with self._lock:
                    self._making.pop(key, None)
            with self._lock:
                self._entries[key] = entry
                self._bytes += self._size(entry)
                while self._bytes > self._most and len(self._entries) > 1:
                    self._bytes -= self._size(self._entries.popitem(last=False)[1])
            return entry


class Pictures:
    """The pictures of reviews that are open."""

    def __init__(self) -> None:
        """Keep nothing yet."""
        self._pictures: _Kept[Rgb] = _Kept(_MOST_PICTURES, lambda rgb: rgb.nbytes)
        self._jpegs: _Kept[bytes] = _Kept(_MOST_CROPS, len)

    def crops(self, cells: Sequence[tuple[OpenedField, Cell]]) -> bytes:
        """Cells with what is around them, each a square of `CROP_PX`, from left to right in one JPEG.

        The box of each is framed, and what is around it is darker. One picture for many cells: a page spends more on asking for a
        picture than on showing it. Where some cells cannot be shown, their squares are empty.

        Raises:
            ImageError: none of them can be shown.
        """
        return self._jpegs.get(tuple((field.path, cell[:4]) for field, cell in cells), lambda: self._strip(cells))

    def picture(self, field: OpenedField) -> bytes:
        """A field in its own pixels, as JPEG.

        Raises:
            ImageError: it cannot be shown.
        """
        return self._jpegs.get(field.path, lambda: images.as_jpeg(self._rgb(field), _PICTURE_QUALITY))

    def _strip(self, cells: Sequence[tuple[OpenedField, Cell]]) -> bytes:
        strip = np.full((CROP_PX, CROP_PX * len(cells), 3), _EMPTY, np.uint8)
        problems: list[ImageError] = []
        for place, (field, cell) in enumerate(cells):
            try:
                strip[:, CROP_PX * place : CROP_PX * (place + 1)] = _crop(self._rgb(field), cell)
            except ImageError as problem:
                problems.append(problem)
        if problems and len(problems) == len(cells):
            raise problems[0]
        return images.as_jpeg(strip, _CROP_QUALITY)

    def _rgb(self, field: OpenedField) -> Rgb:
        if field.problem:
            raise ImageError(field.problem)
        return self._pictures.get(field.path, lambda: read(field))


def read(field: OpenedField) -> Rgb:
    """The pixels of a field; one that is not the counted picture gets its `problem`.

    Raises:
        ImageError: it cannot be shown.
    """
    try:
        rgb = images.read(field.path)
    except ImageError as error:
        field.problem = f"its picture {field.path} cannot be read any more: {error}"
        raise ImageError(field.problem) from None
    size_wh = (rgb.shape[1], rgb.shape[0])
    if size_wh != field.cells.size_wh:
        field.problem = f"its picture {field.path} is {size_wh[0]} x {size_wh[1]} px, and not as large as when it was counted"
        raise ImageError(field.problem)
    return rgb


def _crop(rgb: Rgb, cell: Cell) -> Rgb:
    x1, y1, x2, y2 = cell[:4]
    half = max(x2 - x1, y2 - y1) * (0.5 + _MARGIN)
    left, top = round((x1 + x2) / 2 - half), round((y1 + y2) / 2 - half)
    side = max(round(2 * half), 1)
    h, w = rgb.shape[:2]
    square = np.full((side, side, 3), _EMPTY, np.uint8)
    from_x, from_y, to_x, to_y = max(left, 0), max(top, 0), min(left + side, w), min(top + side, h)
    square[from_y - top : to_y - top, from_x - left : to_x - left] = rgb[from_y:to_y, from_x:to_x]
    how = cv2.INTER_AREA if side > CROP_PX else cv2.INTER_CUBIC
    seen = np.asarray(cv2.resize(square, (CROP_PX, CROP_PX), interpolation=how), dtype=np.uint8)
    scale = CROP_PX / side
    inside = [round(edge * scale) for edge in (x1 - left, y1 - top, x2 - left, y2 - top)]
    return _marked(seen, *(min(max(edge, 0), CROP_PX) for edge in inside))


def _marked(seen: Rgb, x1: int, y1: int, x2: int, y2: int) -> Rgb:
    """A crop that tells the cell in the box from those beside it; the pixels of the box stay as they are."""
    marked = (seen * _BESIDE).astype(np.uint8)
    cv2.rectangle(marked, (x1 - 1, y1 - 1), (x2, y2), (_LINE, _LINE, _LINE), 1)
    marked[y1:y2, x1:x2] = seen[y1:y2, x1:x2]
    return marked
