"""How right the counts are in each laboratory's fields, by a model that has trained on them and by one that never saw them."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks import markdown, sources
from detector.accuracy.counts import agreement
from detector.accuracy.figures import EvaluatedFields
from detector.accuracy.intervals import share
from detector.accuracy.matching import match
from detector.accuracy.yardsticks import constant_baseline
from detector.arguments import Parser
from detector.commandline import errors, progress_bar, run
from detector.counting.intervals import Interval
from detector.errors import AnnotationError, NothingToDoError, UsageError
from detector.vision import finder
from detector.vision.boxes import Boxes
from detector.vision.cells import CLASSES, RBC, WBC
from detector.vision.detections import Detections, Unread
from detector.vision.model import Model

GIVEN, LEFT_OUT = "given", "left out"
"""The model of `--model`, and one that never saw the source."""

POINT_TYPES = (
    "normal cell",
    "macrocyte",
    "microcyte",
    "spherocyte",
    "target cell",
    "stomatocyte",
    "ovalocyte",
    "tear-drop",
    "burr cell",
    "schistocyte",
    "uncategorised",
    "hypochromia",
    "elliptocyte",
)
"""Of Chula RBC-12, in the order of its numbers."""


@dataclass(frozen=True, eq=False)
class Points:
    """Labelled middles of red cells in one field."""

    xy: NDArray[np.float32]
    """In pixels, of shape (n, 2)."""
    kind: NDArray[np.int64]
    """Index into `POINT_TYPES`, of shape (n,)."""


@dataclass(frozen=True, eq=False)
class Looked:
    """Fields of one source as one model counted them."""

    source: sources.Source
    model: str
    fields: EvaluatedFields
    """With what was found where it is judged."""
    all_found: Sequence[Detections]
    """With what was found in ignore regions too."""


def command(
    *,
    data: Sequence[Path],
    model: Path | None,
    left_out: Sequence[tuple[str, Path]],
    split: str,
    points: Path | None,
) -> int:
    """Print for each source the error of the counts per field, beside that of the constant baseline, and how many cells are found.

    A source is a dataset, or a domain of one (`txl_pbc/pbc`).
    """
    domains, unread = sources.load(data, split)
    others = _others(domains, left_out)
    marked = read_points(points, [record.name for source in domains for record in source.records]) if points else {}
    loaded = Model.load(model)
    looked = _look(domains, loaded, {name: Model.load(path) for name, path in others.items()}, unread)
    tables = [class_table(looked, label) for label in range(len(CLASSES))]
    print("\n".join([*tables, point_table(looked, marked)] if marked else tables))
    return markdown.tell(unread)


def _others(domains: Sequence[sources.Source], left_out: Sequence[tuple[str, Path]]) -> dict[str, Path]:
    """The model that never saw it, for each source of which one is given."""
    others: dict[str, Path] = {}
    for name, path in left_out:
        meant = [source.name for source in domains if source.name == name or source.name.startswith(f"{name}/")]
        if not meant:
            raise UsageError(f"--left-out {name}: is no source; there are {', '.join(source.name for source in domains)}")
        others.update(dict.fromkeys(meant, path))
    return others


def _look(domains: Sequence[sources.Source], model: Model, others: Mapping[str, Model], unread: list[Unread]) -> list[Looked]:
    looked = []
    with progress_bar("counting", sum(len(source.records) for source in domains)) as advance:
        for source in domains:
            models = {GIVEN: model} | ({LEFT_OUT: others[source.name]} if source.name in others else {})
            records, seen = [], []
            for record, rgb in sources.pictures(source.records, unread):
                records.append(record)
                seen.append([finder.find(loaded, rgb).cells for loaded in models.values()])
                advance(1)
            for name, detections in zip(models, zip(*seen, strict=True), strict=False):
                judged = [record.judged(cells) for record, cells in zip(records, detections, strict=True)]
                looked.append(Looked(source, name, EvaluatedFields(records, judged, judged), detections))
    if not looked:
        raise NothingToDoError("none of the labelled fields has an image that can be read")
    return looked


def class_table(looked: Sequence[Looked], label: int) -> str:
    """A row for each source and model; a class that nobody labelled there has `-`."""
    head = [CLASSES[label], "model", "fields", "cells", "error, all", "error, clear", "baseline", "found, %"]
    rows = []
    for result in looked:
        labelled = bool(result.source.labelled[label])
        entries = _figures(result, label) if labelled else ["-"] * 5
        rows.append([result.source.name, result.model, str(len(result.fields.records)), *entries])
    title = (
        f"{CLASSES[label]}: mean absolute error of the count per field, all cells and those clear of the border; 95 % intervals"
    )
    return markdown.table(title, head, rows, words=2)


def _figures(result: Looked, label: int) -> list[str]:
    fields = result.fields
    truth = fields.truth()[:, label]
    every, clear = (
        agreement(fields.counted(part)[:, label].tolist(), fields.truth(part)[:, label].tolist()).mae for part in (False, True)
    )
    baseline = _baseline(result.source, truth, label)
    errors = [markdown.shown(figure) for figure in (every, clear)]
    return [str(truth.sum()), *errors, baseline, markdown.percent(recall(fields, label))]


def _baseline(source: sources.Source, truth: NDArray[np.int64], label: int) -> str:
    """Error of the median count of the source's training fields."""
    if not source.train:
        return "-"
    of_train = [np.bincount(record.label, minlength=len(CLASSES)).tolist() for record in source.train]
    return f"{np.abs(truth - constant_baseline(of_train)[label]).mean():.2f}"


