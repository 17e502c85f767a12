"""What the pages of an evaluation say: of a model against labels, and of counts against true counts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any

import numpy as np

from detector.accuracy.comparison import Comparison, FieldComparison, TableEvaluation
from detector.accuracy.evaluation import Evaluation
from detector.accuracy.failures import FieldRow, WorstField
from detector.accuracy.figures import DetectorDifferences, Relabelled
from detector.accuracy.intervals import TOO_FEW, WHY
from detector.accuracy.matching import Confusion
from detector.accuracy.report import content
from detector.accuracy.report.content import (
    PRECISE,
    Entry,
    Overlay,
    PageRow,
    PageTable,
    agreement_table,
    as_number,
    as_percent,
    as_points,
    as_total,
    difference_table,
    entries,
    entry,
    in_words,
    table,
)
from detector.accuracy.slices import Slice
from detector.errors import ImageError
from detector.output import html
from detector.output.figures import many
from detector.output.report import pictures
from detector.vision import images
from detector.vision.boxes import Boxes
from detector.vision.cells import CLASSES

RATES = (("precision", "precision"), ("recall", "recall"), ("F1", "f1"), ("accuracy", "accuracy"), ("named right", "named_right"))
"""Title and key of what `matching.RATES` names."""
_PICTURE_BYTES = 60_000
HIT, MISSED, FALSE = "hit", "missed", "false"


def model_page(result: Evaluation, about: Mapping[str, Any]) -> content.Page:
    """The page; `about` as in `metrics.json`."""
    return content.Page(
        sentence=_sentence(result, about),
        about=about,
        counts=_counts(result),
        smears=_smears(result),
        compared=_differences(result.against) if result.against else [],
        relabelled=_relabelled(result.relabelled) if result.relabelled else [],
        yardsticks=content.yardsticks(result.all_cells),
        detection=_detection(result),
        confusion=_confusion(result.confusion),
        failures=_failures(result),
        domains=_domains(result),
        slices=_slices(result.slices),
        worst=[overlay for overlay in map(_overlay, result.worst) if overlay is not None],
        lists=_lists(result),
        fields=len(result.per_field),
        field_columns=("field", *CLASSES, "missed", "false", "remarks"),
        field_rows=[_field_row(field) for field in result.per_field[: content.MOST_ROWS]],
    )


def _sentence(result: Evaluation, about: Mapping[str, Any]) -> str:
    fields = f"{many(result.fields, 'field')} of {about['data']}, split {about['split']}"
    errors = ", ".join(
        f"{in_words(agreement.mae, as_number(2))} {name}" for name, agreement in result.all_cells.items() if agreement.mae
    )
    return f"{fields}: a field's count is wrong by {errors} on average; mAP50 {in_words(result.average_precision.mean_ap50, PRECISE)}."


_NUMBERS = (("found", "true"), ("missed", "missed"), ("found falsely", "false"))


def _detection(result: Evaluation) -> list[PageTable]:
    ap, at = result.average_precision, result.operating.values()
    precise = [
        (title, [entry(figure, PRECISE, WHY["ap50"]) for figure in (*by_class.values(), mean)])
        for title, by_class, mean in (("AP50", ap.ap50, ap.mean_ap50), ("AP50-95", ap.ap50_95, ap.mean_ap50_95))
    ]
    operating = [
        *((title, [Entry(f"{getattr(rates, key):,}") for rates in at]) for title, key in _NUMBERS),
        *((title, [entry(getattr(rates, key), as_percent, WHY[key]) for rates in at]) for title, key in RATES),
    ]
    return [
        table("Average precision, with 95 % intervals below", ("", *ap.ap50, "mean"), precise),
        table("At the model's thresholds", ("", *result.operating), operating),
    ]


def _confusion(confusion: Confusion) -> PageTable:
    rows = [PageRow(name, [Entry(f"{n:,}") for n in row]) for name, row in zip(confusion.truth, confusion.cells, strict=True)]
    # What is not there and was not found cannot be counted.
    rows[-1] = PageRow(rows[-1].name, [*rows[-1].entries[:-1], Entry("–")])
    return PageTable("Labelled cells (rows) by what they were found as (columns)", ("labelled as", *confusion.found), rows)


def _counts(result: Evaluation) -> list[PageTable]:
    kinds = {"all cells": result.all_cells, "clear of the border": result.clear_cells}
    if result.against is not None:
        kinds["other model, all cells"] = result.against.other.all_cells
    if result.constant_baseline is not None:
        kinds["constant baseline"] = result.constant_baseline
    return [agreement_table(name, {title: agreements[name] for title, agreements in kinds.items()}) for name in result.all_cells]


def _smears(result: Evaluation) -> list[PageTable]:
    if result.per_smear is None:
        return []
    totals = next(iter(result.per_smear.values()))
    return [agreement_table(f"Totals of {totals.fields} smears", result.per_smear, "smear")]


def _domains(result: Evaluation) -> list[PageTable]:
    return [
        table(
            f"{domain}, {many(figures.fields, 'field')}",
            ("", "AP50", "AP50-95", "error per field", "clear of the border", "constant baseline"),
            [
                (
                    name,
                    [
                        *(
                            entry(ap[name], PRECISE, WHY["ap50"])
                            for ap in (figures.average_precision.ap50, figures.average_precision.ap50_95)
                        ),
                        *(entry(kind[name].mae, as_number(2)) for kind in (figures.all_cells, figures.clear_cells)),
                        entry(
                            figures.constant_baseline[name].mae if figures.constant_baseline else None,
                            as_number(2),
                            WHY["constant_baseline"],
                        ),
                    ],
                )
                for name in figures.all_cells
            ],
        )
        for domain, figures in result.domains.items()
    ]


def _slices(parts: Sequence[Slice]) -> list[tuple[PageTable, list[str]]]:
    tables = []
    for by, group in groupby(parts, key=attrgetter("by")):
        members = list(group)
        rows = [
            (
                f"{name}, {part.name}",
                [
                    Entry(f"{at.counted:,} of {at.truth:,}"),
                    *(entry(share_of, as_percent, TOO_FEW) for share_of in (at.recall, at.precision)),
                    entry(at.mae, as_number(2), TOO_FEW),
                ],
            )
            for name in members[0].classes
            for part, at in ((part, part.classes[name]) for part in members)
        ]
        columns = ("", "counted of labelled", "recall", "precision", "error per field")
        rules = [f"{part.name}: {part.rule} ({many(part.fields, 'field')}, {many(part.cells, 'cell')})" for part in members]
        tables.append((table(f"By {by}", columns, rows), rules))
    return tables


def _failures(result: Evaluation) -> list[PageTable]:
    rows = [
        (f"{name}, {which}", [Entry(f"{n:,}") for n in kinds.values()])
        for name, failures in result.failures.items()
        for which, kinds in (("missed", failures.missed), ("false", failures.false))
    ]
    kinds = next(iter(result.failures.values())).missed
    return [table("Missed cells and false finds, by what is to be seen there", ("", *kinds), rows)]


def _lists(result: Evaluation) -> list[content.Listed]:
    return [
        content.listed("Of no use, and in no figure", ((field.source, field.reason) for field in result.unread)),
        content.named("Saturated", result.saturated, content.SATURATED),
        content.named("Saturated for the other model", result.against.other_saturated if result.against else ()),
        content.named(
            "Cut short",
            result.truncated,
            "The search for average precision reached the limit of cells per field, so it may be too low.",
        ),
        content.named("Of no known smear", result.without_smear, "Each is resampled by itself, and is in no figure per smear."),
        content.named("Evaluated, but not among the other labels", result.relabelled.only_first if result.relabelled else ()),
        content.named("Among the other labels, but not evaluated", result.relabelled.only_second if result.relabelled else ()),
        content.named("Of another size in the other labels", result.relabelled.other_size if result.relabelled else ()),
    ]


def _field_row(field: FieldRow) -> list[str]:
    counted = [f"{counts.counted} of {counts.truth}" for counts in field.classes.values()]
    wrong = (sum(counts.missed for counts in field.classes.values()), sum(counts.false for counts in field.classes.values()))
    remarks = ["saturated"] * field.saturated + [part for part in (field.smear, field.domain) if part]
    return [field.field, *counted, *map(str, wrong), "; ".join(remarks)]


def _differences(differences: DetectorDifferences) -> list[PageTable]:
    """A model's figures less those of another."""
    rows = [
        (title, entries([*by_class.values(), mean], PRECISE, "ap50"))
        for title, by_class, mean in (
            ("AP50", differences.ap50, differences.mean_ap50),
            ("AP50-95", differences.ap50_95, differences.mean_ap50_95),
        )
    ]
    at_thresholds = [
        (title, entries((getattr(rates, key) for rates in differences.operating.values()), as_points, key))
        for title, key in RATES
    ]
    return [
        table("Average precision, this model less the other", ("", *differences.ap50, "mean"), rows),
        table("At each model's thresholds, this less the other", ("", *differences.operating), at_thresholds),
        difference_table("Counts of all cells, this less the other", differences.all_cells, "field"),
        difference_table("Counts of cells clear of the border, this less the other", differences.clear_cells, "field"),
    ]


