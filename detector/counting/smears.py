"""The counts of a smear: its fields taken together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from detector.counting.expected import Correction
from detector.counting.fields import FieldCount, UnreadField, frame_areas_mm2
from detector.counting.intervals import Estimate, rate, ratio
from detector.vision.cells import CLASSES, RBC


@dataclass(frozen=True)
class ClassCount:
    """One cell class in one smear; None stands for what is not known."""

    total: int
    """Every cell seen in the fields that were read."""
    mean: Estimate | None
    """Cells seen per field; None where no field was read. `mean.times(fields)` is the interval of the total."""
    frame_total: int
    """Cells of the counting frames."""
    per_mm2: Estimate | None
    """Cells per mm² of smear, from the counting frames; None unless every field read is calibrated."""
    per_rbc: Estimate | None
    """Cells per red cell, from the counting frames; None for red cells themselves and where there is no red cell."""
    expected_total: Estimate | None = None
    """Cells that are truly in the fields, the detector's error in the interval; None where that is not known."""
    expected_mean: Estimate | None = None
    """Cells that are truly there per field, the detector's error and the scatter between fields in the interval."""


@dataclass(frozen=True)
class SmearCount:
    """The fields of one smear taken together."""

    smear: str
    fields: int
    """Fields that were read."""
    unread: int
    """Fields that could not be read; they are in no other figure."""
    saturated: int
    """Fields in which the model reported as many cells as it may: the totals may be too low."""
    classes: Mapping[str, ClassCount]
    """By class name, in the order of `cells.CLASSES`."""


def aggregate(
    fields: Iterable[FieldCount],
    unread: Iterable[UnreadField] = (),
    corrections: Mapping[str, Correction | None] | None = None,
) -> list[SmearCount]:
    """Count each smear, in the order of their names, whatever the order of the fields.

    Args:
        corrections: what leads from counted to true cells, by class name, where that is known.

    Raises:
        ValueError: the same field of a smear is given twice.
    """
    read: dict[str, list[FieldCount]] = {}
    lost: dict[str, list[UnreadField]] = {}
    for field in fields:
        read.setdefault(field.smear, []).append(field)
    for missing in unread:
        lost.setdefault(missing.smear, []).append(missing)
    known = corrections or {}
    return [_smear(name, read.get(name, []), lost.get(name, []), known) for name in sorted(read.keys() | lost.keys())]


def _smear(
    name: str, fields: list[FieldCount], unread: list[UnreadField], corrections: Mapping[str, Correction | None]
) -> SmearCount:
    names = [f.field for f in fields] + [f.field for f in unread]
    if len(set(names)) < len(names):
        twice = sorted(n for n in set(names) if names.count(n) > 1)
        raise ValueError(f"smear {name!r} has fields that are given twice: {', '.join(twice)}")
    ordered = sorted(fields, key=lambda f: f.field)
    classes = {c: _class(c, ordered, corrections.get(c)) for c in CLASSES}
    return SmearCount(name, len(fields), len(unread), sum(f.saturated for f in fields), classes)


def _class(name: str, fields: list[FieldCount], correction: Correction | None) -> ClassCount:
    raw = [f.raw[name] for f in fields]
    framed = [f.frame[name] for f in fields]
    red = sum(f.raw[CLASSES[RBC]] for f in fields)
    areas = frame_areas_mm2(fields)
    return ClassCount(
        total=sum(raw),
        mean=rate(raw),
        frame_total=sum(framed),
        per_mm2=None if areas is None else rate(framed, areas),
        per_rbc=None if name == CLASSES[RBC] else ratio(framed, [f.frame[CLASSES[RBC]] for f in fields]),
        expected_total=correction.total(sum(raw), red) if correction and fields else None,
        expected_mean=correction.mean(raw, red) if correction else None,
    )
