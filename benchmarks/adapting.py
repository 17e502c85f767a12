"""How much a laboratory that a model never saw gains by corrected fields: error of its counts against their number."""

from __future__ import annotations

import json
import random
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from benchmarks import machine, markdown, sources
from detector.accuracy import counts, figures
from detector.accuracy.plots import style
from detector.annotations.records import Record
from detector.arguments import Number, Parser
from detector.commandline import console, errors, run
from detector.counting.intervals import Interval
from detector.errors import EXIT_DONE, ModelError, NothingToDoError, OutputError
from detector.output import files
from detector.training import adaptation
from detector.vision import finder, images
from detector.vision.cells import CLASSES
from detector.vision.model import Model

if TYPE_CHECKING:
    from matplotlib.axes import Axes

KEPT = "kept"
"""What the command would have written: the model whose gain is proven, or the one as it was."""
HOME = "home"
NUMBERS = (0, 5, 10, 20, 40)
_LINES = {adaptation.TUNED: "own thresholds", adaptation.TRAINED: "trained", KEPT: "kept"}
_COLUMNS = ("adapted to", "fields", "counted", "model", "cells", "error", "low", "high", "change", "change low", "change high")

Counted = Mapping[str, Sequence[int]]
"""Cells of each class, by the name of the field."""


@dataclass(frozen=True, eq=False)
class Laboratory:
    """Fields of one source."""

    name: str
    corrected: Sequence[Record]
    """Those that stand for corrected ones, in the order in which they are corrected."""
    tested: Sequence[Record]
    """Those that errors are measured on, of other smears."""
    labelled: Sequence[bool]
    """Which classes have labels."""


@dataclass(frozen=True)
class Point:
    """What came of adapting to so many fields; of none for 0."""

    model: str
    """SHA-256 of the model that was adapted."""
    fields: Sequence[str]
    """Names of the corrected fields."""
    kept: str
    """Kind of the model that was kept."""
    told: Mapping[str, str]
    """By kind, what the command says of the gain."""
    seconds: float
    """How long the adaptation took."""
    counted: Mapping[str, Counted]
    """By kind, what it counts in the laboratory's test fields."""
    home: Mapping[str, Counted]
    """By kind, what it counts in fields of the former training's laboratories."""


@dataclass(frozen=True)
class Row:
    """Error of one class by one model."""

    adapted_to: str
    fields: int
    counted: str
    """The laboratory, or `HOME`."""
    model: str
    label: int
    error: Interval
    """Mean absolute error of the count per field."""
    change: Interval | None
    """By how much more it errs than the model as it was, in the same fields; None for that one."""

    def cells(self) -> list[object]:
        """Of a table; empty where something is not known."""
        intervals = [self.error, self.change]
        numbers = [n for i in intervals for n in ((None,) * 3 if i is None else (i.value, i.low, i.high))]
        shown = ["" if number is None else f"{number:.3f}" for number in numbers]
        return [self.adapted_to, self.fields, self.counted, self.model, CLASSES[self.label], *shown]


def command(
    *, data: Sequence[Path], home: Sequence[Path], model: Path | None, fields: Sequence[int], split: str, every: int, out: Path
) -> int:
    """Adapt a model to a laboratory with growing numbers of corrected fields, and measure each on fields of other smears.

    Corrected fields are those of the split train, in a random order. Each finished point is kept in --out, so a run that was
    interrupted goes on where it ended. Writes adapting.csv and adapting.png there, and prints the table as Markdown.
    """
    style.require()
    loaded = Model.load(model)
    weights = loaded.path.with_suffix(".pt")
    if not weights.is_file():
        raise ModelError(f"{weights}: no such weights; give a model that has its weights (.pt) beside its .onnx file")
    laboratories = [_laboratory(source) for source in sources.load(data, split)[0]]
    at_home = [record for source in sources.load(home, "val", every)[0] for record in source.records] if home else []
    points: dict[tuple[str, int], Point] = {}
    for laboratory in laboratories:
        for number in sorted({0, *fields}):
            if number > len(laboratory.corrected):
                errors.print(f"{laboratory.name} has {len(laboratory.corrected)} fields to correct, so {number} are left out")
                continue
            path = out / "points" / f"{laboratory.name.replace('/', '-')}-{number}.json"
            if not path.is_file():
                point = _measured(loaded, weights, laboratory, number, at_home, points.get((laboratory.name, 0)))
                path.parent.mkdir(parents=True, exist_ok=True)
                files.write_text(path, json.dumps(vars(point) | {"machine": machine.described()}, indent=1) + "\n")
            points[laboratory.name, number] = _read(path, loaded, at_home)
    rows = [row for laboratory in laboratories for row in _rows(laboratory, at_home, points)]
    files.write_csv(out / "adapting.csv", _COLUMNS, [row.cells() for row in rows])
    draw(rows, out / "adapting.png")
    print(report(rows))
    for (name, number), point in points.items():
        if number:
            told = "; ".join(f"{_LINES[kind]}: {words}" for kind, words in point.told.items())
            console.print(f"{name}, {number} fields, {point.seconds:.0f} s: kept {point.kept}; {told}", soft_wrap=True)
    return EXIT_DONE


