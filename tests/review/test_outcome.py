"""What a review leaves behind: tables, confusion, a report to sign, and a dataset that training takes."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from steps import change, looked_at_all

from detector import exchange
from detector.accuracy import tables as truths
from detector.annotations import dataset
from detector.counting.fields import FieldCount
from detector.errors import NothingToDoError, OutputError, UsageError
from detector.review import outcome
from detector.review.opened import open_run
from detector.review.review import Review

Opening = Callable[[], Any]


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def reviewed(opened: Opening) -> Any:
    """A review in which two cells of one field were changed and one drawn, with smear_a looked at and signed."""
    with opened() as review:
        cells = review.fields[0].model_cells
        red = [number for number, cell in cells.items() if cell[4] == 0]
        change(
            review, cells=[{"cell": red[0], "label": 1}, {"cell": red[1], "removed": True}, {"box": [5, 5, 40, 44], "label": 2}]
        )
        change(review, 0, looked=True)
        change(review, 1, by="Bob", looked=True)
        review.change({"id": "sign-it-now", "by": "Ann", "smears": [{"smear": "smear_a", "signed": True}]})
        yield review


def test_tables_stand_beside_the_raw_ones_and_say_who(reviewed: Review, run_folder: Path) -> None:
    raw = rows(run_folder / "counts.csv")
    before = (run_folder / "counts.csv").read_bytes()
    folder = outcome.write(reviewed)
    assert (run_folder / "counts.csv").read_bytes() == before
    after = rows(folder / "counts.csv")
    assert [int(after[0][name]) - int(raw[0][name]) for name in ("RBC", "WBC", "Platelets")] == [-2, 1, 1]
    marks = [after[0][name] for name in ("looked_at_by", "added", "removed", "relabelled", "moved")]
    assert marks == ["Ann", "1", "1", "1", "0"]
    assert [row["looked_at_by"] for row in after] == ["Ann", "Bob", "", "", ""]
    smears = rows(folder / "smears.csv")
    first, other = smears[0], smears[3]
    assert (first["fields_looked_at"], first["signed_by"], first["readers"]) == ("2", "Ann", "Ann; Bob")
    assert first["expected_total"] == first["expected_total_low"] == first["expected_total_high"] == first["total"]
    assert (other["smear"], other["fields_looked_at"], other["signed_by"], other["expected_total"]) == ("smear_b", "0", "", "")


def test_reviewed_counts_are_taken_by_an_evaluation(reviewed: Review, run_folder: Path) -> None:
    folder = outcome.write(reviewed)
    table = truths.read_counts(folder / "counts.csv")
    assert not [remark for remark in table.remarks if "not used" in remark]
    looked_at = {state.name: state.counted for state in reviewed.fields if state.looked}
    assert table.counts == {name: count.raw for name, count in looked_at.items() if isinstance(count, FieldCount)}
    assert table.unread.keys() == {state.name for state in reviewed.fields} - looked_at.keys()


def test_the_model_is_compared_with_the_readers_in_fields_that_were_looked_at(reviewed: Review) -> None:
    folder = outcome.write(reviewed)
    table = {row["model"]: row for row in rows(folder / "confusion.csv")}
    assert (table["RBC"]["WBC"], table["RBC"]["removed"], table["nothing"]["Platelets"], table["nothing"]["removed"]) == (
        "1",
        "1",
        "1",
        "",
    )
    cells = sum(len(state.model_cells) for state in reviewed.fields[:2])
    assert sum(int(row[name] or 0) for row in table.values() for name in row if name != "model") == cells + 1


def test_cells_are_written_in_the_layout_of_a_count(reviewed: Review) -> None:
    folder = outcome.write(reviewed)
    document = json.loads((folder / "detections.json").read_text(encoding="utf-8"))
    first = [cell for cell in document["annotations"] if cell["image_id"] == document["images"][0]["id"]]
    assert len(first) == len(reviewed.fields[0].model_cells)
    assert {"bbox": [5.0, 5.0, 35.0, 39.0], "score": 1.0, "category_id": 3}.items() <= first[-1].items()
    assert [field["file_name"] for field in document["unread"]] == ["smear_b/empty.jpg"]


def test_the_report_escapes_names_and_has_lines_to_sign(reviewed: Review) -> None:
    text = (outcome.write(reviewed) / "report.html").read_text(encoding="utf-8")
    assert "<img src=x" not in text
    assert "&lt;img src=x onerror=alert(1)&gt;" in text
    assert text.count("Date and signature") == 2
    assert "The review is not complete." in text
    looked_at_all(reviewed)
    assert "The review is not complete." not in (outcome.write(reviewed) / "report.html").read_text(encoding="utf-8")


def test_fields_that_were_looked_at_become_a_dataset(reviewed: Review, run_folder: Path) -> None:
    looked_at_all(reviewed)
    data = outcome.write_dataset(reviewed)
    loaded = [dataset.load(data, split) for split in ("train", "val", "test")]
    assert [len(split.records) for split in loaded] == [3, 1, 0]
    assert not any(split.unusable for split in loaded)
    (record,) = [r for split in loaded for r in split.records if r.name == "smear_a__field_01"]
    assert [int((record.label == label).sum()) for label in range(3)] == reviewed.state()["fields"][0]["counts"]
    smear_of = {row["field"]: row["smear"] for row in rows(data.with_name(dataset.SMEARS))}
    assert smear_of == {record.name: record.name.partition("__")[0] for part in loaded for record in part.records}
    again = outcome.write_dataset(reviewed)
    assert again == data
    (data.parent / "audit.json").write_text("{}", encoding="utf-8")
    with pytest.raises(OutputError, match="is not an earlier conversion"):
        outcome.write_dataset(reviewed)


def test_without_a_look_there_is_no_dataset(opened: Opening) -> None:
    with opened() as review, pytest.raises(NothingToDoError, match="mark fields as looked at first"):
        outcome.write_dataset(review)


def words_of(pdf: Path) -> str:
    """The text of a PDF, by an independent reader."""
    if (reader := shutil.which("pdftotext")) is None:
        pytest.skip("needs pdftotext: apt-get install poppler-utils")
    done = subprocess.run([reader, "-layout", str(pdf), "-"], capture_output=True, text=True, check=True)
    return done.stdout


def test_the_printed_report_says_who_signed_what_and_has_lines_to_sign(reviewed: Review) -> None:
    pytest.importorskip("fpdf", reason="needs the pdf extra: pip install -e '.[pdf]'")
    folder = outcome.write(reviewed, with_pdf=True)
    flat = " ".join(words_of(folder / "report.pdf").split())
    state = reviewed.fields[0]
    assert state.looked is not None
    at = f"{state.looked['at'][:10]} {state.looked['at'][11:16]} UTC"
    assert f"by Ann: 1 field, last {at}" in flat
    assert "Marked as reviewed on the page: by Ann" in flat
    assert "Marked as reviewed on the page: no." in flat
    assert "The review is not complete." in flat
    for smear in ("smear_a", "smear_b"):
        assert f"{reviewed.smear(smear).classes['RBC'].total:,}" in flat
        assert smear in flat
    assert flat.count("Signature") == 2
    assert "onerror=alert(1)>&'.jpg" in flat
    assert "Unread: smear_b/empty.jpg: is empty" in flat
    # Without it, one of an earlier call would tell of other counts.
    assert not (outcome.write(reviewed) / "report.pdf").exists()


def test_reviewed_cells_are_exported_by_the_command_too(reviewed: Review, run_folder: Path, run_command: Any) -> None:
    folder = outcome.write(reviewed)
    assert run_command(exchange.main, folder, "--to", "csv", "--out", run_folder / "given") == 0
    (table,) = (run_folder / "given" / "csv").glob("*.csv")
    assert len(rows(table)) == sum(len(state.present()) for state in reviewed.fields if state.source.is_read)
    assert run_command(exchange.main, folder, "--to", "fhir", "--out", run_folder / "sent") == 3
    with pytest.raises(UsageError, match="open the count that was reviewed"):
        open_run(folder)
