"""`smearcount review`: look at the cells of a count and correct them, on a page in the browser."""

from __future__ import annotations

import getpass
import os
import sys
import time
import webbrowser
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from detector import batch, process
from detector.arguments import Parser
from detector.commandline import console, errors, run
from detector.engines.options import CountOptions
from detector.errors import EXIT_DONE, EXIT_INTERRUPTED, EXIT_NOTHING_DONE, UsageError
from detector.output import pdf, results, serving
from detector.review import outcome
from detector.review.journal import ReviewJournal
from detector.review.opened import open_run
from detector.review.review import Review, reader_name
from detector.review.server import ReviewPage
from detector.vision.model import Model, processors


@dataclass(frozen=True)
class ReviewOptions:
    """The options by their names; `parser` says what they are."""

    folder: Path
    pictures: Path | None = None
    reader: str | None = None
    serve: str = "0"
    no_browser: bool = False
    write: bool = False
    dataset: bool = False
    pdf: bool = False


def review(options: ReviewOptions) -> int:
    """Look at the cells of a count and correct them, on a page that only this computer serves.

    FOLDER is the folder of a count's results, or one of pictures, which is counted first. Each change is on disk, in review.jsonl in the
    folder of results, before the page shows it as made. The reviewed counts.csv, smears.csv, detections.json, confusion.csv and report.html
    are written into the folder reviewed beside the counted ones. Ctrl-C ends the page.
    """
    reader = reader_name(options.reader or account())
    place = serving.address(options.serve)
    for name in ("dataset", "pdf"):
        if getattr(options, name) and not options.write:
            raise UsageError(f"--{name} needs --write; on the page there is a box to tick for it")
    if options.pdf:
        pdf.require("--pdf")
    folder = options.folder
    if not (folder / results.CELLS).exists():
        folder, code = _counted(folder)
        if code in (EXIT_INTERRUPTED, EXIT_NOTHING_DONE):
            return code
    opened = open_run(folder, options.pictures)
    if opened.fields and all(field.result.slide is not None for field in opened.fields):
        raise UsageError(f"{folder}: {opened.fields[0].result.field} is {opened.fields[0].problem}")
    with ReviewJournal(folder, opened.sha256) as journal:
        reviewed = Review(opened, journal)
        for remark in reviewed.remarks:
            errors.print(f"warning: {remark}", style="yellow", markup=False, soft_wrap=True)
        lost = [field for field in opened.fields if field.problem and field.is_read]
        if lost:
            errors.print(
                f"warning: {len(lost)} of {len(opened.fields)} fields cannot be looked at: {lost[0].result.field}: {lost[0].problem}",
                style="yellow", markup=False, soft_wrap=True,
            )  # fmt: skip
        if options.write:
            return _write(reviewed, options)
        page = ReviewPage(place, reviewed, reader)
        with process.collected_signals() as caught, page:
            show(page, caught, options.no_browser)
    return EXIT_DONE


def account() -> str:
    """Name of the account that the program runs under."""
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "reader"


def _counted(pictures: Path) -> tuple[Path, int]:
    """Count a folder of pictures, and give the folder of the results and the exit code."""
    if not pictures.is_dir():
        raise UsageError(f"{pictures}: is not a folder; give the folder of a count's results, or one of pictures")
    out = results.default_folder("count")
    options = CountOptions([str(pictures)], out=out)
    started = time.time()
    with process.answering("wait"):
        return out, batch.count_into_folder(options, lambda: Model.load(None, options.backend, processors()), started)


def _write(reviewed: Review, options: ReviewOptions) -> int:
    console.print(f"written to {outcome.write(reviewed, options.pdf)}", soft_wrap=True, markup=False)
    if options.dataset:
        console.print(f"dataset: {outcome.write_dataset(reviewed)}", soft_wrap=True, markup=False)
    return EXIT_DONE


def show(page: serving.Server, caught: Sequence[int], no_browser: bool) -> None:
    """Tell the address of a page that is served, open it in a browser, and wait for a signal.

    Args:
        caught: signals that came, as `process.collected_signals` gives them.
    """
    errors.print(f"page: {page.url}", soft_wrap=True, markup=False, highlight=False)
    if page.warning:
        errors.print(f"warning: {page.warning}", style="yellow", markup=False, soft_wrap=True)
    errors.print("each change is on disk at once; Ctrl-C ends the page", soft_wrap=True)
    if not no_browser and _has_screen():
        webbrowser.open(page.url)
    while not caught:
        time.sleep(0.1)


def _has_screen() -> bool:
    """Whether a browser would open in a window: one in the terminal would take it from this program."""
    return sys.platform in ("win32", "darwin") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def parser() -> Parser:
    """What the command takes."""
    made = Parser("review", "FOLDER [OPTION]...", review.__doc__)
    add = made.add_argument
    add("folder", metavar="FOLDER", type=Path, help="results of a count, or pictures to count and look at")
    add("--pictures", type=Path, help="folder from which the fields are named, if the pictures are elsewhere than at the count")
    add("--reader", help="who looks; default: the name of your account. The page lets you change it")
    add(
        "--serve",
        default=ReviewOptions.serve,
        help="port of the page, or HOST:PORT to be reached from other computers; 0 takes a free one",
    )
    add("--no-browser", action="store_true", help="print the page's address and open no browser")
    add("--write", action="store_true", help="write the reviewed results and end, without a page")
    add("--pdf", action="store_true", help="with --write: also write the report as a PDF to print and sign")
    add("--dataset", action="store_true", help="with --write: also write the fields that were looked at as a dataset for train")
    return made


def main() -> None:
    """Entry point."""
    run(review, parser(), ReviewOptions)
