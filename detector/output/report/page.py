"""The report as one HTML file that asks nothing of a network."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from detector.counting import intervals
from detector.counting.fields import FieldCount
from detector.counting.result import FieldResult
from detector.counting.smears import LONE, WITHHELD
from detector.output import html, shapes
from detector.output.report import charts, content, pictures
from detector.output.slides import density_map
from detector.vision import doubts
from detector.vision.cells import CLASSES
from detector.vision.detections import Unread
from detector.vision.drawing import HEX_COLOURS

if TYPE_CHECKING:
    from detector.output.outcome import Outcome

_TEMPLATES = Path(__file__).parent / "templates"


def prepare() -> None:
    """Import and compile what only the end of a count needs."""
    intervals.prepare()
    html.template(_TEMPLATES)


def write(
    target: Path,
    outcome: Outcome,
    results: Iterable[FieldResult],
    run: Mapping[str, Any],
    mosaic: bytes = b"",
) -> None:
    """Write `report.html`.

    Args:
        results: the fields with their cells and pictures; gone through once.
        run: what `run.json` holds; what stands there of a stream gets a part of its own.
        mosaic: JPEG of all that a stream has seen; empty where there is none.

    Raises:
        OutputError: it cannot be written.
    """
    html.write_pieces(target, _pieces(outcome, results, run, mosaic))


def render(
    outcome: Outcome,
    results: Iterable[FieldResult],
    run: Mapping[str, Any],
    mosaic: bytes = b"",
) -> str:
    """The page as HTML; arguments as in `write`."""
    return "".join(_pieces(outcome, results, run, mosaic))


def _pieces(
    outcome: Outcome,
    results: Iterable[FieldResult],
    run: Mapping[str, Any],
    mosaic: bytes,
) -> Iterator[str]:
    seen: list[FieldResult] = []
    figures, packed, sizes = _pictures(outcome, _aside(results, seen))
    return html.pieces(
        _TEMPLATES,
        warnings=[smear for smear in outcome.smears if smear.warning],
        withheld=WITHHELD,
        lone=LONE[0].upper() + LONE[1:],
        sentence=content.sentence(outcome),
        classes=CLASSES,
        colours=HEX_COLOURS,
        summaries=[content.summary(smear) for smear in outcome.smears[: content.MOST_ROWS]],
        smears=_smears(outcome, sizes),
        most_charts=content.MOST_CHARTS,
        outcome=outcome,
        read=len(outcome.read),
        most_named=content.MOST_NAMED,
        shapes=_shapes(outcome),
        slides=_slides(outcome, seen),
        figures=figures,
        field_rows=[content.field_row(field) for field in outcome.fields[: content.MOST_ROWS]],
        cells={"classes": CLASSES, "colours": HEX_COLOURS, "fields": packed, "thresholds": run["model"]["thresholds"]},
        rules=doubts.rules(),
        run=run,
        stream=run.get("stream"),
        mosaic=html.data_uri(mosaic, "image/jpeg") if mosaic else "",
        box=charts,
    )


def _aside(results: Iterable[FieldResult], slides: list[FieldResult]) -> Iterator[FieldResult]:
    """The results, and those of slides into a list without their cells, which may be a million."""
    for result in results:
        if result.slide is not None and not isinstance(result.cells, Unread):
            slides.append(replace(result, cells=result.cells[:0]))
        yield result


def _shapes(outcome: Outcome) -> dict[str, Any] | None:
    """What is shown of red cell shapes; None where they were not asked for."""
    if outcome.shapes is None:
        return None
    card = outcome.shapes.card
    return {
        "flag": shapes.FLAG,
        "headings": shapes.HEADINGS,
        "smears": [shapes.rows(smear) for smear in outcome.shapes.smears[: content.MOST_SMEARS]],
        "more": max(len(outcome.shapes.smears) - content.MOST_SMEARS, 0),
        "about": [shapes.origin(card), shapes.accuracy(card)],
        "weak": shapes.weak(card),
    }


def _slides(outcome: Outcome, slides: Sequence[FieldResult]) -> list[dict[str, Any]]:
    """What is shown of each slide."""
    counted = {field.field: field for field in outcome.read}
    return [
        {
            "name": slide.field,
            "note": counted[slide.field].note,
            "doubt": counted[slide.field].doubt,
            "picture": html.data_uri(pictures.small(density_map(slide), pictures.MAP_BYTES, pictures.MAP_PX), "image/jpeg"),
        }
        for slide in slides[: content.MOST_MAPS]
    ]


def _pictures(
    outcome: Outcome, results: Iterable[FieldResult]
) -> tuple[list[dict[str, Any]], list[str], dict[str, content.Sizes]]:
    """Fields with pictures, their packed cells in the same order, and the sizes of all cells by smear."""
    doubts = {field.field: field.doubt for field in outcome.doubtful}
    shown = pictures.shown(outcome.read, {*doubts, *(field.field for field in outcome.saturated)})
    figures: list[dict[str, Any]] = []
    packed: list[str] = []
    sizes: dict[str, content.Sizes] = {}
    for result in results:
        if isinstance(result.cells, Unread):
            continue
        scale = result.known_um_per_px if result.slide is None or result.um_per_px is not None else result.slide.um_per_px
        sizes.setdefault(result.smear, content.Sizes()).add(result.cells, scale)
        if result.field in shown and result.picture and result.slide is None:
            remarks = ("saturated" * result.cells.saturated, doubts.get(result.field))
            figures.append(
                {
                    "number": len(packed),
                    "smear": result.smear,
                    "name": result.field,
                    "size_wh": result.cells.size_wh,
                    "counts": ", ".join(f"{count} {name}" for name, count in result.cells.counts().items()),
                    "doubt": "; ".join(filter(None, remarks)),
                    "picture": html.data_uri(result.picture, "image/jpeg"),
                }
            )
            packed.append(pictures.packed(result.cells))
    return figures, packed, sizes


def _smears(outcome: Outcome, sizes: Mapping[str, content.Sizes]) -> list[dict[str, Any]]:
    """What stands in each smear's section."""
    fields = content.by_smear(outcome.fields)
    sections = []
    for number, smear in enumerate(outcome.smears[: content.MOST_SMEARS]):
        own = fields[smear.smear]
        drawn = number < content.MOST_CHARTS
        sections.append(
            {
                "smear": smear,
                "rows": content.rows(smear),
                "source": next((count.per_ul_source for count in smear.classes.values() if count.per_ul_source), ""),
                "quality": content.quality_rows([field for field in own if isinstance(field, FieldCount)]),
                "counts": content.counts_charts(smear, own) if drawn else [],
                "sizes": sizes[smear.smear].charts() if drawn and smear.smear in sizes else [],
            }
        )
    return sections
