"""Count the cells of a smear under a microscope camera or in a video, each once."""

from __future__ import annotations

import time
from contextlib import ExitStack, nullcontext
from pathlib import Path

from rich.live import Live as Redrawn

from detector import process
from detector.arguments import Number, Parser
from detector.commandline import console, errors, run
from detector.output import results, terminal
from detector.streams import finishing, modes
from detector.streams.capture import Capture
from detector.streams.live import Ended, Live
from detector.streams.log import FrameLog
from detector.streams.options import StreamOptions
from detector.streams.show import server, status
from detector.streams.show.display import Display
from detector.streams.show.video import VideoFile
from detector.streams.show.window import Window
from detector.streams.sources import forms
from detector.vision import scale
from detector.vision.model import Model

LOOK_EVERY_S, TELL_EVERY_S = 0.1, 10.0


def stream(options: StreamOptions) -> int:
    """Count the cells of a smear under a microscope camera or in a video, each cell once, and say when enough are counted.

    Writes report.html, counts.csv, smears.csv, detections.json and run.json as detector.count does, frames.csv (a row for each
    frame) and mosaic.jpg (the whole area seen). Ctrl-C ends the run; the results so far are written.
    """
    started = time.time()
    if options.um_per_px is not None:
        scale.check(options.um_per_px, "--um-per-px")
    place = None if options.serve is None else server.address(options.serve)
    source = forms.open_source(options.source)
    model = Model.load(options.model)
    mode = modes.of(model, options)
    window = Window() if options.show else None
    video = VideoFile(options.save) if options.save else None
    folder = options.out or results.default_folder("stream")
    with ExitStack() as stack:
        stack.enter_context(source)
        say(f"waiting for the first picture of {source.name}")
        capture = stack.enter_context(Capture(source))
        if video is not None and not source.live:
            video.fps = source.nominal_fps or video.fps
        results.make_folder(folder, results.STREAM_FILES)
        log = stack.enter_context(FrameLog(folder))
        display = Display([sink for sink in (window, video) if sink is not None], each=video is not None and not source.live)
        live = Live(capture, mode, log, display.put, options.until_enough, options.seconds)
        if place is not None:
            page = stack.enter_context(server.Page(*place, lambda: status.state(live, source.name)))
            display.add(page)
            say(f"live page: {page.url}")
        stack.enter_context(process.telling(lambda: live.stop("interrupted", "it was interrupted")))
        with display, live:
            _follow(live, display, window)
        ended = live.ended or Ended("failed", "the program failed")
        finished = mode.finish()
        settings = options.recorded(source.name)
        run_record = results.describe_run(model, settings, finished.outcome.fields, started, time.time())
        run_record["stream"] = finishing.describe(finished, ended, log, display, settings)
        terminal.print_smears(console, finished.outcome.smears)
        terminal.print_problems(errors, finished.outcome)
        for remark in finished.remarks:
            say(remark)
        finishing.write(folder, finished, run_record)
    say(f"{log.received} frames, {log.used} used; ended because {ended.reason}")
    console.print(f"results: {folder}", markup=False, soft_wrap=True)
    return finishing.exit_code_of(ended, log)


def say(words: str) -> None:
    """Tell the user on standard error."""
    errors.print(words, markup=False, soft_wrap=True)


def _follow(live: Live, display: Display, window: Window | None) -> None:
    """Show how the run stands until it ends."""
    said: set[str] = set()
    last = time.monotonic()
    drawn = Redrawn(console=errors, transient=True, auto_refresh=False) if errors.is_terminal else None
    with drawn or nullcontext():
        while not live.wait(LOOK_EVERY_S):
            if window is not None and window.refresh():
                live.stop("stopped", "its window was closed")
            for problem in (live.log.problem, *display.problems):
                if problem and problem not in said:
                    said.add(problem)
                    say(problem)
            if drawn is not None:
                drawn.update(status.table(live), refresh=True)
            elif time.monotonic() - last > TELL_EVERY_S:
                last = time.monotonic()
                say(status.line(live))


def parser() -> Parser:
    """What the command takes."""
    made = Parser("stream", "[OPTION]... SOURCE", stream.__doc__)
    add = made.add_argument
    add("source", metavar="SOURCE", help=forms.FORMS)
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
    add("--serve", metavar="[HOST:]PORT", help="show a live page for browsers on this computer")
    return made


def main() -> None:
    """Entry point."""
    run(stream, parser(), StreamOptions)


if __name__ == "__main__":
    main()
