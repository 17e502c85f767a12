"""What was counted of a stream so far, how well each class is known, and whether that is enough.

The interval is that of `counting.intervals` over the parts of the smear that were seen: fields, or squares of a view's size, each with the
area that was seen of it, and how far neighbours are alike is estimated. Half of that interval as a share of its value is the uncertainty by
sampling. The model adds its own, half of the interval of true cells per counted cell (`counting.expected`), which no number of views
lowers. A class is known to the root of the sum of both squares.

A count that is stopped as soon as its interval is narrow enough stops rather when the interval happens to be too narrow. So nothing is
enough before `LEAST_PARTS` views' areas were seen, and the share must have been reached at each of the last `IN_A_ROW` views' areas.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from detector.counting.intervals import Interval, rate
from detector.counting.neighbours import Places
from detector.vision.cells import CLASSES, RBC, WBC

TARGETS: Mapping[str, float] = {CLASSES[RBC]: 0.15, CLASSES[WBC]: 0.2}
"""Share to which each class is to be known, where nothing else is asked for."""
LEAST_PARTS = 10
IN_A_ROW = 3

_NAMES = {"RBC": "red cells", "WBC": "white cells", "Platelets": "platelets"}


@dataclass(frozen=True)
class ClassTotal:
    """One cell class so far."""

    count: int
    per_field: Interval | None
    """Cells per area of a whole view; None where nothing was seen yet."""
    by_sampling: float | None
    """Half of the interval as a share of the value: 0.05 is ±5 %; None where no cell was counted."""
    target: float | None
    """Share to which it is to be known; None where none was asked for."""
    by_model: float | None = None
    """The same of true cells per counted cell; None where the model's file does not tell it."""

    @property
    def known_to(self) -> float | None:
        """Uncertainty by sampling and by the model together, as a share of the value; None where no cell was counted."""
        return None if self.by_sampling is None else math.hypot(self.by_sampling, self.by_model or 0.0)

    @property
    def enough(self) -> bool:
        """Whether it is known as well as was asked for."""
        return self.target is None or (self.known_to is not None and self.known_to <= self.target)


@dataclass(frozen=True)
class StreamTotals:
    """What was counted so far."""

    classes: Mapping[str, ClassTotal]
    """By class name, in the order of `cells.CLASSES`."""
    fields: int
    """Fields taken, or squares of a view's size that were seen (scan)."""
    area_px: float
    """Smear seen, each place once, in px²."""
    area_views: float
    """The same in areas of a view."""
    area_mm2: float | None
    """The same in mm², where the scale is known."""
    segments: int
    enough: bool
    """Every class is known as well as was asked for."""
    sentence: str
    """For people: what is known how well, and whether it is enough."""

    @property
    def cells(self) -> int:
        """Cells of all classes."""
        return sum(total.count for total in self.classes.values())


def class_total(
    counts: Sequence[int],
    areas: Sequence[float],
    target: float | None,
    by_model: float | None = None,
    places: Places | None = None,
) -> ClassTotal:
    """One class so far.

    Args:
        counts: its cells in each part.
        areas: of each part, in areas of a whole view.
        target: share to which it is to be known.
        by_model: uncertainty of true cells per counted cell, as a share.
        places: where the parts lie; None takes them to be random over the smear.
    """
    estimate = rate(counts, areas, places)
    return ClassTotal(sum(counts), estimate, _half_width(estimate), target, by_model)


class Enough:
    """Whether a stream may stop."""

    def __init__(self, targets: Mapping[str, float]) -> None:
        self._targets = dict(targets)
        self._since: float | None = None

    def reached(self, classes: Mapping[str, ClassTotal], area_views: float) -> bool:
        """Take in how things stand after so many views' areas, and say whether it is enough."""
        if not self._targets or not all(total.enough for total in classes.values()):
            self._since = None
            return False
        self._since = area_views if self._since is None else self._since
        return area_views >= LEAST_PARTS and area_views - self._since >= IN_A_ROW - 1

    def sentence(self, classes: Mapping[str, ClassTotal], reached: bool) -> str:
        """What is known how well, and whether it is enough."""
        asked = {name: total for name, total in classes.items() if name in self._targets}
        if not asked:
            return ""
        parts = [f"{_NAMES[name]} {_share(total.known_to)} ({_shares(total)})" for name, total in asked.items()]
        beyond = [_NAMES[name] for name, total in asked.items() if (total.by_model or 0.0) > (total.target or 0.0)]
        hint = (
            f": the model's part alone exceeds the target for {' and '.join(beyond)}; more views do not lower it"
            if beyond
            else ""
        )
        return "uncertainty: " + ", ".join(parts) + (": enough" if reached else hint)


def _share(share: float | None) -> str:
    return "not known yet" if share is None else f"±{100 * share:.1f} %"


def _shares(total: ClassTotal) -> str:
    by_model = "the model states no error of its own" if total.by_model is None else f"{_share(total.by_model)} by the model"
    return f"{_share(total.by_sampling)} by sampling, {by_model}; target {_share(total.target)}"


def _half_width(estimate: Interval | None) -> float | None:
    """Half of an interval as a share of its value; None where there is no value."""
    if estimate is None or estimate.limits is None or estimate.value <= 0:
        return None
    low, high = estimate.limits
    return (high - low) / 2 / estimate.value
