"""What label files say, before anything is mended: the raw side of `records.Record`."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from detector.errors import AnnotationError
from detector.vision.images import SUFFIXES

Box = tuple[float, float, float, float]
"""`x1, y1, x2, y2` with half-open edges."""
LARGEST_PX = 10_000_000
"""No picture has a longer side, nor a box a larger coordinate."""
LONGEST_NAME = 255
"""Characters that the name of a class has at most."""
CORNERS, CORNER_SIZE, CENTRE_SIZE = "x1 y1 x2 y2", "x y width height", "centre-x centre-y width height"
"""What four numbers of a box can stand for."""
TEST = "test"
SPLITS = ("train", "val", TEST)

_SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}


@dataclass(frozen=True, eq=False)
class Labels:
    """The boxes of one field as a file gives them: unclipped, with the file's own class names."""

    names: tuple[str, ...]
    """Class name of each box, as written."""
    xyxy: NDArray[np.float64]
    """Boxes with half-open edges, of shape (n, 4), in pixels, or in fractions of the image where `normalised`."""
    normalised: bool = False
    """Whether the boxes are fractions of the image's sides."""
    declared_wh: tuple[int, int] | None = None
    """Width and height that the label file states for its image."""
    form: str = CORNERS
    """What the four numbers of a box are in the file: `CORNERS`, `CORNER_SIZE` or `CENTRE_SIZE`."""
    stored: bool = False
    """Whether the file is of a tool that shows pictures as they are stored, without the rotation that EXIF asks for."""
    lines: tuple[int, ...] = ()
    """The line of the label file for each of the first boxes, where it has a line a box."""

    def pixels(self, size_wh: tuple[int, int]) -> NDArray[np.float64]:
        """Boxes in pixels of an image of `(width, height)`, of shape (n, 4)."""
        return self.xyxy * np.array([*size_wh, *size_wh], dtype=np.float64) if self.normalised else self.xyxy


@dataclass(frozen=True, eq=False)
class LabelledImage:
    """One image of a file that labels many."""

    file_name: str
    """Path of the image as the file gives it, with forward slashes."""
    labels: Labels | None
    """None where an annotation of the image cannot be understood."""
    problem: str | None = None
    """Why it cannot be understood."""
    crowd_cells: int = 0
    """Masks marked `iscrowd` that were taken for single cells."""
    crowd_regions: int = 0
    """Masks marked `iscrowd` that were taken for ignore regions."""


@dataclass(frozen=True, eq=False)
class SourceField:
    """One field of a source: an image, its labels, or both."""

    name: str
    """Image name without its extension."""
    key: str
    """Path below the source's image or label folder without extension, which tells apart fields of one name."""
    image: Path | None = None
    labels: Labels | None = None
    label_file: Path | None = None
    splits: tuple[str, ...] = ()
    """Official splits that name this field; more than one where the source's lists overlap."""
    problem: str | None = None
    """Why the label file could not be understood."""

    @property
    def place(self) -> Path:
        """The file that a message about this field names."""
        return self.image or self.label_file or Path(self.key)


@dataclass(frozen=True, eq=False)
class LabelSource:
    """A label set as it was found, in a stable order."""

    root: Path
    layout: str
    """`voc`, `cbc`, `yolo`, `coco`, `cvat`, `labelstudio`, `qupath`, `imagej` or `images`."""
    items: tuple[SourceField, ...]
    missing: tuple[str, ...] = field(default=())
    """Names in the official lists for which there is neither image nor label file."""
    remarks: tuple[tuple[str, str], ...] = ()
    """What a user should know of how the set was read, each with the file that it is of."""

    def relative(self, path: Path) -> str:
        """Path for messages: below the source's root where it lies there, with forward slashes."""
        return path.relative_to(self.root).as_posix() if path.is_relative_to(self.root) else path.as_posix()

    def place_of_labels(self, item: SourceField) -> str:
        """The label file of a field for messages, and the field where the file holds several."""
        if item.label_file is None or name_of(item.label_file) == item.name:
            return self.relative(item.label_file or item.place)
        return f"{self.relative(item.label_file)}, {item.name[:LONGEST_NAME]}"


def boxes(rows: list[tuple[float, float, float, float]]) -> NDArray[np.float64]:
    """Boxes of shape (n, 4) from a list that may be empty.

    Raises:
        AnnotationError: a coordinate is not a finite number, or larger than any picture.
    """
    xyxy = np.array(rows, dtype=np.float64).reshape(-1, 4)
    if not np.isfinite(xyxy).all():
        raise AnnotationError("a box has a coordinate that is not a finite number")
    if (np.abs(xyxy) > LARGEST_PX).any():
        raise AnnotationError(f"a box has the coordinate {np.abs(xyxy).max():g}, which lies in no picture")
    return xyxy


def around(points: Sequence[tuple[float, float]], degrees: float = 0.0, pivot: tuple[float, float] = (0.0, 0.0)) -> Box:
    """The upright box around points, first turned clockwise (as displayed) about a pivot.

    Raises:
        AnnotationError: a coordinate is not a finite number, or larger than any picture. ValueError: there is no point.
    """
    if not all(abs(value) <= LARGEST_PX for point in points for value in point):
        raise AnnotationError("has an outline with a coordinate that lies in no picture")
    cos, sin = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    px, py = pivot
    turned = (
        [(px + (x - px) * cos - (y - py) * sin, py + (x - px) * sin + (y - py) * cos) for x, y in points] if degrees else points
    )
    xs, ys = zip(*turned, strict=True)
    return min(xs), min(ys), max(xs), max(ys)


def class_name(text: str) -> str:
    """The name of a class.

    Raises:
        AnnotationError: it is too long for one.
    """
    if len(text) > LONGEST_NAME:
        raise AnnotationError(f"a class has a name of {len(text)} characters ({text[:40]!r}...), at most {LONGEST_NAME} are read")
    return text


def is_shifted(used: Set[int], named: Set[int]) -> bool:
    """Whether numbers of classes are one higher or lower than those that have names, as where one list begins at 0 and one at 1."""
    return not used <= named and any({number + step for number in used} <= named for step in (1, -1))


def name_of(path: Path | str) -> str:
    """Name of the field that a file is about: its stem, with accents composed so that names from any system agree."""
    return unicodedata.normalize("NFC", Path(path).stem)


def is_image(path: Path) -> bool:
    """Whether a path looks like an image file of a dataset; hidden files never do."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".")


def split_named(text: str) -> str | None:
    """Split that a folder or file name stands for (`Training`, `valid`, `train2017`), or None."""
    return _SPLIT_NAMES.get(text.casefold().rstrip("0123456789"))
