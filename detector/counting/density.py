"""Cells per microlitre, only where what that needs is known.

A smear's thickness is not known, so no image gives cells per microlitre by itself. Two ways lead there: the red cell count of
an analyser, or a laboratory's own factor for cells per mm² of its smears. An estimate carries its source with it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from detector.counting.intervals import Estimate
from detector.counting.smears import SmearCount
from detector.errors import UsageError

RBC_PER_UL = (1e4, 5e7)
"""Red cells per µL between which a count is taken for one: people have 1 to 8 million, goats up to 18 million, birds 2 to 4 million."""


@dataclass(frozen=True)
class PerMicrolitre:
    """Cells per microlitre of blood of one class, and where the figure comes from."""

    class_name: str
    estimate: Estimate
    """Cells per µL; the interval covers counting alone, not the error of what the source supplied."""
    source: str


def per_ul(smear: SmearCount, rbc_per_ul: float | None, ul_factor: float | None) -> list[PerMicrolitre]:
    """Estimate by what is known: red cells per µL, else a factor in mm² per µL, else nothing.

    Raises:
        UsageError: it is not a positive number, or the red cells cannot be those of 1 µL.
    """
    if rbc_per_ul is not None:
        return from_red_cells(smear, rbc_per_ul)
    return [] if ul_factor is None else from_area(smear, ul_factor)


def from_red_cells(smear: SmearCount, rbc_per_ul: float) -> list[PerMicrolitre]:
    """Estimate the classes other than red cells as their number per red cell times an analyser's red cell count.

    Raises:
        UsageError: `rbc_per_ul` cannot be the red cells in 1 µL.
    """
    check_red_cells(rbc_per_ul, "red cells per µL")
    source = f"cells per red cell x {rbc_per_ul:g} red cells per µL as given"
    return [
        PerMicrolitre(name, count.per_rbc.times(rbc_per_ul), source)
        for name, count in smear.classes.items()
        if count.per_rbc is not None
    ]


def from_area(smear: SmearCount, ul_factor: float) -> list[PerMicrolitre]:
    """Estimate all classes as their number per mm² of smear times a laboratory's own factor, in mm² per µL.

    Raises:
        UsageError: `ul_factor` is not a positive number.
    """
    _check("factor from mm² to µL", ul_factor)
    source = f"cells per mm² x a factor of {ul_factor:g} mm² per µL as given"
    return [
        PerMicrolitre(name, count.per_mm2.times(ul_factor), source)
        for name, count in smear.classes.items()
        if count.per_mm2 is not None
    ]


def check_red_cells(rbc_per_ul: float, what: str) -> None:
    """Refuse a red cell count that no blood has, which mostly is one in another unit.

    Raises:
        UsageError: it is outside `RBC_PER_UL`; the message names `what`, and what was meant if the unit shows it.
    """
    _check(what, rbc_per_ul)
    least, most = RBC_PER_UL
    if least <= rbc_per_ul <= most:
        return
    units = {"millions per µL (10^12 per litre)": 1e6, "thousands per µL": 1e3, "cells per litre": 1e-6, "cells per mL": 1e-3}
    # Each unit is a factor of 1,000 or more away, so that at most one fits what blood usually has.
    meant = next((unit for unit, factor in units.items() if 1e6 <= rbc_per_ul * factor <= 1e7), None)
    told = f"; {rbc_per_ul:g} seems to be in {meant}: give {rbc_per_ul * units[meant]:.0f}" if meant else ""
    raise UsageError(f"{what} must be in cells per µL, between {least:,.0f} and {most:,.0f}, got {rbc_per_ul:g}{told}")


def _check(what: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise UsageError(f"{what} must be a positive number, got {value}")
