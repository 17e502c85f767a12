"""Manual counts: what is read, and what is refused with its place."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from detector.accuracy.truth import of_records, read_counts
from detector.annotations.records import Record
from detector.errors import ManifestError


def written(folder: Path, text: str | bytes) -> Path:
    path = folder / "manual.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_classes_by_alias_in_any_order(tmp_path: Path) -> None:
    path = written(tmp_path, "Thrombocytes,note,field,Red blood cells\n3,x,a/b.png,12\n0,,c d.png,7.0\n\n")
    assert read_counts(path) == {"a/b.png": {"RBC": 12, "Platelets": 3}, "c d.png": {"RBC": 7, "Platelets": 0}}


def test_byte_order_mark_quotes_and_letters(tmp_path: Path) -> None:
    path = written(tmp_path, '\ufefffield,WBC\r\n"Größe, 1.png",2\r\n')
    assert read_counts(path) == {"Größe, 1.png": {"WBC": 2}}


def test_a_counts_table_of_ours_can_be_truth(tmp_path: Path) -> None:
    path = written(tmp_path, "field,smear,status,reason,RBC,WBC,Platelets,RBC_frame\na.png,s,ok,,5,1,0,4\n")
    assert read_counts(path) == {"a.png": {"RBC": 5, "WBC": 1, "Platelets": 0}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("field,RBC\na,1\nb,\n", r"manual.csv, line 3, column 'RBC'.*an empty cell"),
        ("field,RBC,PLT\na,1,2\nb,3\n", r"line 3, column 'PLT'.*an empty cell"),
        ("field,RBC\na,-1\n", r"line 2, column 'RBC'.*'-1'"),
        ("field,RBC\na,many\n", r"line 2, column 'RBC'.*'many'"),
        ("field,RBC\na,1.5\n", r"line 2, column 'RBC'.*'1.5'"),
        ("field,RBC\na,nan\n", r"line 2, column 'RBC'.*'nan'"),
        ("field,RBC\na,inf\n", r"line 2, column 'RBC'.*'inf'"),
        ("field,RBC\na,1\n ,2\n", r"line 3.*'field' is empty"),
        ("field,RBC\na,1\nb,1\na,2\n", r"line 4.*'a' is counted twice, first in line 2"),
        ("image,RBC\na,1\n", r"line 1.*needs one column 'field'.*image, RBC"),
        ("field,remark\na,1\n", r"line 1.*needs a column of counts.*RBC, WBC, Platelets"),
        ("field,RBC,erythrocytes\na,1,1\n", r"'RBC' and 'erythrocytes' both count RBC"),
        ("", r"line 1.*found columns none"),
        (b"field,RBC\n\xff\xfe,1\n", r"is not a CSV file in UTF-8"),
    ],
)
def test_what_is_refused_is_named_with_its_place(tmp_path: Path, text: str | bytes, said: str) -> None:
    with pytest.raises(ManifestError, match=said):
        read_counts(written(tmp_path, text))


def test_an_absent_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="cannot be read"):
        read_counts(tmp_path / "nowhere.csv")
    with pytest.raises(ManifestError, match="cannot be read"):
        read_counts(tmp_path)


def test_counts_of_records_name_every_class() -> None:
    xyxy = np.zeros((3, 4), np.float32)
    records = [Record("a", None, (9, 9), xyxy, np.array([0, 2, 0])), Record("b", None, (9, 9), xyxy[:0], np.zeros(0, np.int64))]
    assert of_records(records) == {
        "a": {"RBC": 2, "WBC": 0, "Platelets": 1},
        "b": {"RBC": 0, "WBC": 0, "Platelets": 0},
    }
