"""Figures for people at a terminal."""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

from detector.accuracy import tables
from detector.accuracy.comparison import compare
from detector.accuracy.counts_table import CountsTable
from detector.accuracy.tabled import evaluate_tables


def printed(folder: Path, counts: str, truth: str, against: str | None = None) -> str:
    paths = []
    for name, text in (("counts", counts), ("truth", truth), ("against", against)):
        if text is not None:
            paths.append(folder / f"{name}.csv")
            paths[-1].write_text(text, encoding="utf-8")
    out = io.StringIO()
    tables.print_tables(Console(file=out, width=120), evaluate_tables(*paths))
    return " ".join(out.getvalue().split())


def test_figures_differences_and_what_is_in_none_of_them(tmp_path: Path) -> None:
    said = printed(
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
    said = printed(tmp_path, "smear,RBC\ns,4610000.5\nt,5.2e6\n", "smear,RBC\ns,4.6e6\nt,5e6\n")
    assert "Against truth, 2 smears" in said
    assert "9.81e+06 9600000" in said


def test_tables_are_as_wide_as_a_page() -> None:
    one = CountsTable(
        {f"{s}{i}": {"RBC": 11 + i % 3, "WBC": i % 2} for s in "abcd" for i in range(9)},
        smears={f"{s}{i}": s for s in "abcd" for i in range(9)},
    )
    other = CountsTable({name: {"RBC": 10, "WBC": 1} for name in one.counts})
    console = Console(width=200)
    for table in tables.of_comparison(compare(one, other), "Against truth"):
        assert console.measure(table).maximum <= 120
