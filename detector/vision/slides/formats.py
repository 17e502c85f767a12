"""Which files are slides, and which reader opens each."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from detector.errors import ImageError
from detector.vision.images import dicom, most_pixels, opened
from detector.vision.slides.slide import Slide

VENDOR_SUFFIXES = frozenset({".svs", ".ndpi", ".mrxs", ".scn", ".bif"})
"""File name endings, lower case, of slides as scanners write them; DICOM holds slides and other pictures."""
TIFF_SUFFIXES = frozenset({".tif", ".tiff"})

WINDOWED_PX = 30_000_000
"""A TIFF file of more pixels is read by windows, in far less memory than it would take whole."""
_PYRAMID_PX = 2048
"""A TIFF pyramid of a longer side is a slide; smaller ones are fields with a thumbnail."""


def is_slide(path: Path) -> bool:
    """Whether a file is to be read by windows: a scanner's format, or a TIFF that is large or a pyramid.

    A TIFF that cannot be read by windows is one only where it is too large to be read whole, so that its reader says why.
    """
    suffix = path.suffix.lower()
    if suffix in VENDOR_SUFFIXES:
        return True
    if suffix == dicom.SUFFIX:
        return _is_dicom_slide(path)
    if suffix not in TIFF_SUFFIXES:
        return False
    from detector.vision.slides import tiff

    try:
        (w, h), levels = tiff.header(path)
        if w * h > most_pixels():
            return True
        if w * h <= WINDOWED_PX and (levels < 2 or max(w, h) <= _PYRAMID_PX):
            return False
        with tiff.TiffSlide(path):
            return True
    except ImageError:
        return False


def _is_dicom_slide(path: Path) -> bool:
    try:
        with opened(path) as file:
            head = file.read(dicom.HEAD_BYTES)
    except (ImageError, OSError):
        return False
    return dicom.is_dicom(head) and dicom.kind(head).sop_class == dicom.WHOLE_SLIDE


def may_state_scale(path: Path) -> bool:
    """Whether a file is of a kind that may state its scale: a slide, or DICOM."""
    return path.suffix.lower() == dicom.SUFFIX or is_slide(path)


def repeated(paths: Iterable[Path]) -> set[Path]:
    """Files that show a slide which another of the files shows too: a DICOM slide is a file per size, and each opens all of it.

    Of each slide the largest file stays, which holds the full resolution.
    """
    files: dict[str, list[Path]] = {}
    for path in paths:
        if path.suffix.lower() == dicom.SUFFIX and _is_dicom_slide(path):
            from detector.vision.slides import vendor

            series = vendor.series(path)
            if series is not None:
                files.setdefault(series, []).append(path)
    return {path for group in files.values() for path in sorted(group, key=lambda path: -path.stat().st_size)[1:]}


def open_slide(path: Path) -> Slide:
    """Open a large picture to read windows of it.

    A TIFF that a scanner wrote is opened by OpenSlide where that is installed, for it knows more of it.

    Raises:
        ImageError: it cannot be opened; the reason says what is missing.
    """
    from detector.vision.slides import tiff, vendor

    with opened(path):
        pass
    is_tiff = path.suffix.lower() in TIFF_SUFFIXES
    if is_tiff and not vendor.knows(path):
        return tiff.TiffSlide(path)
    try:
        return vendor.VendorSlide(path)
    except ImageError as error:
        if path.suffix.lower() not in _TIFF_INSIDE:
            raise
        try:
            return tiff.TiffSlide(path)
        except ImageError:
            raise error from None


_TIFF_INSIDE = TIFF_SUFFIXES | {".svs"}
