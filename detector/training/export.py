"""From trained weights to the ONNX model that counts, with its card, and the proof that both count the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detector.annotations.records import Record
from detector.errors import ModelError
from detector.training import framework
from detector.training.fit import MAX_CELLS, start
from detector.vision import boxes, cells, images
from detector.vision import card as cards
from detector.vision.model import Model, canvas, one_each

LICENCE = "AGPL-3.0-only"
NMS_IOU = 0.6


@dataclass(frozen=True)
class Parity:
    """How the counts of a model compare with those of the weights it was made from."""

    fields: int
    """Fields that were compared: those whose cells one pass of the network holds. Counting takes others in tiles."""
    equal: int
    """Fields in which every class has the same count."""
    worst: int
    """Largest difference of a class's count in a field."""


@dataclass(frozen=True)
class Levels:
    """Sizes of the places at which a network looks for cells, and which of them its file has."""

    places_px: tuple[int, ...]
    kept_px: tuple[int, ...]
    """Those at which some place reached `least_score` in some field."""
    least_score: float
    fields: int
    """Fields that were looked at; none of a test split."""


def to_onnx(weights: Path, target: Path, card: cards.Card, records: Sequence[Record]) -> Levels:
    """Export weights to an ONNX file that takes crops of any size, with its card in the metadata.

    Args:
        records: training and validation fields; levels of the network that never answer in them, shown as wide as they are when they
            are counted, are left out of the file.

    Raises:
        ModelError: the weights cannot be loaded, are for other classes than ours, or end in another head than YOLO's.
    """
    model = start(str(weights))
    names = tuple(model.names[key] for key in sorted(model.names))
    if names != cells.CLASSES:
        raise ModelError(f"{weights}: finds {', '.join(names)}; weights for {', '.join(cells.CLASSES)} are needed")
    graph = framework.graph()
    graph.check(model.model, str(weights))
    fields = [record for record in records if record.image]
    kept = graph.answering(model.model, (_shown(record, card) for record in fields))
    places = tuple(int(stride) for stride in model.model.stride)
    graph.write(graph.Graph(model.model, kept), target)
    put_card(target, card)
    return Levels(places, tuple(places[level] for level in kept), graph.SILENT, len(fields))


def put_card(target: Path, card: cards.Card) -> None:
    """Replace the metadata of an ONNX file with a card; the network stays as it is."""
    import onnx

    content = onnx.load(str(target))
    del content.metadata_props[:]
    content.metadata_props.add(key=cards.METADATA_KEY, value=card.json())
    onnx.save(content, str(target))


@dataclass(frozen=True)
class ModelSizes:
    """How large a model is shown pictures."""

    image_px: int
    """Long side of a picture whose scale is not known."""
    shown_px: float
    """Width of red cells where it is."""


def first_card(
    name: str, sizes: ModelSizes, records: Sequence[Record], training: dict[str, Any], data: Sequence[str]
) -> cards.Card:
    """A card with thresholds still to be tuned; `records` are the training fields, which tell the size of red cells."""
    return cards.Card(
        name=name,
        class_names=cells.CLASSES,
        image_px=sizes.image_px,
        stride_px=32,
        rbc_px=rbc_px(records, sizes.image_px),
        shown_px=sizes.shown_px,
        thresholds=dict.fromkeys(cells.CLASSES, 0.25),
        thresholds_from="not tuned",
        nms_iou=NMS_IOU,
        max_cells=MAX_CELLS,
        licence=LICENCE,
        data=tuple(data),
        training=training,
        versions={package: metadata.version(package) for package in ("ultralytics", "torch", "onnx")},
    )


def rbc_px(records: Sequence[Record], image_px: int) -> float:
    """Median side of the red cells' boxes clear of the border, in pixels of fields whose long side is `image_px`.

    Raises:
        ModelError: no field has a red cell clear of the border.
    """
    sides = [boxes.sides_clear_of_border(r.xyxy[r.label == cells.RBC], r.size_wh) * (image_px / max(r.size_wh)) for r in records]
    joined = np.concatenate(sides) if sides else np.zeros(0)
    if not len(joined):
        raise ModelError(
            "the training fields hold no red cell clear of the border, so the model's scale is not known; label some"
        )
    return round(float(np.median(joined)), 1)


def _shown(record: Record, card: cards.Card) -> NDArray[np.uint8]:
    assert record.image is not None
    return canvas(images.read(record.image), card, _side_px(record, card) / max(record.size_wh))[0]


def _side_px(record: Record, card: cards.Card) -> int:
    """Long side at which a field's red cells are about as wide as when they are counted, in whole strides, as Ultralytics takes it."""
    sides = boxes.sides_clear_of_border(record.xyxy[record.label == cells.RBC], record.size_wh)
    if not len(sides):
        return card.image_px
    shown = max(record.size_wh) * card.shown_px / float(np.median(sides))
    return max(1, round(shown / card.stride_px)) * card.stride_px


def parity(weights: Path, model: Model, records: Sequence[Record]) -> Parity:
    """Compare counts with those of Ultralytics itself, from its own reader to its own suppression, at the width of counting."""
    reference = start(str(weights))
    least = model.card.thresholds
    equal = worst = fields = 0
    for record in records:
        if record.image is None:
            continue
        zoom = _side_px(record, model.card) / max(record.size_wh)
        detections = model.detect(images.read(record.image), zoom=zoom)
        if detections.saturated:
            continue
        with framework.quiet():
            expected = _reference_counts(reference, record, model.card, least)
        counted = detections.counts()
        differences = [abs(counted[name] - expected[name]) for name in cells.CLASSES]
        fields += 1
        equal += max(differences) == 0
        worst = max(worst, *differences)
    return Parity(fields, equal, worst)


def _reference_counts(reference: Any, record: Record, card: cards.Card, least: dict[str, float]) -> dict[str, int]:
    result = reference.predict(
        str(record.image),
        imgsz=_side_px(record, card),
        conf=min(least.values()),
        iou=card.nms_iou,
        max_det=card.max_cells,
        device="cpu",
        verbose=False,
    )[0]
    label = result.boxes.cls.numpy().astype(int)
    score = result.boxes.conf.numpy()
    stays = one_each(result.boxes.xyxy.numpy(), label, score / np.array(card.minimum())[label])
    counted = stays & (score >= np.array(card.minimum())[label])
    return {name: int((counted & (label == i)).sum()) for i, name in enumerate(cells.CLASSES)}
