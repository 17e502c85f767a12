"""Count the cells of a smear under a microscope camera or in a video, each once."""

from __future__ import annotations

import time
from contextlib import ExitStack, suppress
from pathlib import Path

from detector import process
from detector.arguments import Number, Parser
from detector.commandline import console, errors, run
from detector.errors import UsageError
from detector.output import results, serving, terminal
from detector.streams import finishing, modes, sources
from detector.streams.capture import Capture
from detector.streams.journal import Journalled
from detector.streams.live import Ended, Live
from detector.streams.log import FrameLog
from detector.streams.options import StreamOptions
from detector.streams.show import server, status
from detector.streams.show.display import Display
from detector.streams.show.video import VideoFile
from detector.streams.show.window import Window
from detector.vision import scale
from detector.vision.model import Model


def stream(options: StreamOptions) -> int:
    """Count the cells of a smear under a microscope camera or in a video, each cell once, and say when enough are counted.

    Writes report.html, counts.csv, smears.csv, detections.json and run.json as detector.count does, frames.csv (a row for each
    frame) and mosaic.jpg (the whole area seen). Ctrl-C ends the run; the results so far are written.
    """
    started = time.time()
    if bool(options.source) == (options.finish is not None):
        raise UsageError("give either SOURCE or --finish FOLDER")
    if options.finish is not None:
        return _told(options.finish, finishing.of_killed(options.finish, options.model))
    if options.um_per_px is not None:
        scale.check(options.um_per_px, "--um-per-px")
    place = None if options.serve is None else serving.address(options.serve)
    source = sources.open_source(options.source)
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
        signals = stack.enter_context(process.collected_signals())
        # The page is closed before results are written, so that nobody who holds it open can be in their way.
        with server.served(place, lambda: status.state(live, source.name), display.add, say), display, live:
            status.follow(live, display, window, signals, errors)
        ended = live.ended or Ended("failed", "the program failed")
        return _told(folder, finishing.conclude(folder, model, mode, header, log, ended, display))


def _told(folder: Path, concluded: finishing.Concluded) -> int:
    """Say what was counted; gives the exit code."""
    frames, ended = concluded.described["frames"], concluded.described["ended"]
    # A terminal that is gone must not cost the exit code.
    with suppress(*status.GONE):
        terminal.print_smears(console, concluded.finished.outcome.smears)
        terminal.print_problems(errors, concluded.finished.outcome)
        for remark in concluded.described["remarks"]:
            say(remark)
        say(f"{frames['received']} frames, {frames['used']} used; ended because {ended['reason']}")
        console.print(f"results: {folder}", markup=False, soft_wrap=True)
    return concluded.exit_code


def say(words: str) -> None:
    """Tell the user on standard error."""
    errors.print(words, markup=False, soft_wrap=True)


def parser() -> Parser:
    """What the command takes."""
    made = Parser("stream", "[OPTION]... SOURCE | --finish FOLDER", stream.__doc__)
    add = made.add_argument
    add("source", metavar="SOURCE", nargs="?", default="", help=sources.FORMS)
    mode = "fields: count where the stage rests; scan: count while it moves"
    add("--mode", choices=("fields", "scan"), default=StreamOptions.mode, help=mode)
    add("--out", type=Path, help="folder for the results; default: runs/stream/<time>")
    add("--model", type=Path, help="an .onnx model, or the name of one that adapt made; default: the shipped one")
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
