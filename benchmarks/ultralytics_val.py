"""How far our average precision is from that of Ultralytics' own `val` with the same weights, and which step the difference comes from."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import version
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
from rich import box
from rich.table import Table

from detector.accuracy import precision
from detector.annotations import dataset
from detector.annotations.records import Record
from detector.arguments import Parser
from detector.commandline import console, progress_bar, run
from detector.errors import EXIT_DONE, NothingToDoError
from detector.training import framework
from detector.vision import finder, images
from detector.vision.card import Card
from detector.vision.catalogue import SHIPPED
from detector.vision.cells import CLASSES
from detector.vision.detections import Detections
from detector.vision.model import Model

OVERLAPS = np.arange(10, 20) / 20
THEIR_IOU, THEIR_MOST = 0.7, 300
"""What `val` suppresses at and stops at, unless told otherwise."""


@dataclass(frozen=True)
class Step:
    """Mean average precision of one way to find boxes and one to score them."""

    boxes: str
    scored_by: str
    map50: float
    map50_95: float


def steps(weights: Path, model: Model, records: Sequence[Record]) -> list[Step]:
    """From Ultralytics' `val` to our figures, one change at a time; the last scores our boxes by its code.

    Args:
        weights: of which `model` was made.
        records: labelled fields, each with its split.
    """
    card = model.card
    theirs, reported = _validated(weights, records, card.image_px, THEIR_IOU, THEIR_MOST, multi_label=True)
    like_ours, bare = (
        _validated(weights, records, card.image_px, card.nms_iou, card.max_cells, multi_label=False, margin=margin)[0]
        for margin in (True, False)
    )
    alone = _predicted(weights, records, card)
    pixels = [images.read(record.image) for record in records if record.image is not None]
    plain = [model.detect(rgb, precision.MIN_SCORE) for rgb in pixels]
    ours = [finder.find(model, rgb, min_score=precision.MIN_SCORE).cells for rgb in pixels]
    return [
        Step("Ultralytics' val", "val itself", *reported),
        Step("the same", "its AP code", *by_ultralytics(records, theirs)),
        Step("the same", "pycocotools", *by_pycocotools(records, theirs)),
        Step(f"suppressed as ours (IoU {card.nms_iou:g}, a class a box)", "pycocotools", *by_pycocotools(records, like_ours)),
        Step("and without val's grey margin", "pycocotools", *by_pycocotools(records, bare)),
        Step("its predict: each field by itself, padded less", "pycocotools", *by_pycocotools(records, alone)),
        Step("our reader, padding and suppression", "pycocotools", *by_pycocotools(records, plain)),
        Step("the same as counted: scale, border rule, rounding", "pycocotools", *by_pycocotools(records, ours)),
        Step("the same", "its AP code", *by_ultralytics(records, ours)),
    ]


def by_pycocotools(records: Sequence[Record], detections: Sequence[Detections]) -> tuple[float, float]:
    """Mean AP50 and AP50-95 as `detector.evaluate` gives them."""
    value = precision.rank(records, detections).precision.mean(axis=2)
    return float(np.nanmean(value[:, 0])), float(np.nanmean(value))


def by_ultralytics(records: Sequence[Record], detections: Sequence[Detections]) -> tuple[float, float]:
    """The same by Ultralytics' matching and its code for average precision."""
    import torch
    from ultralytics.engine.validator import BaseValidator
    from ultralytics.utils.metrics import ap_per_class, box_iou

    overlaps = SimpleNamespace(iouv=torch.from_numpy(OVERLAPS))
    hits = []
    for record, cells in zip(records, detections, strict=True):
        pair = (torch.from_numpy(np.array(side.xyxy, dtype=np.float32)) for side in (record, cells))
        classes = (torch.from_numpy(np.array(side.label)) for side in (cells, record))
        hits.append(BaseValidator.match_predictions(overlaps, *classes, box_iou(*pair)).numpy().reshape(-1, len(OVERLAPS)))
    score, label = (np.concatenate([getattr(cells, name) for cells in detections]) for name in ("score", "label"))
    ap = ap_per_class(np.concatenate(hits), score, label, np.concatenate([record.label for record in records]))[5]
    return float(ap[:, 0].mean()), float(ap.mean())


