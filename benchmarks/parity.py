"""Whether every backend counts what ONNX Runtime on the processor counts, field by field."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich import box
from rich.table import Table

from benchmarks.machine import described
from detector.annotations import dataset
from detector.arguments import Parser
from detector.commandline import console, progress_bar, run
from detector.engines import inputs
from detector.errors import EXIT_DONE, EXIT_SOME_FAILED, NothingToDoError
from detector.vision import backends, finder, images
from detector.vision.model import Model

LEAST_SAME, MOST_DIFFERENCE = 0.99, 1
"""What every backend is held to: share of fields with the same count, and cells by which a class may differ in a field."""

Counts = Mapping[str, int]


@dataclass(frozen=True)
class Parity:
    """One backend against the reference, over the same fields."""

    backend: str
    program: str
    fields: int
    same: float
    """Share of fields in which the counts of all classes are the same."""
    largest: int
    """Largest difference of one class in one field, in cells."""
    mean_absolute: dict[str, float]
    """Mean absolute difference per field, by class."""
    bias: dict[str, float]
    """Mean difference per field, by class."""
    differing: tuple[str, ...]
    """Fields with another count."""

    @property
    def met(self) -> bool:
        """Whether it is within what backends are held to."""
        return self.same >= LEAST_SAME and self.largest <= MOST_DIFFERENCE


def compare(backend: str, program: str, names: Sequence[str], reference: Sequence[Counts], counts: Sequence[Counts]) -> Parity:
    """Counts of the same fields, in the same order, compared."""
    differences = [{name: second[name] - first[name] for name in first} for first, second in zip(reference, counts, strict=True)]
    differing = tuple(name for name, difference in zip(names, differences, strict=True) if any(difference.values()))
    number = len(names)
    return Parity(
        backend,
        program,
        number,
        1 - len(differing) / number,
        max(abs(value) for difference in differences for value in difference.values()),
        {name: sum(abs(difference[name]) for difference in differences) / number for name in reference[0]},
        {name: sum(difference[name] for difference in differences) / number for name in reference[0]},
        differing,
    )


def command(
    *, data: Sequence[Path], split: str, fields: Sequence[str], backend: Sequence[str], model: Path | None, out: Path
) -> int:
    """Count the same fields with every backend; ends with 1 where one differs by more than is allowed."""
    paths = [record.image for file in data for record in dataset.read(file, split) if record.image is not None]
    paths += [field.path for field in inputs.search(fields).fields] if fields else []
    if not paths:
        raise NothingToDoError("no fields; give --data datasets/NAME/data.yaml or --fields FOLDER")
    others = backend or [name for name in backends.available() if name not in (backends.AUTO, backends.CPU)]
    names = [path.name for path in paths]
    _, reference = _counts(backends.CPU, model, paths)
    compared = []
    for name in others:
        loaded, counts = _counts(name, model, paths)
        compared.append(compare(name, loaded.network.program, names, reference, counts))
    _show(compared, len(paths))
    out.parent.mkdir(parents=True, exist_ok=True)
    content = {
        "machine": described(),
        "fields": len(paths),
        "parity": [{**asdict(parity), "met": parity.met} for parity in compared],
    }
    out.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    console.print(f"written to {out}", markup=False)
    return EXIT_DONE if all(parity.met for parity in compared) else EXIT_SOME_FAILED


def _counts(backend: str, model: Path | None, paths: Sequence[Path]) -> tuple[Model, list[Counts]]:
    loaded = Model.load(model, backend)
    counts: list[Counts] = []
    with progress_bar(backend, len(paths)) as advance:
        for path in paths:
            counts.append(finder.find(loaded, images.read(path)).cells.counts())
            advance(1)
    return loaded, counts


def _show(compared: Sequence[Parity], fields: int) -> None:
    title = f"{fields} fields against ONNX Runtime, float32, on the processor"
    table = Table("backend", "same count", "largest difference", "mean absolute difference", "", title=title, box=box.SIMPLE_HEAD)
    for parity in compared:
        by_class = ", ".join(f"{name} {value:.3f}" for name, value in parity.mean_absolute.items())
        table.add_row(
            parity.program, f"{100 * parity.same:.1f} %", str(parity.largest), by_class, "met" if parity.met else "MISSED"
        )
    console.print(table)


def parser() -> Parser:
    """What the command takes."""
    made = Parser("benchmarks.parity", "[OPTION]...", command.__doc__)
    made.add_argument("--data", type=Path, action="append", default=[], help="data.yaml of datasets whose fields are counted")
    made.add_argument("--split", default="val", help="of the datasets")
    made.add_argument("--fields", action="append", default=[], help="or folders with fields")
    made.add_argument("--backend", action="append", default=[], help="to compare; default: all that are there")
    made.add_argument("--model", type=Path, help="an .onnx model of ours; default: the one shipped")
    made.add_argument("--out", type=Path, default=Path("runs/benchmarks/parity.json"), help="JSON file for the figures")
    return made


def main() -> None:
    """Entry point."""
    run(command, parser())


if __name__ == "__main__":
    main()
