"""Count the cells of a smear under a microscope camera or in a video, each once."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from rich.live import Live as Redrawn

from detector.arguments import Number, Parser
from detector.commandline import console, errors, run
from detector.errors import UsageError
from detector.output import results, terminal
from detector.streams import finishing, journal, modes
from detector.streams.capture import Capture
from detector.streams.journal import Journalled
from detector.streams.live import Ended, Live
from detector.streams.log import FrameLog
from detector.streams.modes import Mode
from detector.streams.options import StreamOptions
from detector.streams.show import server, status
from detector.streams.show.display import Display
from detector.streams.show.video import VideoFile
from detector.streams.show.window import Window
from detector.streams.sources import forms
from detector.vision import scale
from detector.vision.model import Model

LOOK_EVERY_S, TELL_EVERY_S = 0.1, 10.0
_GONE = (OSError, SystemExit)
"""What writing raises to a terminal that is gone; the second is rich's way where it was a pipe."""


def stream(options: StreamOptions) -> int:
    """Count the cells of a smear under a microscope camera or in a video, each cell once, and say when enough are counted.

    Writes report.html, counts.csv, smears.csv, detections.json and run.json as detector.count does, frames.csv (a row for each
    frame) and mosaic.jpg (the whole area seen). Ctrl-C ends the run; the results so far are written.
    """
    started = time.time()
    if bool(options.source) == (options.finish is not None):
        raise UsageError("give either SOURCE or --finish FOLDER")
    if options.finish is not None:
        return _finish(options.finish, options.model)
    if options.um_per_px is not None:
        scale.check(options.um_per_px, "--um-per-px")
    place = None if options.serve is None else server.address(options.serve)
    source = forms.open_source(options.source)
    model = Model.load(options.model)
    window = Window() if options.show else None
    video = VideoFile(options.save) if options.save else None
    folder = options.out or results.default_folder("stream")
    with ExitStack() as stack:
        stack.enter_context(source)
        say(f"waiting for the first picture of {source.name}")
        capture = stack.enter_context(Capture(source))
        if video is not None and not source.live:
            video.fps = source.nominal_fps or video.fps
        results.make_folder(folder, (*results.STREAM_FILES, results.JOURNAL), f"choose another --out, or use --finish {folder}")
        log = stack.enter_context(FrameLog(folder))
        header = {"started": started, "model": model.sha256, "settings": options.recorded(source.name)}
        mode = stack.enter_context(Journalled(modes.of(model, options), folder, header))
        display = Display([sink for sink in (window, video) if sink is not None], each=video is not None and not source.live)
        live = Live(capture, mode, log, display.put, options.until_enough, options.seconds)
        signals = stack.enter_context(_caught_signals())
        # The page is closed before results are written, so that nobody who holds it open can be in their way.
        with _served(place, lambda: status.state(live, source.name), display), display, live:
            _follow(live, display, window, signals)
        ended = live.ended or Ended("failed", "the program failed")
        return _conclude(folder, model, mode, header, log, ended, display)


def _finish(folder: Path, model_path: Path | None) -> int:
    """Make the results of a run that was killed from its journal and `frames.csv`."""
    header, records = journal.read(folder)
    model = Model.load(model_path)
    if model.sha256 != header["model"]:
        raise UsageError(f"--finish {folder}: was counted with another model; name it by --model")
    names = ("mode", "um_per_px", "rbc_within", "wbc_within")
    mode = modes.of(model, StreamOptions(**{name: header["settings"][name] for name in names}))
    mode.restore(records)
    ended = Ended("killed", "the program was killed; its last seconds and its pictures are lost")
    return _conclude(folder, model, mode, header, FrameLog(folder, finish=True), ended, None)


def _conclude(
    folder: Path, model: Model, mode: Mode, header: Mapping[str, Any], log: FrameLog, ended: Ended, display: Display | None
) -> int:
    """Write the results, remove the journal, and say what was counted; gives the exit code."""
    finished = mode.finish()
    settings = header["settings"]
    run_record = results.describe_run(model, settings, finished.outcome.fields, header["started"], time.time())
    problem = mode.problem if isinstance(mode, Journalled) else ""
    run_record["stream"] = stream_record = finishing.describe(finished, ended, log, settings, display, problem)
    finishing.write(folder, finished, run_record)
    with suppress(OSError):
        (folder / results.JOURNAL).unlink()
    # A terminal that is gone must not cost the exit code.
    with suppress(*_GONE):
        terminal.print_smears(console, finished.outcome.smears)
        terminal.print_problems(errors, finished.outcome)
        for remark in stream_record["remarks"]:
            say(remark)
        say(f"{log.received} frames, {log.used} used; ended because {ended.reason}")
        console.print(f"results: {folder}", markup=False, soft_wrap=True)
    return finishing.exit_code_of(ended, log)


