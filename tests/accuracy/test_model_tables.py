"""Figures of a model against labels at a terminal."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from rich.console import Console

from detector.accuracy.evaluation import Candidate, Evaluation, evaluate
from detector.accuracy.model_tables import of_evaluation, print_evaluation
from detector.annotations.records import Record
from detector.vision.detections import Detections, Unread

Make = Callable[..., tuple[list[Record], list[Detections]]]
THRESHOLDS = {"RBC": 0.5, "WBC": 0.5, "Platelets": 0.5}


@pytest.fixture
def result(make: Make, tmp_path: Path) -> Evaluation:
    """Six fields without platelets, of two smears and two domains, beside a worse detector and other labels."""
    pytest.importorskip("pycocotools", reason="needs the evaluate extra: pip install -e '.[evaluate]'")
    records, found = make(4, fields=6, per_class=(10, 1, 0))
    named = []
    for i, record in enumerate(records):
        path = tmp_path / f"{i}.png"
        w, h = record.size_wh
        cv2.imwrite(str(path), np.full((h, w, 3), i, np.uint8))
        named.append(replace(record, image=path))
    full, half = (Candidate(lambda rgb, k=k: (found[rgb[0, 0, 0]][::k],) * 2, THRESHOLDS) for k in (1, 2))
    return evaluate(
        named,
        full,
        domain_of=lambda name: "[/b] stain" if name < "field3" else "other",
        smears={record.name: record.name[-1:] for record in records[:5]},
        against=half,
        other_labels=named[:4],
    )


def printed(result: Evaluation) -> tuple[str, str]:
    out, errors = io.StringIO(), io.StringIO()
    print_evaluation(Console(file=out, width=120), Console(file=errors, width=120), result)
    return out.getvalue(), " ".join(errors.getvalue().split())


def test_every_part_is_there_and_as_wide_as_a_page(result: Evaluation) -> None:
    text, errors = printed(result)
    for title in (
        "cells found in 6 fields",
        "counts per field",
        "limits of agreement: lower",
        "totals of 5 smears",
        "by domain",
        "this model less the other",
        "4 fields by both label sets",
    ):
        assert title in text
    assert "[/b] stain" in text
    assert errors == "1 of no known smear: field5 2 not labelled by the others: field4, field5"
    assert all(Console(width=200).measure(table).maximum <= 120 for table in of_evaluation(result))


def test_what_is_undefined_says_why(result: Evaluation) -> None:
    rows = [line for line in printed(result)[0].splitlines() if line.strip()]
    under = next(i for i, line in enumerate(rows) if line.startswith("Platelets"))
    assert rows[under].split()[:3] == ["Platelets", "undefined", "undefined"]
    assert rows[under + 1].count("none labelled") >= 2
    assert "no true cells" in " ".join(rows)
    assert "no training fields" in " ".join(rows)


def test_fields_that_a_reader_must_know_of(result: Evaluation) -> None:
    unread = [Unread(f"field {i}", "[torn]") for i in range(25)]
    errors = printed(replace(result, saturated=list("abcdefg"), truncated=["h"], unread=unread))[1]
    assert "7 with more cells than could be counted: a, b, c, d, e, ..." in errors
    assert "1 with more cells than average precision takes in: h" in errors
    assert "unread: field 0: [torn]" in errors
    assert "... and 5 more unread, in fields.csv" in errors
