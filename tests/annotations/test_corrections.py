"""A corrections file is read whole, or refused with the line and what would have worked."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from detector.annotations.corrections import COLUMNS, Correction, read
from detector.errors import AnnotationError, UnknownClassError

HEADER = ",".join(COLUMNS)
DATASETS = Path(__file__).parents[2] / "datasets"


@pytest.fixture
def sheet(tmp_path: Path) -> Path:
    return tmp_path / "sheet.csv"


def test_rows_as_written(sheet: Path) -> None:
    text = (
        f"\ufeff{HEADER}\r\n"
        'a b,remove,RBC,1,2.5,30,40,,"a stack, of two"\r\n'
        ",,,,,,,,\r\n"
        "\r\n"
        " fa\u0308 , relabel , red blood cell ,0,0,9.9,9.9, PLT ,a platelet\r\n"
        "c,add,platelet,-1,0,9,9,,missing\r\n"
    )
    sheet.write_bytes(text.encode())
    corrections = read(sheet)
    assert corrections.rows == (
        Correction(2, "a b", "remove", 0, (1, 2.5, 30, 40), None, "a stack, of two"),
        Correction(5, "f\u00e4", "relabel", 0, (0, 0, 9.9, 9.9), 2, "a platelet"),
        Correction(6, "c", "add", 2, (-1, 0, 9, 9), None, "missing"),
    )
    assert corrections.path == sheet
    assert corrections.sha256 == hashlib.sha256(sheet.read_bytes()).hexdigest()


def test_columns_in_another_order_and_no_rows(sheet: Path) -> None:
    sheet.write_text("reason,new_label,y2,x2,y1,x1,label,action,image\nwhy,,4,3,2,1,WBC,add,a\n", encoding="utf-8")
    assert read(sheet).rows == (Correction(2, "a", "add", 1, (1, 2, 3, 4), None, "why"),)
    sheet.write_text(f"{HEADER}\n", encoding="utf-8")
    assert read(sheet).rows == ()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a,drop,RBC,1,1,9,9,,why", "action is 'drop', expected remove, relabel or add"),
        ("a,,RBC,1,1,9,9,,why", "action is '', expected"),
        (" ,remove,RBC,1,1,9,9,,why", "image is empty"),
        ("a,remove,RBC,1,1,9,9,, ", "reason is empty"),
        ("a,remove,cat,1,1,9,9,,why", "unknown cell class 'cat'; known: RBC, WBC, Platelets"),
        ("a,relabel,RBC,1,1,9,9,dog,why", "unknown cell class 'dog'; known"),
        ("a,relabel,RBC,1,1,9,9,,why", "unknown cell class ''; known"),
        ("a,relabel,RBC,1,1,9,9,erythrocyte,why", "new_label is the class that the box has"),
        ("a,remove,RBC,1,1,9,9,WBC,why", "new_label is 'WBC', expected nothing, as the action is remove"),
        ("a,add,RBC,1,one,9,9,,why", "y1 is 'one', expected a number of pixels such as 104.5"),
        ("a,add,RBC,1,,9,9,,why", "y1 is ''"),
        ("a,add,RBC,1,1,nan,9,,why", "x2 is 'nan'"),
        ("a,add,RBC,1,1,9,inf,,why", "y2 is 'inf'"),
        ("a,add,RBC,9,1,1,9,,why", r"\[9, 1, 1, 9\] is inverted or empty, expected x1 < x2 and y1 < y2"),
        ("a,add,RBC,1,9,9,9,,why", "inverted or empty"),
        ("a,add,RBC,1,1,9,9,,a cell, plainly", "has 10 cells, expected 9: image,action,"),
        ("a,add,RBC,1,1,9,9", "has 7 cells, expected 9"),
        ('a,add,RBC,1,1,9,9,,"why', "not readable as CSV"),
    ],
)
def test_a_row_that_is_not_valid(sheet: Path, row: str, message: str) -> None:
    sheet.write_text(f"{HEADER}\nfirst,add,RBC,1,1,9,9,,why\n{row}\n", encoding="utf-8")
    with pytest.raises(AnnotationError, match=rf"sheet\.csv, line 3: .*{message}"):
        read(sheet)


def test_an_unknown_class_is_an_error_of_its_own(sheet: Path) -> None:
    sheet.write_text(f"{HEADER}\na,add,cat,1,1,9,9,,why\n", encoding="utf-8")
    with pytest.raises(UnknownClassError):
        read(sheet)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "has no column image and has no column action and .*; its first line must be image,action,label,x1"),
        (HEADER.replace(",reason", "").encode(), "has no column reason; its first line"),
        (HEADER.replace(",", ";").encode(), "has no column image"),
        (f"{HEADER},score".encode(), "has a column 'score' too many"),
        (f"{HEADER},label".encode(), "has a column 'label' too many"),
        (f"{HEADER}\nf\u00e4,add,RBC,1,1,9,9,,why\n".encode("latin-1"), "is not UTF-8 text; save it as CSV in UTF-8"),
    ],
)
def test_a_file_that_is_none(sheet: Path, content: bytes, message: str) -> None:
    sheet.write_bytes(content)
    with pytest.raises(AnnotationError, match=rf"sheet\.csv: {message}"):
        read(sheet)


def test_a_file_that_is_not_there(sheet: Path) -> None:
    with pytest.raises(AnnotationError, match=r"sheet\.csv: cannot be read \(No such file"):
        read(sheet)
    with pytest.raises(AnnotationError, match="cannot be read"):
        read(sheet.parent)


@pytest.mark.parametrize("path", sorted((DATASETS / "corrections").glob("*.csv")), ids=lambda path: path.stem)
def test_committed_corrections_touch_no_field_to_test_on(path: Path) -> None:
    tested = (DATASETS / "splits" / path.stem / "test.txt").read_text(encoding="utf-8").splitlines()
    assert {row.image for row in read(path).rows}.isdisjoint(tested)
