"""The tables and lists on the page of a model against labels."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from detector.accuracy.confusion import Confusion
from detector.accuracy.evaluation import Evaluation
from detector.accuracy.fields import FieldRow
from detector.accuracy.report.content import UNDEFINED, Cell, Row, Table, agreement, cell, number, share, table, told
from detector.accuracy.slices import Slice
from detector.vision.cells import CLASSES

FIELD_COLUMNS = ("field", *CLASSES, "missed", "false", "remarks")
_PRECISE = number(3)


def sentence(result: Evaluation, about: Mapping[str, Any]) -> str:
    """The whole evaluation in one sentence."""
    fields = f"{result.fields:,} field{'s' * (result.fields != 1)} of {about['data']}, split {about['split']}"
    errors = ", ".join(f"{name} by {told(of.mae, number(2))}" for name, of in result.all_cells.items() if of.mae)
    return (
        f"{fields}: mAP50 {told(result.average_precision.mean_ap50, _PRECISE)}; counts are wrong, in cells a field, of {errors}."
    )


def found(result: Evaluation) -> list[Table]:
    """How well cells are found, whatever their number."""
    ap = result.average_precision
    rows = [(name, [cell(ap.ap50[name], _PRECISE), cell(ap.ap50_95[name], _PRECISE)]) for name in result.operating]
    rows.append(("mean", [cell(ap.mean_ap50, _PRECISE), cell(ap.mean_ap50_95, _PRECISE)]))
    at = [
        (name, [Cell(f"{n:,}") for n in (of.true, of.missed, of.false)] + [cell(getattr(of, key), share) for key in _RATES])
        for name, of in result.operating.items()
    ]
    return [
        table("Average precision, with 95 % intervals below", ("", "AP50", "AP50-95"), rows),
        table(
            "At the model's thresholds",
            ("", "found", "missed", "false", "precision", "recall", "F1", "accuracy", "named right"),
            at,
        ),
    ]


_RATES = ("precision", "recall", "f1", "accuracy", "named_right")


def confusion(of: Confusion) -> Table:
    """What was taken for what, in cells."""
    rows = [Row(name, [Cell(f"{n:,}") for n in row]) for name, row in zip(of.truth, of.cells, strict=True)]
    # What is not there and was not found cannot be counted.
    rows[-1] = Row(rows[-1].name, [*rows[-1].cells[:-1], Cell("–")])
    return Table("Labelled cells (rows) by what they were found as (columns)", ("labelled as", *of.found), rows)


def counts(result: Evaluation) -> list[Table]:
    """A table for each class: all cells, cells clear of the border, and the guess."""
    kinds = {"all cells": result.all_cells, "clear of the border": result.clear_cells}
    if result.guess is not None:
        kinds["guess"] = result.guess
    return [agreement(name, {title: of[name] for title, of in kinds.items()}) for name in result.all_cells]


def smears(result: Evaluation) -> list[Table]:
    """A table of whole smears; none where fewer than two are known."""
    if result.per_smear is None:
        return []
    of = next(iter(result.per_smear.values()))
    one = agreement(f"{of.fields} smears, in cells per smear", result.per_smear)
    return [Table(one.caption, one.columns, [Row(row.name.replace("per field", "per smear"), row.cells) for row in one.rows])]


def domains(result: Evaluation) -> list[Table]:
    """A table for each domain; none where all fields are of one."""
    return [
        table(
            f"{domain}, {of.fields:,} fields",
            ("", "AP50", "AP50-95", "error per field", "clear of the border", "guess"),
            [
                (
                    name,
                    [
                        *(cell(ap[name], _PRECISE) for ap in (of.average_precision.ap50, of.average_precision.ap50_95)),
                        *(
                            Cell(UNDEFINED) if kind is None else cell(kind[name].mae, number(2))
                            for kind in (of.all_cells, of.clear_cells, of.guess)
                        ),
                    ],
                )
                for name in of.all_cells
            ],
        )
        for domain, of in result.domains.items()
    ]


def slices(parts: Sequence[Slice]) -> list[tuple[Table, list[str]]]:
    """A table for each way in which fields or cells are parted, with the rules by which they are."""
    tables = []
    for by, of in groupby(parts, key=lambda one: one.by):
        members = list(of)
        rows = [
            (
                f"{one.name}: {name}",
                [
                    Cell(f"{at.truth:,}"),
                    Cell(f"{at.counted:,}"),
                    cell(at.recall, share),
                    cell(at.precision, share),
                    cell(at.mae, number(2)),
                ],
            )
            for one in members
            for name, at in one.classes.items()
        ]
        columns = ("", "labelled", "counted", "recall", "precision", "error per field")
        rules = [f"{one.name}: {one.rule} ({one.fields:,} fields, {one.cells:,} cells)" for one in members]
        tables.append((table(f"By {by}", columns, rows), rules))
    return tables


def failures(result: Evaluation) -> list[Table]:
    """What kind of cells are missed or invented."""
    rows = [
        (f"{name}, {which}", [Cell(f"{n:,}") for n in kinds.values()])
        for name, of in result.failures.items()
        for which, kinds in (("missed", of.missed), ("false", of.false))
    ]
    kinds = next(iter(result.failures.values())).missed
    return [table("Missed cells and false finds, by what is to be seen there", ("", *kinds), rows)]


def lists(result: Evaluation) -> list[tuple[str, str, list[tuple[str, str]]]]:
    """Heading, remark, and names with reasons of the fields that a reader must know of."""
    of = [
        ("Not read, and in no figure", "", [(one.source, one.reason) for one in result.unread]),
        (
            "Saturated",
            "As many cells were found as the model reports; the true counts may be higher.",
            [(name, "") for name in result.saturated],
        ),
        (
            "Of no known smear",
            "They are drawn by themselves, and are in no figure per smear.",
            [(name, "") for name in result.without_smear],
        ),
    ]
    return [one for one in of if one[2]]


def field_row(one: FieldRow) -> list[str]:
    """A field's line in the table of fields: name, counted of labelled cells, and mistakes."""
    counted = [f"{of.counted} of {of.truth}" for of in one.classes.values()]
    wrong = (sum(of.missed for of in one.classes.values()), sum(of.false for of in one.classes.values()))
    told = ["saturated"] * one.saturated + [part for part in (one.smear, one.domain) if part]
    return [one.field, *counted, *map(str, wrong), "; ".join(told)]


def settings(about: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What was compared, as names and values; what does not apply is left out."""
    rows = [(name, str(about[name])) for name in ("data", "split", "counts", "truth", "smears") if about.get(name)]
    for title, key in (("model", "model"), ("against", "against")):
        of = about.get(key)
        if isinstance(of, str):
            rows.append((title, of))
        elif of:
            thresholds = ", ".join(f"{name} {value:g}" for name, value in of["thresholds"].items())
            rows += [(title, f"{of['name']} ({of['file']})"), ("SHA-256", of["sha256"]), ("least score", thresholds)]
            rows += [("overlap suppressed", f"IoU above {of['nms_iou']:g}"), ("model input", f"{of['image_px']} px")]
    return [*rows, ("versions", ", ".join(f"{name} {value}" for name, value in about["versions"].items()))]
