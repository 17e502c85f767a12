"""Cells per microlitre, only where what that needs is known.

A smear's thickness is not known, so no image gives cells per microlitre by itself. Two ways lead there: the red cell count of
an analyser, or a laboratory's own factor for cells per mm² of its smears. An estimate carries its source with it.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

from detector.counting.intervals import Interval
from detector.counting.smears import ClassCount, SmearCount
from detector.errors import UsageError


def per_ul(smear: SmearCount, rbc_per_ul: float | None, ul_factor: float | None) -> SmearCount:
    """The smear with cells per µL by what is known: red cells per µL, else a factor in mm² per µL, else without.

    Raises:
        UsageError: it is not a positive number.
    """
    if rbc_per_ul is not None:
        return from_red_cells(smear, rbc_per_ul)
    return smear if ul_factor is None else from_area(smear, ul_factor)


def from_red_cells(smear: SmearCount, rbc_per_ul: float) -> SmearCount:
    """Interval the classes other than red cells as their number per red cell times an analyser's red cell count.

    Raises:
        UsageError: `rbc_per_ul` is not a positive number.
    """
    check(rbc_per_ul, "red cells per µL")
    return _times(
        smear, lambda count: count.per_rbc, rbc_per_ul, f"cells per red cell x {rbc_per_ul:g} red cells per µL as given"
    )


def from_area(smear: SmearCount, ul_factor: float) -> SmearCount:
    """Interval all classes as their number per mm² of smear times a laboratory's own factor, in mm² per µL.

    Raises:
        UsageError: `ul_factor` is not a positive number.
    """
    check(ul_factor, "factor from mm² to µL")
    return _times(smear, lambda count: count.per_mm2, ul_factor, f"cells per mm² x a factor of {ul_factor:g} mm² per µL as given")


def check(value: float, name: str) -> None:
    """Refuse what is not a positive number.

    Raises:
        UsageError: the message calls the value by its name.
    """
    if not (math.isfinite(value) and value > 0):
        raise UsageError(f"{name} must be a positive number, got {value:g}")


def _times(smear: SmearCount, interval_of: Callable[[ClassCount], Interval | None], factor: float, source: str) -> SmearCount:
    classes = {
        name: count
        if (estimate := interval_of(count)) is None
        else replace(count, per_ul=estimate.times(factor), per_ul_source=source)
        for name, count in smear.classes.items()
    }
    return replace(smear, classes=classes)
