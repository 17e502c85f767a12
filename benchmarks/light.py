"""How much worse cells are counted in another light, stain or camera: labelled fields as they are and under each change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks import lights, markdown, sources
from detector.accuracy.counts import agreement, differences
from detector.annotations.records import Record
from detector.arguments import Number, Parser
from detector.commandline import progress_bar, run
from detector.counting.intervals import Interval
from detector.errors import NothingToDoError
from detector.vision import border, finder, images
from detector.vision.cells import CLASSES
from detector.vision.detections import Detections, Unread
from detector.vision.model import Model

PLAIN = "plain"
RBC_FACTOR = 1.2
"""Error of red cells that a change may leave, as a multiple of the plain fields'; what `SLACK` allows is added."""
SLACK: Mapping[str, float] = {"RBC": 0.1, "WBC": 0.05, "Platelets": 0.1}
"""Cells a field that a change may add to the error of the plain fields."""
SLACK_GREY: Mapping[str, float] = {**SLACK, "WBC": 0.1, "Platelets": 0.2}
"""Without colours."""

SIZES = (0.25, 0.5, 2.0, 3.0)
LEAST_RBC_PX = 12
"""Red cells narrower than this are not asked to be counted."""
SIZE_SHARE = 0.02
"""By how much the count of all fields may differ at another size."""

Errors = NDArray[np.float64]
"""Cells counted less labelled ones, nan where a class has no labels; of shape (fields, classes)."""
Counts = NDArray[np.int64]
"""Of shape (fields, classes)."""


@dataclass(frozen=True)
class Row:
    """One class under one change, in cells a field."""

    light: str
    error: Interval
    """Mean absolute error."""
    less_plain: Interval | None
    """By how much it is above that of the same fields as they are; None for these."""
    limit: float

    @property
    def met(self) -> bool:
        """Whether the error is within its limit."""
        return self.error.value <= self.limit + 1e-9

    def texts(self) -> list[str]:
        """As they stand in a table."""
        if self.less_plain is None:
            return [self.light, markdown.shown(self.error), "", "", "", ""]
        ratio = f"{self.error.value / self.limit:.2f}"
        change = markdown.shown(self.less_plain, "+.2f")
        return [self.light, markdown.shown(self.error), change, f"{self.limit:.2f}", ratio, "met" if self.met else "MISSED"]


def limit(light: str, cells: str, plain: float) -> float:
    """Error that cells of a class may have under a change, by their error in the plain fields."""
    slack = SLACK_GREY if light == lights.GREY else SLACK
    return (RBC_FACTOR if cells == "RBC" else 1.0) * plain + slack[cells]


def command(*, data: Sequence[Path], model: Path | None, split: str, every: int, sizes: bool) -> int:
    """Print the error per field of each class under each change of light, stain and camera, beside that of the plain fields.

    With `--sizes`, print instead how many cells are counted in the same fields made smaller and larger.
    """
    domains, unread = sources.load(data, split, every)
    loaded = Model.load(model)
    names = f"{', '.join(source.name for source in domains)}; {split}" + (f", one field in {every}" if every > 1 else "")
    print(resized(loaded, domains, names, unread) if sizes else changed(loaded, domains, names, unread))
    return markdown.tell(unread)


def changed(model: Model, domains: Sequence[sources.Source], names: str, unread: list[Unread]) -> str:
    """A table of each class."""
    errors = _under_each(model, domains, unread)
    tables = []
    missed: list[str] = []
    for label, name in enumerate(CLASSES):
        made = rows(errors, label)
        if made:
            head = [name, "error per field (95 %)", "less plain (95 %)", "limit", "error / limit", ""]
            title = f"{name}: {np.isfinite(errors[PLAIN][:, label]).sum()} fields ({names})"
            tables.append(markdown.table(title, head, [row.texts() for row in made]))
            missed += [f"{row.light} ({name})" for row in made if not row.met]
    return "\n".join([*tables, f"missed: {len(missed)}" + (f": {', '.join(missed)}" if missed else "")])


def rows(errors: Mapping[str, Errors], label: int) -> list[Row]:
    """A row for the plain fields and for each change; none where no field has labels of the class.

    Args:
        errors: by the name of the change, with `PLAIN` among them, of the same fields.
        label: the class.
    """
    labelled = np.isfinite(errors[PLAIN][:, label])
    plain = errors[PLAIN][labelled, label].tolist()
    none = [0.0] * len(plain)
    made = []
    for light, field_errors in errors.items():
        error = field_errors[labelled, label].tolist()
        mae, base = agreement(error, none).mae, agreement(plain, none).mae
        if mae is not None and base is not None:
            # Errors stand for counts, with a truth of nothing: what is labelled differs where a part of the field is seen.
            apart = None if light == PLAIN else differences(error, plain, none).mae
            made.append(Row(light, mae, apart, limit(light, CLASSES[label], base.value)))
    return made