def _relabelled(relabelled: Relabelled) -> list[PageTable]:
    """The same finds by these labels and by others, and how far the labels themselves agree."""
    columns = ("", *relabelled.labels)
    rows: list[tuple[str, list[Entry]]] = []
    for title, figures in (("these labels", relabelled.first), ("the others", relabelled.second)):
        rows += [
            (f"cells, {title}", [Entry(as_total(counts.truth)) for counts in figures.all_cells.values()]),
            (f"AP50, {title}", entries(figures.average_precision.ap50.values(), PRECISE, "ap50")),
            (f"recall, {title}", entries((at.recall for at in figures.operating.values()), as_percent, "recall")),
            (f"precision, {title}", entries((at.precision for at in figures.operating.values()), as_percent, "precision")),
            (
                f"mean error per field, {title}",
                entries((counts.mae for counts in figures.all_cells.values()), as_number(2), "mae"),
            ),
        ]
    return [
        table(f"The same finds in {many(relabelled.first.fields, 'field')} by both label sets", columns, rows),
        agreement_table("Cells by the other labels against these", relabelled.labels),
    ]


def _overlay(worst: WorstField) -> Overlay | None:
    """A field as the page shows it; None where its image can no longer be read."""
    record, detections, match = worst.record, worst.detections, worst.match
    if record.image is None:
        return None
    try:
        rgb = images.read(record.image)
    except ImageError:
        return None
    kinds = (
        (HIT, detections.xyxy[match.matched], detections.label[match.matched]),
        (FALSE, detections.xyxy[match.false], detections.label[match.false]),
        (MISSED, record.xyxy[match.missed], record.label[match.missed]),
    )
    drawn = [(kind, name, _path(xyxy[label == i])) for kind, xyxy, label in kinds for i, name in enumerate(CLASSES)]
    return Overlay(
        worst.row.field,
        _mistakes(worst),
        html.data_uri(pictures.small(rgb, _PICTURE_BYTES), "image/jpeg"),
        record.size_wh,
        [(kind, name, path) for kind, name, path in drawn if path],
    )


