"""Counts from tables and labels: what is read, and what is refused with its place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from detector.accuracy.tables import counts_of_records, read_counts, read_table
from detector.annotations.records import Record
from detector.errors import AnnotationError, ManifestError
from detector.output.files import write_csv


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "manual.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_classes_by_alias_in_any_order(tmp_path: Path) -> None:
    path = written(tmp_path, "Thrombocytes,note,field,Red blood cells\n3,x,a/b.png,12\n0,,c d.png,7.0\n\n")
    assert read_table(path).counts == {"a/b.png": {"RBC": 12, "Platelets": 3}, "c d.png": {"RBC": 7, "Platelets": 0}}


def test_byte_order_mark_quotes_and_letters(tmp_path: Path) -> None:
    path = written(tmp_path, '\ufefffield,WBC\r\n"Größe, 1.png",2\r\n')
    assert read_table(path).counts == {"Größe, 1.png": {"WBC": 2}}


def test_a_counts_table_of_ours_can_be_truth(tmp_path: Path) -> None:
    path = written(tmp_path, "field,smear,status,reason,RBC,WBC,Platelets,RBC_frame\na.png,s,ok,,5,1,0,4\n")
    assert read_table(path).counts == {"a.png": {"RBC": 5, "WBC": 1, "Platelets": 0}}


def test_what_our_counts_table_tells_of_its_fields(tmp_path: Path) -> None:
    path = tmp_path / "counts.csv"
    rows = [
        ("=a.png", "s", "ok", "", 5, True),
        ("b.png", "-t", "unread", "not an image", None, None),
        ("c.png", "", "ok", "", 0, False),
    ]
    write_csv(path, ("field", "smear", "status", "reason", "RBC", "saturated"), rows)
    table = read_table(path)
    assert table.counts == {"=a.png": {"RBC": 5}, "c.png": {"RBC": 0}}
    assert table.smears == {"=a.png": "s", "b.png": "-t"}
    assert table.unread == {"b.png": "not an image"}
    assert (table.saturated, table.of_smears) == (["=a.png"], False)


def test_fields_of_a_review_that_nobody_looked_at_are_no_readers_counts(tmp_path: Path) -> None:
    header = "field,smear,status,reason,RBC,looked_at_by,looked_at,added,removed,relabelled,moved\n"
    looked_at, other = "a.png,s,ok,,5,Ann,2026-01-01T08:00:00+00:00,1,0,0,0\n", "b.png,s,ok,,7,,,0,0,0,0\n"
    unread = "c.png,s,unread,is empty,,,,,,,\n"
    table = read_table(written(tmp_path, header + looked_at + other + unread))
    assert table.counts == {"a.png": {"RBC": 5}}
    why = "nobody looked at it, so its counts are those of the model"
    assert table.unread == {"b.png": why, "c.png": "is empty"}
    assert table.remarks == [f"1 of 2 fields are left out: {why}"]
    with pytest.raises(ManifestError, match=r"nobody looked at any of its 1 fields.*mark fields as looked at"):
        read_table(written(tmp_path, header + other))


@pytest.mark.parametrize(
    ("cell", "count"),
    [("4.61e6", 4_610_000), ("12.5", 12.5), ("12,5", 12.5), ("0,125", 0.125), ("4,6125", 4.6125), ("7,0", 7), ("007", 7)],
)
def test_counts_need_not_be_whole(tmp_path: Path, cell: str, count: float) -> None:
    assert read_table(written(tmp_path, f"field;RBC\na;{cell}\n")).counts == {"a": {"RBC": count}}


def test_rows_of_whole_smears(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, "smear\tPLT\tWBC\ns1\t212\t6,5\n"))
    assert table.of_smears
    assert table.counts == {"s1": {"WBC": 6.5, "Platelets": 212}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("field,RBC\nb,\n", r"manual.csv: holds no counts \(all cells of 'RBC' are empty\)"),
        ("field,RBC\na,-1\n", r"line 2, column 'RBC'.*'-1'"),
        ("field,RBC\na,many\n", r"line 2, column 'RBC'.*'many'"),
        ('field,RBC\na,"1,234"\n', r"line 2, column 'RBC'.*'1,234'; leave the comma out"),
        ("field;RBC\na;1,234,567\n", r"line 2, column 'RBC'.*'1,234,567'"),
        ("field,RBC\na,12,5\n", r"line 2: has 3 cells where the first line has 2 columns"),
        ("field;RBC\na;1.234\n", r"line 2, column 'RBC': '1.234' can be 1234 or, with a decimal point, 1.234"),
        ("field\tRBC\na\t1.234\n", r"line 2, column 'RBC': '1.234' can be 1234 or, with a decimal point, 1.234"),
        ("field;RBC\na;1.234.567\n", r"'1.234.567' can be 1234567"),
        ("field;RBC\na;1.234,5\n", r"line 2, column 'RBC'.*'1.234,5'"),
        ("field,RBC\na,nan\n", r"line 2, column 'RBC'.*'nan'"),
        ("field,RBC\na,1_6\n", r"line 2, column 'RBC'.*'1_6'"),
        ("field,WBC %\na,6\n", r"line 1.*needs a column of counts.*found field, WBC %"),
        ("field,RBC\na,inf\n", r"line 2, column 'RBC'.*'inf'"),
        ("field,RBC\na,1\n ,2\n", r"line 3.*'field' is empty"),
        ("field,RBC\na,1\nb,1\na,2\n", r"line 4.*'a' is counted twice, first in line 2"),
        ("image,RBC\na,1\n", r"line 1.*needs one column 'field'.*image, RBC"),
        ("field,field,RBC\na,b,1\n", r"line 1.*needs one column 'field'"),
        ("field,RBC\n\n", r"holds no counts.*each line must be of a field"),
        ("smear,RBC\na,1\n,2\n", r"line 3: column 'smear' is empty; it names the smear"),
        ("field,remark\na,1\n", r"line 1.*needs a column of counts.*RBC, WBC, Platelets"),
        ("field,RBC,erythrocytes\na,1,1\n", r"'RBC' and 'erythrocytes' both count RBC"),
        ("", r"line 1.*found columns none"),
        ("smear,class,fields,total\ns,RBC,2,9\n", r"has a row for each class.*give the counts.csv beside it"),
        (b"field,RBC\n\x81\x8d,1\n", r"is not text in UTF-8, UTF-16 or Windows-1252"),
        (b"field,RBC\na\x00b,1\n", r"line 2: holds a NUL character"),
    ],
)
def test_what_is_refused_is_named_with_its_place(tmp_path: Path, text: str | bytes, said: str) -> None:
    with pytest.raises(ManifestError, match=said):
        read_table(written(tmp_path, text))


def test_an_empty_cell_is_not_counted_and_told(tmp_path: Path) -> None:
    table = read_table(written(tmp_path, "status,field,RBC,PLT\nunknown,a,,3\nb,b,7\n,c,,\n"))
    assert table.counts == {"a": {"Platelets": 3}, "b": {"RBC": 7}, "c": {}}
    assert table.remarks == [
        "column 'RBC' is empty in 2 rows (line 2, 4): not counted there",
        "column 'PLT' is empty in 2 rows (line 3, 4): not counted there",
    ]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "cp1252"])
def test_encodings_of_spreadsheets(tmp_path: Path, encoding: str) -> None:
    table = read_table(written(tmp_path, "Field;rbc;Mean\r\nGröße_1.png;12,5;\r\n".encode(encoding)))
    assert table.counts == {"Größe_1.png": {"RBC": 12.5}}
    assert table.remarks[-1] == "columns that are not used: 'Mean'"
    assert ("Windows-1252" in table.remarks[0]) == (encoding == "cp1252")


def test_the_line_by_which_excel_is_told_the_separator(tmp_path: Path) -> None:
    path = written(tmp_path, '"sep=;"\r\nfield;RBC\r\na,b;3\r\n')
    assert read_table(path).counts == {"a,b": {"RBC": 3}}
    with pytest.raises(ManifestError, match=r"line 3, column 'RBC'"):
        read_table(written(tmp_path, "sep=;\nfield;RBC\na;x\n"))


def test_columns_of_ours_are_no_remark_and_others_are_one(tmp_path: Path) -> None:
    assert read_table(written(tmp_path, "field,smear,RBC,RBC_frame,focus\na,s,1,1,0.5\n")).remarks == []
    assert read_table(written(tmp_path, "field,RBC,Platlets,Note\na,1,3,x\nb,1,3,y\n")).remarks == [
        "columns that are not used: 'Platlets', 'Note'"
    ]


def test_an_absent_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="cannot be read"):
        read_table(tmp_path / "nowhere.csv")
    with pytest.raises(ManifestError, match="cannot be read"):
        read_table(tmp_path)


@pytest.mark.parametrize("name", ["manual.csv", "manual.TSV", "manual.txt"])
def test_a_table_is_told_by_its_ending(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("field\tRBC\na\t3\n", encoding="utf-8")
    assert read_counts(tmp_path / name).counts == {"a": {"RBC": 3}}


def test_what_is_no_truth_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"gone.csv: cannot be read"):
        read_counts(tmp_path / "gone.csv")
    with pytest.raises(AnnotationError, match="holds no label set"):
        read_counts(tmp_path)
    (tmp_path / "counts.csv").write_text("field,RBC\na,3\n", encoding="utf-8")
    with pytest.raises(ManifestError, match=r"is a folder of results; give .*counts\.csv"):
        read_counts(tmp_path)


def test_counts_of_records_name_every_class() -> None:
    xyxy = np.zeros((3, 4), np.float32)
    records = [Record("a", None, (9, 9), xyxy, np.array([0, 2, 0])), Record("b", None, (9, 9), xyxy[:0], np.zeros(0, np.int64))]
    assert counts_of_records(records) == {
        "a": {"RBC": 2, "WBC": 0, "Platelets": 1},
        "b": {"RBC": 0, "WBC": 0, "Platelets": 0},
    }
