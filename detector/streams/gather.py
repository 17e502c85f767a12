"""What a stream leaves behind: the same outcome as of `detector.count`, with fields or squares of the smear in place of images."""

from __future__ import annotations

from collections import defaultdict

from detector.counting.fields import FieldCount, Part
from detector.counting.smears import aggregate
from detector.output.html import as_base64
from detector.output.journal import Entry
from detector.output.outcome import Outcome
from detector.output.report import pictures
from detector.streams.cell import Cell
from detector.streams.survey import BLURRED, Survey, Unit, detections
from detector.streams.verdict import Finished, Segment
from detector.vision import doubts
from detector.vision.cells import CLASSES

SMEAR = "stream"
"""Name of the smear."""


def finished(survey: Survey) -> Finished:
    """All that is to be written of a survey."""
    owned: dict[int, list[Cell]] = defaultdict(list)
    for cells in survey.cells.values():
        for cell in cells:
            if cell.counted >= 0:
                owned[cell.owner].append(cell)
    units = [(number, unit) for number, unit in enumerate(survey.units) if unit.area_px > 0 or owned[number]]
    most = pictures.most_bytes(len(units))
    entries = tuple(_entry(survey, unit, owned[number], most) for number, unit in units)
    fields = [_field(survey, unit) for _, unit in units]
    judged = {field.field: field.quality for field in fields if field.quality is not None}
    told = zip(judged, doubts.of(list(judged.values())), strict=True)
    doubtful = {name: doubt for name, doubt in told if doubt}
    outcome = Outcome(
        tuple(fields),
        {entry.field: entry.note for entry in entries if entry.note},
        doubtful,
        tuple(aggregate(fields, corrections=survey.corrections, doubtful=doubtful)),
    )
    mosaic = survey.mosaic.draw(survey.cells)
    return Finished(outcome, entries, mosaic, tuple(_segments(survey)), survey.totals(), tuple(_remarks(survey)))


def _entry(survey: Survey, unit: Unit, cells: list[Cell], most_bytes: int) -> Entry:
    picture = as_base64(pictures.small(survey.mosaic.crop(unit.segment, unit.rect), most_bytes))
    found = detections(cells, unit.rect[:2], _size_wh(unit))
    return Entry(_name(unit), SMEAR, survey.um_per_px, None, found, _note(unit), unit.quality, picture)


def _field(survey: Survey, unit: Unit) -> FieldCount:
    counts = {name: unit.counts[i] for i, name in enumerate(CLASSES)}
    # A cell belongs to the part that holds its centre, so that all its cells are those of the counting frame too.
    part = Part(counts, counts, max(unit.area_px, 1.0))
    return FieldCount(_name(unit), SMEAR, _size_wh(unit), counts, counts, unit.saturated, survey.um_per_px, unit.quality, (part,))


def _name(unit: Unit) -> str:
    return f"{SMEAR}/{unit.name}"


def _size_wh(unit: Unit) -> tuple[int, int]:
    x1, y1, x2, y2 = unit.rect
    return round(x2 - x1), round(y2 - y1)


def _note(unit: Unit) -> str:
    w, h = _size_wh(unit)
    share = unit.area_px / (w * h)
    return f"{100 * share:.0f} % of its area; the rest belongs to others or was not seen" if share < 0.99 else ""


def _segments(survey: Survey) -> list[Segment]:
    return [
        Segment(number, survey.tracker.began[number], first, survey.frames[number], _counted(survey, number))
        for number, first in sorted(survey.first.items())
    ]


def _counted(survey: Survey, segment: int) -> int:
    return sum(sum(unit.counts) for unit in survey.units if unit.segment == segment)


def _remarks(survey: Survey) -> list[str]:
    remarks = []
    if len(survey.first) > 1:
        remarks.append(
            f"the position on the smear was lost: {len(survey.first)} segments were counted separately, and cells seen in two of them "
            "are counted twice"
        )
    once = sum(cell.centred and cell.hits == 1 and cell.counted < 0 for cells in survey.cells.values() for cell in cells)
    if once:
        seen = "1 cell was" if once == 1 else f"{once} cells were"
        remarks.append(f"{seen} found in one view only and not counted; move the stage more slowly")
    blurred = survey.rejected[BLURRED]
    if blurred > 0.1 * max(survey.received, 1):
        remarks.append(
            f"{100 * blurred / survey.received:.0f} % of the frames were out of focus; what only they show is not counted"
        )
    saturated = sum(unit.saturated for unit in survey.units)
    if saturated:
        remarks.append(f"{saturated} views held more cells than the model can report; the count is too low there")
    return remarks
