"""Memory of a stream that goes on for long over a bounded area of the smear.

    python -m benchmarks.stream_memory [--frames 100000]

A simulated stage goes forth and back over the same views; the detector is one that knows the truth, so that only what the stream
itself keeps is measured.
"""

from __future__ import annotations

import time
from itertools import cycle

import psutil

from benchmarks.stream_accuracy import Perfect
from detector.arguments import Number, Parser
from detector.commandline import run
from detector.streams.modes import CONFIRMATIONS, ScanMode
from detector.streams.sources.simulated import SimulatedCamera
from detector.streams.sources.source import Frame
from detector.streams.survey import Survey

ADDRESS = "fake:serpentine?width=160&height=120&um_per_px=0.3&vibration=0.3&drift=0.2&rows=3&columns=3&speed=8"


def report(*, frames: int, every: int) -> None:
    """Print a line every so many frames: resident memory, cells, and processor time per frame since the last line."""
    fake = SimulatedCamera(ADDRESS)
    views = [item for item in fake if isinstance(item, Frame)]
    counting = ScanMode(Survey(Perfect(fake), CONFIRMATIONS))
    began, before = time.process_time(), 0
    for number, frame in enumerate(cycle([*views, *views[::-1]]), 1):
        counting.take(frame)
        totals = counting.totals()
        if number == 1000 or number % every == 0:
            mb = psutil.Process().memory_info().rss / 1e6
            ms = 1000 * (time.process_time() - began) / (number - before)
            print(
                f"{number:7} frames: {mb:7.1f} MB, {totals.cells} cells, {totals.segments} segments, {ms:.2f} ms a frame",
                flush=True,
            )
        if number == frames:
            break


def parser() -> Parser:
    """What the command takes."""
    made = Parser("benchmarks.stream_memory", "[OPTION]...", report.__doc__)
    made.add_argument("--frames", type=Number(int), default=100_000, help="to take")
    made.add_argument("--every", type=Number(int), default=10_000, help="frames between two lines")
    return made


if __name__ == "__main__":
    run(report, parser())
