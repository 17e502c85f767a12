"""A whole count, from what a user named to the folder of results and what stands in the terminal."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from detector.commandline import (
    EXIT_DONE,
    EXIT_INTERRUPTED,
    EXIT_NOTHING_DONE,
    EXIT_SOME_FAILED,
    console,
    errors,
    progress_bar,
)
from detector.counting import density
from detector.engines import inputs, job, manifest
from detector.engines.pool import handed_on, workers_for
from detector.errors import OutputError, UsageError
from detector.output import results, tables, terminal
from detector.output.journal import Journal
from detector.output.outcome import Outcome
from detector.output.report import page, pictures
from detector.vision import scale, scan
from detector.vision.model import Model
from detector.vision.slides.formats import is_slide

if TYPE_CHECKING:
    from detector.accuracy.counts_table import CountsTable


@dataclass(frozen=True)
class Settings:
    """What was asked for, as `run.json` tells it."""

    inputs: Sequence[str]
    manifest: Path | None
    um_per_px: float | None
    rbc_per_ul: float | None
    ul_factor: float | None
    truth: Path | None
    backend: str
    threads: int | None
    tile_px: int

    def told(self) -> dict[str, Any]:
        """As JSON takes it."""
        return {name: str(value) if isinstance(value, Path) else value for name, value in asdict(self).items()}


@dataclass(frozen=True)
class Delivery:
    """Where results go, and how they are told."""

    out: Path | None
    """Folder for the results; None makes a new one."""
    overlays: bool
    resume: bool
    json: bool
    """Print one JSON document, and all words on standard error."""
    quiet: bool
    """Print nothing but what went wrong."""


def count(asked: Settings, opened: Callable[[], Model], delivery: Delivery, started: float) -> int:
    """Count what was asked for, and give the exit code.

    Args:
        opened: gives the model; it is opened elsewhere meanwhile.
        started: when the command was given, in seconds since the epoch.

    Raises:
        SmearcountError: nothing can be counted so.
    """
    if asked.um_per_px is not None:
        scale.check(asked.um_per_px, "--um-per-px")
    listed = manifest.read(asked.manifest) if asked.manifest else None
    for remark in listed.remarks if listed else ():
        errors.print(f"{asked.manifest}: {remark}", markup=False, soft_wrap=True)
    fields = inputs.find(asked.inputs, listed, asked.um_per_px)
    if asked.ul_factor is not None and all(field.um_per_px is None and not is_slide(field.path) for field in fields):
        raise UsageError("--ul-factor needs cells per mm²: give --um-per-px too, or a manifest with a um_per_px column")
    # Done while the interpreter idles, because the model is opened and works.
    preparing = threading.Thread(target=page.prepare)
    preparing.start()
    loaded = opened()
    scan.check_tile(asked.tile_px, loaded.card)
    # Read now, for its faults are nothing to learn of after an hour of counting.
    known: CountsTable | None = None
    if asked.truth is not None:
        from detector.accuracy import truth as manual  # imports much, which few counts need

        known = manual.read(asked.truth)
    folder = delivery.out or results.default_folder("count")
    results.prepare(folder, delivery.resume)
    try:
        with Journal(folder / results.JOURNAL, job.journal_key(loaded), delivery.resume) as journal:
            # What is found is written down while the rest is counted.
            with (
                progress_bar("counting", len(fields), delivery.quiet) as advance,
                handed_on(partial(results.write_cells, folder)) as each,
            ):
                drawn = folder / results.OVERLAYS if delivery.overlays else None
                most = pictures.most_bytes(len(fields))
                outcome = job.count(
                    fields, loaded, workers_for(asked.threads), journal, drawn, advance, most, asked.tile_px, each
                )
            per_ul = {smear.smear: density.per_ul(smear, asked.rbc_per_ul, asked.ul_factor) for smear in outcome.smears}
            described = results.describe_run(loaded, asked.told(), outcome.fields, started, time.time())
            results.write(folder, outcome, per_ul, described)
            preparing.join()
            page.write(folder / results.REPORT, outcome, per_ul, job.entries(fields, journal), described)
    except KeyboardInterrupt:
        errors.print(f"interrupted; continue with the same command and: --out {folder} --resume", markup=False, soft_wrap=True)
        return EXIT_INTERRUPTED
    words = Console(quiet=True) if delivery.quiet else errors if delivery.json else console
    terminal.print_warnings(errors, outcome)
    terminal.print_smears(words, outcome.smears, per_ul)
    if known is not None:
        _report_truth(words, folder, outcome, known)
    terminal.print_problems(errors, outcome)
    terminal.print_summary(words, outcome, folder, time.time() - started)
    if delivery.json:
        print(json.dumps(tables.document(outcome, per_ul, folder), indent=2))
    if not outcome.read:
        return EXIT_NOTHING_DONE
    return EXIT_SOME_FAILED if outcome.unread else EXIT_DONE


def _report_truth(words: Console, folder: Path, outcome: Outcome, truth: CountsTable) -> None:
    from detector.accuracy import tables as agreement
    from detector.accuracy.comparison import compare
    from detector.accuracy.counts_table import CountsTable

    smears = {field.field: field.smear for field in outcome.read}
    comparison = compare(CountsTable({field.field: field.raw for field in outcome.read}, smears=smears), truth)
    try:
        agreement.write(folder, comparison)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({error.strerror})") from None
    agreement.print_comparison(words, comparison, truth.remarks)
