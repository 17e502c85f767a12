"""Cells per microlitre, only where what that needs is known.

A smear's thickness is not known, so no image gives cells per microlitre by itself. Two ways lead there: the red cell count of
an analyser, or a laboratory's own factor for cells per mm² of its smears. An estimate carries its source with it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from detector.counting.intervals import Interval
from detector.counting.smears import SmearCount
from detector.errors import UsageError


@dataclass(frozen=True)
class PerMicrolitre:
    """Cells per microlitre of blood of one class, and where the figure comes from."""

    class_name: str
    estimate: Interval
    """Cells per µL; the interval covers counting alone, not the error of what the source supplied."""
    source: str


def per_ul(smear: SmearCount, rbc_per_ul: float | None, ul_factor: float | None) -> list[PerMicrolitre]:
    """Estimate by what is known: red cells per µL, else a factor in mm² per µL, else nothing.

    Raises:
        UsageError: it is not a positive number.
    """
    if rbc_per_ul is not None:
        return from_red_cells(smear, rbc_per_ul)
    return [] if ul_factor is None else from_area(smear, ul_factor)


def from_red_cells(smear: SmearCount, rbc_per_ul: float) -> list[PerMicrolitre]:
    """Estimate the classes other than red cells as their number per red cell times an analyser's red cell count.

    Raises:
        UsageError: `rbc_per_ul` is not a positive number.
    """
    _check("red cells per µL", rbc_per_ul)
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


def _check(what: str, value: float) -> None:
    if not (math.isfinite(value) and value > 0):
        raise UsageError(f"{what} must be a positive number, got {value}")
