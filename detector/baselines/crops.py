"""Cropped cells with their classes, from labelled boxes and from labelled points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from detector.annotations import points
from detector.annotations.layouts import split_lists
from detector.baselines import features
from detector.baselines.methods import LabelledField
from detector.errors import AnnotationError, ImageError, UsageError
from detector.vision import boxes, images
from detector.vision.cells import CLASSES
from detector.vision.detections import Unread
from detector.vision.images import Rgb

SQUARE_PX = 32
"""Side of the squares that networks see."""
_WIDER = 0.1
"""Margin around a labelled box, in its sides."""
_SHORTEST_PX = 6
"""Side of the smallest box whose cell can be measured."""
_POINT_PX = 80
"""Side of the square around a labelled point, as in Naruenatthanaset et al. (arXiv:2012.01321)."""


@dataclass(frozen=True, eq=False)
class Crops:
    """Cropped cells; parallel sequences."""

    classes: tuple[str, ...]
    """Names of the classes by label."""
    pictures: Sequence[Rgb]
    label: NDArray[np.int64]
    """Of shape (n,)."""
    fields: Sequence[str]
    """The field of each."""
    smears: Sequence[str] | None = None
    """The smear of each, where that is known."""
    _features: dict[bool, NDArray[np.float64]] = field(default_factory=dict, repr=False)
    _squares: dict[bool, NDArray[np.uint8]] = field(default_factory=dict, repr=False)

    def __len__(self) -> int:
        return len(self.label)

    def features(self, enhanced: bool) -> NDArray[np.float64]:
        """What is measured of each, of shape (n, features), with contrast and noise preprocessed or as it is; kept once made."""
        if enhanced not in self._features:
            self._features[enhanced] = features.table(self.pictures, enhanced)
        return self._features[enhanced]

    def squares(self, enhanced: bool) -> NDArray[np.uint8]:
        """Each as a square picture, of shape (n, SQUARE_PX, SQUARE_PX, 3), preprocessed or as it is; kept once made."""
        if enhanced not in self._squares:
            pictures = [features.enhance(rgb) if enhanced else rgb for rgb in self.pictures]
            made = [cv2.resize(rgb, (SQUARE_PX, SQUARE_PX), interpolation=cv2.INTER_AREA) for rgb in pictures]
            self._squares[enhanced] = np.array(made, dtype=np.uint8).reshape(-1, SQUARE_PX, SQUARE_PX, 3)
        return self._squares[enhanced]

    def numbers(self) -> dict[str, int]:
        """How many there are of each class."""
        return dict(zip(self.classes, np.bincount(self.label, minlength=len(self.classes)).tolist(), strict=True))

    def subset(self, chosen: Sequence[int]) -> Crops:
        """Some of them, by index."""
        smears = None if self.smears is None else [self.smears[i] for i in chosen]
        return Crops(
            self.classes, [self.pictures[i] for i in chosen], self.label[list(chosen)], [self.fields[i] for i in chosen], smears
        )

    def at_most(self, number: int, seed: int) -> Crops:
        """At most so many of each class, drawn by a seed; in their order."""
        rng = np.random.default_rng(seed)
        drawn = [rng.permutation(np.flatnonzero(self.label == label))[:number] for label in range(len(self.classes))]
        return self.subset(np.sort(np.concatenate(drawn)).tolist())


def of_boxes(fields: Sequence[LabelledField]) -> Crops:
    """The labelled cells of fields, each with a small margin; cells cut by the border are among them, boxes of a few pixels are not."""
    pictures, labels, names = [], [], []
    for field_ in fields:
        record = field_.record
        margin = (record.xyxy[:, 2:] - record.xyxy[:, :2]) * _WIDER
        wide = boxes.clip(np.concatenate([record.xyxy[:, :2] - margin, record.xyxy[:, 2:] + margin], axis=1), record.size_wh)
        for (x1, y1, x2, y2), label in zip(np.rint(wide).astype(int).tolist(), record.label.tolist(), strict=True):
            if min(x2 - x1, y2 - y1) >= _SHORTEST_PX:
                pictures.append(field_.rgb[y1:y2, x1:x2].copy())
                labels.append(label)
                names.append(record.name)
    return Crops(CLASSES, pictures, np.array(labels, dtype=np.int64), names)


@dataclass(frozen=True, eq=False)
class ShapeCrops:
    """Red cells of known shape, parted by smear."""

    train: Crops
    test: Crops
    unread: Sequence[Unread]
    """Fields and lines that could not be used."""

    def names(self) -> list[str]:
        """The field and class of each crop, those for training first: what results depend on."""
        return [
            f"{name} {label}" for crops in (self.train, self.test) for name, label in zip(crops.fields, crops.label, strict=True)
        ]


def of_points(folder: Path, lists: Path) -> ShapeCrops:
    """Red cells around the labelled points of Chula RBC-12: `images/N.jpg`, and `points/N.txt` with lines `x y type`.

    Cells that reach over the border or are uncategorised are left out. Fields whose numbers are near each other are one smear.

    Args:
        lists: folder of `train.txt` and `test.txt`, the numbers of the fields of each.

    Raises:
        UsageError: one of the folders is none. AnnotationError: neither has a point that can be used.
    """
    if not (folder / "images").is_dir() or not (folder / "points").is_dir():
        raise UsageError(f"--shapes {folder}: has no folders 'images' and 'points', as Chula RBC-12 has")
    splits = split_lists(lists) if lists.is_dir() else {}
    if not {"train", "test"} <= splits.keys():
        raise UsageError(f"--splits {lists}: give a folder with train.txt and test.txt, lists of the fields of each")
    both = sorted(splits["train"] & splits["test"])
    if both:
        raise UsageError(f"--splits {lists}: {', '.join(both[:3])} stand in train.txt and in test.txt; a field belongs to one")
    unread: list[Unread] = []
    made = [_of_split(folder, sorted(splits[split], key=points.number), unread) for split in ("train", "test")]
    for split, crops in zip(("train", "test"), made, strict=True):
        if not len(crops):
            reasons = "".join(f"; {field.source}: {field.reason}" for field in unread[:2])
            raise AnnotationError(f"{folder}: no labelled point of the {split} fields can be used{reasons}")
    return ShapeCrops(made[0], made[1], unread)


def _of_split(folder: Path, names: Sequence[str], unread: list[Unread]) -> Crops:
    pictures: list[Rgb] = []
    labels: list[int] = []
    fields: list[str] = []
    for name in names:
        try:
            rgb = images.read(folder / "images" / f"{name}.jpg")
            labelled, damaged = points.read(folder / "points" / f"{name}.txt")
        except (ImageError, AnnotationError) as error:
            unread.append(Unread(name, str(error)))
            continue
        if damaged:
            unread.append(Unread(name, f"line {damaged[0]} of its points is not 'x y type'; its other lines are used"))
        for x, y, kind in labelled:
            top, left = y - _POINT_PX // 2, x - _POINT_PX // 2
            if kind == points.NO_SHAPE or min(top, left) < 0 or top + _POINT_PX > rgb.shape[0] or left + _POINT_PX > rgb.shape[1]:
                continue
            pictures.append(rgb[top : top + _POINT_PX, left : left + _POINT_PX].copy())
            labels.append(kind - (kind > points.NO_SHAPE))
            fields.append(name)
    classes = tuple(name for number, name in enumerate(points.SHAPES) if number != points.NO_SHAPE)
    smear_of = points.smears(names)
    return Crops(classes, pictures, np.array(labels, dtype=np.int64), fields, [smear_of[name] for name in fields])