def say(words: str) -> None:
    """Tell the user on standard error."""
    errors.print(words, markup=False, soft_wrap=True)


@contextmanager
def _served(place: tuple[str, int] | None, state: Callable[[], dict[str, Any]], display: Display) -> Iterator[None]:
    """Show what is displayed on a page at a place, where one is asked for."""
    if place is None:
        yield
        return
    page = server.Page(*place, state)
    display.add(page)
    with page:
        say(f"live page: {page.url}")
        if page.warning:
            say(f"--serve: {page.warning}")
        yield


def _follow(live: Live, display: Display, window: Window | None, signals: list[int]) -> None:
    """Show how the run stands until it ends, or until nobody can see it any more."""
    with suppress(*_GONE):
        _tell(live, display, window, signals)
    while not live.wait(LOOK_EVERY_S):
        _end_if_asked(live, window, signals)


def _end_if_asked(live: Live, window: Window | None, signals: list[int]) -> None:
    if signals:
        live.stop("interrupted", "it was interrupted")
    if window is not None and window.refresh():
        live.stop("stopped", "its window was closed")


def _tell(live: Live, display: Display, window: Window | None, signals: list[int]) -> None:
    said: set[str] = set()
    last = time.monotonic()
    drawn = Redrawn(console=errors, transient=True, auto_refresh=False) if errors.is_terminal else None
    with drawn or nullcontext():
        while not live.wait(LOOK_EVERY_S):
            _end_if_asked(live, window, signals)
            for problem in (live.log.problem, *display.problems):
                if problem and problem not in said:
                    said.add(problem)
                    say(problem)
            if drawn is not None:
                drawn.update(status.table(live), refresh=True)
            elif time.monotonic() - last > TELL_EVERY_S:
                last = time.monotonic()
                say(status.line(live))


@contextmanager
def _caught_signals() -> Iterator[list[int]]:
    """Collect Ctrl-C, SIGTERM and the loss of the terminal, however often they come: what was counted is still to be written."""
    caught: list[int] = []
    numbers = [signal.SIGINT, signal.SIGTERM]
    # Under nohup the loss of the terminal is to be survived.
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        numbers.append(signal.SIGHUP)
    before = [signal.signal(number, lambda number, _frame: caught.append(number)) for number in numbers]
    try:
        yield caught
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def parser() -> Parser:
    """What the command takes."""
    made = Parser("stream", "[OPTION]... SOURCE | --finish FOLDER", stream.__doc__)
    add = made.add_argument
    add("source", metavar="SOURCE", nargs="?", default="", help=forms.FORMS)
    mode = "fields: count where the stage rests; scan: count while it moves"
    add("--mode", choices=("fields", "scan"), default=StreamOptions.mode, help=mode)
    add("--out", type=Path, help="folder for the results; default: runs/stream/<time>")
    add("--model", type=Path, help="an .onnx model made by train or export; default: the shipped one")
    add("--um-per-px", type=Number(float), help="scale in micrometres per pixel; adds counts per mm²")
    add("--until-enough", action="store_true", help="end when both target uncertainties below are reached")
    percent = Number(float, 0.1, 100)
    add(
        "--rbc-within",
        type=percent,
        default=StreamOptions.rbc_within,
        help="target uncertainty of red cells: half of the interval, in percent",
    )
    add("--wbc-within", type=percent, default=StreamOptions.wbc_within, help="the same for white cells")
    add("--seconds", type=Number(float, 0.1), help="end after this many seconds of the stream")
    add("--save", type=Path, help="save a video of the view with the boxes (.mp4, .mkv, .avi)")
    add("--show", action="store_true", help="show the view with the boxes in a window")
    finish = "instead of counting SOURCE, make the results of a run that was killed, from what it left in FOLDER"
    add("--finish", type=Path, metavar="FOLDER", help=finish)
    add("--serve", metavar="[HOST:]PORT", help="show a live page for browsers on this computer")
    return made


def main() -> None:
    """Entry point."""
    run(stream, parser(), StreamOptions)


if __name__ == "__main__":
    main()
