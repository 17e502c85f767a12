"""The counts of a smear: its fields taken together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from detector.counting.expected import CountCorrection
from detector.counting.fields import CountedPart, FieldCount, UnreadField, frame_areas_mm2
from detector.counting.intervals import Interval, rate, ratio
from detector.counting.neighbours import Places
from detector.vision import doubts
from detector.vision.cells import CLASSES, RBC
from detector.vision.familiar import Familiar
from detector.vision.quality import Quality

MANY_DOUBTFUL = 0.25
"""Share of a smear's fields from which on, where it is two fields or more, the doubtful ones lead its results."""
WITHHELD = "expected true counts are therefore not given"
LONE = "only one field: its intervals bound that field alone and say nothing of the rest of the smear"


@dataclass(frozen=True)
class ClassCount:
    """One cell class in one smear; None stands for what is not known."""

    total: int
    """Every cell seen in the fields that were read."""
    mean: Interval | None
    """Cells seen per field, in streams per area of a whole view; None where no field was read."""
    frame_total: int
    """Cells of the counting frames."""
    per_mm2: Interval | None
    """Cells per mm² of smear, from the counting frames; None unless every field read is calibrated."""
    per_rbc: Interval | None
    """Cells per red cell, from the counting frames; None for red cells themselves and where there is no red cell."""
    expected_total: Interval | None = None
    """Cells that are truly in the fields, the detector's error in the interval; None where that is not known, and where many of
    the fields are doubtful: the error is that of fields like those of validation."""
    expected_mean: Interval | None = None
    """Cells that are truly there per field, the detector's error and the scatter between fields in the interval."""
    per_ul: Interval | None = None
    """Cells per µL of blood, by `density.per_ul`; the interval is of counting alone, not of the error of what it was computed with."""
    per_ul_source: str = ""
    """How `per_ul` was computed; empty without."""

    @property
    def per_1000_rbc(self) -> Interval | None:
        """Cells per 1,000 red cells, as `per_rbc`."""
        return self.per_rbc and self.per_rbc.times(1000)


@dataclass(frozen=True, repr=False)
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
    doubtful: int = 0
    """Fields that were read and are doubtful."""
    lone: bool = False
    """All counts are of one field, or one tile: how cells vary over the smear is not known."""

    def __repr__(self) -> str:
        cells = ", ".join(f"{count.total} {name}" for name, count in self.classes.items())
        return f"SmearCount({self.smear!r}: {cells} in {self.fields} fields, {self.unread} unread)"

    @property
    def warning(self) -> str:
        """What is to be read before any of the counts, where many fields are doubtful; else empty."""
        if not _many(self.doubtful, self.fields):
            return ""
        which = "the only field is" if self.fields == 1 else f"{self.doubtful:,} of {self.fields:,} fields are"
        return f"{which} doubtful: do not use these counts before looking at {'it' if self.fields == 1 else 'them'}"


def judge(fields: Sequence[FieldCount], familiar: Familiar | None = None) -> list[FieldCount]:
    """The fields, in their order, with what makes them doubtful; each is compared with the others of its smear.

    Args:
        familiar: what the fields of the model's training are like.
    """
    by_smear: dict[str, dict[str, Quality]] = {}
    for field in fields:
        if field.quality is not None:
            by_smear.setdefault(field.smear, {})[field.field] = field.quality
    judged = ((smear, doubts.of_fields(list(smear.values()), familiar)) for smear in by_smear.values())
    reasons = {name: reason for smear, field_reasons in judged for name, reason in zip(smear, field_reasons, strict=True)}
    again = {name: doubt for smear in by_smear.values() for name, doubt in doubts.of_pictures(smear).items()}
    return [
        replace(field, doubt="; ".join(filter(None, (field.doubt, again.get(field.field), reasons.get(field.field)))))
        for field in fields
    ]


def aggregate(
    fields: Iterable[FieldCount],
    unread: Iterable[UnreadField] = (),
    corrections: Mapping[str, CountCorrection | None] | None = None,
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
    class_corrections = corrections or {}
    smears = sorted(read.keys() | lost.keys())
    return [_smear(name, read.get(name, []), lost.get(name, []), class_corrections) for name in smears]


def _smear(
    name: str,
    fields: list[FieldCount],
    unread: list[UnreadField],
    corrections: Mapping[str, CountCorrection | None],
) -> SmearCount:
    names = [f.field for f in fields] + [f.field for f in unread]
    if len(set(names)) < len(names):
        twice = sorted(n for n in set(names) if names.count(n) > 1)
        raise ValueError(f"smear {name!r} has fields that are given twice: {', '.join(twice)}")
    ordered = sorted(fields, key=lambda f: f.field)
    doubtful = sum(bool(f.doubt) for f in fields)
    class_corrections = {} if _many(doubtful, len(fields)) else corrections
    classes = {c: _class(c, ordered, class_corrections.get(c)) for c in CLASSES}
    return SmearCount(
        name,
        len(fields),
        len(unread),
        sum(f.saturated for f in fields),
        classes,
        doubtful,
        sum(len(f.parts) for f in fields) == 1,
    )


def _many(doubtful: int, fields: int) -> bool:
    return doubtful >= max(MANY_DOUBTFUL * fields, min(fields, 2), 1)


def _class(name: str, fields: list[FieldCount], correction: CountCorrection | None) -> ClassCount:
    parts = [part for f in fields for part in f.parts]
    raw = [part.raw[name] for part in parts]
    framed = [part.frame[name] for part in parts]
    red = sum(part.raw[CLASSES[RBC]] for part in parts)
    areas = frame_areas_mm2(fields)
    sizes, places = _sizes(fields, areas), _places(parts)
    whole = sum(f.share for f in fields)
    parts_a_field = len(parts) / whole if fields else 1.0
    true_mean = correction.mean(raw, red, sizes, places) if correction else None
    return ClassCount(
        total=sum(raw),
        mean=rate(raw) if sizes is None else _per_field(rate(raw, sizes, places), sum(sizes) / whole),
        frame_total=sum(framed),
        per_mm2=None if areas is None else rate(framed, areas, places),
        per_rbc=None if name == CLASSES[RBC] else ratio(framed, [part.frame[CLASSES[RBC]] for part in parts], sizes, places),
        expected_total=correction.total(sum(raw), red) if correction and fields else None,
        expected_mean=_per_field(true_mean, parts_a_field),
    )


def _per_field(estimate: Interval | None, size: float) -> Interval | None:
    """Cells per field, from those per part or per unit of area, of which so many make a whole field."""
    return estimate if estimate is None or size == 1 else estimate.times(size)


def _sizes(fields: list[FieldCount], areas_mm2: list[float] | None) -> list[float] | None:
    """Areas of all parts in one unit; None where each is a field of its own, which count alike."""
    if not any(f.tiles for f in fields):
        return None
    return areas_mm2 or [max(part.area_px, 1.0) for f in fields for part in f.parts]


def _places(parts: list[CountedPart]) -> Places | None:
    """Where the parts lie; None where that is known of none."""
    known = [part.rect for part in parts if part.rect is not None]
    if not known:
        return None
    # What lies nobody knows where is a surface of its own.
    surfaces = [f"in {part.surface}" if part.rect else str(number) for number, part in enumerate(parts)]
    return Places.of([part.rect or known[0] for part in parts], surfaces)