def recall(fields: EvaluatedFields, label: int) -> Interval | None:
    """Share of the labelled cells of a class that were found, each by a box of its own."""
    pairs = [match(cells, record.xyxy, record.label) for cells, record in zip(fields.detections, fields.records, strict=True)]
    counts = [
        [int((record.label[which] == label).sum()) for which in (pair.truth, pair.missed)]
        for pair, record in zip(pairs, fields.records, strict=True)
    ]
    part, rest = np.array(counts, dtype=np.int64).T
    return share(part, rest)


def read_points(folder: Path, names: Sequence[str]) -> dict[str, Points]:
    """Labelled points by the name of the field; damaged lines are told on standard error and left out.

    Args:
        folder: of files `NAME.txt` with a line `x y type` for each red cell.
        names: fields whose points are read.

    Raises:
        AnnotationError: there is no file for any of the fields, or one cannot be read.
    """
    files = {name: folder / f"{name}.txt" for name in names if (folder / f"{name}.txt").is_file()}
    if not files:
        raise AnnotationError(f"{folder}: has no file NAME.txt for any of the fields")
    return {name: _points(file) for name, file in files.items()}


def _points(file: Path) -> Points:
    try:
        lines = file.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise AnnotationError(f"{file}: cannot be read: {error.strerror}") from None
    good = []
    for number, line in enumerate(lines, 1):
        point = _point(line)
        if point is not None:
            good.append(point)
        elif line.strip():
            errors.print(f"{file}, line {number}: {line!r} is no point 'x y type'; left out", markup=False, soft_wrap=True)
    rows = np.array(good, dtype=np.int64).reshape(-1, 3)
    return Points(rows[:, :2].astype(np.float32), rows[:, 2])


def _point(line: str) -> tuple[int, int, int] | None:
    words = line.split()
    if len(words) != 3 or not all(word.isascii() and word.isdigit() and len(word) < 7 for word in words):
        return None
    x, y, kind = map(int, words)
    return (x, y, kind) if kind < len(POINT_TYPES) else None


def within(xy: NDArray[np.float32], xyxy: Boxes) -> NDArray[np.bool_]:
    """Which points lie in any of some boxes; of shape (n,)."""
    x, y = xy[:, :1], xy[:, 1:]
    return np.asarray(((xyxy[:, 0] <= x) & (x < xyxy[:, 2]) & (xyxy[:, 1] <= y) & (y < xyxy[:, 3])).any(axis=1))


def point_table(looked: Sequence[Looked], marked: Mapping[str, Points]) -> str:
    """By source, model and type of cell, how many labelled points lie in a counted red cell's box, and in a white cell's."""
    head = ["points", "type", "model", "fields", "points", "in a red cell's box, %", "in a white cell's box"]
    rows = []
    for result in looked:
        pairs = [(marked[r.name], f) for r, f in zip(result.fields.records, result.all_found, strict=True) if r.name in marked]
        kinds = {int(kind) for points, _ in pairs for kind in points.kind}
        for kind in (None, *sorted(kinds)) if pairs else ():
            counts = np.array([_points_in(points, cells, kind) for points, cells in pairs], dtype=np.int64)
            counts = counts[counts[:, 0] > 0]
            name = "all" if kind is None else POINT_TYPES[kind]
            in_red = markdown.percent(share(counts[:, 1], counts[:, 0] - counts[:, 1]))
            rows.append(
                [
                    result.source.name,
                    name,
                    result.model,
                    str(len(counts)),
                    str(counts[:, 0].sum()),
                    in_red,
                    str(counts[:, 2].sum()),
                ]
            )
    return markdown.table("Labelled points of red cells that lie in a box that was counted; 95 % intervals", head, rows, words=3)


def _points_in(points: Points, detections: Detections, kind: int | None) -> tuple[int, int, int]:
    """Points of one field, of one type or all: how many, how many in red cells' boxes, how many in white cells'."""
    xy = points.xy if kind is None else points.xy[points.kind == kind]
    red, white = (within(xy, detections.xyxy[detections.label == label]) for label in (RBC, WBC))
    return len(xy), int(red.sum()), int(white.sum())


def _source_and_model(text: str) -> tuple[str, Path]:
    source, sign, path = text.partition("=")
    if not (source and sign and path):
        raise argparse.ArgumentTypeError(f"must be SOURCE=MODEL.onnx, got {text!r}")
    return source, Path(path)


def parser() -> Parser:
    """What the command takes."""
    made = Parser("benchmarks.laboratories", "[OPTION]... --data <path>", command.__doc__)
    add = made.add_argument
    add("--data", type=Path, action="extend", nargs="+", required=True, help="data.yaml of the datasets")
    add("--model", type=Path, help="an .onnx model of ours; default: the one shipped")
    add(
        "--left-out",
        type=_source_and_model,
        action="extend",
        nargs="+",
        default=[],
        metavar="<source=path>",
        help="a model that never saw a source, which is a dataset or a domain",
    )
    add("--split", default="test", help="of the datasets")
    add("--points", type=Path, help="folder of files NAME.txt with 'x y type' of red cells, for fields that have one")
    return made


def main() -> None:
    """Entry point."""
    run(command, parser())


if __name__ == "__main__":
    main()
