"""The shapes of red cells: a second, small network looks at each red cell that is clear of the border.

Every cell is shown at one width of the smear's red cells, so that its own size is seen, and on a ground of one brightness and colour,
so that the lamp is not. What it cannot tell surely enough is "not sure".
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

import cv2
import numpy as np
from numpy.typing import NDArray

from detector.errors import ModelError
from detector.texts import one_line
from detector.vision import backends, border, boxes, cells, checks, familiar, images
from detector.vision import card as cards
from detector.vision.detections import Detections
from detector.vision.familiar import Familiar
from detector.vision.images import Rgb
from detector.vision.quality import Quality

SHIPPED = Path(__file__).parents[1] / "models" / "shapes.onnx"
"""The classifier that comes with the program."""
METADATA_KEY = "smearcount-shapes"
"""Key in the metadata of its file under which its `ShapeCard` stands as JSON."""
NORMAL, NOT_SURE = "discocyte", "not sure"
"""What red cells mostly are, of any size; and what cannot be told surely enough."""
SIDE_PX = 40
"""Side of the square in which a cell is shown."""
SHOWN_PX = 26.0
"""Width of the smear's red cells in it."""
_LEAST_PX = 26.0
"""Narrowest red cells whose shape is seen nearly as it was learned; those of the training are 40 px wide and more."""
PICTURES, PROBABILITY, DISTANCE = "pictures", "probability", "distance"
"""What goes into the network and what comes out, by name."""
LAYOUT = 2
_GROUND = 220
"""Level of the ground in each channel."""
MEASURED = ("focus", "contrast", "uneven", "background's lightness", "background's green to red", "background's blue to yellow",
            "density", "density in red", "density in blue")  # fmt: skip
"""What tells whether a field is like those that shapes were learned from; see `Quality.numbers`."""


@dataclass(frozen=True)
class ShapeErrors:
    """How one shape is told in smears that were left out of training; see `docs/shapes.md`."""

    false: tuple[float, ...]
    """Share of the cells of all other shapes that were called so, by smear."""
    found: tuple[float, ...]
    """Share of the cells of the shape that were called so, by smear that has enough of them."""
    graded_from: float
    """Share of the red cells from which on a reader grades the shape."""

    def __post_init__(self) -> None:
        for name in ("false", "found"):
            for at, share in enumerate(getattr(self, name)):
                checks.number(f"{name}.{at}", share, above=-1e-9, below=1 + 1e-9)
        checks.number("graded_from", self.graded_from, above=0, below=1)

    @classmethod
    def of(cls, content: Any) -> Self:
        """What JSON holds; keys that are not ours are ignored.

        Raises:
            ValueError: a value is missing, or cannot be.
        """
        given = checks.arguments(cls, content)
        for name in ("false", "found"):
            if not isinstance(given[name], list | tuple):
                raise ValueError(f"{name} must be a list of numbers")
        return cls(tuple(given["false"]), tuple(given["found"]), given["graded_from"])


@dataclass(frozen=True, kw_only=True)
class ShapeCard:
    """What must be known to use a classifier of shapes rightly.

    Raises:
        ValueError: a value is of another kind than is told here, or cannot be.
    """

    layout: int = LAYOUT
    name: str
    shapes: tuple[str, ...]
    """In the order of the network's answer."""
    threshold: float
    """Least probability of the likeliest shape; a cell below it is `NOT_SURE`."""
    strange_from: float
    """Distance from the cells that were learned from above which a cell is unlike them."""
    licence: str
    data: tuple[str, ...]
    training: dict[str, Any]
    figures: dict[str, Any]
    """Accuracy by smear-wise cross-validation and on the test split."""
    errors: dict[str, ShapeErrors]
    """By shape."""
    familiar: Familiar
    """What the fields are like that it was learned from."""

    def __post_init__(self) -> None:
        checks.whole("layout", self.layout, LAYOUT, LAYOUT)
        for name in ("name", "licence"):
            checks.text(name, getattr(self, name))
        for name in ("shapes", "data"):
            checks.texts(name, getattr(self, name))
        checks.number("threshold", self.threshold, above=0, below=1)
        checks.number("strange_from", self.strange_from, above=0)
        for name in ("training", "figures"):
            checks.mapping(name, getattr(self, name))
        if set(checks.mapping("errors", self.errors)) != set(self.shapes):
            raise ValueError("errors must be those of the shapes")

    @classmethod
    def of(cls, content: Any) -> Self:
        """The card that JSON holds; keys that are not ours are ignored.

        Raises:
            ValueError: a value is missing, or cannot be.
        """
        given = checks.arguments(cls, content)
        errors = {name: ShapeErrors.of(own) for name, own in checks.mapping("errors", given["errors"]).items()}
        texts = {name: checks.texts(name, given[name]) for name in ("shapes", "data")}
        return cls(**{**given, **texts, "errors": errors, "familiar": familiar.of_json(given["familiar"])})

    def json(self) -> str:
        """As it stands in a file's metadata."""
        return json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":"))


@dataclass(frozen=True)
class FieldShapes:
    """The shapes of the red cells of one field that are clear of the border."""

    cells: Mapping[str, int]
    """How many were called what, `NOT_SURE` among them, zeros included."""
    unlike: str
    """Why the field is unlike those that shapes were learned from; empty where it is like them."""
    strange: int
    """Cells that are unlike those that shapes were learned from."""


