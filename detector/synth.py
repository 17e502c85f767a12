"""`python -m detector.synth`: render fields of a stained smear, with their exact truth."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from detector.commandline import console, progress_bar, run
from detector.errors import OutputError, UsageError
from detector.synthetic.layout import UM_PER_PX, Density
from detector.synthetic.series import MIXED, Series
from detector.synthetic.stain import PRESETS
from detector.synthetic.truth import BOXES, COUNTS, Truth, write_jpeg


def synth(
    out: Annotated[Path, typer.Option(help="A new or empty folder for the fields and their truth.")],
    fields: Annotated[int, typer.Option(help="Fields of each smear.", min=1)] = 5,
    smears: Annotated[int, typer.Option(help="Smears, each a folder.", min=1, max=26)] = 1,
    size: Annotated[str, typer.Option(help="Width and height of a field in pixels.")] = "640x480",
    seed: Annotated[int, typer.Option(help="The same seed and options give the same fields.", min=0)] = 0,
    um_per_px: Annotated[float, typer.Option(help="Scale; red cells are 7.6 µm wide.")] = UM_PER_PX,
    stain: Annotated[str, typer.Option(help=f"The look: {', '.join(PRESETS)}, or {MIXED} for each in turn.")] = "bccd",
    rbc: Annotated[float | None, typer.Option(help="Mean red cells in a field; a normal monolayer's unless given.")] = None,
    wbc: Annotated[float | None, typer.Option(help="Mean white cells in a field.")] = None,
    platelets: Annotated[float | None, typer.Option(help="Mean platelets in a field.")] = None,
    touching: Annotated[float, typer.Option(help="Share of red cells that touch or overlap another.")] = Density.touching,
) -> None:
    """Render stained smear fields with exact boxes, as smear_a/field_01.jpg and so on.

    Beside them are written truth.csv (cells of every class in each field) and truth.json (boxes, COCO layout).
    """
    series = Series(fields, smears, _size_wh(size), seed, um_per_px, stain, rbc, wbc, platelets, touching)
    _refuse_full(out)
    try:
        truth = _write(series, out)
    except OSError as error:
        raise OutputError(f"--out {out}: {error.strerror or error}; name a folder that can be written") from error
    cells = ", ".join(f"{n} {name}" for name, n in truth.totals().items())
    console.print(f"{fields * smears} fields with {cells}", soft_wrap=True)
    console.print(f"written to {out}, truth in {COUNTS} and {BOXES}", soft_wrap=True, markup=False)


def _size_wh(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"([1-9]\d{0,5})[xX]([1-9]\d{0,5})", text.strip())
    if not found:
        raise UsageError(f"--size {text}: give width and height in pixels, such as 640x480")
    return int(found[1]), int(found[2])


def _refuse_full(out: Path) -> None:
    if out.is_file():
        raise UsageError(f"--out {out} is a file; name a new or empty folder")
    if out.is_dir() and any(out.iterdir()):
        raise UsageError(f"--out {out} is not empty and nothing is overwritten; name a new or empty folder")


def _write(series: Series, out: Path) -> Truth:
    settings = ", ".join(f"{name} {value}" for name, value in asdict(series).items() if value is not None)
    truth = Truth(f"synthetic blood smear fields: {settings}")
    with progress_bar("rendering", series.fields * series.smears) as advance:
        for name, field in series.render():
            write_jpeg(out / name, field)
            truth.add(name, field)
            advance(1)
    (out / COUNTS).write_text(truth.csv(), encoding="utf-8", newline="\n")
    (out / BOXES).write_text(truth.coco(), encoding="utf-8", newline="\n")
    return truth


def main() -> None:
    """Run the command."""
    run(synth, "python -m detector.synth")


if __name__ == "__main__":
    main()
