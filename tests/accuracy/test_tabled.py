"""Tables of counts against truth, as files."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from detector.accuracy.bootstrap import Figure
from detector.accuracy.tabled import TableEvaluation, evaluate_tables
from detector.errors import AnnotationError, ManifestError, NothingToDoError, SmearcountError

OURS = (
    "field,smear,status,reason,RBC,WBC,Platelets,RBC_frame,saturated\n"
    "s/a.jpg,s,ok,,10,1,2,9,false\ns/b.jpg,s,ok,,14,0,1,12,true\n"
    "t/c.jpg,t,ok,,7,1,0,6,false\nt/d.jpg,t,unread,torn,,,,,\nt/e.jpg,t,ok,,3,0,0,3,false\n"
)
BY_HAND = "field;Erythrocytes;PLT\na;10;3\nb;12;1\nc;8;0\nd;5;1\nx;5;1\n"


def value(figure: Figure | None) -> float:
    assert figure is not None
    return figure.value


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    texts = {
        "counts": OURS,
        "manual": BY_HAND,
        "other": "field,RBC,WBC\na.png,11,1\nc.png,8,1\nx.png,4,0\n",
        "smears": "smear\tRBC\ns\t25\nt\t9\n",
        "analyser": "smear,RBC\ns,4.61e6\nt,5.2e6\nu,4.9e6\n",
        "empty": "field,RBC\n",
        "elsewhere": "field,RBC\nq,1\n",
        "white": "field,WBC\na,1\nb,1\n",
        "words": "field,RBC\na,many\n",
        "twice": "field,RBC\na,1\na,1\n",
    }
    for name, text in texts.items():
        (tmp_path / f"{name}.csv").write_text(text, encoding="utf-8")
    return {name: tmp_path / f"{name}.csv" for name in texts}


def test_every_field_is_compared_or_listed(files: dict[str, Path]) -> None:
    result = evaluate_tables(files["counts"], files["manual"])
    compared = result.comparison
    assert [(f.field, f.truth_name, f.smear) for f in compared.fields] == [
        ("s/a.jpg", "a", "s"), ("s/b.jpg", "b", "s"), ("t/c.jpg", "c", "t"),
    ]  # fmt: skip
    assert list(compared.classes) == ["RBC", "Platelets"]
    assert (compared.classes["RBC"].counted, compared.classes["RBC"].truth, value(compared.classes["RBC"].mae)) == (31, 30, 1)
    # What was not read is a field without a count, and none of zero cells.
    assert (compared.only_counted, compared.only_truth, result.unread) == (["t/e.jpg"], ["d", "x"], {"t/d.jpg": "torn"})
    assert (result.saturated, compared.classes_apart) == (["s/b.jpg"], ["WBC"])
    assert [(s.smear, s.fields, s.counted["RBC"], s.truth["RBC"]) for s in compared.smears] == [("s", 2, 24, 22), ("t", 1, 7, 8)]
    assert (result.against, result.paired, result.unpaired) == (None, {}, [])


def test_a_second_table_is_compared_on_the_fields_of_both(files: dict[str, Path]) -> None:
    result = evaluate_tables(files["counts"], files["manual"], files["other"])
    assert result.against is not None
    assert [f.truth_name for f in result.against.fields] == ["a", "c", "x"]
    assert list(result.paired) == ["RBC"]
    red = result.paired["RBC"]
    assert (red.fields, red.a_nearer, red.b_nearer, value(red.mae), value(red.bias)) == (2, 1, 1, 0, -1)
    assert result.unpaired == ["b", "x"]
    # Only the counts say which smear a field is of.
    assert [f.smear for f in result.against.fields] == ["s", "t", None]


def test_a_truth_of_whole_smears(files: dict[str, Path]) -> None:
    result = evaluate_tables(files["counts"], files["smears"])
    compared = result.comparison
    assert (compared.per, [(f.field, f.error) for f in compared.fields]) == ("smear", [("s", {"RBC": -1}), ("t", {"RBC": 1})])
    assert compared.incomplete == ["t"]
    both = evaluate_tables(files["analyser"], files["smears"], files["counts"])
    assert both.comparison.only_counted == ["u"]
    assert both.paired["RBC"].fields == 2


def test_labels_are_a_truth_and_counts_as_well(files: dict[str, Path]) -> None:
    folder = files["counts"].parent / "labels"
    (folder / "labels").mkdir(parents=True)
    (folder / "classes.txt").write_text("RBC\nspeck\n", encoding="utf-8")
    (folder / "labels" / "a.txt").write_text("0 0.5 0.5 0.1 0.1\n1 0.2 0.2 0.1 0.1\n", encoding="utf-8")
    result = evaluate_tables(files["counts"], folder)
    assert result.comparison.classes["RBC"].truth == 1
    assert result.remarks == [f"{folder}: 1 boxes of the unknown class 'speck'"]
    assert evaluate_tables(folder, files["manual"]).comparison.classes["RBC"].counted == 1


def test_one_field_has_figures_without_intervals(files: dict[str, Path]) -> None:
    files["manual"].write_text("field,RBC\na,12\n", encoding="utf-8")
    red = evaluate_tables(files["counts"], files["manual"], files["other"])
    assert red.comparison.classes["RBC"].mae == Figure(2.0)
    assert red.comparison.classes["RBC"].loa_low is None
    assert red.paired["RBC"].mae == Figure(1.0)


@pytest.mark.parametrize(
    ("counts", "truth", "error", "said"),
    [
        ("counts", "empty", ManifestError, r"empty\.csv: holds no counts"),
        ("counts", "words", ManifestError, r"words\.csv, line 2, column 'RBC'.*'many'"),
        ("twice", "manual", ManifestError, r"twice\.csv, line 3: field 'a' is counted twice"),
        ("counts", "elsewhere", NothingToDoError, r"counts\.csv has 's/a\.jpg' and .*elsewhere\.csv has 'q'"),
        ("white", "manual", NothingToDoError, r"count no class in common: RBC, WBC, Platelets"),
        ("manual", "smears", ManifestError, r"manual\.csv: field 'a' is of no known smear"),
        ("gone", "manual", SmearcountError, r"gone\.csv: cannot be read"),
        ("counts", "folder", AnnotationError, r"holds no label set"),
    ],
)
def test_what_cannot_be_compared_is_said(files: dict[str, Path], counts: str, truth: str, error: type, said: str) -> None:
    folder = files["counts"].parent
    (folder / "folder").mkdir()
    paths = {**files, "gone": folder / "gone.csv", "folder": folder / "folder"}
    with pytest.raises(error, match=said):
        evaluate_tables(paths[counts], paths[truth])


def test_an_evaluation_can_be_written_as_strict_json(files: dict[str, Path]) -> None:
    result: TableEvaluation = evaluate_tables(files["counts"], files["manual"], files["other"])
    back = json.loads(json.dumps(dataclasses.asdict(result), allow_nan=False))
    assert back["comparison"]["classes"]["RBC"]["counted"] == 31
    assert back["paired"]["RBC"]["mae"]["value"] == 0
