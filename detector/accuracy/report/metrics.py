"""Figures for programs: `metrics.json` and `fields.csv` of an evaluation, and the tables of a count beside its truth.

`docs/metrics.md` says what each key and column means.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from detector.accuracy.comparison import Comparison, TableEvaluation
from detector.accuracy.counts import Agreement
from detector.accuracy.evaluation import Evaluation
from detector.accuracy.failures import FieldRow
from detector.accuracy.figures import Figures
from detector.arguments import called
from detector.counting.intervals import Interval
from detector.errors import UsageError
from detector.output.files import write_csv, write_text
from detector.output.outcome import AgainstTruth
from detector.output.tables import Table
from detector.vision.detections import Unread

FORMAT = "smearcount-metrics"
VERSION = 3
NAME = "metrics.json"
"""Under which it stands in the folder of an evaluation."""
FIELDS = "fields.csv"
COLUMNS = (
    "field", "smear", "domain", "class", "status", "truth", "counted", "error", "true", "missed", "false",
    "clear_truth", "clear_counted", "clear_error", "saturated", "against_counted", "against_error", "reason",
)  # fmt: skip
AGREEMENT_FIGURES = (
    "mae",
    "rmse",
    "bias",
    "pooled_accuracy",
    "exact",
    "within_one",
    "loa_low",
    "loa_high",
    "pearson_r",
    "concordance",
)


def of_evaluation(result: Evaluation, about: Mapping[str, Any]) -> dict[str, Any]:
    """The document of a model against labels; `about` says what was evaluated, as plain values."""
    everything = result.document()
    figures = {field.name: everything.pop(field.name) for field in dataclasses.fields(Figures)}
    return {"format": FORMAT, "version": VERSION, "kind": "model", **about, "figures": figures, **everything}


def of_tables(result: TableEvaluation, about: Mapping[str, Any]) -> dict[str, Any]:
    """The document of counts against true counts."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "kind": "tables",
        **about,
        **_side(result.comparison, result.unread, result.saturated),
        "against": None if result.against is None else _side(result.against, result.against_unread, result.against_saturated),
        "differences": {name: dataclasses.asdict(difference) for name, difference in result.paired.items()},
        "unpaired": list(result.unpaired),
        "remarks": list(result.remarks),
    }


def _side(comparison: Comparison, unread: Mapping[str, str], saturated: Sequence[str]) -> dict[str, Any]:
    agreements = {
        "all_cells": comparison.classes,
        "constant_baseline": comparison.constant_baseline,
        "per_smear": comparison.per_smear,
    }
    lists = ("only_counted", "only_truth", "ambiguous", "classes_apart", "incomplete")
    return {
        "figures": {
            "per": comparison.per,
            "fields": len(comparison.fields),
            **{
                key: {name: dataclasses.asdict(agreement) for name, agreement in by_class.items()} or None
                for key, by_class in agreements.items()
            },
        },
        "smear_totals": [dataclasses.asdict(smear) for smear in comparison.smears],
        **{name: list(getattr(comparison, name)) for name in lists},
        "unread": [{"source": name, "reason": reason} for name, reason in unread.items()],
        "saturated": list(saturated),
    }


def write(target: Path, document: Mapping[str, Any]) -> None:
    """Write a document.

    Raises:
        OSError: it cannot be written.
    """
    write_text(target, json.dumps(document, indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def read(path: Path) -> dict[str, Any]:
    """Read the document in the folder of an evaluation, or its file by itself.

    Raises:
        UsageError: there is none, or one of another layout.
    """
    file = path / NAME if path.is_dir() else path
    try:
        document = json.loads(file.read_text(encoding="utf-8"))
        layout = document["format"], document["version"]
    except (OSError, ValueError, KeyError, TypeError):
        raise UsageError(f"{path}: holds no figures; write them with {called('evaluate')} --out {path}") from None
    if layout != (FORMAT, VERSION):
        raise UsageError(
            f"{file}: is {layout[0]} version {layout[1]}, not {FORMAT} version {VERSION}; evaluate anew with {called('evaluate')}"
        )
    return dict(document)


def rows_of_evaluation(fields: Iterable[FieldRow], unread: Sequence[Unread]) -> Iterator[Sequence[object]]:
    """A row per field and class; for a field that could not be read one row, without a class, with the reason."""
    for field in fields:
        for name, figures in field.classes.items():
            clear = figures.clear_truth, figures.clear_counted, figures.clear_counted - figures.clear_truth
            matches = figures.true, figures.missed, figures.false
            counts = figures.truth, figures.counted, figures.error
            against = (None, None) if figures.other is None else (figures.other, figures.other - figures.truth)
            yield field.field, field.smear, field.domain, name, "ok", *counts, *matches, *clear, field.saturated, *against, None
    for lost in unread:
        yield _lone(lost.source, "unread", lost.reason)


def rows_of_tables(result: TableEvaluation) -> Iterator[Sequence[object]]:
    """A row per field, or smear, and class; one row, without a class, for each that is in no figure."""
    comparison, full = result.comparison, set(result.saturated)
    beside = {} if result.against is None else {field.truth_name: field for field in result.against.fields}
    for field in comparison.fields:
        other = beside.get(field.truth_name)
        for name, truth in field.truth.items():
            counts = truth, field.counted[name], field.error[name]
            against = (other.counted[name], other.error[name]) if other and name in other.truth else (None, None)
            rest = *[None] * 6, field.field in full, *against, None
            yield field.field, field.smear, None, name, "ok", *counts, *rest
    for status, names in (
        ("only counted", comparison.only_counted),
        ("only in truth", comparison.only_truth),
        ("ambiguous", comparison.ambiguous),
    ):
        for lone in names:
            yield _lone(lone, status, None)
    for lost, reason in result.unread.items():
        yield _lone(lost, "unread", reason)


def _lone(name: str, status: str, reason: str | None) -> Sequence[object]:
    return name, None, None, None, status, *[None] * (len(COLUMNS) - 6), reason


def write_fields(target: Path, rows: Iterable[Sequence[object]]) -> None:
    """Write rows of `COLUMNS`.

    Raises:
        OSError: it cannot be written.
    """
    write_csv(target, COLUMNS, rows)


def against_truth(comparison: Comparison, remarks: Sequence[str]) -> AgainstTruth:
    """The comparison as a count keeps and writes it.

    Args:
        remarks: what of the truth could not be used.
    """
    errors = [
        (field.field, field.smear, name, field.counted[name], field.truth[name], error)
        for field in comparison.fields
        for name, error in field.error.items()
    ]
    columns = [column for name in AGREEMENT_FIGURES for column in (name, f"{name}_low", f"{name}_high")]
    rows = [
        (name, agreement.fields, agreement.counted, agreement.truth, *_columns(agreement))
        for name, agreement in comparison.classes.items()
    ]
    return AgainstTruth(
        Table(("field", "smear", "class", "counted", "truth", "error"), errors),
        Table(("class", "fields", "counted", "truth", *columns), rows),
        tuple(f"{what}: {', '.join(names)}" for what, names in comparison.left_out(remarks) if names),
    )


def _columns(agreement: Agreement) -> Iterable[float | None]:
    for name in AGREEMENT_FIGURES:
        figure: Interval | None = getattr(agreement, name)
        yield from (None, None, None) if figure is None else (figure.value, figure.low, figure.high)
