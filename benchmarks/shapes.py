"""What `--shapes` adds to the processor time of a count, beside finding and measuring the cells of the same fields."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import machine
from detector.arguments import Number, Parser
from detector.commandline import console, run
from detector.counting.shapes import of_smears
from detector.errors import EXIT_DONE
from detector.vision import finder, images, quality
from detector.vision.model import Model
from detector.vision.shapes import NOT_SURE, SHIPPED, FieldShapes, ShapeModel


@dataclass(frozen=True)
class Timed:
    """One field."""

    finding_s: float
    """Processor time of finding and measuring its cells."""
    shapes_s: float
    """Processor time of their shapes."""
    looked: FieldShapes
    """What its cells were called."""

    @property
    def cells(self) -> int:
        """Red cells clear of the border."""
        return sum(self.looked.cells.values())


def command(*, fields: Sequence[Path], shapes: Path, repeats: int) -> int:
    """Print the processor time of shapes over that of finding cells, on one thread, and whether the shares would be warned of.

    The scale of a field is known before, as that of its smear is in a count. Times are the medians of the repeats.
    """
    model, second = Model.load(threads=1), ShapeModel.load(shapes)
    timed = [measure(model, second, path, repeats) for path in fields]
    cells, finding, own = (sum(getattr(one, name) for one in timed) for name in ("cells", "finding_s", "shapes_s"))
    console.print(f"{len(timed)} fields, {cells / len(timed):.1f} red cells clear of the border per field")
    console.print(f"finding and measuring {finding:.3f} s, shapes {own:.3f} s, ratio {own / finding:.3f}")
    smear = of_smears((("", one.looked) for one in timed), second).smears[0]
    shares = [0.0 if interval is None else interval.value for interval in (smear.shapes[NOT_SURE].share, smear.strange_share)]
    console.print(
        f"of {cells} cells not sure {shares[0]:.1%}, unlike {shares[1]:.1%}; unlike {smear.unlike} of {smear.fields} fields"
    )
    console.print(f"warning of one smear of these fields: {smear.warning or 'none'}", soft_wrap=True)
    console.print(machine.described())
    return EXIT_DONE


def measure(model: Model, second: ShapeModel, path: Path, repeats: int) -> Timed:
    """The times of one field, after one look that is not timed."""
    rgb = images.read(path)
    scale = finder.find(model, rgb).scale
    finding, own = [], []
    for _ in range(repeats + 1):
        began = time.process_time()
        searched = finder.find(model, rgb, scale)
        measured = quality.measure(rgb, searched.cells)
        ended = time.process_time()
        looked = second.look(rgb, searched.cells, searched.scale.rbc_px, measured)
        own.append(time.process_time() - ended)
        finding.append(ended - began)
    medians = (float(np.median(times[1:])) for times in (finding, own))
    return Timed(*medians, looked)


def parser() -> Parser:
    """What the command takes."""
    made = Parser("benchmarks.shapes", "[OPTION]... FIELD...", command.__doc__)
    made.add_argument("fields", nargs="+", type=Path, help="photographs of fields")
    made.add_argument("--shapes", type=Path, default=SHIPPED, help="classifier of shapes; default: the shipped one")
    made.add_argument("--repeats", type=Number(int, 1), default=5, help="times that each field is looked at")
    return made


def main() -> None:
    """Entry point."""
    run(command, parser())


if __name__ == "__main__":
    main()
