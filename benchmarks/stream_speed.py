"""How many frames a second a stream sustains, and how late it shows them.

`python -m benchmarks.stream_speed` plays frames of the simulated microscope, 640x480, as a camera would, and counts them as
`detector.stream` does, drawing each for a page. Asked for on two cores with nothing beside: at least 25 frames a second used in scan
mode, and 95 % of the overlays within 100 ms of their frame's arrival. The frames are rendered before, so that only the
counting is measured, and show new ground all the time.
"""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from rich.table import Table

from benchmarks.machine import described
from detector.arguments import Number, Parser
from detector.commandline import console, run
from detector.streams import modes
from detector.streams.capture import Capture
from detector.streams.live import Live, Shown
from detector.streams.log import FrameLog
from detector.streams.show.display import Display
from detector.streams.sources.simulated import SimulatedCamera
from detector.streams.sources.source import Fault, Frame, Source
from detector.vision.images import Rgb
from detector.vision.model import Model

LEAST_FPS, MOST_MS = 25.0, 100.0

_ROW_PX = 3200


class Played(Source):
    """Frames that were rendered before, at the pace of a camera."""

    live, ends, name = True, True, "played"

    def __init__(self, frames: list[Frame], fps: float) -> None:
        self.nominal_fps: float | None = fps
        self._frames, self._fps = frames, fps

    def __iter__(self) -> Iterator[Frame | Fault]:
        began = time.monotonic()
        for step, frame in enumerate(self._frames):
            time.sleep(max(0.0, began + step / self._fps - time.monotonic()))
            yield frame


class Nobody:
    """A sink for drawn frames that nobody looks at."""

    def show(self, _picture: Rgb, _shown: Shown) -> None:
        """Take one."""

    def close(self) -> None:
        """Take no more."""


def stream_speed(*, seconds: float, fps: float, speed: float) -> None:
    """Play frames at a camera's pace, and print what was used of them and how late."""
    rows = math.ceil(seconds * fps * speed / _ROW_PX)
    source = SimulatedCamera(f"fake:serpentine?speed={speed:g}&rest=1&columns={1 + _ROW_PX / 640:g}&rows={rows}")
    rendered = [item for item in islice(source, round(seconds * fps)) if isinstance(item, Frame)]
    model = Model.load()
    machine = described()
    console.print(f"{len(rendered)} frames of 640x480, {fps:g} a second; {machine['processors']} x {machine['processor']}")
    table = Table()
    for heading in ("mode", "used / s", "dropped", "counted ms p50", "p95", "overlay ms p50", "p95", "processor s / s"):
        table.add_column(heading, justify="right")
    for mode, made in (("scan", modes.scan), ("fields", modes.fields)):
        with tempfile.TemporaryDirectory() as folder, FrameLog(Path(folder)) as log, Display([Nobody()]) as display:
            counting = made(model)
            began, busy = time.monotonic(), time.process_time()
            with Capture(Played(rendered, fps)) as capture, Live(capture, counting, log, display.put) as live:
                while not live.wait(1.0):
                    pass
            took_s, busy_s = time.monotonic() - began, time.process_time() - busy
        counted, shown = log.latency_ms(), display.latency_ms()
        share = log.dropped.total() / max(log.received, 1)
        looked = log.used + log.rejected.total()
        entries = (
            f"{looked / took_s:.1f}",
            f"{share:.1%}",
            *(f"{latency_ms:.0f}" for latency_ms in (*counted.values(), *shown.values())),
        )
        table.add_row(mode, *entries, f"{busy_s / took_s:.2f}")
    console.print(table)
    console.print(f"asked for in scan mode, with nothing beside it: {LEAST_FPS:g} a second, overlays within {MOST_MS:g} ms (p95)")


def parser() -> Parser:
    """What the command takes."""
    made = Parser("benchmarks.stream_speed", "[OPTION]...", stream_speed.__doc__)
    made.add_argument("--seconds", type=Number(float, 1), default=20.0, help="to play in each mode; each needs about 30 MB")
    made.add_argument("--fps", type=Number(float, 1), default=30.0, help="frames a second that the camera gives")
    made.add_argument("--speed", type=Number(float, 1), default=16.0, help="pixels that the stage moves per frame")
    return made


def main() -> None:
    """Entry point."""
    run(stream_speed, parser())


if __name__ == "__main__":
    main()