def _laboratory(source: sources.Source) -> Laboratory:
    if not source.train:
        raise NothingToDoError(f"{source.name}: has no train fields to stand for corrected ones")
    order = sorted(source.train, key=lambda record: record.name)
    random.Random(0).shuffle(order)
    return Laboratory(source.name, order, source.records, source.labelled.tolist())


def smears(names: Sequence[str]) -> list[str]:
    """A smear for each field: fields whose names are numbers that follow each other are of one, others each of their own.

    Neighbouring numbers of `chula` are one smear (`datasets/splits/README.md`); the other laboratories say nothing of smears.
    """
    numbers = sorted(int(name) for name in names if name.isdecimal())
    first: dict[int, int] = {}
    for number in numbers:
        first[number] = first.get(number - 1, number)
    return [f"from {first[int(name)]}" if name.isdecimal() else name for name in names]


def _measured(
    model: Model, weights: Path, laboratory: Laboratory, number: int, at_home: Sequence[Record], before: Point | None
) -> Point:
    records = laboratory.corrected[:number]
    if before is None:
        counted, home = ({adaptation.SHIPPED: count(model, of)} for of in (laboratory.tested, at_home))
        return Point(model.sha256, [], adaptation.SHIPPED, {}, 0.0, counted, home)
    every = smears([record.name for record in laboratory.corrected])
    job = adaptation.Adaptation(records, every[:number], model, weights, laboratory.name)
    with tempfile.TemporaryDirectory(prefix="smearcount-adapting-") as folder:
        began = time.monotonic()
        tried = adaptation.trials(job, Path(folder), lambda step: errors.print(f"{laboratory.name}, {number} fields: {step}"))
        seconds = time.monotonic() - began
        as_it_was = model.card.thresholds
        counted, home = dict(before.counted), dict(before.home)
        for choice in tried.choices[1:]:
            same = choice.model.path == model.path and choice.model.card.thresholds == as_it_was
            for of, table in ((laboratory.tested, counted), (at_home, home)):
                table[choice.kind] = table[adaptation.SHIPPED] if same else count(choice.model, of)
    told = {choice.kind: choice.told_gain for choice in tried.choices[1:]}
    return Point(model.sha256, [record.name for record in records], tried.kept.kind, told, seconds, counted, home)


def count(model: Model, records: Sequence[Record]) -> dict[str, list[int]]:
    """What a model counts in fields, outside of their ignore regions."""
    seen = {r.name: r.judged(finder.find(model, images.read(r.image)).cells).counts() for r in records if r.image}
    return {name: list(of_field.values()) for name, of_field in seen.items()}


def _read(path: Path, model: Model, at_home: Sequence[Record]) -> Point:
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    del content["machine"]
    point = Point(**content)
    if point.model != model.sha256:
        raise OutputError(f"{path}: was measured with another model; choose another --out")
    if point.home[adaptation.SHIPPED].keys() != {record.name for record in at_home}:
        raise OutputError(f"{path}: was measured with another --home or --every; choose another --out")
    return point


def _rows(laboratory: Laboratory, at_home: Sequence[Record], points: Mapping[tuple[str, int], Point]) -> list[Row]:
    rows = []
    for (name, number), point in points.items():
        if name != laboratory.name:
            continue
        for records, tables, where in ((laboratory.tested, point.counted, name), (at_home, point.home, HOME)):
            models = {adaptation.SHIPPED: tables[adaptation.SHIPPED]} if not number else {**tables, KEPT: tables[point.kept]}
            if number:
                del models[adaptation.SHIPPED]
            labelled = laboratory.labelled if where == name else (True,) * len(CLASSES)
            for kind, counted in models.items() if records else ():
                rows += [
                    Row(name, number, where, kind, label, *_errors(records, counted, tables, label, bool(number)))
                    for label in range(len(CLASSES))
                    if labelled[label]
                ]
    return rows


