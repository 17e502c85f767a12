"""What `python -m detector.count` does and says about the width of red cells."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest

from detector import count

Run = Callable[..., int]
SAMPLES = Path(__file__).parents[2] / "datasets" / "samples"
WARNING = "the given scale contradicts the cells"


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def scales(out: str) -> list[dict[str, object]]:
    return list(json.loads(Path(out, "run.json").read_text(encoding="utf-8"))["scales"])


@pytest.fixture
def smear(tmp_path: Path) -> Path:
    """A smear of four fields, the last of them at twice the magnification."""
    folder = tmp_path / "fields" / "s"
    folder.mkdir(parents=True)
    for i, path in enumerate(sorted((SAMPLES / "smear_a").glob("*.jpg"))[:4]):
        factor = 1.0 if i == 3 else 0.5
        cv2.imwrite(str(folder / f"{i}.png"), cv2.resize(cv2.imread(str(path)), None, fx=factor, fy=factor))
    return folder


def test_tables_say_how_wide_red_cells_are_and_what_tells_it(smear: Path, run_command: Run) -> None:
    assert run_command(count.main, smear, "--out", "out") == 0
    *three, other = rows(Path("out/counts.csv"))
    (rbc_px,) = {row["rbc_px"] for row in three}
    assert float(other["rbc_px"]) == pytest.approx(2 * float(rbc_px), rel=0.15)
    assert [row["scale"] for row in (*three, other)] == ["cells of the smear"] * 3 + ["cells of the field"]
    assert other["reason"].startswith("own scale: red cells are ")
    assert [(scale["smear"], scale["source"], scale["fields"]) for scale in scales("out")] == [
        ("s", "cells of the smear", 3),
        ("s", "cells of the field", 1),
    ]
    # The table holds what the document does, to as many places as it shows.
    assert [scale["rbc_px"] for scale in scales("out")] == pytest.approx([float(rbc_px), float(other["rbc_px"])], rel=0.01)


@pytest.mark.slow
def test_a_count_that_is_continued_keeps_the_scale(smear: Path, run_command: Run) -> None:
    assert run_command(count.main, smear, "--out", "out") == 0
    before, told = rows(Path("out/counts.csv")), scales("out")
    journal = Path("out/journal.jsonl")
    # Of the fields that are left none but the last, which is of another scale, is still to be counted.
    journal.write_bytes(b"".join(journal.read_bytes().splitlines(keepends=True)[:4]))
    assert run_command(count.main, smear, "--out", "out", "--resume") == 0
    assert rows(Path("out/counts.csv")) == before
    assert scales("out") == told


def test_a_given_scale_that_fits_is_taken_without_a_word(
    fields: Path, run_command: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(count.main, fields, "--out", "out", "--um-per-px", "0.075") == 0
    assert {(row["rbc_px"], row["scale"]) for row in rows(Path("out/counts.csv"))} == {("100", "given")}
    assert WARNING not in "".join(capsys.readouterr())
    assert WARNING not in Path("out/report.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_given_scale_that_the_cells_contradict_is_used_and_warned_of_once(
    fields: Path, run_command: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(count.main, fields, "--out", "out", "--um-per-px", "0.3") == 0
    assert {(row["rbc_px"], row["scale"]) for row in rows(Path("out/counts.csv"))} == {("25", "given")}
    printed = capsys.readouterr()
    warning = (
        rf"warning: {WARNING} in [34] of 4 fields: in smear_a/field_0\d\.jpg, by the given scale red cells should be 25 px wide"
    )
    assert re.match(warning, " ".join(printed.err.split()))
    assert (printed.err + printed.out).count(WARNING) == 1
    report = Path("out/report.html").read_text(encoding="utf-8")
    assert report.count(f"Warning: {WARNING}") == 1
    assert report.index(f"Warning: {WARNING}") < report.index("<table")
