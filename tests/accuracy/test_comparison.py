"""Tables of counts against truth: nothing is dropped, nothing is guessed."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.accuracy.comparison import Comparison, TableEvaluation, compare, evaluate_tables
from detector.accuracy.tables import Counts, CountsTable
from detector.counting.intervals import Interval
from detector.errors import AnnotationError, ManifestError, NothingToDoError, SmearcountError


def table(rbc: dict[str, float], smears: dict[str, str] | None = None, of_smears: bool = False) -> CountsTable:
    return CountsTable({name: {"RBC": n, "WBC": 1, "Platelets": 0} for name, n in rbc.items()}, of_smears, smears or {})


def joined(fields: list[str], truth: list[str]) -> Comparison:
    return compare(table(dict.fromkeys(fields, 0)), CountsTable({key: {"RBC": 0} for key in truth}))


def value(figure: Interval | None) -> float:
    assert figure is not None
    return figure.value


def names(comparison: Comparison) -> list[str]:
    return [f.field for f in comparison.fields]


def test_errors_per_field_and_class() -> None:
    truth: dict[str, Counts] = {"b.png": {"RBC": 8, "WBC": 1}, "a.png": {"RBC": 12}}
    comparison = compare(table({"b.png": 10, "a.png": 11}), CountsTable(truth))
    assert [(f.field, f.error) for f in comparison.fields] == [("a.png", {"RBC": -1}), ("b.png", {"RBC": 2, "WBC": 0})]
    rbc = comparison.classes["RBC"]
    assert (rbc.fields, value(rbc.mae)) == (2, 1.5)
    assert comparison.classes["WBC"].fields == 1
    assert "Platelets" not in comparison.classes
    assert comparison.classes_apart == ["Platelets"]


def test_the_constant_baseline_is_the_median_of_the_truth() -> None:
    truth = {"a": 3, "b": 4, "c": 11}
    constant_baseline = compare(table({"a": 0, "b": 0, "c": 0}), table(truth)).constant_baseline["RBC"]
    assert (constant_baseline.counted, value(constant_baseline.mae)) == (12, 8 / 3)
    halves = compare(table({"a": 0, "b": 0}), table({"a": 3.5, "b": 4})).constant_baseline["RBC"]
    assert value(halves.mae) == 0.25


SMEARS = {"a1": "a", "a2": "a", "b1": "b", "b2": "b", "c1": "c", "c2": "c"}


def test_smears_are_compared_by_their_totals() -> None:
    truth = {"a1": 10, "a2": 12, "b1": 5, "b2": 5, "c1": 7}
    counted = {"a1": 9, "a2": 13, "b1": 7, "b2": 5, "c1": 7, "c2": 100}
    comparison = compare(table(counted, SMEARS), table(truth))
    assert [(s.smear, s.fields, s.counted["RBC"], s.truth["RBC"]) for s in comparison.smears] == [
        ("a", 2, 22, 22), ("b", 2, 12, 10), ("c", 1, 7, 7),
    ]  # fmt: skip
    of_smears = comparison.per_smear["RBC"]
    assert (of_smears.fields, of_smears.counted, value(of_smears.mae)) == (3, 41, pytest.approx(2 / 3))
    assert (comparison.per, comparison.only_counted) == ("field", ["c2"])
    # The truth may be the one that knows the smears.
    assert compare(table(counted), table(truth, SMEARS)).per_smear == comparison.per_smear
    assert compare(table(counted), table(truth)).per_smear == {}
    assert compare(table(counted, dict.fromkeys(SMEARS, "s")), table(truth)).per_smear == {}


def test_intervals_are_over_smears_where_they_are_known() -> None:
    truth = dict.fromkeys(SMEARS, 10)
    counted = {name: 10 + "abc".index(smear) for name, smear in SMEARS.items()}
    widths = []
    for smears in (SMEARS, {}):
        bias = compare(table(counted, smears), table(truth)).classes["RBC"].bias
        assert bias is not None
        assert bias.low is not None
        assert bias.high is not None
        widths.append(bias.high - bias.low)
    assert widths[0] > 1.5 * widths[1]


def test_a_truth_of_whole_smears_is_compared_with_totals() -> None:
    counted = table({"a1": 9, "a2": 13, "b1": 7, "c1": 5}, SMEARS)
    comparison = compare(counted, table({"a": 20, "b": 7, "d": 1}, of_smears=True))
    assert comparison.per == "smear"
    assert [(f.field, f.counted["RBC"], f.error["RBC"]) for f in comparison.fields] == [("a", 22, 2), ("b", 7, 0)]
    assert comparison.fields[0].counted["WBC"] == 2
    assert (comparison.only_counted, comparison.only_truth) == (["c"], ["d"])
    assert (comparison.smears, comparison.per_smear) == ([], {})
    with pytest.raises(ManifestError, match=r"'x' is of no known smear.*give the fields a column 'smear'"):
        compare(table({"a1": 9, "x": 1}, SMEARS), table({"a": 1}, of_smears=True))


def test_smears_with_unread_fields_are_named() -> None:
    counted = CountsTable({"a1": {"RBC": 3}}, smears=SMEARS, unread={"a2": "torn"})
    assert compare(counted, table({"a": 3}, of_smears=True)).incomplete == ["a"]
    assert compare(counted, table({"a1": 3, "a2": 4})).incomplete == []


@pytest.mark.parametrize(
    ("name", "key"),
    [
        ("s/a.png", "s/a.png"),
        ("s/a.png", "s\\a.png"),
        ("s/a.png", "./s/a.png"),
        ("s/a.png", "s/a"),
        ("s/a.png", "a"),
        ("s/a.png", "a.jpg"),
        ("s/a.JPG", "other/a.tif"),
        ("slide.3.png", "slide.3"),
    ],
)
def test_names_that_belong_together(name: str, key: str) -> None:
    assert names(joined([name], [key])) == [name]


def test_a_dot_in_a_name_is_no_ending() -> None:
    comparison = joined(["slide.png"], ["slide.3"])
    assert (comparison.only_counted, comparison.only_truth) == (["slide.png"], ["slide.3"])


def test_fields_on_one_side_are_listed() -> None:
    comparison = joined(["a.png", "c.png", "b.png"], ["a", "e", "d"])
    assert names(comparison) == ["a.png"]
    assert comparison.only_counted == ["b.png", "c.png"]
    assert comparison.only_truth == ["d", "e"]
    assert comparison.ambiguous == []


def test_a_stem_in_two_folders_is_ambiguous() -> None:
    comparison = joined(["s/a.png", "t/a.png", "s/b.png"], ["a", "b"])
    assert names(comparison) == ["s/b.png"]
    assert comparison.ambiguous == ["a", "s/a.png", "t/a.png"]
    assert comparison.only_counted == comparison.only_truth == []


def test_paths_tell_equal_stems_apart() -> None:
    assert names(joined(["s/a.png", "t/a.png"], ["t/a.png", "s/a"])) == ["s/a.png", "t/a.png"]


def test_what_is_left_over_is_not_paired_by_elimination() -> None:
    comparison = joined(["s/a.png", "t/a.png"], ["s/a.png", "a"])
    assert names(comparison) == ["s/a.png"]
    assert comparison.ambiguous == ["a", "t/a.png"]


def test_two_images_of_one_name_are_ambiguous_for_a_name_without_ending() -> None:
    assert joined(["a.png", "a.jpg"], ["a"]).ambiguous == ["a", "a.jpg", "a.png"]
    assert names(joined(["a.png", "a.jpg"], ["a.jpg"])) == ["a.jpg"]


def test_nothing_to_compare() -> None:
    comparison = joined([], [])
    assert (comparison.fields, comparison.classes) == ([], {})


name = st.builds(
    "{}{}{}".format, st.sampled_from(["", "s/", "t/"]), st.sampled_from("abcd"), st.sampled_from(["", ".png", ".jpg"])
)


@pytest.mark.slow
@settings(deadline=None, max_examples=200)
@given(st.lists(name, unique=True, max_size=12), st.lists(name, unique=True, max_size=12))
def test_every_name_is_in_exactly_one_list(fields: list[str], truth: list[str]) -> None:
    comparison = joined(fields, truth)
    told = [*names(comparison), *comparison.only_counted, *comparison.ambiguous]
    assert set(fields) <= set(told)
    assert len(set(told)) == len(told)
    # A name that stands on both sides is paired at once, so none of the lists holds it for both.
    unpaired = [*comparison.only_counted, *comparison.only_truth, *comparison.ambiguous]
    assert 2 * len(comparison.fields) + len(unpaired) == len(fields) + len(truth)
    assert set(fields) & set(truth) <= set(names(comparison))


OURS = (
    "field,smear,status,reason,RBC,WBC,Platelets,RBC_frame,saturated\n"
    "s/a.jpg,s,ok,,10,1,2,9,false\ns/b.jpg,s,ok,,14,0,1,12,true\n"
    "t/c.jpg,t,ok,,7,1,0,6,false\nt/d.jpg,t,unread,torn,,,,,\nt/e.jpg,t,ok,,3,0,0,3,false\n"
)
BY_HAND = "field;Erythrocytes;PLT\na;10;3\nb;12;1\nc;8;0\nd;5;1\nx;5;1\n"


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
    assert red.comparison.classes["RBC"].mae == Interval(2.0)
    assert red.comparison.classes["RBC"].loa_low is None
    assert red.paired["RBC"].mae == Interval(1.0)


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
