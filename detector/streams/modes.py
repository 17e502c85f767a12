"""The two ways to count a stream: fields, taken where the stage rests, and scan, over which it moves all the time."""

from __future__ import annotations

from typing import Protocol

from detector.streams.frames import Fault, Frame
from detector.streams.verdict import ClassTotal, Finished, Segment, Totals, Verdict

__all__ = ["ClassTotal", "Finished", "Mode", "Segment", "Totals", "Verdict"]


class Mode(Protocol):
    """Counts the cells of a stream, each once. Frames come in their order and from one thread at a time."""

    def take(self, frame: Frame) -> Verdict:
        """Work one frame in, and say what came of it."""

    def fault(self, fault: Fault) -> None:
        """Note what went wrong between two frames; places are found again where they can be, else a new segment starts."""

    def totals(self) -> Totals:
        """What was counted so far; quick enough for every frame."""

    def finish(self) -> Finished:
        """What is to be written at the end; can be called once, also after no frame at all."""
