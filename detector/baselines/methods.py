"""What every method of finding cells offers, and what methods learn from labelled fields in the same way."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from detector.annotations.records import Record
from detector.errors import MissingExtraError, NothingToDoError
from detector.vision import boxes, images
from detector.vision.cells import CLASSES, RBC
from detector.vision.detections import Detections
from detector.vision.images import Rgb

FEWEST_FIELDS = 3
"""Labelled fields that a method learns from at least."""
FEWEST_CELLS = 5
"""Labelled cells of a class from which on a method looks for it."""
_MOST_TRIED = 12
"""Fields on which the settings of a method are tried."""


@dataclass(frozen=True, eq=False)
class LabelledField:
    """A field with its labels."""

    record: Record
    rgb: Rgb
    """Pixels of shape (h, w, 3), uint8."""

    def shrunk(self, factor: float) -> LabelledField:
        """The field and its boxes made smaller, by a factor of 1 or less."""
        if factor == 1:
            return self
        rgb = images.shrink(self.rgb, factor)
        size_wh = (rgb.shape[1], rgb.shape[0])
        by = np.tile(np.array(size_wh) / self.record.size_wh, 2).astype(np.float32)
        return LabelledField(
            replace(self.record, size_wh=size_wh, xyxy=self.record.xyxy * by, ignore=self.record.ignore * by), rgb
        )


class Method(ABC):
    """A way to find the cells of a field; it is fitted once and then finds."""

    name: str
    """Short, for files and tables."""
    source: str
    """Who described it, and where."""
    seeks: tuple[int, ...]
    """Labels of the classes that it can look for."""
    classes: tuple[int, ...] = ()
    """Those that it looks for, once it is fitted: the ones that the training fields hold enough of."""
    steps = 0
    """Steps of a long fit, each of which it tells `advance`."""

    advance: Callable[[float], None] = staticmethod(lambda _: None)
    """Is called with the steps that were done; who shows progress puts a function here."""

    @abstractmethod
    def fit(self, fields: Sequence[LabelledField]) -> None:
        """Learn from labelled fields.

        Raises:
            NothingToDoError: there are too few of them, or too few cells in them.
        """

    @abstractmethod
    def detect(self, rgb: Rgb) -> Detections:
        """The cells of a field of shape (h, w, 3), uint8; of the classes in `classes` only."""

    def search(self, rgb: Rgb) -> tuple[Detections, Detections]:
        """The cells that count, and all that average precision weighs; a method without more of these gives the same twice."""
        cells = self.detect(rgb)
        return cells, cells

    def size_bytes(self) -> int:
        """How much a fitted method takes on disk."""
        import pickle

        return len(pickle.dumps(self))


class Classical(Method):
    """A method that works on fields whose red cells are of the size that its training fields have."""

    least_score = 0.0
    """Score from which on a find counts."""

    width_px: float
    """Width of red cells at which it works."""
    widest_px = 40.0
    """Width of red cells from which on fields are shrunk: it sees no more in larger ones."""
    _factor = 1.0

    def fit(self, fields: Sequence[LabelledField]) -> None:
        """Learn from labelled fields, as `Method.fit` says; the width of red cells must be among what they tell."""
        classes = learnable(self, fields)
        width_px = red_width_px(fields)
        self._factor = min(1.0, self.widest_px / width_px)
        self.width_px = self._factor * width_px
        self.learn([field.shrunk(self._factor) for field in fields], classes)
        self.classes = classes

    @abstractmethod
    def learn(self, fields: Sequence[LabelledField], classes: Sequence[int]) -> None:
        """Learn to find the cells of these classes in fields of the working size."""

    def detect(self, rgb: Rgb) -> Detections:
        """The cells of a field."""
        return self.search(rgb)[0]

    def search(self, rgb: Rgb) -> tuple[Detections, Detections]:
        """The cells of a field, and all that was found."""
        detections = self._detected(rgb)
        return (detections[detections.score >= self.least_score] if self.least_score else detections), detections

    def _detected(self, rgb: Rgb) -> Detections:
        small = rgb if self._factor == 1 else images.shrink(rgb, self._factor)
        detections = self.find(small)
        size_wh = (rgb.shape[1], rgb.shape[0])
        by = np.tile(np.array(size_wh) / (small.shape[1], small.shape[0]), 2).astype(np.float32)
        return Detections(boxes.clip(detections.xyxy * by, size_wh), detections.score, detections.label, size_wh)

    @abstractmethod
    def find(self, rgb: Rgb) -> Detections:
        """The cells of a field of the working size, and what nearly is one."""


def torch_needed(use: str) -> None:
    """Ask for PyTorch before it is imported.

    Raises:
        MissingExtraError: it is not installed.
    """
    for package in ("torch", "torchvision"):
        if find_spec(package) is None:
            raise MissingExtraError(package, "train", use)


def learnable(method: Method, fields: Sequence[LabelledField]) -> tuple[int, ...]:
    """Labels of the classes that the fields hold enough of for a method.

    Raises:
        NothingToDoError: there are too few fields, or too few cells of each class.
    """
    if len(fields) < FEWEST_FIELDS:
        raise NothingToDoError(f"{method.name} learns from {FEWEST_FIELDS} labelled fields or more, got {len(fields)}")
    numbers = np.bincount(np.concatenate([field.record.label for field in fields]), minlength=len(CLASSES))
    there = tuple(label for label in method.seeks if numbers[label] >= FEWEST_CELLS)
    if not there:
        sought = " or ".join(CLASSES[label] for label in method.seeks)
        held = ", ".join(f"{n} {name}" for n, name in zip(numbers.tolist(), CLASSES, strict=True))
        raise NothingToDoError(f"{method.name} needs {FEWEST_CELLS} labelled cells of {sought}; the training fields hold {held}")
    return there


def red_width_px(fields: Sequence[LabelledField]) -> float:
    """Median width of the labelled red cells that are clear of the border, in pixels; of all of them where none is clear.

    Raises:
        NothingToDoError: there is none.
    """
    red = [(field.record.xyxy[field.record.label == RBC], field.record.size_wh) for field in fields]
    clear = np.concatenate([boxes.sides_clear_of_border(xyxy, size_wh) for xyxy, size_wh in red])
    sides_px = clear if len(clear) else np.concatenate([boxes.side(xyxy) for xyxy, _ in red])
    if not len(sides_px):
        raise NothingToDoError("the training fields hold no labelled red cells, whose width is needed")
    return boxes.median(sides_px)


def least_value(positive: Sequence[float], negative: Sequence[float]) -> float:
    """The limit at which fewest are wrong: `positive` values below it and `negative` ones from it on.

    Of limits that are equally good, the one in the middle.
    """
    good, bad = np.sort(np.asarray(positive, dtype=np.float64)), np.sort(np.asarray(negative, dtype=np.float64))
    ends = np.concatenate([good, bad])
    if not len(ends):
        return 0.0
    levels = np.unique(np.concatenate([ends, [ends.max() + 1]]))
    wrong = np.searchsorted(good, levels) + len(bad) - np.searchsorted(bad, levels)
    best = levels[wrong == wrong.min()]
    return float(best[(len(best) - 1) // 2])


def best_setting(settings: Sequence[float], fields: Sequence[LabelledField], count: Callable[[Rgb, float], int]) -> float:
    """The setting with which counts of red cells are nearest to the labels in some of the fields, spread evenly; the first of equals."""
    chosen = [fields[i] for i in spread(len(fields), _MOST_TRIED)]
    truth = [int((field.record.label == RBC).sum()) for field in chosen]
    errors = [sum(abs(count(field.rgb, setting) - n) for field, n in zip(chosen, truth, strict=True)) for setting in settings]
    return settings[int(np.argmin(errors))]


def spread(number: int, most: int) -> list[int]:
    """At most so many indices below `number`, spread evenly."""
    return np.unique(np.linspace(0, number - 1, min(number, most)).round().astype(int)).tolist() if number else []


def detections_of(
    xyxy: Sequence[Sequence[float]] | NDArray[np.float32], score: Sequence[float], label: Sequence[int], size_wh: tuple[int, int]
) -> Detections:
    """Detections from boxes that may reach over the border; those with no area within the field are left out."""
    placed = boxes.clip(np.asarray(xyxy, dtype=np.float32).reshape(-1, 4), size_wh)
    detections = Detections(
        placed, np.clip(np.asarray(score, dtype=np.float32), 0, 1), np.asarray(label, dtype=np.int64), size_wh
    )
    return detections[boxes.area(placed) > 0]