def _mistakes(worst: WorstField) -> str:
    """What is wrong in a field, in words."""
    parts = []
    for name, counts in worst.row.classes.items():
        if counts.missed or counts.false:
            parts.append(
                f"{name}: {counts.counted} counted, {counts.truth} labelled ({counts.missed} missed, {counts.false} false)"
            )
    return "; ".join(parts)


def _path(xyxy: Boxes) -> str:
    rows = np.round(np.asarray(xyxy, dtype=np.float64), 1).tolist()
    return "".join(f"M{x1:g} {y1:g}H{x2:g}V{y2:g}H{x1:g}z" for x1, y1, x2, y2 in rows)


def tables_page(result: TableEvaluation, about: Mapping[str, Any]) -> content.Page:
    """The page; `about` as in `metrics.json`."""
    comparison = result.comparison
    return content.Page(
        sentence=_tables_sentence(comparison, about),
        about=about,
        counts=_tables_counts(result),
        smears=_tables_smears(comparison),
        compared=[difference_table("These less the others", result.paired, comparison.per)] if result.paired else [],
        yardsticks=content.yardsticks(comparison.classes) if comparison.per == "field" else [],
        lists=list(_tables_lists(result)),
        per=comparison.per,
        fields=len(comparison.fields),
        field_columns=(comparison.per, "smear", *comparison.classes),
        field_rows=[
            [field.field, field.smear or "", *(_counted_of_true(field, name) for name in comparison.classes)]
            for field in comparison.fields[: content.MOST_ROWS]
        ],
    )


def _tables_sentence(comparison: Comparison, about: Mapping[str, Any]) -> str:
    n, per = len(comparison.fields), comparison.per
    errors = ", ".join(
        f"{in_words(agreement.mae, as_number(2))} {name}" for name, agreement in comparison.classes.items() if agreement.mae
    )
    return f"{about['counts']} against {about['truth']}, {many(n, per)}: the count of a {per} is wrong by {errors} on average."


def _tables_counts(result: TableEvaluation) -> list[PageTable]:
    mine, other = result.comparison, result.against
    tables = []
    for name, agreement in mine.classes.items():
        columns = {"these counts": agreement}
        if other is not None and name in other.classes:
            columns["the others"] = other.classes[name]
        tables.append(agreement_table(name, {**columns, "constant baseline": mine.constant_baseline[name]}, mine.per))
    return tables


def _tables_smears(comparison: Comparison) -> list[PageTable]:
    if not comparison.per_smear:
        return []
    return [agreement_table(f"Totals of {len(comparison.smears)} smears", comparison.per_smear, "smear")]


def _tables_lists(result: TableEvaluation) -> Iterator[content.Listed]:
    for comparison, unread, saturated, where in (
        (result.comparison, result.unread, result.saturated, ""),
        (result.against, result.against_unread, result.against_saturated, " (the other counts)"),
    ):
        if comparison is not None:
            yield content.listed(f"Not read, and in no figure{where}", unread.items())
            yield content.named(f"Counted, but not in the truth{where}", comparison.only_counted)
            yield content.named(f"In the truth, but not counted{where}", comparison.only_truth)
            yield content.named(
                f"Several could be meant{where}", comparison.ambiguous, "A name stands for more than one; they are in no figure."
            )
            yield content.named(f"Classes that one side alone counts{where}", comparison.classes_apart)
            yield content.named(f"Smears whose totals lack unread fields{where}", comparison.incomplete)
            yield content.named(f"Saturated{where}", saturated, content.SATURATED)
    yield content.named("In one of the two tables only, and in no difference", result.unpaired)
    yield content.named("Could not be used", result.remarks)


def _counted_of_true(field: FieldComparison, name: str) -> str:
    return f"{field.counted[name]:g} of {field.truth[name]:g}" if name in field.truth else ""
