"""Joining counts and truth: nothing is dropped, nothing is guessed."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from detector.accuracy.comparison import Comparison, compare
from detector.accuracy.truth import Counts
from detector.counting.fields import FieldCount


def field(name: str, rbc: int = 0) -> FieldCount:
    raw = {"RBC": rbc, "WBC": 1, "Platelets": 0}
    return FieldCount(name, "s", (100, 100), raw, raw)


def joined(fields: list[str], truth: list[str]) -> Comparison:
    return compare([field(name) for name in fields], {key: {"RBC": 0} for key in truth})


def names(comparison: Comparison) -> list[str]:
    return [f.field for f in comparison.fields]


def test_errors_per_field_and_class() -> None:
    truth: dict[str, Counts] = {"b.png": {"RBC": 8, "WBC": 1}, "a.png": {"RBC": 12}}
    comparison = compare([field("b.png", 10), field("a.png", 11)], truth)
    assert [(f.field, f.error) for f in comparison.fields] == [("a.png", {"RBC": -1}), ("b.png", {"RBC": 2, "WBC": 0})]
    rbc = comparison.classes["RBC"]
    assert rbc.mae is not None
    assert (rbc.fields, rbc.mae.value) == (2, 1.5)
    assert comparison.classes["WBC"].fields == 1
    assert "Platelets" not in comparison.classes


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


def test_equal_fields_are_refused() -> None:
    with pytest.raises(ValueError, match="same field"):
        joined(["a.png", "a.png"], [])


def test_nothing_to_compare() -> None:
    comparison = joined([], [])
    assert (comparison.fields, comparison.classes) == ([], {})


name = st.builds(
    "{}{}{}".format, st.sampled_from(["", "s/", "t/"]), st.sampled_from("abcd"), st.sampled_from(["", ".png", ".jpg"])
)


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
