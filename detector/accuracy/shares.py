"""Shares of cells, such as precision and recall, or of fields, with intervals from the scatter between fields.

The intervals are those of ratios of counts (`counting.intervals.share`), which stay open where a bootstrap closes: no error in a few
fields does not show that there never is one.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from detector.accuracy.bootstrap import drawn_together
from detector.counting import intervals
from detector.counting.intervals import Interval


def share(part: NDArray[np.int64], rest: NDArray[np.int64], groups: Sequence[str] | None = None) -> Interval | None:
    """Share of one kind of cells, or of fields, among all; None where there is none, no interval from a single field or smear.

    Args:
        part: cells of that kind in each field, of shape (fields,).
        rest: all other cells in each field.
        groups: the smear of each field; where there are two or more, the scatter is that between smears.
    """
    unit = drawn_together(len(part), groups)
    by_unit = [np.bincount(unit, weights=of).astype(np.int64).tolist() for of in (part, rest)]
    found = intervals.share(*by_unit)
    if found is None:
        return None
    return Interval(found.value, found.low, found.high) if len(by_unit[0]) > 1 else Interval(found.value)
