"""The report as one HTML file that asks nothing of a network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from detector.counting import quantiles
from detector.counting.density import PerMicrolitre
from detector.counting.fields import FieldCount
from detector.counting.smears import WITHHELD
from detector.output import html
from detector.output.journal import Entry
from detector.output.outcome import Outcome
from detector.output.report import charts, content, pictures
from detector.output.slides import density_map
from detector.vision import doubts
from detector.vision.cells import CLASSES
from detector.vision.detections import Unread

_TEMPLATES = Path(__file__).parent / "templates"


def prepare() -> None:
    """Import and compile what only the end of a count needs."""
    quantiles.prepare()
    html.template(_TEMPLATES)


def write(
    target: Path,
    outcome: Outcome,
    per_ul: Mapping[str, Sequence[PerMicrolitre]],
    entries: Iterable[Entry],
    run: Mapping[str, Any],
    mosaic: bytes = b"",
) -> None:
    """Write `report.html`.

    Args:
        per_ul: estimates per µL by smear, where there are any.
        entries: what was found in the fields, with their pictures; gone through once.
        run: what `run.json` holds; what stands there of a stream gets a part of its own.
        mosaic: JPEG of all that a stream has seen; empty where there is none.

    Raises:
        OutputError: it cannot be written.
    """
    html.write_pieces(target, _pieces(outcome, per_ul, entries, run, mosaic))


def render(
    outcome: Outcome,
    per_ul: Mapping[str, Sequence[PerMicrolitre]],
    entries: Iterable[Entry],
    run: Mapping[str, Any],
    mosaic: bytes = b"",
) -> str:
    """The page as HTML; arguments as in `write`."""
    return "".join(_pieces(outcome, per_ul, entries, run, mosaic))


def _pieces(
    outcome: Outcome,
    per_ul: Mapping[str, Sequence[PerMicrolitre]],
    entries: Iterable[Entry],
    run: Mapping[str, Any],
    mosaic: bytes,
) -> Iterator[str]:
    seen: list[Entry] = []
    figures, packed, sizes = _pictures(outcome, _aside(entries, seen))
    return html.pieces(
        _TEMPLATES,
        warnings=[smear for smear in outcome.smears if smear.warning],
        withheld=WITHHELD,
        sentence=content.sentence(outcome),
        classes=CLASSES,
        colours=content.COLOURS,
        summaries=_summaries(outcome),
        smears=_smears(outcome, per_ul, sizes),
        most_charts=content.MOST_CHARTS,
        outcome=outcome,
        read=len(outcome.read),
        most_named=content.MOST_NAMED,
        slides=_slides(outcome, seen),
        figures=figures,
        field_rows=[content.field_row(one, outcome) for one in outcome.fields[: content.MOST_ROWS]],
        cells={"classes": CLASSES, "colours": content.COLOURS, "fields": packed, "thresholds": run["model"]["thresholds"]},
        rules=doubts.rules(),
        run=run,
        stream=run.get("stream"),
        mosaic=html.data_uri(mosaic, "image/jpeg") if mosaic else "",
        box=charts,
    )


def _aside(entries: Iterable[Entry], slides: list[Entry]) -> Iterator[Entry]:
    """The entries, and those of slides into a list without their cells, which may be a million."""
    for entry in entries:
        if entry.slide is not None and not isinstance(entry.found, Unread):
            slides.append(replace(entry, found=entry.found[:0]))
        yield entry


def _slides(outcome: Outcome, entries: Sequence[Entry]) -> list[dict[str, Any]]:
    """What is shown of each slide."""
    maps = entries[: content.MOST_MAPS]
    return [
        {
            "name": entry.field,
            "note": outcome.notes.get(entry.field, ""),
            "doubt": outcome.doubts.get(entry.field, ""),
            "picture": html.data_uri(pictures.small(density_map(entry), pictures.MAP_BYTES, pictures.MAP_PX), "image/jpeg"),
        }
        for entry in maps
    ]


def _pictures(outcome: Outcome, entries: Iterable[Entry]) -> tuple[list[dict[str, Any]], list[str], dict[str, content.Sizes]]:
    """Fields with pictures, their packed cells in the same order, and the sizes of all cells by smear."""
    faulty = {*outcome.doubts, *(field.field for field in outcome.saturated)}
    shown = pictures.shown(outcome.read, faulty)
    figures: list[dict[str, Any]] = []
    packed: list[str] = []
    sizes: dict[str, content.Sizes] = {}
    for entry in entries:
        if isinstance(entry.found, Unread):
            continue
        scale = entry.um_per_px if entry.slide is None or entry.um_per_px is not None else entry.slide.um_per_px
        sizes.setdefault(entry.smear, content.Sizes()).add(entry.found, scale)
        if entry.field in shown and entry.picture and entry.slide is None:
            told = ["saturated"] * entry.found.saturated + [outcome.doubts.get(entry.field, "")]
            figures.append(
                {
                    "number": len(packed),
                    "smear": entry.smear,
                    "name": entry.field,
                    "size_wh": entry.found.size_wh,
                    "counts": ", ".join(f"{count} {name}" for name, count in entry.found.counts().items()),
                    "doubt": "; ".join(filter(None, told)),
                    "picture": html.data_uri(entry.picture, "image/jpeg"),
                }
            )
            packed.append(pictures.packed(entry.found))
    return figures, packed, sizes


def _summaries(outcome: Outcome) -> list[list[str]]:
    doubtful: dict[str, int] = {}
    for field in outcome.read:
        doubtful[field.smear] = doubtful.get(field.smear, 0) + (field.field in outcome.doubts)
    return [content.summary(smear, doubtful.get(smear.smear, 0)) for smear in outcome.smears[: content.MOST_ROWS]]


def _smears(
    outcome: Outcome, per_ul: Mapping[str, Sequence[PerMicrolitre]], sizes: Mapping[str, content.Sizes]
) -> list[dict[str, Any]]:
    """What stands in each smear's section."""
    fields = content.by_smear(outcome.fields)
    sections = []
    for number, smear in enumerate(outcome.smears[: content.MOST_SMEARS]):
        own = fields[smear.smear]
        drawn = number < content.MOST_CHARTS
        volume = per_ul.get(smear.smear, ())
        sections.append(
            {
                "smear": smear,
                "rows": content.rows(smear, volume),
                "source": volume[0].source if volume else "",
                "quality": content.quality_rows([one for one in own if isinstance(one, FieldCount)]),
                "counts": content.counts_charts(smear, own, outcome.doubts) if drawn else [],
                "sizes": sizes[smear.smear].charts() if drawn and smear.smear in sizes else [],
            }
        )
    return sections