class ShapeModel:
    """A classifier of shapes, loaded; safe to share between threads."""

    def __init__(self, session: Any, card: ShapeCard, path: Path, sha256: str) -> None:
        self._session = session
        self.card = card
        self.path = path
        self.sha256 = sha256
        self.names = (*card.shapes, NOT_SURE)

    @classmethod
    def load(cls, path: Path = SHIPPED) -> Self:
        """Open its file.

        Raises:
            ModelError: no such file, none of ours, or not the one that the card beside it describes.
        """
        if not path.is_file():
            raise ModelError(f"{path}: the classifier of red cell shapes is missing; install smearcount again")
        digest = cards.check_hash(path)
        try:
            session = backends.open_session(path)
            card = ShapeCard.of(json.loads(session.get_modelmeta().custom_metadata_map[METADATA_KEY]))
            blank = np.zeros((1, SIDE_PX, SIDE_PX, 3), np.uint8)
            if np.shape(session.run([PROBABILITY, DISTANCE], {PICTURES: blank})[0]) != (1, len(card.shapes)):
                raise ValueError("it answers with another number of shapes than its card names")
        # ONNX Runtime's exceptions share no base class but Exception.
        except Exception as error:
            reason = one_line(error)
            raise ModelError(f"{path}: is not a classifier of red cell shapes ({reason}); install smearcount again") from None
        return cls(session, card, path, digest)

    def look(self, rgb: Rgb, detections: Detections, rbc_px: float | None, quality: Quality) -> FieldShapes:
        """The shapes of a field's red cells that are clear of the border.

        Args:
            rgb: pixels of shape (h, w, 3).
            detections: its cells.
            rbc_px: width of the smear's red cells; None takes that of the field's own.
            quality: measures of the field.
        """
        width = rbc_px or border.rbc_px(detections.xyxy, detections.label, detections.size_wh)
        called = dict.fromkeys(self.names, 0)
        if width is None:
            return FieldShapes(called, "too few red cells to tell how wide they are", 0)
        strange = 0
        red = (detections.label == cells.RBC) & boxes.clear_of_border(detections.xyxy, detections.size_wh)
        if red.any():
            pictures = crops(rgb, detections.xyxy[red], width, quality.background)
            probability, distance = self.answers(pictures)
            strange = int((distance > self.card.strange_from).sum())
            label = np.where(probability.max(axis=1) >= self.card.threshold, probability.argmax(axis=1), len(self.card.shapes))
            called = dict(zip(self.names, np.bincount(label, minlength=len(self.names)).tolist(), strict=True))
        return FieldShapes(called, self._unlike(width, quality), strange)

    def answers(self, pictures: NDArray[np.uint8]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Calibrated probabilities of the shapes, of shape (n, shapes), and distances from the cells learned from, of shape (n,).

        Args:
            pictures: of shape (n, SIDE_PX, SIDE_PX, 3), by `crops`.
        """
        if not len(pictures):  # older versions of ONNX Runtime fail
            return np.zeros((0, len(self.card.shapes)), dtype=np.float32), np.zeros(0, dtype=np.float32)
        probability, distance = self._session.run([PROBABILITY, DISTANCE], {PICTURES: pictures})
        return np.asarray(probability), np.asarray(distance)

    def _unlike(self, rbc_px: float, quality: Quality) -> str:
        if rbc_px < _LEAST_PX:
            return f"red cells are {rbc_px:.0f} px wide; to tell shapes {_LEAST_PX:.0f} px or more are needed"
        seen = measured(quality)
        if self.card.familiar.distance(seen) < self.card.familiar.limit:
            return ""
        return f"unlike the fields that shapes are learned from, most in {self.card.familiar.strangest(seen)}"


def measured(quality: Quality) -> dict[str, float]:
    """What of a field's measures tells whether shapes look as they were learned."""
    return {name: value for name, value in quality.numbers().items() if name in MEASURED}


def crops(
    rgb: Rgb, xyxy: boxes.Boxes, rbc_px: float, background: tuple[int, int, int], side_px: int = SIDE_PX
) -> NDArray[np.uint8]:
    """Cells as the network is shown them, of shape (n, side_px, side_px, 3), each in the middle.

    Args:
        rgb: the field, of shape (h, w, 3).
        rbc_px: width of the smear's red cells in pixels of the field.
        background: colour between the cells.
    """
    small = cv2.LUT(images.shrink(rgb, SHOWN_PX / rbc_px), _levels(background))
    half = side_px // 2
    padded = cv2.copyMakeBorder(small, half, half, half, half, cv2.BORDER_REPLICATE)
    scale = np.array([small.shape[1] / rgb.shape[1], small.shape[0] / rgb.shape[0]], dtype=np.float32)
    corner = np.clip(np.rint(boxes.centre(xyxy) * scale).astype(np.int64), 0, (small.shape[1], small.shape[0]))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (side_px, side_px), axis=(0, 1))
    pictures: NDArray[np.uint8] = np.ascontiguousarray(windows[corner[:, 1], corner[:, 0]].transpose(0, 2, 3, 1))
    return pictures


def _levels(background: tuple[int, int, int]) -> NDArray[np.uint8]:
    """For each level and channel the level on the common ground, of shape (1, 256, 3)."""
    levels = np.arange(256)[:, None] * (_GROUND / np.maximum(np.array(background), 1))
    return np.asarray(np.rint(np.minimum(levels, 255))[None], dtype=np.uint8)
