"""Red cells of known shape to learn from: labelled points and boxes of the same fields, as pictures of single cells.

Each cell is there as it is, and in other light: what `augment` does to fields is done to the field before it is cut.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from detector.annotations import points, yolo
from detector.errors import AnnotationError, ImageError
from detector.training import augment, settings
from detector.vision import boxes, cells, familiar, images, quality, shapes
from detector.vision.detections import Detections, Unread
from detector.vision.images import Rgb

TAUGHT = tuple(name for name in points.SHAPES if name not in ("uncategorised", "elliptocyte"))
"""Shapes that are learned. Elliptocytes, 30 in one smear, count as ovalocytes: with one smear nothing can be cross-validated."""
WIDER_PX = shapes.SIDE_PX + 4
"""Side of the pictures that are kept, so that a cell can be seen off the middle."""
_NEAR = 0.3
"""A point belongs to the box whose centre is nearest, up to this distance in red cells."""
_SIZES = (0.93, 1.07)
"""In other light a cell is also so much smaller or larger: the scale of a smear is not known better."""
_LIGHTS = {
    "rotate_90": 0.0, "few_pixels": 0.2, "lamp": 0.5, "stain": 0.3, "tone": 0.4, "grey": 0.1, "uneven_light": 0.1, "defocus": 0.15,
    "noise": 0.2, "jpeg": 0.2, "contrast": 0.05,
}  # fmt: skip
"""Shares of the pictures in other light that are changed so; see `TrainSettings`."""


@dataclass(frozen=True, eq=False)
class ShapeCells:
    """Labelled red cells clear of the border; parallel sequences."""

    pictures: NDArray[np.uint8]
    """Of shape (n, 1 + lights, WIDER_PX, WIDER_PX, 3): first as it is, then in other lights."""
    shape: NDArray[np.int64]
    """Index into `TAUGHT`, of shape (n,)."""
    fields: Sequence[str]
    smears: Sequence[str]
    numbers: dict[str, familiar.Numbers] = field(default_factory=dict)
    """What was measured in each field."""
    unread: Sequence[Unread] = ()

    def __len__(self) -> int:
        return len(self.shape)


@dataclass(frozen=True, eq=False)
class _LabelledField:
    name: str
    rgb: Rgb
    red: boxes.Boxes
    """Boxes of the red cells clear of the border, of shape (n, 4)."""
    detections: Detections
    """All labelled cells."""


def read(data: Path, labels: Path, names: Iterable[str], lights: int, seed: int = 0) -> ShapeCells:
    """The labelled red cells of some fields.

    Args:
        data: folder of Chula RBC-12, with `images` and `points`.
        labels: folder of boxes for the same fields, with `classes.txt` and `labels`.
        lights: pictures of each cell in another light.

    Raises:
        AnnotationError: no field can be used.
    """
    unread: list[Unread] = []
    fields, smear_of = _fields(data, labels, sorted(names, key=points.number), unread)
    if not fields:
        raise AnnotationError(
            f"{data}: no field with labelled points and boxes can be used; {unread[0].reason if unread else ''}"
        )
    widths: dict[str, list[NDArray[np.float32]]] = {}
    for own in fields:
        widths.setdefault(smear_of[own.name], []).append(boxes.side(own.red))
    rbc_px = {smear: boxes.median(np.concatenate(sides)) for smear, sides in widths.items()}
    numbers: dict[str, familiar.Numbers] = {}
    pictures, shape, of_field, of_smear = [], [], [], []
    for own in fields:
        smear = smear_of[own.name]
        chosen, kinds = _matched(own.red, points.read(data / "points" / f"{own.name}.txt")[0], rbc_px[smear])
        numbers[own.name] = quality.measure(own.rgb, own.detections).numbers()
        if len(chosen):
            pictures.append(_pictures(own, chosen, rbc_px[smear], lights, f"{seed} {own.name}"))
            shape += kinds
            of_field += [own.name] * len(kinds)
            of_smear += [smear] * len(kinds)
    return ShapeCells(np.concatenate(pictures), np.array(shape, dtype=np.int64), of_field, of_smear, numbers, unread)


def _fields(data: Path, labels: Path, names: Sequence[str], unread: list[Unread]) -> tuple[list[_LabelledField], dict[str, str]]:
    """Fields that can be read, each picture once, and the smear of each; smears that share a picture are one."""
    smear_of = points.smears(names)
    seen: dict[str, str] = {}
    fields = []
    for name in names:
        try:
            own = _field(data, labels, name)
        except (ImageError, AnnotationError) as error:
            unread.append(Unread(name, str(error)))
            continue
        twin = seen.setdefault(hashlib.sha256(own.rgb.tobytes()).hexdigest(), name)
        if twin == name:
            fields.append(own)
        else:
            former, kept = smear_of[name], smear_of[twin]
            smear_of = {other: kept if smear == former else smear for other, smear in smear_of.items()}
    return fields, smear_of


def _field(data: Path, labels: Path, name: str) -> _LabelledField:
    rgb = images.read(data / "images" / f"{name}.jpg")
    size_wh = (rgb.shape[1], rgb.shape[0])
    labelled = yolo.read(labels / "labels" / f"{name}.txt", yolo.class_names(labels) or list(cells.CLASSES))
    known = [i for i, of in enumerate(labelled.names) if of in cells.CLASSES]
    xyxy = labelled.pixels(size_wh)[known].astype(np.float32)
    label = np.array([cells.CLASSES.index(labelled.names[i]) for i in known], dtype=np.int64)
    detections = Detections(boxes.clip(xyxy, size_wh), np.ones(len(xyxy), np.float32), label, size_wh)
    return _LabelledField(name, rgb, xyxy[(label == cells.RBC) & boxes.clear_of_border(xyxy, size_wh)], detections)


def _matched(red: boxes.Boxes, labelled: Sequence[tuple[int, int, int]], rbc_px: float) -> tuple[NDArray[np.int64], list[int]]:
    """Boxes with a point of a known shape near their centre, by index, and the shapes."""
    kinds: dict[int, int] = {}
    centre = boxes.centre(red)
    for x, y, number in labelled if len(red) else ():
        name = points.SHAPES[number].replace("elliptocyte", "ovalocyte")
        away = np.hypot(centre[:, 0] - x, centre[:, 1] - y)
        nearest = int(away.argmin())
        if name in TAUGHT and away[nearest] < _NEAR * rbc_px:
            kinds.setdefault(nearest, TAUGHT.index(name))
    return np.array(list(kinds), dtype=np.int64), list(kinds.values())


def _pictures(own: _LabelledField, chosen: NDArray[np.int64], rbc_px: float, lights: int, seed: str) -> NDArray[np.uint8]:
    """Pictures of some cells of a field, of shape (n, 1 + lights, WIDER_PX, WIDER_PX, 3)."""
    rng = random.Random(seed)
    changes = augment.transforms(settings.load(overrides=_LIGHTS))
    made = [_cut(own.rgb, own.detections, own.red[chosen], rbc_px)]
    for _ in range(lights):
        factor = shapes.SHOWN_PX / rbc_px * rng.uniform(*_SIZES)
        small = images.shrink(own.rgb, factor)
        # A cell's width on the changed picture is taken for that of the smear.
        stretch = np.array([small.shape[1] / own.rgb.shape[1], small.shape[0] / own.rgb.shape[0]] * 2, dtype=np.float32)
        changed = augment.albumentations_offline().Compose(changes, seed=rng.randrange(2**31))(image=small)["image"]
        detections = Detections(
            own.detections.xyxy * stretch, own.detections.score, own.detections.label, (small.shape[1], small.shape[0])
        )
        made.append(_cut(changed, detections, own.red[chosen] * stretch, shapes.SHOWN_PX))
    return np.stack(made, axis=1)


def _cut(rgb: Rgb, detections: Detections, xyxy: boxes.Boxes, rbc_px: float) -> NDArray[np.uint8]:
    return shapes.crops(rgb, xyxy, rbc_px, quality.measure(rgb, detections).background, WIDER_PX)
