"""What every large picture can be asked, whatever its file is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from types import TracebackType

import cv2
import numpy as np

from detector.errors import ImageError
from detector.vision.images import Rgb
from detector.vision.scale import UM_PER_PX_RANGE

Window = tuple[int, int, int, int]
"""A rectangle x1, y1, x2, y2 in pixels of the full resolution, half-open."""

_BLOCK_PX = 1024
"""Side, in pixels of the level that is read, of the blocks by which a whole slide is looked at."""
_UNREAD = 128


def is_scale(um_per_px: float) -> bool:
    """Whether a number in a file may be the micrometres per pixel of a smear, and not a default of some program."""
    low, high = UM_PER_PX_RANGE
    return low <= um_per_px <= high


class Slide(ABC):
    """An open picture of which windows are read; safe to share between threads, and a context manager that closes it."""

    size_wh: tuple[int, int]
    """Width and height in pixels of the full resolution."""
    um_per_px: float | None
    """Micrometres per pixel of the full resolution, where the file says so in a way that can be trusted."""
    scale_source: str
    """Where `um_per_px` stands in the file; empty where it is None."""
    note: str
    """What a user should know of the file; mostly empty."""
    factors: tuple[float, ...]
    """Sizes at which the file holds the picture, as shares of the full resolution, largest (1) first."""

    @abstractmethod
    def level(self, index: int, window: Window) -> Rgb:
        """Pixels of a window given in the level's own pixels, which lies within it.

        Raises:
            ImageError: this part of the file cannot be read.
        """

    @abstractmethod
    def level_size(self, index: int) -> tuple[int, int]:
        """Width and height of a level in its own pixels."""

    @abstractmethod
    def close(self) -> None:
        """Let go of the file."""

    def __enter__(self) -> Slide:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def factor_for(self, least: float) -> float:
        """The smallest size at which the file holds the picture with at least this share of the full resolution; else 1."""
        return min((factor for factor in self.factors if factor >= min(least, 1.0)), default=1.0)

    def read(self, window: Window, factor: float = 1.0) -> Rgb:
        """Pixels of a window made smaller by `factor` (at most 1), of shape (round(height * factor), round(width * factor), 3), uint8.

        They come from the smallest level that has at least that resolution.

        Raises:
            ImageError: this part of the file cannot be read, or the window does not lie within the picture.
        """
        x1, y1, x2, y2 = window
        w, h = self.size_wh
        if not (0 <= x1 < x2 <= w and 0 <= y1 < y2 <= h):
            raise ImageError(f"window {window} does not lie within {w}x{h} px")
        index = self.factors.index(self.factor_for(factor * 0.999))
        lw, lh = self.level_size(index)
        sx, sy = lw / w, lh / h
        inner = (
            int(x1 * sx),
            int(y1 * sy),
            min(max(round(x2 * sx), int(x1 * sx) + 1), lw),
            min(max(round(y2 * sy), int(y1 * sy) + 1), lh),
        )
        rgb = self.level(index, (min(inner[0], lw - 1), min(inner[1], lh - 1), inner[2], inner[3]))
        wh = (max(1, round((x2 - x1) * factor)), max(1, round((y2 - y1) * factor)))
        if wh == (rgb.shape[1], rgb.shape[0]):
            return rgb
        return np.asarray(cv2.resize(rgb, wh, interpolation=cv2.INTER_AREA), dtype=np.uint8)

    def overview(self, long_px: int) -> tuple[Rgb, float]:
        """The whole picture with a long side of at most `long_px`, and its share of the full resolution; unread parts are grey.

        Where the file holds no small picture, all of it is read once, block by block.
        """
        w, h = self.size_wh
        factor = min(1.0, long_px / max(w, h))
        # Each pixel edge is placed by itself, so that blocks neither overlap nor leave a gap.
        small = np.full((max(1, round(h * factor)), max(1, round(w * factor)), 3), _UNREAD, dtype=np.uint8)
        for x1, y1, x2, y2 in self._blocks(factor):
            px1, py1 = round(x1 * factor), round(y1 * factor)
            px2, py2 = min(round(x2 * factor), small.shape[1]), min(round(y2 * factor), small.shape[0])
            if px2 <= px1 or py2 <= py1:
                continue
            try:
                block = self.read((x1, y1, x2, y2), factor)
            except ImageError:
                continue
            small[py1:py2, px1:px2] = cv2.resize(block, (px2 - px1, py2 - py1), interpolation=cv2.INTER_LINEAR)
        return small, factor

    def _blocks(self, factor: float) -> Iterator[Window]:
        """Windows row by row that are small to read from the level that they will come from."""
        step = max(1, int(_BLOCK_PX / self.factor_for(factor * 0.999)))
        w, h = self.size_wh
        for y in range(0, h, step):
            for x in range(0, w, step):
                yield x, y, min(x + step, w), min(y + step, h)
