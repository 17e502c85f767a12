"""A whole count, from what a user named to the folder of results and what stands in the terminal."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from rich.console import Console

from detector import process
from detector.arguments import option
from detector.commandline import console, errors, for_people, print_json, progress_bar
from detector.engines import job, manifest
from detector.engines.options import CountOptions
from detector.errors import EXIT_DONE, EXIT_INTERRUPTED, EXIT_NOTHING_DONE, EXIT_SOME_FAILED
from detector.output import pdf, results, tables, terminal
from detector.output.outcome import Outcome
from detector.output.report import page
from detector.vision import scan
from detector.vision.model import Model

if TYPE_CHECKING:
    from pathlib import Path

    from detector.accuracy.tables import CountsTable


def count_into_folder(options: CountOptions, opened: Callable[[], Model], started: float) -> int:
    """Count what is asked for, and give the exit code.

    Args:
        opened: gives the model; it is opened elsewhere meanwhile.
        started: when the command was given, in seconds since the epoch.

    Raises:
        SmearcountError: nothing can be counted so.
    """
    for remark in manifest.read(options.manifest).remarks if options.manifest else ():
        errors.print(f"{options.manifest}: {remark}", markup=False, soft_wrap=True)
    exported = _formats(options)
    if options.pdf:
        pdf.require(option("pdf"))
    searched = job.search(options, option)
    fields = searched.fields
    # Done while the interpreter idles, because the model is opened and works.
    preparing = threading.Thread(target=page.prepare)
    preparing.start()
    model = opened()
    process.check()
    scan.check_tile(options.tile_px, model.card, option)
    # Read now, for its faults are nothing to learn of after an hour of counting.
    truth = None if options.truth is None else job.truth_of(options.truth)
    folder = options.out or results.default_folder("count")
    results.prepare(folder, options.resume)
    try:
        # What is found is written down while the rest is counted.
        with progress_bar("counting", len(fields), options.quiet) as advance:
            outcome = job.count_into(folder, searched, options, model, started, advance, _warn)
        preparing.join()
        failed = _export(exported, folder, {field.field: field.path for field in fields}) if exported else []
    except KeyboardInterrupt:
        errors.print(f"interrupted; continue with the same command and: --out {folder} --resume", markup=False, soft_wrap=True)
        return EXIT_INTERRUPTED
    words = Console(quiet=True) if options.quiet else for_people(options.json)
    terminal.print_warnings(errors, outcome)
    terminal.print_smears(words, outcome.smears)
    if outcome.shapes is not None:
        terminal.print_shapes(words, outcome.shapes)
    if truth is not None:
        _report_truth(words, folder, outcome, truth)
    terminal.print_problems(errors, outcome)
    terminal.print_skipped(errors, searched.skipped_line())
    terminal.print_summary(words, outcome, folder, time.time() - started)
    if options.json:
        print_json(tables.document(outcome, folder))
    if not outcome.read:
        return EXIT_NOTHING_DONE
    return EXIT_SOME_FAILED if outcome.unread or failed else EXIT_DONE


def count_archive(options: CountOptions, opened: Callable[[], Model], started: float) -> int:
    """Count what is asked for on a cluster, and give the exit code; arguments and errors as of `count_into_folder`."""
    from detector.engines import archive, ray

    archive.check(options, option)
    model = opened()
    scan.check_tile(options.tile_px, model.card, option)
    key = job.journal_key(model, options.tile_px)
    fields = archive.Archive(options)
    with archive.folder_of(options, key) as store:
        try:
            with progress_bar("counting", None, options.quiet) as advance:
                flow = archive.Flow(fields.smears(), advance)
                ray.run(flow, archive.setup_of(options, store, key), options.ray_address, options.threads)
            archive.finish(store, flow.totals, options, model, started)
        except KeyboardInterrupt:
            errors.print(
                f"interrupted; continue with the same command and: --out {store.place} --resume", markup=False, soft_wrap=True
            )
            return EXIT_INTERRUPTED
    words = Console(quiet=True) if options.quiet else console
    terminal.print_skipped(errors, fields.skipped_line())
    terminal.print_totals(words, errors, flow.totals, store.place, time.time() - started)
    if not flow.totals.numbers["read"]:
        return EXIT_NOTHING_DONE
    return EXIT_SOME_FAILED if flow.totals.numbers["unread"] else EXIT_DONE


def _formats(options: CountOptions) -> list[str]:
    """The formats for other tools that are asked for; refused now, and not after an hour of counting.

    Raises:
        UsageError: there is no such format. MissingExtraError: a package that one needs is not installed.
    """
    if not options.export:
        return []
    from detector.output.exchange import formats  # imports much, which few counts need

    return formats.require(options.export, option("export"))


def _export(names: list[str], folder: Path, places: dict[str, Path]) -> list[str]:
    """Write the cells for other tools; what could not be written, a line each."""
    from detector.output.exchange import formats, run

    exported = formats.write(run.read(folder, places), names, folder / results.EXCHANGE)
    for line in (*(f"note: {remark}" for remark in exported.remarks), *(f"error: {line}" for line in exported.failed)):
        errors.print(line, markup=False, soft_wrap=True)
    return exported.failed


def _warn(remark: str) -> None:
    errors.print(f"warning: {remark}", style="yellow", markup=False, soft_wrap=True)


def _report_truth(words: Console, folder: Path, outcome: Outcome, truth: CountsTable) -> None:
    # These import much, which few counts need.
    from detector.accuracy import terminal as agreement
    from detector.accuracy.report import metrics

    comparison = job.compare(outcome, truth)
    results.write_truth(folder, metrics.against_truth(comparison, truth.remarks))
    agreement.print_comparison(words, comparison, truth.remarks)
