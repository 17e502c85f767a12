"""What many doubtful fields make of a smear's counts: the terminal and smears.csv say it before anything else."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest
from rich.console import Console

from detector.counting.expected import corrections
from detector.counting.fields import FieldCount
from detector.counting.smears import SmearCount, aggregate
from detector.output import tables, terminal
from detector.vision.sums import FieldSums

VAL = FieldSums(fields=30, true=450, false=0, missed=150, counted_squared=6750, truth_squared=12000, counted_truth=9000)
WARNING = "2 of 4 fields are doubtful: do not use these counts before looking at them"


@pytest.fixture
def smears() -> list[SmearCount]:
    """Smear a, half of whose fields are doubtful, and b, which is sound."""
    counts = {"RBC": 20, "WBC": 1, "Platelets": 0}
    doubtful = {"a/0.jpg", "a/1.jpg"}
    names = [(smear, f"{smear}/{i}.jpg") for smear in "ab" for i in range(4)]
    fields = [FieldCount(name, smear, (640, 480), counts, counts, doubt="blurred" * (name in doubtful)) for smear, name in names]
    return aggregate(fields, (), corrections({"RBC": {"lab": VAL}}))


def test_the_terminal_leads_with_it(smears: list[SmearCount]) -> None:
    console = Console(width=150, record=True)
    terminal.print_smears(console, smears)
    printed = console.export_text()
    assert printed.splitlines()[0] == f"a: {WARNING}"
    assert "b: " not in printed
    assert "expected true counts are therefore not given" in printed
    rows = [[cell.strip() for cell in line.split("│")] for line in printed.splitlines() if "│ RBC " in line]
    assert rows[0][5] == "-"
    assert rows[1][5].startswith("107")


def test_sound_smears_are_printed_without_it(smears: list[SmearCount]) -> None:
    console = Console(width=150, record=True)
    terminal.print_smears(console, smears[1:])
    assert "doubtful" not in console.export_text()


def test_the_table_holds_it_and_no_expected_count(smears: list[SmearCount], tmp_path: Path) -> None:
    tables.of_smears(smears).write(tmp_path / "smears.csv")
    with (tmp_path / "smears.csv").open(encoding="utf-8", newline="") as file:
        a, b = (row for row in csv.DictReader(file) if row["class"] == "RBC")
    assert list(a).index("warning") < list(a).index("total")
    assert (a["fields_doubtful"], a["warning"]) == ("2", f"{WARNING}; expected true counts are therefore not given")
    assert (b["fields_doubtful"], b["warning"]) == ("0", "")
    for name in (name for name in a if name.startswith("expected_")):
        assert a[name] == ""
        assert b[name]
    assert (a["total"], b["total"]) == ("80", "80")
