"""Tables that laboratories keep: what is read of them, and each fault told with its line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from detector.accuracy import readings
from detector.errors import ManifestError


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "table.csv"
    path.write_text(text, encoding="utf-8")
    return path


def test_repeats_keep_their_days_and_runs(tmp_path: Path) -> None:
    text = "Smear;Day;WBC;plt;note\np1;1;7;1,5;x\np1;1;9;;\np2;1;0;4;\np1;2;8;2;\n"
    table = readings.repeated(written(tmp_path, text))
    assert table.samples["p1"]["WBC"].counts == [7, 9, 8]
    assert table.samples["p1"]["WBC"].groups == {"day": ["1", "1", "2"]}
    assert table.samples["p1"]["Platelets"].groups == {"day": ["1", "2"]}
    assert (table.unit, table.in_cells) == ("cells per smear", False)
    assert table.remarks == ["columns that are not used: 'note'", "empty, so not counted: line 3"]


def results(folder: Path, smear: str, mean: float, started: str) -> None:
    folder.mkdir(parents=True)
    rows = [f"{smear},RBC,5,,{mean}", f"{smear},WBC,5,,", f"worse,RBC,5,2 of 4 fields are doubtful,{mean}"]
    (folder / "smears.csv").write_text("\n".join(["smear,class,fields,warning,mean_per_field", *rows]), encoding="utf-8")
    (folder / "run.json").write_text(json.dumps({"started": started}), encoding="utf-8")


def test_folders_of_results_are_repeats_of_their_smears(tmp_path: Path) -> None:
    for number, day in enumerate(("2026-01-01", "2026-01-01", "2026-01-02")):
        results(tmp_path / f"r{number}", "p1", 18 + number, f"{day}T08:00:00+00:00")
    table = readings.repeated(tmp_path)
    assert table.samples == {"p1": {"RBC": readings.Repeats([18, 19, 20], {"day": ["2026-01-01", "2026-01-01", "2026-01-02"]})}}
    assert table.remarks[0] == "r0: many doubtful fields, and left out: worse"
    (tmp_path / "r1" / "run.json").write_text("[]", encoding="utf-8")
    with pytest.raises(ManifestError, match=r"r1.run\.json: does not tell when"):
        readings.repeated(tmp_path)


def test_slides_of_a_reader_are_added_up(tmp_path: Path) -> None:
    text = "sample,reader,slide,neutrophils,other cells\n1,B,1,60,140\n1,B,2,70,130\n1,A,1,100,300\n2,A,1,5,5\n"
    table = readings.differentials(written(tmp_path, text))
    assert table.readers == ("A", "B")
    assert table.samples == {"1": ({"neutrophils": 100, "other cells": 300}, {"neutrophils": 130, "other cells": 270})}
    assert table.remarks == ["read by A only, and in no figure: 2", "fewer than the 200 cells of H20 by a reader: 2"]


@pytest.mark.parametrize(
    ("heading", "value", "per_ul"),
    [
        ("platelets_per_ul", "250000", 250000),
        ("PLT (10^9/L)", "250", 250000),
        ("PLT 10*9/L", "250", 250000),
        ("Thrombocytes 10⁹/L", "250", 250000),
        ("platelets_e9_per_litre", "250", 250000),
        ("PLT 10³/µL", "250", 250000),
        ("PLT [/µl]", "250000", 250000),
    ],
)
def test_columns_of_an_analyser_tell_their_unit(tmp_path: Path, heading: str, value: str, per_ul: float) -> None:
    table = readings.analyser(written(tmp_path, f"smear,{heading}\np1,{value}\n"))
    assert table.by_smear == {"p1": {"Platelets": per_ul}}


def densities(path: Path) -> Any:
    return readings.of_smears(path, "per_mm2")


def test_values_that_are_missing_and_smears_that_were_looked_at_in_part_are_told(tmp_path: Path) -> None:
    values = readings.analyser(written(tmp_path, "Smear;PLT 10^9/L;WBC 10^9/L\np1;250;7,5\np2;;6\n"))
    assert values.by_smear == {"p1": {"Platelets": 250_000, "WBC": 7500}, "p2": {"WBC": 6000}}
    assert values.remarks == ["column 'PLT 10^9/L' is empty, so without a value there: p2"]
    text = "smear,class,fields,per_mm2,fields_looked_at\np1,RBC,4,100,4\np2,RBC,4,90,2\np2,WBC,4,9,2\n"
    counted = densities(written(tmp_path, text))
    assert counted.by_smear == {"p1": {"RBC": 100}, "p2": {"RBC": 90, "WBC": 9}}
    assert counted.remarks == ["looked at in a part of the fields only, so that the rest of the counts is the model's: p2"]


FAULTS: list[tuple[Callable[[Path], Any], str, str]] = [
    (readings.repeated, "smear,day,WBC\np1,1,many\n", r"line 2, column 'WBC': needs a number of cells, 0 or more, found 'many'"),
    (readings.repeated, "smear,day,WBC\np1,1,-3\n", r"line 2, column 'WBC': needs a number of cells"),
    (readings.repeated, "smear,day,WBC\np1,,3\n", r"line 2: column 'day' is empty"),
    (readings.repeated, "day,WBC\n1,3\n", r"line 1: has no column 'smear'"),
    (readings.repeated, "smear,day\np1,3\n", r"line 1: has no column of RBC, WBC, Platelets or an alias"),
    (readings.repeated, "smear,WBC,leukocytes\np1,3,3\n", r"line 1: column 'leukocytes' counts WBC a second time"),
    (readings.repeated, "smear,WBC\n", r"has no rows below the first line"),
    (readings.differentials, "sample,reader,a,b\n1,A,1,1\n", r"has 1 readers \(A\), and this protocol compares two"),
    (readings.differentials, "sample,reader,a,b\n1,A,1,1\n1,B,1,1\n1,C,1,1\n", r"has 3 readers"),
    (readings.differentials, "sample,reader,a,b\n1,A,1,1\n1,A,1,1\n", r"line 3: reader A has sample 1 twice; .* column 'slide'"),
    (readings.differentials, "sample,reader,a %,b\n1,A,33,67\n", r"line 1: column 'a %' is of per cent"),
    (readings.differentials, "sample,reader,a,b,All\n1,A,33,67,100\n1,B,9,1,10\n", r"line 1: column 'All' is the sum of the others"),
    (readings.differentials, "sample,reader,a,b\n1,A,33.5,66.5\n", r"line 2, column 'a': is 33.5; give numbers of cells, not per cent"),
    (readings.differentials, "sample,reader,a,b\n1,A,,5\n", r"line 2, column 'a': is empty; write 0"),
    (readings.differentials, "sample,reader,a,b\n1,A,0,0\n", r"line 2: all classes are 0"),
    (readings.differentials, "sample,reader,a\n1,A,5\n", r"has 1 columns of classes"),
    (readings.differentials, "sample,a,b\n1,5,5\n", r"has no column 'reader'"),
    (readings.analyser, "smear,PLT\np1,250\n", r"column 'plt' has no unit"),
    (readings.analyser, "smear,platelets_per_ul\np1,250\n", r"line 2, column 'platelets_per_ul': 250 Platelets per µL is not possible"),
    (readings.analyser, "smear,rbc_per_ul\np1,4.6\n", r"line 2, .* 4.6 seems to be in millions per µL"),
    (readings.analyser, "smear,wbc_per_ul\np1,7000\np1,7000\n", r"line 3: smear 'p1' has a value already"),
    (readings.analyser, "smear,haemoglobin\np1,14\n", r"has no column of RBC, WBC, Platelets with a unit"),
    (readings.analyser, "smear,wbc_per_ul,wbc 10^9/L\np1,7000,7\n", r"holds WBC a second time"),
    (densities, "smear,class,per_mm2\np1,RBC,\n", r"no value in column 'per_mm2'; count again with the scale"),
    (readings.repeated, "smear,class,mean_per_field\np1,RBC,5\n", r"is the smears.csv of one count; give the folder"),
    (densities, "smear,RBC\np1,5\n", r"has no column 'class' and no column 'per_mm2'"),
]  # fmt: skip


@pytest.mark.parametrize(("read", "text", "message"), FAULTS)
def test_a_fault_is_told_with_its_line(tmp_path: Path, read: Callable[[Path], Any], text: str, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        read(written(tmp_path, text))


def test_smears_on_one_side_only_are_named() -> None:
    mine = readings.Values({"a": {"WBC": 1.0}, "b": {"WBC": 2.0}}, doubtful=["d"])
    other = readings.Values({"b": {"WBC": 3.0}, "c": {"WBC": 4.0}, "d": {"WBC": 5.0}})
    assert list(readings.both(mine, other)) == [("WBC", ["b"], [2.0], [3.0])]
    assert readings.unmatched(mine, other) == [
        "counted, but without a value of the analyser: a",
        "with a value of the analyser, but not counted: c",
    ]
