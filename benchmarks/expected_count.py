"""How often the expected true count is right: in simulations, and in validation fields that were held out of its correction."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.simulated_counts import SCENARIOS, WRONG, simulate, sums_of
from detector.accuracy.matching import hit_counts
from detector.annotations import dataset
from detector.arguments import Number, Parser
from detector.commandline import console, progress_bar, run
from detector.counting.expected import corrections
from detector.errors import EXIT_DONE, AnnotationError
from detector.vision import finder, images
from detector.vision.cells import CLASSES, RBC
from detector.vision.model import Model

FIELDS = (1, 5, 20)
"""Numbers of fields in a smear that is drawn from those held out."""
DRAWN = 400
"""Smears drawn for each figure."""

Tallied = dict[str, NDArray[np.int64]]
"""By domain: true, false and missed in each field by class, of shape (fields, 3, classes)."""


def command(*, data: Sequence[Path], model: Path | None, calibrations: int) -> int:
    """Print in what share of smears the 95 % intervals of the expected true count hold the truth."""
    tallied = _tallied(Model.load(model), data) if data else {}
    console.print(
        "simulated: share of smears whose cells, and whose cells per field, are in the interval; its width over the cells"
    )
    for scenario in (*SCENARIOS, WRONG):
        got = simulate(scenario, calibrations)
        console.print(f"  {scenario.name:34s} {got.total:.3f}  {got.mean:.3f}  {got.width:.2f}")
    if tallied:
        fields = ", ".join(f"{name} {len(numbers)}" for name, numbers in tallied.items())
        console.print(f"val fields: {fields}", soft_wrap=True)
        _print_held_out("half of each domain held out", [half for seed in range(20) for half in _halves(tallied, seed)])
    if len(tallied) > 1:
        _print_held_out("a domain held out", list(_left_out(tallied)))
    return EXIT_DONE


def _tallied(model: Model, data: Sequence[Path]) -> Tallied:
    """The model's counts of the val fields against their labels.

    Raises:
        AnnotationError: there are none.
    """
    by_domain: dict[str, list[NDArray[np.int64]]] = {}
    named = [(dataset.domains(file), record) for file in data for record in dataset.read(file, "val")]
    if not named:
        raise AnnotationError(f"{', '.join(map(str, data))}: no val fields; convert again with some")
    with progress_bar("counting", len(named)) as advance:
        for domain_of, record in named:
            if record.image is not None:
                detections = finder.find(model, images.read(record.image)).cells
                by_domain.setdefault(domain_of(record.name), []).append(hit_counts([record], [detections])[0])
            advance(1)
    return {name: np.stack(fields) for name, fields in sorted(by_domain.items())}


def _halves(tallied: Tallied, seed: int) -> Iterator[tuple[Tallied, Tallied]]:
    """Fields to measure the error on, and fields of the same domains to count, at random and the other way round."""
    rng = np.random.default_rng(seed)
    orders = {name: rng.permutation(len(numbers)) for name, numbers in tallied.items()}
    first = {name: numbers[orders[name][: len(numbers) // 2]] for name, numbers in tallied.items()}
    second = {name: numbers[orders[name][len(numbers) // 2 :]] for name, numbers in tallied.items()}
    yield first, second
    yield second, first


def _left_out(tallied: Tallied) -> Iterator[tuple[Tallied, Tallied]]:
    for name, numbers in tallied.items():
        yield {other: fields for other, fields in tallied.items() if other != name}, {name: numbers}


def _print_held_out(title: str, parts: Sequence[tuple[Tallied, Tallied]]) -> None:
    console.print(f"{title}: the same, by fields of a smear")
    for label, name in enumerate(CLASSES):
        entries = []
        for fields in FIELDS:
            held = np.array(
                [smear for measured, counted in parts for smear in _held(measured, counted, label, fields, len(parts))]
            )
            entries.append("not known" if not len(held) else "{:.3f} {:.3f} {:.2f}".format(*_summed_up(held)))
        console.print(f"  {name:10s} " + "   ".join(f"{n}: {entry}" for n, entry in zip(FIELDS, entries, strict=True)))


def _summed_up(held: NDArray[np.float64]) -> tuple[float, float, float]:
    in_total, in_mean, width, cells = held.mean(axis=0)
    return float(in_total), float(in_mean), float(width / cells) if cells else float("inf")


def _held(measured: Tallied, counted: Tallied, label: int, fields: int, parts: int) -> Iterator[tuple[float, ...]]:
    """Of smears drawn from the fields held out: whether the intervals hold the cells and their mean, the width, the cells."""
    sums = {CLASSES[i]: {name: sums_of(*f[:, :, i].T) for name, f in measured.items()} for i in {label, RBC}}
    correction = corrections(sums)[CLASSES[label]]
    if correction is None:
        return
    rng = np.random.default_rng(fields)
    for numbers in counted.values():
        true, false, missed = numbers[:, :, label].T
        red = numbers[:, 0, RBC] + numbers[:, 1, RBC]
        for _ in range(max(DRAWN // (parts * len(counted)), 1)):
            drawn = rng.integers(0, len(numbers), fields)
            counts, truth = (true + false)[drawn].tolist(), int((true + missed)[drawn].sum())
            total, mean = correction.total(sum(counts), int(red[drawn].sum())), correction.mean(counts, int(red[drawn].sum()))
            in_mean = mean is not None and mean.low <= (true + missed).mean() <= mean.high
            yield total.low <= truth <= total.high, in_mean, total.high - total.low, truth


def parser() -> Parser:
    """What the command takes."""
    made = Parser("benchmarks.expected_count", "[OPTION]...", command.__doc__)
    made.add_argument(
        "--data", type=Path, action="append", default=[], help="data.yaml of datasets whose val fields are held out in turn"
    )
    made.add_argument("--model", type=Path, help="an .onnx model of ours; default: the one shipped")
    made.add_argument(
        "--calibrations", type=Number(int, 1), default=1000, help="calibrations in each simulation, with 4 smears each"
    )
    return made


def main() -> None:
    """Entry point."""
    run(command, parser())


if __name__ == "__main__":
    main()
