"""Count the cells of a smear under a microscope camera or in a video, each once."""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from pathlib import Path

from rich.live import Live as Redrawn

from detector.arguments import Number, Parser
from detector.commandline import console, errors, run
from detector.output import results, terminal
from detector.streams import finishing, modes, server, sources, status
from detector.streams.capture import Capture
from detector.streams.display import Display
from detector.streams.live import Ended, Live
from detector.streams.log import FrameLog
from detector.streams.save import VideoFile
from detector.streams.window import Window
from detector.vision import scale
from detector.vision.model import Model

LOOK_EVERY_S, TELL_EVERY_S = 0.1, 10.0


def stream(  # noqa: PLR0913
    *, source: str, mode: str, out: Path | None, model: Path | None, um_per_px: float | None, until_enough: bool,
    rbc_within: float, wbc_within: float, seconds: float | None, save: Path | None, show: bool, serve: str | None,
) -> int:  # fmt: skip
    """Count the cells of a smear under a microscope camera or in a video, each cell once, and say when enough are counted.

    Writes report.html, counts.csv, smears.csv, detections.json and run.json as detector.count does, frames.csv (a row for each
    frame) and mosaic.jpg (the whole area seen). Ctrl-C ends the run; the results so far are written.
    """
    started = time.time()
    if um_per_px is not None:
        scale.check(um_per_px, "--um-per-px")
    place = None if serve is None else server.address(serve)
    opened = sources.open(source)
    loaded = Model.load(model)
    targets = {"RBC": rbc_within / 100, "WBC": wbc_within / 100}
    counting: modes.Mode = getattr(modes, mode)(loaded, um_per_px, targets)
    window = Window() if show else None
    video = VideoFile(save) if save else None
    folder = out or results.default_folder("stream")
    with ExitStack() as stack:
        stack.enter_context(opened)
        say(f"waiting for the first picture of {opened.name}")
        capture = stack.enter_context(Capture(opened))
        if video is not None and not opened.live:
            video.fps = opened.nominal_fps or video.fps
        results.make_folder(folder, results.STREAM_FILES)
        log = stack.enter_context(FrameLog(folder))
        display = Display([one for one in (window, video) if one is not None], each=video is not None and not opened.live)
        live = Live(capture, counting, log, display.put, until_enough, seconds)
        if place is not None:
            page = stack.enter_context(server.Page(*place, lambda: status.state(live, opened.name)))
            display.add(page)
            say(f"live page: {page.url}")
        stack.enter_context(_ended_by_signals(live))
        with display, live:
            _follow(live, display, window)
        ended = live.ended or Ended("failed", "the program failed")
        finished = counting.finish()
        settings = {"source": opened.name, "mode": mode, "um_per_px": um_per_px, "until_enough": until_enough,
                    "rbc_within": rbc_within, "wbc_within": wbc_within, "seconds": seconds, "save": save and str(save)}  # fmt: skip
        described = results.describe_run(loaded, settings, finished.outcome.fields, started, time.time())
        described["stream"] = finishing.describe(finished, ended, log, display, opened.name, mode)
        terminal.print_smears(console, finished.outcome.smears, {})
        terminal.print_problems(errors, finished.outcome)
        for remark in finished.remarks:
            say(remark)
        finishing.write(folder, finished, described)
    say(f"{log.received} frames, {log.used} used; ended because {ended.reason}")
    console.print(f"results: {folder}", markup=False, soft_wrap=True)
    return finishing.exit_code_of(ended, log)


def say(words: str) -> None:
    """Tell the user on standard error."""
    errors.print(words, markup=False, soft_wrap=True)


def _follow(live: Live, display: Display, window: Window | None) -> None:
    """Show how the run stands until it ends."""
    told: set[str] = set()
    last = time.monotonic()
    drawn = Redrawn(console=errors, transient=True, auto_refresh=False) if errors.is_terminal else None
    with drawn or nullcontext():
        while not live.wait(LOOK_EVERY_S):
            if window is not None and window.refresh():
                live.stop("stopped", "its window was closed")
            for problem in (live.log.problem, *display.problems):
                if problem and problem not in told:
                    told.add(problem)
                    say(problem)
            if drawn is not None:
                drawn.update(status.table(live), refresh=True)
            elif time.monotonic() - last > TELL_EVERY_S:
                last = time.monotonic()
                say(status.line(live))


@contextmanager
def _ended_by_signals(live: Live) -> Iterator[None]:
    """Let Ctrl-C and SIGTERM end the run in order, however often they come: what was counted is still to be written."""
    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(one, lambda *_: live.stop("interrupted", "it was interrupted")) for one in signals]
    try:
        yield
    finally:
        for one, handler in zip(signals, before, strict=True):
            signal.signal(one, handler)


def parser() -> Parser:
    """What the command takes."""
    made = Parser("stream", "[OPTION]... SOURCE", stream.__doc__)
    add = made.add_argument
    add("source", metavar="SOURCE", help=sources.FORMS)
    add(
        "--mode",
        choices=("fields", "scan"),
        default="fields",
        help="fields: count where the stage rests; scan: count while it moves",
    )
    add("--out", type=Path, help="folder for the results; default: runs/stream/<time>")
    add("--model", type=Path, help="an .onnx model made by train or export; default: the shipped one")
    add("--um-per-px", type=Number(float), help="scale in micrometres per pixel; adds counts per mm²")
    add("--until-enough", action="store_true", help="end when both target uncertainties below are reached")
    percent = Number(float, 0.1, 100)
    add("--rbc-within", type=percent, default=5.0, help="target uncertainty of red cells: half of the 95 % interval, in percent")
    add("--wbc-within", type=percent, default=20.0, help="the same for white cells")
    add("--seconds", type=Number(float, 0.1), help="end after this many seconds of the stream")
    add("--save", type=Path, help="save a video of the view with the boxes (.mp4, .mkv, .avi)")
    add("--show", action="store_true", help="show the view with the boxes in a window")
    add("--serve", metavar="[HOST:]PORT", help="show a live page for browsers on this computer")
    return made


def main() -> None:
    """Entry point."""
    run(stream, parser())


if __name__ == "__main__":
    main()
