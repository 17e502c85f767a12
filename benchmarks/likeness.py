"""How often cells that look alike, as a review compares them, are of one class or of one type."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rich import box
from rich.table import Table

from detector.annotations import dataset
from detector.arguments import Number, Parser
from detector.commandline import console, progress_bar, run
from detector.errors import EXIT_DONE, NothingToDoError
from detector.review import likeness
from detector.vision import images
from detector.vision.cells import CLASSES

NEAREST = 5
"""Most alike cells that are looked at, all of other fields than the cell itself."""
FEWEST = 30
"""Cells of a class below which nothing is said of it."""
TYPES = (
    "normal", "macrocyte", "microcyte", "spherocyte", "target cell", "stomatocyte", "ovalocyte", "tear-drop", "burr cell",
    "schistocyte", "uncategorised", "hypochromia", "elliptocyte",
)  # fmt: skip
"""Of Chula RBC-12, by their numbers."""
_DRAWS = 1000


@dataclass(frozen=True)
class Cells:
    """Cells of many fields."""

    vectors: likeness.Vectors
    label: NDArray[np.int64]
    """Number of the class or type, of shape (n,)."""
    field: NDArray[np.int64]
    """Number of the field, of shape (n,)."""


def command(*, data: Sequence[Path], chula: Path | None, every: int) -> int:
    """Print, for each class or type, how many of the most alike cells share it, and how many would by chance.

    Labelled boxes of val fields are described, not those that a model finds.
    """
    for path in data:
        records = dataset.load(path, "val").records[::every]
        fields = [(record.image, record.xyxy.astype(np.float64), record.label) for record in records]
        _report(str(path), fields, CLASSES)
    if chula is not None:
        _report(str(chula), list(_typed(chula, every)), TYPES)
    if not data and chula is None:
        raise NothingToDoError("give --data DATA.YAML or --chula FOLDER")
    return EXIT_DONE


def _typed(chula: Path, every: int) -> Iterator[tuple[Path, NDArray[np.float64], NDArray[np.int64]]]:
    """Fields of Chula RBC-12: boxes of its draft around the points that experts set, with the points' types."""
    for points in sorted((chula / "points").glob("*.txt"), key=lambda path: int(path.stem))[::every]:
        rows = [line.split() for line in points.read_text(encoding="utf-8").splitlines()]
        placed = np.array([[int(value) for value in row] for row in rows if len(row) == 3 and all(v.isdecimal() for v in row)])
        image = next((chula / "images").glob(f"{points.stem}.*"))
        size = np.array(images.header_of(image).size_wh)
        drafted = np.loadtxt(chula / "draft" / "labels" / f"{points.stem}.txt", ndmin=2)[:, 1:5]
        xyxy = np.concatenate([drafted[:, :2] - drafted[:, 2:] / 2, drafted[:, :2] + drafted[:, 2:] / 2], axis=1) * np.tile(
            size, 2
        )
        inside = (placed[:, None, :2] > xyxy[None, :, :2]).all(axis=2) & (placed[:, None, :2] < xyxy[None, :, 2:]).all(axis=2)
        # Only where point and box belong together beyond doubt.
        sure = [
            (p, b) for p in range(len(placed)) for b in np.flatnonzero(inside[p]) if inside[p].sum() == inside[:, b].sum() == 1
        ]
        if sure:
            chosen = np.array(sure)
            yield image, xyxy[chosen[:, 1]], placed[chosen[:, 0], 2].astype(np.int64)


def _report(title: str, fields: Sequence[tuple[Path, NDArray[np.float64], NDArray[np.int64]]], names: Sequence[str]) -> None:
    cells = _described(fields)
    alike = _share_of_nearest(cells)
    order = likeness.in_order(cells.vectors)
    neighbours = _share_of_neighbours(cells.label[order])
    in_order = np.empty_like(neighbours)
    in_order[order] = neighbours
    what = f"{title}: {len(fields)} fields, {len(cells.label):,} cells; share of the same class, 95 % interval over fields"
    columns = ("class", "cells", "chance", f"of {NEAREST} most alike", "of 2 beside it in order")
    table = Table(*columns, title=what, box=box.SIMPLE_HEAD)
    for number, name in enumerate(names):
        own = cells.label == number
        if own.sum() >= FEWEST:
            shown = [_interval(values[own], cells.field[own]) for values in (alike, in_order)]
            table.add_row(name, f"{own.sum():,}", f"{own.mean():.1%}", *shown)
    shares = np.bincount(cells.label) / len(cells.label)
    table.add_row(
        "all", f"{len(cells.label):,}", f"{(shares**2).sum():.1%}", *(_interval(v, cells.field) for v in (alike, in_order))
    )
    console.print(table)


def _described(fields: Sequence[tuple[Path, NDArray[np.float64], NDArray[np.int64]]]) -> Cells:
    vectors, labels, numbers = [], [], []
    with progress_bar("describing", len(fields)) as advance:
        for number, (image, xyxy, label) in enumerate(fields):
            vectors.append(likeness.describe(images.read(image), xyxy))
            labels.append(label)
            numbers.append(np.full(len(label), number))
            advance(1)
    return Cells(likeness.standardised(np.concatenate(vectors)), np.concatenate(labels), np.concatenate(numbers))


def _share_of_nearest(cells: Cells) -> NDArray[np.float64]:
    """For each cell the share of the most alike cells of other fields that have its label."""
    shares = np.empty(len(cells.label))
    squares = (cells.vectors**2).sum(axis=1)
    for i, vector in enumerate(cells.vectors):
        distance = squares - 2 * (cells.vectors @ vector)
        distance[cells.field == cells.field[i]] = np.inf
        shares[i] = (cells.label[np.argpartition(distance, NEAREST)[:NEAREST]] == cells.label[i]).mean()
    return shares


def _share_of_neighbours(label: NDArray[np.int64]) -> NDArray[np.float64]:
    """For each cell in its order the share of the cells before and after it that have its label."""
    same = (label[1:] == label[:-1]).astype(np.float64)
    before, after = np.concatenate([[np.nan], same]), np.concatenate([same, [np.nan]])
    return np.nanmean(np.stack([before, after]), axis=0)


def _interval(values: NDArray[np.float64], field: NDArray[np.int64]) -> str:
    """The mean with its interval by the bootstrap over fields."""
    random = np.random.default_rng(0)
    _, own = np.unique(field, return_inverse=True)
    sums, numbers = np.bincount(own, values), np.bincount(own)
    drawn = random.integers(0, len(sums), (_DRAWS, len(sums)))
    low, high = np.quantile(sums[drawn].sum(axis=1) / numbers[drawn].sum(axis=1), (0.025, 0.975))
    return f"{values.mean():.1%} ({low:.1%} to {high:.1%})"


def parser() -> Parser:
    """What the command takes."""
    made = Parser("benchmarks.likeness", "[OPTION]...", command.__doc__)
    made.add_argument(
        "--data", action="append", type=Path, default=[], help="data.yaml of a converted dataset; can be given several times"
    )
    made.add_argument("--chula", type=Path, help="folder of Chula RBC-12 with images, points and draft")
    made.add_argument("--every", type=Number(int, 1), default=1, help="take every so-manieth field")
    return made


def main() -> None:
    """Entry point."""
    run(command, parser())


if __name__ == "__main__":
    main()