def _validated(
    weights: Path, records: Sequence[Record], image_px: int, iou: float, most: int, multi_label: bool, margin: bool = True
) -> tuple[list[Detections], tuple[float, float]]:
    """What `val` finds in each record's image, in its pixels, and the mAP50 and mAP50-95 that it reports.

    Args:
        margin: whether fields keep the grey margin of half a stride that `val` adds to what the stride asks for.
    """
    from ultralytics import YOLO
    from ultralytics.models.yolo.detect import DetectionValidator
    from ultralytics.utils import nms

    detections: dict[str, Detections] = {}
    sizes = {record.name: record.size_wh[::-1] for record in records}

    class Kept(DetectionValidator):  # type: ignore[misc]
        def build_dataset(self, *arguments: Any, **options: Any) -> Any:
            made = super().build_dataset(*arguments, **options)
            if not margin:
                for label in made.labels:
                    label["shape"] = sizes[Path(label["im_file"]).stem]
                made.pad = 0.0
                made.set_rectangle()
            return made

        def postprocess(self, preds: Any) -> Any:
            if multi_label:
                return super().postprocess(preds)
            outputs = nms.non_max_suppression(preds, self.args.conf, self.args.iou, max_det=self.args.max_det)
            return [{"bboxes": x[:, :4], "conf": x[:, 4], "cls": x[:, 5], "extra": x[:, 6:]} for x in outputs]

        def update_metrics(self, preds: Any, batch: Any) -> None:
            for i, predicted in enumerate(preds):
                prepared = self._prepare_batch(i, batch)
                scaled = self.scale_preds(predicted, prepared)
                h, w = prepared["ori_shape"]
                arrays = (scaled[name].cpu().numpy() for name in ("bboxes", "conf", "cls"))
                detections[Path(prepared["im_file"]).stem] = Detections(*arrays, (int(w), int(h)))
            super().update_metrics(preds, batch)

    with tempfile.TemporaryDirectory() as folder, framework.quiet():
        # A copy: it writes beside the labels, and mends damaged images in place.
        dataset.write(Path(folder) / "set", records)
        metrics = YOLO(str(weights)).val(
            validator=Kept,
            data=str(Path(folder) / "set" / "data.yaml"),
            split=records[0].split,
            imgsz=image_px,
            conf=precision.MIN_SCORE,
            iou=iou,
            max_det=most,
            device="cpu",
            workers=0,
            plots=False,
            verbose=False,
            project=folder,
        )
    return [detections[record.name] for record in records], (float(metrics.box.map50), float(metrics.box.map))


def _predicted(weights: Path, records: Sequence[Record], card: Card) -> list[Detections]:
    """What `predict` finds in each record's image, suppressed as ours."""
    from ultralytics import YOLO

    network, detections = YOLO(str(weights)), []
    settings = {"imgsz": card.image_px, "conf": precision.MIN_SCORE, "iou": card.nms_iou, "max_det": card.max_cells}
    for record in records:
        predicted = network.predict(str(record.image), device="cpu", verbose=False, **settings)[0].boxes
        detections.append(Detections(predicted.xyxy.numpy(), predicted.conf.numpy(), predicted.cls.numpy(), record.size_wh))
    return detections


def command(*, data: Sequence[Path], split: str, weights: Path, out: Path | None) -> int:
    """Compare mean average precision with Ultralytics' own, from its boxes and its code to ours."""
    framework.prepare(Path("runs") / "ultralytics")
    model = Model.load(weights.with_suffix(".onnx"))
    document: dict[str, Any] = {"ultralytics": version("ultralytics"), "pycocotools": version("pycocotools"), "split": split}
    with progress_bar("comparing", len(data)) as advance:
        for file in data:
            records = dataset.read(file, split)
            if not records:
                raise NothingToDoError(f"{file}: split {split!r} has no fields")
            made = steps(weights, model, records)
            document[file.parent.name] = [asdict(step) for step in made]
            console.print(_table(f"{file.parent.name}, {len(records)} fields", made))
            advance(1)
    if out is not None:
        out.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    return EXIT_DONE


def _table(title: str, made: Sequence[Step]) -> Table:
    table = Table("boxes", "scored by", "mAP50", "mAP50-95", title=f"{title}, classes {', '.join(CLASSES)}", box=box.SIMPLE_HEAD)
    for step in made:
        table.add_row(step.boxes, step.scored_by, f"{step.map50:.4f}", f"{step.map50_95:.4f}")
    return table


def parser() -> Parser:
    """What the command takes."""
    made = Parser("benchmarks.ultralytics_val", "[OPTION]... DATA...", command.__doc__)
    made.add_argument("data", metavar="DATA", type=Path, nargs="+", help="data.yaml of dataset folders made by detector.convert.")
    made.add_argument("--split", default="val", help="The split to measure on.")
    made.add_argument(
        "--weights", type=Path, default=SHIPPED.with_suffix(".pt"), help="Weights (.pt), with the model made of them beside."
    )
    made.add_argument("--out", type=Path, help="Also write the figures to this JSON file.")
    return made


def main() -> None:
    """Run the command line."""
    run(command, parser())


if __name__ == "__main__":
    main()