def _under_each(model: Model, domains: Sequence[sources.Source], unread: list[Unread]) -> dict[str, Errors]:
    """Errors of the fields, plain and under each change."""
    errors: dict[str, list[NDArray[np.float64]]] = {name: [] for name in (PLAIN, *lights.CHANGES)}
    with progress_bar("counting", sum(len(source.records) for source in domains)) as advance:
        for source in domains:
            unlabelled = np.where(source.labelled, 0.0, np.nan)
            for record, rgb in sources.pictures(source.records, unread):
                errors[PLAIN].append(_error(model, record, rgb) + unlabelled)
                for name, change in lights.CHANGES.items():
                    errors[name].append(_error(model, seen_in(name, record), change(rgb)) + unlabelled)
                advance(1)
    if not errors[PLAIN]:
        raise NothingToDoError("none of the labelled fields has an image that can be read")
    return {name: np.array(of_fields) for name, of_fields in errors.items()}


def seen_in(light: str, record: Record) -> Record:
    """The labels that a field has under a change; what the rim of an eyepiece cuts is not judged."""
    if light != lights.EYEPIECE_NAME:
        return record
    whole, cut = lights.through_eyepiece(record.xyxy, record.size_wh)
    ignore = np.concatenate([record.ignore, record.xyxy[cut]])
    return replace(record, xyxy=record.xyxy[whole], label=record.label[whole], ignore=ignore)


def _error(model: Model, record: Record, rgb: images.Rgb) -> NDArray[np.float64]:
    counted = record.judged(finder.find(model, rgb).cells)
    return (_count(counted) - _count(record)).astype(np.float64)


def _count(cells: Record | Detections) -> Counts:
    return np.bincount(cells.label, minlength=len(CLASSES))


def resized(model: Model, domains: Sequence[sources.Source], names: str, unread: list[Unread]) -> str:
    """A table of the counts at each size beside those of the fields as they are."""
    plain: list[Counts] = []
    at: dict[float, list[tuple[int, Counts]]] = {size: [] for size in SIZES}
    with progress_bar("counting", sum(len(source.records) for source in domains)) as advance:
        for record, rgb in sources.pictures([record for source in domains for record in source.records], unread):
            plain.append(_count(finder.find(model, rgb).cells))
            rbc_px = border.rbc_px(record.xyxy, record.label, record.size_wh) or 0.0
            for size in SIZES:
                if rbc_px * size >= LEAST_RBC_PX:
                    at[size].append((len(plain) - 1, _count(finder.find(model, scaled(rgb, size)).cells)))
            advance(1)
    made = []
    for size, counts in at.items():
        if counts:
            before, after = np.array([plain[i] for i, _ in counts]), np.array([count for _, count in counts])
            made += [size_row(size, label, before, after) for label in range(len(CLASSES))]
    if not made:
        raise NothingToDoError(f"no field has red cells that are known to be {LEAST_RBC_PX} px wide at any of the sizes")
    head = ["size", "cells", "fields", "as they are", "at this size", "difference", "fields that differ", f"{SIZE_SHARE:.0%}"]
    return markdown.table(f"Cells counted in {names}", head, made, words=2)


def scaled(rgb: images.Rgb, size: float) -> images.Rgb:
    """A field of another size."""
    interpolation = cv2.INTER_AREA if size < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(rgb, None, fx=size, fy=size, interpolation=interpolation), dtype=np.uint8)


def size_row(size: float, label: int, plain: Counts, at_size: Counts) -> list[str]:
    """One class at one size; counts of the same fields, of shape (fields, classes)."""
    before, after = plain[:, label], at_size[:, label]
    total, now = int(before.sum()), int(after.sum())
    met = abs(now - total) <= SIZE_SHARE * total
    apart = f"{100 * (now - total) / total:+.1f} %" if total else "-"
    differ = f"{100 * float((before != after).mean()):.0f} %"
    return [f"{size:g}", CLASSES[label], str(len(before)), str(total), str(now), apart, differ, "met" if met else "MISSED"]


def parser() -> Parser:
    """What the command takes."""
    made = Parser("benchmarks.light", "[OPTION]... --data <path>", command.__doc__)
    add = made.add_argument
    add("--data", type=Path, action="extend", nargs="+", required=True, help="data.yaml of datasets whose fields are counted")
    add("--model", type=Path, help="an .onnx model of ours; default: the one shipped")
    add("--split", default="val", help="of the datasets; a test split is for one last table")
    add("--every", type=Number(int, 1), default=1, help="take each so many-th field of a dataset")
    add("--sizes", action="store_true", help="the same fields smaller and larger, instead of in another light")
    return made


def main() -> None:
    """Entry point."""
    run(command, parser())


if __name__ == "__main__":
    main()
