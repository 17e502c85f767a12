"""Fields with what was found, missed and found falsely drawn on them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from detector.accuracy.fields import WorstField
from detector.errors import ImageError
from detector.output import html
from detector.output.report import pictures
from detector.vision import images
from detector.vision.boxes import Boxes
from detector.vision.cells import CLASSES

HIT, MISSED, FALSE = "hit", "missed", "false"
_PICTURE_BYTES = 60_000


@dataclass(frozen=True)
class Overlay:
    """A field's picture and the boxes over it."""

    field: str
    told: str
    """What is wrong in it."""
    picture: str
    size_wh: tuple[int, int]
    boxes: Sequence[tuple[str, str, str]]
    """Kind, class and SVG path of boxes in pixels, in the order in which they are drawn."""


def of(worst: WorstField) -> Overlay | None:
    """A field as the page shows it; None where its image can no longer be read."""
    record, found, match = worst.record, worst.found, worst.match
    if record.image is None:
        return None
    try:
        rgb = images.read(record.image)
    except ImageError:
        return None
    kinds = (
        (HIT, found.xyxy[match.found], found.label[match.found]),
        (FALSE, found.xyxy[match.false], found.label[match.false]),
        (MISSED, record.xyxy[match.missed], record.label[match.missed]),
    )
    drawn = [(kind, name, _path(xyxy[label == i])) for kind, xyxy, label in kinds for i, name in enumerate(CLASSES)]
    return Overlay(
        worst.row.field,
        told(worst),
        html.data_uri(pictures.small(rgb, _PICTURE_BYTES), "image/jpeg"),
        record.size_wh,
        [(kind, name, path) for kind, name, path in drawn if path],
    )


def told(worst: WorstField) -> str:
    """What is wrong in a field, in words."""
    parts = []
    for name, one in worst.row.classes.items():
        if one.missed or one.false:
            parts.append(f"{name}: {one.counted} counted, {one.truth} labelled ({one.missed} missed, {one.false} false)")
    return "; ".join(parts)


def _path(xyxy: Boxes) -> str:
    rows = np.round(np.asarray(xyxy, dtype=np.float64), 1).tolist()
    return "".join(f"M{x1:g} {y1:g}H{x2:g}V{y2:g}H{x1:g}z" for x1, y1, x2, y2 in rows)