def _errors(
    records: Sequence[Record], counted: Counted, tables: Mapping[str, Counted], label: int, adapted: bool
) -> tuple[Interval, Interval | None]:
    groups = smears([record.name for record in records])
    truth = figures.count_cells(records, clear=False)[:, label].tolist()
    now, before = ([table[record.name][label] for record in records] for table in (counted, tables[adaptation.SHIPPED]))
    error = counts.agreement(now, truth, groups).mae or Interval(float(np.abs(np.subtract(now, truth)).mean()))
    return error, counts.differences(now, before, truth, groups).mae if adapted else None


def report(rows: Sequence[Row]) -> str:
    """A table of Markdown: a row for each number of fields and model, a column for each class."""
    lines: dict[tuple[str, int, str, str], list[str]] = {}
    for row in rows:
        texts = lines.setdefault((row.adapted_to, row.fields, row.counted, row.model), ["-"] * len(CLASSES))
        change = "" if row.change is None else f"; {markdown.shown(row.change, '+.2f')}"
        texts[row.label] = f"{markdown.shown(row.error)}{change}"
    table = [
        [name, str(number), where, _LINES.get(kind, "as it was"), *texts] for (name, number, where, kind), texts in lines.items()
    ]
    title = "Mean absolute error of the count per field, and how much more it is than before; 95 % intervals"
    return markdown.table(title, ["adapted to", "fields", "counted", "model", *CLASSES], table, words=4)


def draw(rows: Sequence[Row], target: Path) -> None:
    """Draw the error of each class in each laboratory against the number of corrected fields."""
    names = list(dict.fromkeys(row.adapted_to for row in rows))
    with style.settings():
        figure = style.begin(4.0 * len(CLASSES), 2.8 * len(names) + 0.4)
        panels = figure.subplots(len(names), len(CLASSES), squeeze=False)
        for i, name in enumerate(names):
            for label, axes in enumerate(panels[i]):
                _panel(
                    axes, name, [row for row in rows if (row.adapted_to, row.counted, row.label) == (name, name, label)], label
                )
        handles, labels = panels[0][0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside lower center", ncols=len(labels), frameon=False)
        figure.savefig(target, format="png", metadata={"Software": None})


def _panel(axes: Axes, name: str, rows: Sequence[Row], label: int) -> None:
    numbers = sorted({row.fields for row in rows})
    for shift, (kind, line) in enumerate(_LINES.items()):
        own = [row for row in rows if row.model in (kind, adaptation.SHIPPED)]
        place = [numbers.index(row.fields) + 0.08 * (shift - 1) for row in own]
        value = np.array([row.error.value for row in own])
        limits = np.array([row.error.limits or (row.error.value,) * 2 for row in own]).reshape(-1, 2)
        axes.errorbar(
            place,
            value,
            yerr=np.abs(limits - value[:, None]).T,
            color=style.COLOURS[shift],
            linestyle=style.DASHES[shift],
            marker="os^"[shift],
            capsize=3,
            label=line,
        )
    axes.set_xticks(range(len(numbers)), [str(number) for number in numbers])
    axes.set_ylim(bottom=0)
    axes.set(title=f"{name}: {CLASSES[label]}" if rows else f"{name}: {CLASSES[label]} not labelled", xlabel="corrected fields")
    axes.set_ylabel("error (cells per field)")


def parser() -> Parser:
    """What the command takes."""
    made = Parser("benchmarks.adapting", "[OPTION]... --data <path>", command.__doc__)
    add = made.add_argument
    add("--data", type=Path, action="extend", nargs="+", required=True, help="data.yaml of laboratories that the model never saw")
    add(
        "--home",
        type=Path,
        action="extend",
        nargs="+",
        default=[],
        help="data.yaml of its training: tells what is forgotten there",
    )
    add("--every", type=Number(int, 1), default=3, help="of so many val fields of --home one is counted")
    add("--model", type=Path, help="model to adapt, with its weights (.pt) beside it; default: the one shipped")
    add("--fields", type=Number(int, 0), nargs="+", default=NUMBERS, help="numbers of corrected fields")
    add("--split", default="test", help="of the fields that are measured on")
    add("--out", type=Path, default=Path("runs") / "adapting", help="folder for the points, the table and the plot")
    return made


def main() -> None:
    """Entry point."""
    run(command, parser())


if __name__ == "__main__":
    main()
