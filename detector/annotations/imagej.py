"""Sets of ROIs as ImageJ and Fiji save them: a zip an image, outlines in pixels of the picture as it is stored, with half-open edges.

ImageJ does not turn pictures as EXIF asks, so that its boxes are turned when they are read.
"""

from __future__ import annotations

import io
import re
import struct
import zipfile
from pathlib import Path
from typing import Any

from detector import texts
from detector.annotations.labels import Box, Labels, boxes, class_name
from detector.errors import AnnotationError, MissingExtraError, UnknownClassError
from detector.vision.cells import CLASSES, label_of

UNNAMED = "ROI without a class"
"""The name of ROIs whose own name tells no class."""
_MOST_BYTES = 512 * texts.MEBIBYTE
_MOST_ROI = texts.MEBIBYTE
_NUMBERED = re.compile(r"[-_ ]*\d[-_\d]*")
"""What follows the name of the class in the name of a ROI; of a ROI that ImageJ named, all of it."""


def is_roi_set(path: Path) -> bool:
    """Whether a file is a zip that holds ROIs."""
    try:
        with zipfile.ZipFile(path) as archive:
            return any(name.lower().endswith(".roi") for name in archive.namelist())
    except (OSError, zipfile.BadZipFile, ValueError, RuntimeError):
        return False


def read(path: Path) -> Labels:
    """Boxes around the ROIs of a set. The class is what the name of a ROI begins with (`WBC-0012`), or else the number of its group.

    Groups 1, 2 and 3 are red cells, white cells and platelets.

    Raises:
        AnnotationError: it holds what is no outline of a cell, or name and group tell two classes; the message is the reason without
            the path.
        MissingExtraError: roifile is not installed.
    """
    try:
        import roifile
    except ImportError:
        raise MissingExtraError("roifile", "exchange", f"{path}: a set of ROIs") from None
    names, rows = [], []
    for roi_name, content in _rois(path):
        try:
            roi = roifile.ImagejRoi.frombytes(content)
            name, box = _class_of(roi), _box(roi)
        except (ValueError, struct.error, TypeError, IndexError) as error:
            raise AnnotationError(f"holds {roi_name[:60]!r}, which is no ROI ({error})") from None
        names.append(name)
        rows.append(box)
    return Labels(tuple(names), boxes(rows), stored=True)


def _rois(path: Path) -> list[tuple[str, bytes]]:
    try:
        with zipfile.ZipFile(io.BytesIO(texts.content(path, _MOST_BYTES))) as archive:
            members = [member for member in archive.infolist() if member.filename.lower().endswith(".roi")]
            large = next((member.filename for member in members if member.file_size > _MOST_ROI), None)
            if large is not None:
                raise AnnotationError(f"holds {large[:60]!r}, which is larger than a ROI can be")
            return [(member.filename, archive.read(member)) for member in members]
    except OSError as error:
        raise AnnotationError(f"cannot be read: {error.strerror or error}") from None
    except (zipfile.BadZipFile, ValueError, RuntimeError, EOFError) as error:
        raise AnnotationError(f"is no readable zip: {error}") from None


def _class_of(roi: Any) -> str:
    own = _NUMBERED.sub("", class_name(roi.name), count=1).strip()
    of_group = CLASSES[roi.group - 1] if 1 <= roi.group <= len(CLASSES) else None
    if own and of_group and _named(own) != of_group:
        raise AnnotationError(
            f"holds the ROI {roi.name[:60]!r} in group {roi.group}, which is {of_group}; rename it, or take it out of the group"
        )
    return own or of_group or UNNAMED


def _named(name: str) -> str:
    """The class that a name stands for, or the name itself where it is none of ours."""
    try:
        return CLASSES[label_of(name)]
    except UnknownClassError:
        return name


def _box(roi: Any) -> Box:
    import roifile

    kind, types = roi.roitype, roifile.ROI_TYPE
    if kind in (types.RECT, types.OVAL) and not roi.composite:
        if roi.subpixelrect:
            return roi.xd, roi.yd, roi.xd + roi.widthd, roi.yd + roi.heightd
        return roi.left, roi.top, roi.right, roi.bottom
    if kind in (types.POLYGON, types.FREEHAND, types.TRACED):
        points = roi.coordinates()
        (x1, y1), (x2, y2) = points.min(axis=0).tolist(), points.max(axis=0).tolist()
        return x1, y1, x2, y2
    raise AnnotationError(f"holds the ROI {roi.name[:60]!r}, which is no outline of a cell; use rectangles, ovals or polygons")
