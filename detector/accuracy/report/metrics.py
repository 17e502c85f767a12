"""`metrics.json`: all figures of an evaluation for programs; `docs/metrics.md` says what each key means."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from detector.accuracy.comparison import Comparison
from detector.accuracy.evaluation import Evaluation
from detector.accuracy.figures import Figures
from detector.accuracy.tabled import TableEvaluation
from detector.arguments import called
from detector.errors import UsageError
from detector.output.files import write_text

FORMAT = "smearcount-metrics"
VERSION = 2
NAME = "metrics.json"
"""Under which it stands in the folder of an evaluation."""


def of_evaluation(result: Evaluation, about: Mapping[str, Any]) -> dict[str, Any]:
    """The document of a model against labels; `about` says what was evaluated, as plain values."""
    everything = result.document()
    figures = {one.name: everything.pop(one.name) for one in dataclasses.fields(Figures)}
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
        "differences": {name: dataclasses.asdict(one) for name, one in result.paired.items()},
        "unpaired": list(result.unpaired),
        "remarks": list(result.remarks),
    }


def _side(of: Comparison, unread: Mapping[str, str], saturated: Sequence[str]) -> dict[str, Any]:
    agreements = {"all_cells": of.classes, "guess": of.guess, "per_smear": of.per_smear}
    lists = ("only_counted", "only_truth", "ambiguous", "classes_apart", "incomplete")
    return {
        "figures": {
            "per": of.per,
            "fields": len(of.fields),
            **{key: {name: dataclasses.asdict(one) for name, one in each.items()} or None for key, each in agreements.items()},
        },
        "smear_totals": [dataclasses.asdict(one) for one in of.smears],
        **{name: list(getattr(of, name)) for name in lists},
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
        known = document["format"], document["version"]
    except (OSError, ValueError, KeyError, TypeError):
        raise UsageError(f"{path}: holds no figures; write them with {called('evaluate')} --out {path}") from None
    if known != (FORMAT, VERSION):
        raise UsageError(
            f"{file}: is {known[0]} version {known[1]}, not {FORMAT} version {VERSION}; evaluate anew with {called('evaluate')}"
        )
    return dict(document)
