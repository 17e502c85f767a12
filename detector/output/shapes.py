"""What people are told of red cell shapes, in the terminal and in the report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from detector.counting.intervals import Interval
from detector.counting.shapes import ShapeShare, SmearShapes, shortfall
from detector.output.figures import many, percent, tenths
from detector.vision.shapes import ShapeCard

HEADINGS = ("shape", "cells", "share", "95 % interval", "true share may be", "")
"""Of the columns of `rows`."""
FLAG = "a flag for a reader, never a diagnosis"


@dataclass(frozen=True)
class SmearRows:
    """A smear's shapes as text."""

    smear: str
    warning: str
    about: str
    """How many cells and fields the shares are of."""
    rows: Sequence[tuple[str, ...]]
    """A row per shape that some cell was called, under `HEADINGS`."""


def rows(smear: SmearShapes) -> SmearRows:
    """The shares of one smear; shapes that no cell was called are left out."""
    about = f"{smear.cells:,} red cells clear of the border in {many(smear.fields, 'field')}"
    return SmearRows(smear.smear, smear.warning, about, [_row(name, own) for name, own in smear.shapes.items() if own.cells])


def _row(name: str, own: ShapeShare) -> tuple[str, ...]:
    value = tenths(own.share.value) if own.share else ""
    true = "not known" if own.true is None and own.verdict else "" if own.true is None else _between(*own.true)
    return name, f"{own.cells:,}", value, _limits(own.share), true, own.verdict


def _limits(interval: Interval | None) -> str:
    return "" if interval is None or interval.limits is None else _between(*interval.limits)


def _between(low: float, high: float) -> str:
    return f"{100 * low:.1f}–{tenths(high)}"


def accuracy(card: ShapeCard) -> str:
    """How well shapes are told in smears that were left out of training."""
    figures = card.figures
    return (
        f"in {figures['smears']} smears, each left out of training, {percent(figures['accuracy'])} of {figures['cells']:,} cells are "
        f"called rightly (mean of the shapes {percent(figures['balanced'])}); of those that it is sure of, "
        f"{percent(figures['coverage'])}, it is {percent(figures['accuracy_sure'])}; expected calibration error {tenths(figures['ece'])}"
    )


def origin(card: ShapeCard) -> str:
    """What must be known before any share is believed."""
    return f"shapes were learned from one laboratory, one camera and one stain ({card.data[0]}); in another they are less sure"


def weak(card: ShapeCard) -> list[str]:
    """The shapes that are told less surely than a reader needs, each with the reasons."""
    return [f"{name}: {why}" for name in card.shapes if (why := shortfall(name, card.errors[name]))]
