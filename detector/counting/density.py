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

PER_LITRE = 1e-3
"""From cells per µL to 10⁹ per litre, in which laboratories report."""
RBC_PER_UL = (1e4, 5e7)
"""Red cells per µL between which a count is taken for one: people have 1 to 8 million, goats up to 18 million, birds 2 to 4 million."""

UL_FACTOR = (1.0, 1e5)
"""Factors from mm² to µL between which one is taken for one: 1 µL spread over so many mm² is a film of 1 mm, or of 10 nm."""


def per_ul(smear: SmearCount, rbc_per_ul: float | None, ul_factor: float | None) -> SmearCount:
    """The smear with cells per µL by what is known: red cells per µL, else a factor in mm² per µL, else without.

    Raises:
        UsageError: it is not a positive number, or the red cells cannot be those of 1 µL.
    """
    if rbc_per_ul is not None:
        return from_red_cells(smear, rbc_per_ul)
    return smear if ul_factor is None else from_area(smear, ul_factor)


def from_red_cells(smear: SmearCount, rbc_per_ul: float) -> SmearCount:
    """Estimate the classes other than red cells as their number per red cell times an analyser's red cell count.

    Raises:
        UsageError: `rbc_per_ul` cannot be the red cells in 1 µL.
    """
    check_red_cells(rbc_per_ul, "red cells per µL")
    return _times(
        smear, lambda count: count.per_rbc, rbc_per_ul, f"cells per red cell x {rbc_per_ul:g} red cells per µL as given"
    )


def from_area(smear: SmearCount, ul_factor: float) -> SmearCount:
    """Estimate all classes as their number per mm² of smear times a laboratory's own factor, in mm² per µL.

    Raises:
        UsageError: `ul_factor` cannot be one.
    """
    check_factor(ul_factor, "factor from mm² to µL")
    return _times(smear, lambda count: count.per_mm2, ul_factor, f"cells per mm² x a factor of {ul_factor:g} mm² per µL as given")


def check_red_cells(rbc_per_ul: float, name: str) -> None:
    """Refuse a red cell count that no blood has, which mostly is one in another unit.

    Raises:
        UsageError: it is outside `RBC_PER_UL`; the message calls it by its name, and says what was meant if the unit shows it.
    """
    check(rbc_per_ul, name)
    least, most = RBC_PER_UL
    if least <= rbc_per_ul <= most:
        return
    units = {"millions per µL (10^12 per litre)": 1e6, "thousands per µL": 1e3, "cells per litre": 1e-6, "cells per mL": 1e-3}
    # Each unit is a factor of 1,000 or more away, so that at most one fits what blood usually has.
    meant = next((unit for unit, factor in units.items() if 1e6 <= rbc_per_ul * factor <= 1e7), None)
    hint = f"; {rbc_per_ul:g} seems to be in {meant}: give {rbc_per_ul * units[meant]:.0f}" if meant else ""
    raise UsageError(f"{name} must be in cells per µL, between {least:,.0f} and {most:,.0f}, got {rbc_per_ul:g}{hint}")


def check_factor(ul_factor: float, name: str) -> None:
    """Refuse a factor that no film has.

    Raises:
        UsageError: it is outside `UL_FACTOR`; the message calls it by its name.
    """
    check(ul_factor, name)
    least, most = UL_FACTOR
    if not least <= ul_factor <= most:
        raise UsageError(f"{name} must be in mm² per µL, between {least:,.0f} and {most:,.0f}, got {ul_factor:g}")


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
