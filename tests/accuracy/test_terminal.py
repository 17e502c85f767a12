"""Figures for people at a terminal."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from rich.console import Console

from detector.accuracy import terminal
from detector.accuracy.comparison import compare, evaluate_tables
from detector.accuracy.evaluation import Candidate, Evaluation, evaluate
from detector.accuracy.tables import CountsTable
from detector.accuracy.terminal import of_evaluation, print_evaluation
from detector.annotations.records import Record
from detector.vision.detections import Detections, Unread


def printed_tables(folder: Path, counts: str, truth: str, against: str | None = None) -> str:
    paths = []
    for name, text in (("counts", counts), ("truth", truth), ("against", against)):
        if text is not None:
            paths.append(folder / f"{name}.csv")
            paths[-1].write_text(text, encoding="utf-8")
    out = io.StringIO()
    terminal.print_table_evaluation(Console(file=out, width=120), evaluate_tables(*paths))
    return " ".join(out.getvalue().split())


def test_figures_differences_and_what_is_in_none_of_them(tmp_path: Path) -> None:
    said = printed_tables(
        tmp_path,
        "field,smear,status,reason,RBC,saturated\na,s,ok,,5,true\nb,t,ok,,7,false\n[bold],t,unread,torn,,\n",
        "field,RBC,WBC\na,4,1\nb,7,1\nz,1,1\n",
        "field,RBC\nb,8\nq,1\n",
    )
    for text in (
        "Against truth, 2 fields",
        "totals of 2 smears",
        "The other table against truth, 1 field",
        "These counts less the other table's",
        "1 truth without a counted field: z",
        "1 classes on one side only: WBC",
        "1 unread: [bold] (torn)",
        "1 with more cells than could be counted: a",
        "1 counted without truth: q",
        "in one of the two tables only, in no difference: a",
        "undefined",
    ):
        assert text in said


def test_whole_smears_and_counts_that_are_no_whole_numbers(tmp_path: Path) -> None:
    said = printed_tables(tmp_path, "smear,RBC\ns,4610000.5\nt,5.2e6\n", "smear,RBC\ns,4.6e6\nt,5e6\n")
    assert "Against truth, 2 smears" in said
    assert "9.81e+06 9600000" in said


def test_tables_are_as_wide_as_a_page() -> None:
    one = CountsTable(
        {f"{s}{i}": {"RBC": 11 + i % 3, "WBC": i % 2} for s in "abcd" for i in range(9)},
        smears={f"{s}{i}": s for s in "abcd" for i in range(9)},
    )
    other = CountsTable({name: {"RBC": 10, "WBC": 1} for name in one.counts})
    console = Console(width=200)
    for table in terminal.of_comparison(compare(one, other), "Against truth"):
        assert console.measure(table).maximum <= 120


Make = Callable[..., tuple[list[Record], list[Detections]]]
THRESHOLDS = {"RBC": 0.5, "WBC": 0.5, "Platelets": 0.5}


@pytest.mark.parametrize("width", [60, 80, 100, 120])
def test_no_word_is_cut(width: int) -> None:
    truth = {f"{smear}/{i}.png": {"RBC": 12 + i, "Platelets": i} for smear in "ab" for i in range(4)}
    smears = {name: name[0] for name in truth}
    counted = {name: {"RBC": 13 + i % 3, "Platelets": i % 2} for i, name in enumerate(truth)}
    comparison = compare(CountsTable(counted, smears=smears), CountsTable(truth, smears=smears))
    terminal.print_comparison(Console(file=(out := io.StringIO()), width=width), comparison, ())
    assert "…" not in out.getvalue()
    assert "totals of 2 smears" in out.getvalue()


@pytest.fixture(scope="module")
def result(make: Make, tmp_path_factory: pytest.TempPathFactory) -> Evaluation:
    """Six fields without platelets, of two smears and two domains, beside a worse detector and other labels."""
    pytest.importorskip("pycocotools", reason="needs the evaluate extra: pip install -e '.[evaluate]'")
    records, detections = make(4, fields=6, per_class=(10, 1, 0))
    folder = tmp_path_factory.mktemp("fields")
    named = []
    for i, record in enumerate(records):
        path = folder / f"{i}.png"
        w, h = record.size_wh
        cv2.imwrite(str(path), np.full((h, w, 3), i, np.uint8))
        named.append(replace(record, image=path))
    full, half = (Candidate(lambda rgb, k=k: (detections[rgb[0, 0, 0]][::k],) * 2, THRESHOLDS) for k in (1, 2))
    return evaluate(
        named,
        full,
        domain_of=lambda name: "[/b] stain" if name < "field3" else "other",
        smears={record.name: record.name[-1:] for record in records[:5]},
        against=half,
        other_labels=named[:4],
    )


def printed_evaluation(result: Evaluation) -> tuple[str, str]:
    out, errors = io.StringIO(), io.StringIO()
    print_evaluation(Console(file=out, width=120), Console(file=errors, width=120), result)
    return out.getvalue(), " ".join(errors.getvalue().split())


def test_every_part_is_there_and_as_wide_as_a_page(result: Evaluation) -> None:
    text, errors = printed_evaluation(result)
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
    rows = [line for line in printed_evaluation(result)[0].splitlines() if line.strip()]
    under = next(i for i, line in enumerate(rows) if line.startswith("Platelets"))
    assert rows[under].split()[:3] == ["Platelets", "undefined", "undefined"]
    assert rows[under + 1].count("none labelled") >= 2
    assert "no true cells" in " ".join(rows)
    assert "no training fields" in " ".join(rows)


def test_fields_that_a_reader_must_know_of(result: Evaluation) -> None:
    unread = [Unread(f"field {i}", "[torn]") for i in range(25)]
    errors = printed_evaluation(replace(result, saturated=list("abcdefg"), truncated=["h"], unread=unread))[1]
    assert "7 with more cells than could be counted: a, b, c, d, e, ..." in errors
    assert "1 with more cells than average precision takes in: h" in errors
    assert "unread: field 0: [torn]" in errors
    assert "... and 5 more unread, in fields.csv" in errors
