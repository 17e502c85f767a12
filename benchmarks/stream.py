"""Frames a second and latency of a stream with the shipped model: a camera that gives frames by the clock, through capture, counting
and overlay as in `detector.stream`.

    python -m benchmarks.stream [--source ADDRESS] [--seconds 40] [--mode scan] [--model M.onnx]

The simulated camera shares the processors with what it measures; its own time per frame is given.
"""

from __future__ import annotations

import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import typer

from benchmarks.machine import described
from detector.streams import modes, sources
from detector.streams.capture import Capture
from detector.streams.display import Display
from detector.streams.fake import Fake
from detector.streams.live import Live, Shown
from detector.streams.log import FrameLog
from detector.vision.images import Rgb
from detector.vision.model import Model

SOURCE = "fake:serpentine?live=true&vibration=0.3&drift=0.2&rows=6&columns=4"


class Eyes:
    """A sink that looks at drawn frames and keeps the time of each step of the count."""

    def __init__(self) -> None:
        self.steps_ms: dict[str, list[float]] = defaultdict(list)

    def show(self, picture: Rgb, shown: Shown) -> None:  # noqa: ARG002
        """Take one drawn frame."""
        for step, ms in shown.verdict.stages_ms.items():
            self.steps_ms[step].append(ms)

    def close(self) -> None:
        """Nothing to close."""


def measure(
    source: Annotated[str, typer.Option(help="what detector.stream takes; live, so that frames come by the clock")] = SOURCE,
    seconds: Annotated[float, typer.Option(help="of the stream")] = 40.0,
    mode: Annotated[Literal["fields", "scan"], typer.Option(help="as of detector.stream")] = "scan",
    model: Annotated[Path | None, typer.Option(help="an .onnx model of ours; default: the one shipped")] = None,
) -> None:
    """Print frames a second, drops, latency from capture to overlay, and the time of each step."""
    opened = sources.open(source)
    own_ms = _own_ms(source) if isinstance(opened, Fake) else 0.0
    counting: modes.Mode = getattr(modes, mode)(Model.load(model))
    eyes = Eyes()
    with tempfile.TemporaryDirectory() as folder, opened, Capture(opened) as capture, FrameLog(Path(folder)) as log:
        display = Display([eyes])
        live = Live(capture, counting, log, display.put, seconds=seconds)
        began, busy = time.monotonic(), time.process_time()
        with display, live:
            while not live.wait(0.1):
                pass
        took, busy = time.monotonic() - began, time.process_time() - busy
    worked = log.received - log.dropped.total()
    print(", ".join(f"{name} {value}" for name, value in described().items() if value is not None))
    print(f"{source}, mode {mode}, {took:.1f} s; the simulated camera itself takes {own_ms:.1f} ms a frame")
    print(f"received {log.received}, dropped {log.dropped.total()}, rejected {dict(log.rejected)}")
    print(f"worked on {worked}: {worked / took:.1f} frames/s; all threads used {100 * busy / took:.0f} % of one processor")
    print(f"latency from capture to overlay, ms: {display.latency_ms()}; counted: {log.summary()['latency_ms']}")
    for step, values in eyes.steps_ms.items():
        p50, p95 = np.percentile(values, [50, 95])
        print(f"  {step:14} in {len(values):5} frames, median {p50:6.1f} ms, 95 % {p95:6.1f} ms")
    print(live.totals.sentence, "| segments", live.totals.segments)


def _own_ms(source: str) -> float:
    """Time that the simulated camera takes for a frame, when nobody waits for the clock."""
    fake = Fake(source.replace("live=true", "live=false"))
    assert fake.smear.rgb.size
    frames = iter(fake)
    next(frames)
    began = time.perf_counter()
    for _ in range(60):
        next(frames)
    return 1000 * (time.perf_counter() - began) / 60


if __name__ == "__main__":
    typer.run(measure)
