"""Count red cells, white cells and platelets in photographs of blood smears."""

from __future__ import annotations

import atexit
import gc
import math
import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

if __name__ == "__main__":
    # Read when NumPy is imported. No matrices are multiplied here, and OpenBLAS's threads wait for some in a loop.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from detector.arguments import Number, Parser, called
from detector.commandline import run
from detector.errors import UsageError
from detector.vision import backends
from detector.vision.model import Model, processors
from detector.vision.tiles import TILE_PX


def count(  # noqa: PLR0913
    *, inputs: Sequence[str], out: Path | None, model: Path | None, manifest_file: Path | None, um_per_px: float | None,
    rbc_per_ul: float | None, ul_factor: float | None, truth: Path | None, overlays: bool, backend: str, threads: int | None,
    tile_px: int, resume: bool, json: bool, quiet: bool,
) -> int:  # fmt: skip
    """Count red cells, white cells and platelets in photographs of blood smears.

    Writes report.html (for people), counts.csv (a row per field), smears.csv (a row per smear and class, with 95 %
    intervals), detections.json and run.json, and says which fields could not be read and why.
    """
    started = time.time()
    _check(inputs, out, manifest_file, rbc_per_ul, ul_factor, resume)
    with ThreadPoolExecutor(1) as beside:
        opening = beside.submit(Model.load, model, backend, threads or processors())
        # Imported while the model is opened, which mostly leaves the interpreter free.
        from detector import batch

        settings = batch.Settings(inputs, manifest_file, um_per_px, rbc_per_ul, ul_factor, truth, backend, threads, tile_px)
        delivery = batch.Delivery(out, overlays, resume, json, quiet)
        return batch.count(settings, opening.result, delivery, started)


def _check(
    inputs: Sequence[str], out: Path | None, manifest_file: Path | None,
    rbc_per_ul: float | None, ul_factor: float | None, resume: bool,
) -> None:  # fmt: skip
    if not inputs and manifest_file is None:
        raise UsageError(
            f"no INPUT: give images, a folder or a pattern, for example {called('count')} slides/; {called('demo')} counts samples"
        )
    if resume and out is None:
        raise UsageError("--resume needs --out, the folder of the count to continue")
    for name, value in (("--rbc-per-ul", rbc_per_ul), ("--ul-factor", ul_factor)):
        if value is not None and not (math.isfinite(value) and value > 0):
            raise UsageError(f"{name} must be a positive number, got {value:g}")
    if rbc_per_ul is not None:
        from detector.counting import density  # imports much, which few counts need before the model is opened

        density.check_red_cells(rbc_per_ul, "--rbc-per-ul")
    if rbc_per_ul is not None and ul_factor is not None:
        raise UsageError("--rbc-per-ul and --ul-factor are two ways to counts per µL; give one of them")


def parser() -> Parser:
    """What the command takes."""
    made = Parser("count", "[OPTION]... [INPUT]...", count.__doc__)
    add = made.add_argument
    add("inputs", metavar="INPUT", nargs="*", help="images, slides, folders (each subfolder is a smear), patterns")
    add("--out", type=Path, help="folder for the results; default: runs/count/<time>")
    add("--model", type=Path, help="an .onnx model of ours; default: the one shipped")
    add("--manifest", type=Path, dest="manifest_file", help="CSV: field,smear[,um_per_px]")
    add("--um-per-px", type=Number(float), help="micrometres per pixel: gives counts per mm²")
    add("--rbc-per-ul", type=Number(float), help="red cells per µL from an analyser: gives counts per µL")
    add("--ul-factor", type=Number(float), help="your own factor from cells per mm² to cells per µL")
    add("--truth", type=Path, help="labels (VOC, YOLO, COCO) or a CSV of manual counts to compare with")
    add("--overlays", action="store_true", help="draw the cells on each field")
    add("--backend", default=backends.AUTO, help=f"what runs the model: {', '.join(backends.NAMES)}")
    add(
        "--threads",
        type=Number(int, 1),
        help="fields, or tiles of large ones, worked on at a time; default: one more than processors",
    )
    add("--tile-px", type=Number(int), default=TILE_PX, help="side of a slide's tiles in the model's own pixels")
    add("--resume", action="store_true", help="continue the interrupted count in --out")
    add("--json", action="store_true", help="print the results as one JSON document, and words on standard error")
    add("--quiet", action="store_true", help="print only what went wrong")
    return made


def main() -> None:
    """Entry point."""
    run(count, parser())


if __name__ == "__main__":
    # What was imported stays. Looking through it for garbage takes 25 ms at the start, and 60 to 100 ms at the end.
    gc.freeze()
    atexit.register(gc.freeze)
    main()
