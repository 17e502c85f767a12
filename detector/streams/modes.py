"""The two ways to count a stream: fields, taken where the stage rests, and scan, over which it moves all the time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

from detector.counting import expected
from detector.streams import fields as resting
from detector.streams import scan as moving
from detector.streams.frames import Fault, Frame
from detector.streams.search import Search
from detector.streams.survey import Survey
from detector.streams.verdict import ClassTotal, Finished, Segment, Totals, Verdict
from detector.vision.model import Model

__all__ = ["ClassTotal", "Finished", "Mode", "Segment", "Totals", "Verdict", "fields", "scan"]


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


def fields(model: Model, um_per_px: float | None = None, targets: Mapping[str, float] | None = None) -> Mode:
    """A mode that counts fields where the stage rests.

    Args:
        um_per_px: micrometres per pixel, where known.
        targets: share to which each class is to be known, by its name; None for `enough.TARGETS`.
    """
    return resting.Fields(_survey(model, 1, um_per_px, targets))


def scan(model: Model, um_per_px: float | None = None, targets: Mapping[str, float] | None = None) -> Mode:
    """A mode that counts while the stage moves; arguments as of `fields`."""
    return moving.Scan(_survey(model, moving.CONFIRMATIONS, um_per_px, targets))


def _survey(model: Model, confirmations: int, um_per_px: float | None, targets: Mapping[str, float] | None) -> Survey:
    return Survey(Search(model, um_per_px), confirmations, um_per_px, targets, expected.corrections(model.card.val_sums))
