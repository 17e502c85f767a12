"""How well the cells of a smear are known so far, and whether that is enough.

The interval is that of `counting.intervals` over the parts of the smear that were seen: fields, or squares of a view's size, each with the
area that was seen of it. A class is known to the share that half of its interval is of its value.

A count that is stopped as soon as its interval is narrow enough stops rather when the interval happens to be too narrow. So nothing is
enough before `LEAST_PARTS` views' areas were seen, and the share must have been reached at each of the last `IN_A_ROW` views' areas.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from detector.counting.intervals import Estimate, rate
from detector.streams.verdict import ClassTotal
from detector.vision.cells import CLASSES, RBC, WBC

TARGETS: Mapping[str, float] = {CLASSES[RBC]: 0.05, CLASSES[WBC]: 0.2}
"""Share to which each class is to be known, where nothing else is asked for."""
LEAST_PARTS = 10
IN_A_ROW = 3


def known_to(estimate: Estimate | None) -> float | None:
    """Half of an interval as a share of its value; None where there is no value."""
    if estimate is None or estimate.value <= 0:
        return None
    return (estimate.high - estimate.low) / 2 / estimate.value


def of_class(counts: Sequence[int], areas: Sequence[float], target: float | None) -> ClassTotal:
    """One class so far.

    Args:
        counts: its cells in each part.
        areas: of each part, in areas of a whole view.
    """
    estimate = rate(counts, areas)
    return ClassTotal(sum(counts), estimate, known_to(estimate), target)


class Enough:
    """Whether a stream may stop."""

    def __init__(self, targets: Mapping[str, float]) -> None:
        self._targets = dict(targets)
        self._since: float | None = None

    def reached(self, classes: Mapping[str, ClassTotal], area_views: float) -> bool:
        """Take in how things stand after so many views' areas, and say whether it is enough."""
        if not self._targets or not all(one.enough for one in classes.values()):
            self._since = None
            return False
        self._since = area_views if self._since is None else self._since
        return area_views >= LEAST_PARTS and area_views - self._since >= IN_A_ROW - 1

    def sentence(self, classes: Mapping[str, ClassTotal], reached: bool) -> str:
        """What is known how well, and whether it is enough."""
        asked = {name: one for name, one in classes.items() if name in self._targets}
        parts = [f"{_NAMES[name]} {_share(one.known_to)} (target {_share(one.target)})" for name, one in asked.items()]
        return "uncertainty: " + ", ".join(parts) + (": enough" if reached else "") if parts else ""


_NAMES = {"RBC": "red cells", "WBC": "white cells", "Platelets": "platelets"}


def _share(share: float | None) -> str:
    return "not known yet" if share is None else f"±{100 * share:.1f} %"
