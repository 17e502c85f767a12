"""Count red cells, white cells and platelets in photographs of blood smears."""

from __future__ import annotations

import atexit
import gc
import math
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from detector.commandline import (
    EXIT_DONE,
    EXIT_INTERRUPTED,
    EXIT_NOTHING_DONE,
    EXIT_SOME_FAILED,
    console,
    errors,
    progress_bar,
    run,
)
from detector.counting import density
from detector.engines import inputs as engine_inputs
from detector.engines import job, manifest
from detector.errors import OutputError, UsageError
from detector.output import results, terminal
from detector.output.journal import Journal
from detector.output.outcome import Outcome
from detector.output.report import page, pictures
from detector.vision import backends, finder, scan
from detector.vision.model import Model, processors
from detector.vision.slides.formats import is_slide

if TYPE_CHECKING:
    from detector.accuracy.counts_table import CountsTable


def count(
    inputs: Annotated[
        list[str] | None, typer.Argument(metavar="INPUT", help="images, slides, folders (each subfolder is a smear), patterns")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="folder for the results; default: runs/count/<time>")] = None,
    model: Annotated[Path | None, typer.Option(help="an .onnx model of ours; default: the one shipped")] = None,
    manifest_file: Annotated[Path | None, typer.Option("--manifest", help="CSV: field,smear[,um_per_px]")] = None,
    um_per_px: Annotated[float | None, typer.Option(help="micrometres per pixel: gives counts per mm²")] = None,
    rbc_per_ul: Annotated[float | None, typer.Option(help="red cells per µL from an analyser: gives counts per µL")] = None,
    ul_factor: Annotated[float | None, typer.Option(help="your own factor from cells per mm² to cells per µL")] = None,
    truth: Annotated[Path | None, typer.Option(help="labels (VOC, YOLO, COCO) or a CSV of manual counts to compare with")] = None,
    overlays: Annotated[bool, typer.Option("--overlays", help="draw the cells on each field")] = False,
    backend: Annotated[str, typer.Option(help=f"what runs the model: {', '.join(backends.NAMES)}")] = backends.AUTO,
    threads: Annotated[int | None, typer.Option(min=1, help="fields worked on at a time; default: one per processor")] = None,
    tile_px: Annotated[int, typer.Option(help="side of a slide's tiles in the model's own pixels")] = scan.TILE_PX,
    resume: Annotated[bool, typer.Option("--resume", help="continue the interrupted count in --out")] = False,
) -> int:
    """Count red cells, white cells and platelets in photographs of blood smears.

    Writes report.html (for people), counts.csv (a row per field), smears.csv (a row per smear and class, with 95 %
    intervals), detections.json and run.json, and says which fields could not be read and why.
    """
    started = time.time()
    _check(inputs, out, manifest_file, um_per_px, rbc_per_ul, ul_factor, resume)
    listed = manifest.read(manifest_file) if manifest_file else None
    fields = engine_inputs.find(inputs or [], listed, um_per_px)
    if ul_factor is not None and all(field.um_per_px is None and not is_slide(field.path) for field in fields):
        raise UsageError("--ul-factor needs cells per mm²: give --um-per-px too, or a manifest with a um_per_px column")
    # Done while the interpreter idles, because the model is opened and works.
    preparing = threading.Thread(target=page.prepare)
    preparing.start()
    workers = threads or processors()
    loaded = Model.load(model, backend, workers)
    scan.check_tile(tile_px, loaded.card)
    # Read now, for its faults are nothing to learn of after an hour of counting.
    known: CountsTable | None = None
    if truth is not None:
        from detector.accuracy import truth as manual  # imports much, which few counts need

        known = manual.read(truth)
    folder = out or results.default_folder("count")
    results.prepare(folder, resume)
    try:
        with Journal(folder / results.JOURNAL, job.journal_key(loaded), resume) as journal:
            with progress_bar("counting", len(fields)) as advance:
                drawn = folder / results.OVERLAYS if overlays else None
                outcome = job.count(fields, loaded, workers, journal, drawn, advance, pictures.most_bytes(len(fields)), tile_px)
            per_ul = {smear.smear: density.per_ul(smear, rbc_per_ul, ul_factor) for smear in outcome.smears}
            settings = {"inputs": inputs, "manifest": manifest_file and str(manifest_file), "um_per_px": um_per_px,
                        "rbc_per_ul": rbc_per_ul, "ul_factor": ul_factor, "truth": truth and str(truth),
                        "backend": backend, "threads": threads, "tile_px": tile_px}  # fmt: skip
            described = results.describe_run(loaded, settings, outcome.fields, started, time.time())
            results.write(folder, outcome, per_ul, job.entries(fields, journal), described)
            preparing.join()
            page.write(folder / results.REPORT, outcome, per_ul, job.entries(fields, journal), described)
    except KeyboardInterrupt:
        errors.print(f"interrupted; continue with the same command and: --out {folder} --resume", markup=False, soft_wrap=True)
        return EXIT_INTERRUPTED
    terminal.print_smears(console, outcome.smears, per_ul)
    if known is not None:
        _report_truth(folder, outcome, known)
    terminal.print_problems(errors, outcome.fields)
    terminal.print_summary(console, outcome, folder, time.time() - started)
    if not outcome.read:
        return EXIT_NOTHING_DONE
    return EXIT_SOME_FAILED if outcome.unread else EXIT_DONE


def _check(
    inputs: Sequence[str] | None, out: Path | None, manifest_file: Path | None,
    um_per_px: float | None, rbc_per_ul: float | None, ul_factor: float | None, resume: bool,
) -> None:  # fmt: skip
    if not inputs and manifest_file is None:
        raise UsageError("no INPUT: give images, a folder or a pattern, for example python -m detector.count datasets/samples")
    if resume and out is None:
        raise UsageError("--resume needs --out, the folder of the count to continue")
    if um_per_px is not None:
        finder.check_scale(um_per_px, "--um-per-px")
    for name, value in (("--rbc-per-ul", rbc_per_ul), ("--ul-factor", ul_factor)):
        if value is not None and not (math.isfinite(value) and value > 0):
            raise UsageError(f"{name} must be a positive number, got {value:g}")
    if rbc_per_ul is not None and ul_factor is not None:
        raise UsageError("--rbc-per-ul and --ul-factor are two ways to counts per µL; give one of them")


def _report_truth(folder: Path, outcome: Outcome, truth: CountsTable) -> None:
    from detector.accuracy import tables
    from detector.accuracy.comparison import compare
    from detector.accuracy.counts_table import CountsTable

    smears = {field.field: field.smear for field in outcome.read}
    comparison = compare(CountsTable({field.field: field.raw for field in outcome.read}, smears=smears), truth)
    try:
        tables.write(folder, comparison)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({error.strerror})") from None
    tables.print_comparison(console, comparison, truth.remarks)


def main() -> None:
    """Entry point."""
    run(count, "python -m detector.count")


if __name__ == "__main__":
    # What was imported stays. Looking through it for garbage takes 25 ms at the start, and 60 to 100 ms at the end.
    gc.freeze()
    atexit.register(gc.freeze)
    main()
