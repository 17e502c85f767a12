"""Tables of true counts and manifests as workbooks of Excel."""

from __future__ import annotations

import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from detector import evaluate, texts
from detector.accuracy.tables import read_counts, read_table
from detector.engines import manifest
from detector.errors import ManifestError, MissingExtraError

openpyxl = pytest.importorskip("openpyxl", reason="needs the exchange extra: pip install -e '.[exchange]'")
SAMPLES = Path(__file__).parents[1] / "datasets" / "samples"


def workbook(path: Path, *sheets: list[list[object]]) -> Path:
    book = openpyxl.Workbook()
    book.remove(book.active)
    for rows in sheets:
        sheet = book.create_sheet()
        for row in rows:
            sheet.append(row)
    book.save(path)
    return path


def with_sheet(path: Path, change: Callable[[str], str]) -> Path:
    """The same workbook with its first sheet's XML changed, as another program would write it."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = "xl/worksheets/sheet1.xml"
    members[name] = change(members[name].decode()).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    return path


def test_counts_of_a_workbook(tmp_path: Path) -> None:
    """Numbers with decimals, texts with a decimal comma, empty rows and cells, column names in any case, other sheets."""
    rows = [
        ["Field ", "rbc", "PLT", "Leucocytes", "Note", None],
        ["a/1.jpg", 12, 0.5, "6,5", "x"],
        [None, None],
        ["b", None, 1.125, 3.0, "y"],
    ]
    table = read_table(workbook(tmp_path / "t.xlsx", rows, [["other"]]))
    assert table.counts == {"a/1.jpg": {"RBC": 12, "WBC": 6.5, "Platelets": 0.5}, "b": {"WBC": 3, "Platelets": 1.125}}
    assert table.remarks == [
        "read from the sheet 'Sheet'; not used: 'Sheet1'",
        "columns that are not used: 'Note'",
        "column 'rbc' is empty in 1 row (line 4): not counted there",
    ]


def test_a_manifest_in_a_workbook(tmp_path: Path) -> None:
    rows = [["SMEAR", "Field", "um_per_px"], ["Präparat", "ä.jpg", 0.075], [12, "sub\\b.jpg", None]]
    read = manifest.read(workbook(tmp_path / "m.xlsx", rows))
    assert [(row.field, row.smear, row.um_per_px) for row in read.rows] == [
        ("ä.jpg", "Präparat", 0.075),
        ("sub/b.jpg", "12", None),
    ]


def test_the_kind_of_file_shows_by_what_it_holds(tmp_path: Path) -> None:
    misnamed = workbook(tmp_path / "t.xlsx", [["field", "RBC"], ["a", 1]]).rename(tmp_path / "t.csv")
    assert read_counts(misnamed).counts == {"a": {"RBC": 1}}


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([["field", "RBC"], ["a", "=1+1"]], r"line 2: holds the formula '=1\+1' without its value"),
        ([["field", "RBC"], ["a", "1.234"]], r"'1.234' can be 1234 or, with a decimal point, 1.234"),
        ([["field", "RBC"], ["a", -1]], r"line 2, column 'RBC'.*'-1'"),
        ([["field", "RBC"], ["a", "#DIV/0!"]], r"line 2, column 'RBC'.*'#DIV/0!'"),
        ([["field", "RBC"], ["a", 1], ["a", 2]], r"line 3: field 'a' is counted twice, first in line 2"),
        ([["field", "RBC"], ["a", 1, 7]], r"line 2: has 3 cells where the first line has 2 columns; give each column a name"),
        ([], r"found columns none"),
    ],
)
def test_what_is_refused_is_named_with_its_place(tmp_path: Path, rows: list[list[object]], said: str) -> None:
    with pytest.raises(ManifestError, match=said):
        read_table(workbook(tmp_path / "t.xlsx", rows))


def test_values_of_formulas_are_read(tmp_path: Path) -> None:
    """A number, and an empty text, which is an empty cell."""
    path = workbook(tmp_path / "t.xlsx", [["field", "RBC"], ["a", "=1+1"], ["b", '=""']])

    def computed(sheet: str) -> str:
        sheet = sheet.replace("<f>1+1</f><v />", "<f>1+1</f><v>2</v>")
        return sheet.replace('<c r="B3"><f>""</f><v />', '<c r="B3" t="str"><f>""</f><v></v>')

    table = read_table(with_sheet(path, computed))
    assert table.counts == {"a": {"RBC": 2}, "b": {}}


def test_other_workbooks_are_refused_with_the_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = tmp_path / "t.xls"
    old.write_bytes(bytes.fromhex("d0cf11e0a1b11ae1") + b"\0" * 600)
    with pytest.raises(ManifestError, match=r"old \(.xls\) or encrypted file of Excel; save it as .xlsx"):
        read_counts(old)
    other = tmp_path / "t.ods"
    with zipfile.ZipFile(other, "w") as archive:
        archive.writestr("mimetype", "application/vnd.oasis.opendocument.spreadsheet")
    with pytest.raises(ManifestError, match="is no workbook"):
        read_counts(other)
    cut = workbook(tmp_path / "cut.xlsx", [["field", "RBC"], ["a", 1]])
    cut.write_bytes(cut.read_bytes()[:1000])
    with pytest.raises(ManifestError, match="is no workbook"):
        read_counts(cut)
    monkeypatch.setattr(texts, "_MOST_WORKBOOK", 1000)
    with pytest.raises(ManifestError, match="MiB when unpacked"):
        read_counts(workbook(tmp_path / "large.xlsx", [["field", "RBC"], ["a", 1]]))


def test_without_openpyxl_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = workbook(tmp_path / "t.xlsx", [["field", "RBC"], ["a", 1]])
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(MissingExtraError, match=r"smearcount\[exchange\]"):
        read_table(path)


def test_a_program_writes_warnings_nowhere(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    """What openpyxl does not read of a workbook is nothing to tell of a table."""
    path = workbook(tmp_path / "t.xlsx", [["field", "RBC"], ["a", 1]])
    extension = '<extLst><ext uri="{CCE6A557-97BC-4b89-ADB6-D9C93CAAB3DF}"/></extLst></worksheet>'
    assert read_table(with_sheet(path, lambda sheet: sheet.replace("</worksheet>", extension))).counts == {"a": {"RBC": 1}}
    assert not recwarn.list


@pytest.mark.slow
def test_evaluate_takes_truth_from_a_workbook(tmp_path: Path, run_command: Callable[..., int]) -> None:
    pytest.importorskip("matplotlib", reason="needs the evaluate extra: pip install -e '.[evaluate]'")
    truth = texts.table(SAMPLES / "truth.csv", "")
    numbers = [[int(text) if text.isdecimal() else text for text in row] for _, row in truth.rows]
    workbook(tmp_path / "truth.xlsx", [list(truth.written), *numbers])
    assert run_command(evaluate.main, "--counts", tmp_path / "truth.xlsx", "--truth", SAMPLES / "truth.csv", "--out", "e") == 0
    assert read_counts(tmp_path / "truth.xlsx").counts == read_counts(SAMPLES / "truth.csv").counts


def test_text_that_begins_as_a_zip_is_no_workbook(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("PKfield,RBC\na,1\n", encoding="utf-8")
    with pytest.raises(ManifestError, match="needs one column 'field'"):
        read_table(tmp_path / "t.csv")


def test_what_a_file_or_an_error_says_is_told_in_one_line_without_control_codes() -> None:
    assert texts.one_line("a\x1b]52;c;AAAA\x07\x9bb\u202ec\n d") == "a ]52;c;AAAA b c d"
    assert texts.one_line(MemoryError()) == "MemoryError"
    assert (len(texts.one_line("x" * 500)), len(texts.one_line("x" * 500, 300))) == (200, 300)
