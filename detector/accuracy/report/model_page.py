"""What the page of a model against labels says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from operator import attrgetter
from typing import Any

from detector.accuracy.confusion import Confusion
from detector.accuracy.evaluation import Evaluation
from detector.accuracy.fields import FieldRow
from detector.accuracy.report import beside, content, overlays
from detector.accuracy.report.beside import RATES
from detector.accuracy.report.content import Cell, Row, Table, agreement, cell, number, share, table, told
from detector.accuracy.slices import Slice
from detector.accuracy.undefined import TOO_FEW, WHY
from detector.output.figures import many
from detector.vision.cells import CLASSES

_PRECISE = number(3)


def page(result: Evaluation, about: Mapping[str, Any]) -> content.Page:
    """The page; `about` as in `metrics.json`."""
    return content.Page(
        sentence=_sentence(result, about),
        about=about,
        counts=_counts(result),
        smears=_smears(result),
        compared=beside.models(result.against) if result.against else [],
        relabelled=beside.labels(result.relabelled) if result.relabelled else [],
        yardsticks=beside.yardsticks(result.all_cells),
        found=_found(result),
        confusion=_confusion(result.confusion),
        failures=_failures(result),
        domains=_domains(result),
        slices=_slices(result.slices),
        worst=[one for one in map(overlays.of, result.worst) if one is not None],
        lists=_lists(result),
        fields=len(result.per_field),
        field_columns=("field", *CLASSES, "missed", "false", "remarks"),
        field_rows=[_field_row(one) for one in result.per_field[: content.MOST_ROWS]],
    )


def _sentence(result: Evaluation, about: Mapping[str, Any]) -> str:
    fields = f"{many(result.fields, 'field')} of {about['data']}, split {about['split']}"
    errors = ", ".join(f"{told(of.mae, number(2))} {name}" for name, of in result.all_cells.items() if of.mae)
    return (
        f"{fields}: a field's count is wrong by {errors} on average; mAP50 {told(result.average_precision.mean_ap50, _PRECISE)}."
    )


_NUMBERS = (("found", "true"), ("missed", "missed"), ("found falsely", "false"))


def _found(result: Evaluation) -> list[Table]:
    ap, at = result.average_precision, result.operating.values()
    precise = [
        (title, [cell(one, _PRECISE, WHY["ap50"]) for one in (*of.values(), mean)])
        for title, of, mean in (("AP50", ap.ap50, ap.mean_ap50), ("AP50-95", ap.ap50_95, ap.mean_ap50_95))
    ]
    operating = [
        *((title, [Cell(f"{getattr(of, key):,}") for of in at]) for title, key in _NUMBERS),
        *((title, [cell(getattr(of, key), share, WHY[key]) for of in at]) for title, key in RATES),
    ]
    return [
        table("Average precision, with 95 % intervals below", ("", *ap.ap50, "mean"), precise),
        table("At the model's thresholds", ("", *result.operating), operating),
    ]


def _confusion(of: Confusion) -> Table:
    rows = [Row(name, [Cell(f"{n:,}") for n in row]) for name, row in zip(of.truth, of.cells, strict=True)]
    # What is not there and was not found cannot be counted.
    rows[-1] = Row(rows[-1].name, [*rows[-1].cells[:-1], Cell("–")])
    return Table("Labelled cells (rows) by what they were found as (columns)", ("labelled as", *of.found), rows)


def _counts(result: Evaluation) -> list[Table]:
    kinds = {"all cells": result.all_cells, "clear of the border": result.clear_cells}
    if result.against is not None:
        kinds["other model, all cells"] = result.against.other.all_cells
    if result.guess is not None:
        kinds["constant baseline"] = result.guess
    return [agreement(name, {title: of[name] for title, of in kinds.items()}) for name in result.all_cells]


def _smears(result: Evaluation) -> list[Table]:
    if result.per_smear is None:
        return []
    of = next(iter(result.per_smear.values()))
    return [agreement(f"Totals of {of.fields} smears", result.per_smear, "smear")]


def _domains(result: Evaluation) -> list[Table]:
    return [
        table(
            f"{domain}, {many(of.fields, 'field')}",
            ("", "AP50", "AP50-95", "error per field", "clear of the border", "constant baseline"),
            [
                (
                    name,
                    [
                        *(
                            cell(ap[name], _PRECISE, WHY["ap50"])
                            for ap in (of.average_precision.ap50, of.average_precision.ap50_95)
                        ),
                        *(cell(kind[name].mae, number(2)) for kind in (of.all_cells, of.clear_cells)),
                        cell(of.guess[name].mae if of.guess else None, number(2), WHY["guess"]),
                    ],
                )
                for name in of.all_cells
            ],
        )
        for domain, of in result.domains.items()
    ]


def _slices(parts: Sequence[Slice]) -> list[tuple[Table, list[str]]]:
    tables = []
    for by, of in groupby(parts, key=attrgetter("by")):
        members = list(of)
        rows = [
            (
                f"{name}, {one.name}",
                [
                    Cell(f"{at.counted:,} of {at.truth:,}"),
                    *(cell(share_of, share, TOO_FEW) for share_of in (at.recall, at.precision)),
                    cell(at.mae, number(2), TOO_FEW),
                ],
            )
            for name in members[0].classes
            for one, at in ((one, one.classes[name]) for one in members)
        ]
        columns = ("", "counted of labelled", "recall", "precision", "error per field")
        rules = [f"{one.name}: {one.rule} ({many(one.fields, 'field')}, {many(one.cells, 'cell')})" for one in members]
        tables.append((table(f"By {by}", columns, rows), rules))
    return tables


def _failures(result: Evaluation) -> list[Table]:
    rows = [
        (f"{name}, {which}", [Cell(f"{n:,}") for n in kinds.values()])
        for name, of in result.failures.items()
        for which, kinds in (("missed", of.missed), ("false", of.false))
    ]
    kinds = next(iter(result.failures.values())).missed
    return [table("Missed cells and false finds, by what is to be seen there", ("", *kinds), rows)]


def _lists(result: Evaluation) -> list[content.Listed]:
    return [
        content.listed("Of no use, and in no figure", ((one.source, one.reason) for one in result.unread)),
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


def _field_row(one: FieldRow) -> list[str]:
    counted = [f"{of.counted} of {of.truth}" for of in one.classes.values()]
    wrong = (sum(of.missed for of in one.classes.values()), sum(of.false for of in one.classes.values()))
    told = ["saturated"] * one.saturated + [part for part in (one.smear, one.domain) if part]
    return [one.field, *counted, *map(str, wrong), "; ".join(told)]
