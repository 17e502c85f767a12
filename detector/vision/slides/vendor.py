"""Scanners' own slide formats, read by OpenSlide."""

from __future__ import annotations

import contextlib
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from detector.errors import ImageError
from detector.texts import one_line
from detector.vision.images import Rgb, opened, over_white
from detector.vision.slides.slide import Slide, Window, is_scale


class VendorSlide(Slide):
    """A slide that OpenSlide opens: SVS, NDPI, MRXS, SCN, BIF, DICOM and others."""

    note = ""

    def __init__(self, path: Path) -> None:
        """Open a slide.

        Raises:
            ImageError: OpenSlide is not installed, or cannot open it.
        """
        self._path = path
        self._openslide = library()
        self._lock = threading.Lock()
        self._slide = self._opened()
        self.size_wh = self._slide.dimensions
        self.factors = tuple(1 / downsample for downsample in self._slide.level_downsamples)
        self.properties = self._slide.properties
        self.um_per_px = _mpp(self.properties)
        self.scale_source = "" if self.um_per_px is None else "the slide's own properties"

    def level_size(self, index: int) -> tuple[int, int]:
        """Width and height of a level in its own pixels."""
        w, h = self._slide.level_dimensions[index]
        return int(w), int(h)

    def level(self, index: int, window: Window) -> Rgb:
        """Pixels of a window of a level; see `Slide.level`. What was not scanned is white."""
        x1, y1, x2, y2 = window
        downsample = self._slide.level_downsamples[index]
        slide = self._slide
        try:
            rgba = slide.read_region((round(x1 * downsample), round(y1 * downsample)), index, (x2 - x1, y2 - y1))
        except self._openslide.OpenSlideError as error:
            self._again(slide)
            raise ImageError(f"is damaged ({one_line(error)})") from None
        return over_white(np.asarray(rgba))

    def close(self) -> None:
        """Let go of the file."""
        self._slide.close()

    def _again(self, failed: Any) -> None:
        """Open the file anew: OpenSlide answers nothing more after an error."""
        with self._lock:
            if self._slide is failed:
                with contextlib.suppress(ImageError):
                    self._slide = self._opened()

    def _opened(self) -> Any:
        try:
            return self._openslide.OpenSlide(self._path)
        except (self._openslide.OpenSlideError, OSError) as error:
            raise ImageError(f"cannot be opened by OpenSlide ({one_line(error)})") from None


def knows(path: Path) -> bool:
    """Whether OpenSlide is installed and takes a TIFF file for a scanner's."""
    try:
        kind = library().OpenSlide.detect_format(path)
    except ImageError:
        return False
    return kind is not None and kind != "generic-tiff"


def series(path: Path) -> str | None:
    """What names the slide that a DICOM file belongs to, or None where it cannot be opened."""
    try:
        with opened(path), contextlib.closing(VendorSlide(path)) as slide:
            name = slide.properties.get("dicom.SeriesInstanceUID")
    except ImageError:
        return None
    return None if name is None else str(name)


def library() -> ModuleType:
    """The package openslide.

    Raises:
        ImageError: it is not installed; the reason says what to install.
    """
    try:
        import openslide
    except (ImportError, OSError):
        raise ImageError(
            "is a slide format that OpenSlide reads, which is not installed: pip install 'smearcount[slides]'"
        ) from None
    return openslide


def _mpp(properties: Any) -> float | None:
    try:
        x, y = float(properties["openslide.mpp-x"]), float(properties["openslide.mpp-y"])
    except (KeyError, ValueError):
        return None
    mean = (x * y) ** 0.5 if x > 0 and y > 0 else 0.0
    return mean if is_scale(mean) else None
