"""At which size red cells are best shown to a model: validation fields, each shown so that its red cells are so wide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from rich import box
from rich.table import Table

from detector.accuracy.counts import clear_of_border_zone
from detector.accuracy.matching import match
from detector.annotations import dataset
from detector.annotations.records import Record
from detector.arguments import Number, Parser
from detector.commandline import console, progress_bar, run
from detector.errors import EXIT_DONE, NothingToDoError
from detector.vision import border, finder, images
from detector.vision.cells import CLASSES
from detector.vision.detections import Detections
from detector.vision.model import Model

SHARES = (0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.25)
"""Of the width that the model knows."""


@dataclass(frozen=True)
class Field:
    """A field with its labels, which tell its scale."""

    domain: str
    record: Record
    rgb: images.Rgb
    rbc_px: float
    """Width of a red cell in it."""


def command(*, data: Sequence[Path], model: Path | None, from_px: float | None) -> int:
    """Print the errors of the counts, and how well single cells are found, for each width of red cells."""
    fields = _fields(data, from_px)
    if not fields:
        raise NothingToDoError(
            f"{', '.join(map(str, data))}: no val fields with red cells clear of the border, which tell their scale"
        )
    loaded = Model.load(model)
    columns = [f"{name} {what}" for name in CLASSES for what in ("all / clear", "F1")]
    title = f"{len(fields)} val fields: mean absolute error of the count per field, domains weigh the same; F1 of all cells at IoU 0.5"
    table = Table("share", "px", *columns, title=title, box=box.SIMPLE_HEAD)
    with progress_bar("showing", len(fields) * (1 + len(SHARES))) as advance:
        for share in (None, *SHARES):
            detections = []
            for field in fields:
                zoom = None if share is None else share * loaded.card.rbc_px / field.rbc_px
                detections.append(finder.find_at(loaded, field.rgb, zoom))
                advance(1)
            shown = ("whole", "as it comes") if share is None else (f"{share:g}", f"{share * loaded.card.rbc_px:.0f}")
            table.add_row(*shown, *_figures(fields, detections))
    console.print(table)
    return EXIT_DONE


def _fields(data: Sequence[Path], from_px: float | None) -> list[Field]:
    """Fields that tell their scale; made smaller where their red cells are wider than `from_px`."""
    fields = []
    for file in data:
        domain_of = dataset.domains(file)
        for record in dataset.read(file, "val"):
            rbc_px = border.rbc_px(record.xyxy, record.label, record.size_wh)
            if rbc_px is not None and record.image is not None:
                field = Field(domain_of(record.name), record, images.read(record.image), rbc_px)
                fields.append(field if from_px is None or from_px >= rbc_px else _shrunk(field, from_px / rbc_px))
    return fields


def _shrunk(field: Field, factor: float) -> Field:
    rgb = np.asarray(cv2.resize(field.rgb, None, fx=factor, fy=factor, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    size_wh = (rgb.shape[1], rgb.shape[0])
    xyxy = field.record.xyxy * np.array(
        [new / old for new, old in zip(size_wh, field.record.size_wh, strict=True)] * 2, np.float32
    )
    return Field(field.domain, replace(field.record, size_wh=size_wh, xyxy=xyxy), rgb, field.rbc_px * factor)


def _figures(fields: Sequence[Field], detections: Sequence[Detections]) -> list[str]:
    entries = []
    for label, name in enumerate(CLASSES):
        every: dict[str, list[int]] = {}
        clear: dict[str, list[int]] = {}
        paired = number = 0
        for field, cells in zip(fields, detections, strict=True):
            truth, seen = field.record.xyxy[field.record.label == label], cells.xyxy[cells.label == label]
            size_wh = field.record.size_wh
            every.setdefault(field.domain, []).append(abs(len(seen) - len(truth)))
            whole = clear_of_border_zone(seen, size_wh).sum() - clear_of_border_zone(truth, size_wh).sum()
            clear.setdefault(field.domain, []).append(abs(int(whole)))
            pairs = match(cells, field.record.xyxy, field.record.label)
            paired += int((cells.label[pairs.matched] == label).sum())
            number += len(seen) + len(truth)
        errors = (float(np.mean([np.mean(field_errors) for field_errors in part.values()])) for part in (every, clear))
        entries += [" / ".join(f"{error:.2f}" for error in errors), f"{2 * paired / number:.3f}" if number else f"no {name}"]
    return entries


def parser() -> Parser:
    """What the command takes."""
    made = Parser("benchmarks.scales", "[OPTION]... --data <path>", command.__doc__)
    add = made.add_argument
    add("--data", type=Path, action="append", required=True, help="data.yaml of datasets whose val fields are shown")
    add("--model", type=Path, help="an .onnx model of ours; default: the one shipped")
    add(
        "--from-px",
        type=Number(float),
        help="make fields smaller first, until their red cells are so wide: 30 is a slide at 0.25 µm per px",
    )
    return made


def main() -> None:
    """Entry point."""
    run(command, parser())


if __name__ == "__main__":
    main()
