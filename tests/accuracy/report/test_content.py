"""Figures as people read them."""

from __future__ import annotations

import pytest

from detector.accuracy.counts import agreement
from detector.accuracy.report import content
from detector.counting.intervals import Interval


@pytest.mark.parametrize(
    ("value", "text"), [(1234.5, "1,234.50"), (-0.5, "−0.50"), (-0.001, "0.00"), (0.0, "0.00"), (-10.0, "−10.00")]
)
def test_numbers(value: float, text: str) -> None:
    assert content.as_number(2)(value) == text


def test_figures_say_what_is_known() -> None:
    assert content.entry(None, content.as_percent) == content.Entry("undefined")
    assert content.entry(None, content.as_percent, "too few") == content.Entry("undefined", why="too few")
    assert content.entry(Interval(-0.5, -0.75, 0), content.as_points).interval == ("−75.0", "0.0\N{NO-BREAK SPACE}pp")
    assert content.entry(Interval(0.5), content.as_percent) == content.Entry("50.0\N{NO-BREAK SPACE}%")
    assert content.entry(Interval(0.5, 0.25, 1.0), content.as_percent).interval == ("25.0", "100.0\N{NO-BREAK SPACE}%")
    assert content.in_words(Interval(1, 0, 2), content.as_number(1)) == "1.0 (0.0 to 2.0)"


def test_counts_of_smears_are_named_so() -> None:
    one = content.agreement_table("RBC", {"these": agreement([3, 4], [3, 5])}, "smear")
    assert [row.name for row in one.rows][:3] == ["cells counted", "true cells", "mean absolute error per smear"]
    assert [row.entries[0].text for row in one.rows][:3] == ["7", "8", "0.50"]


def test_yardsticks_say_their_source() -> None:
    made = content.yardsticks({"RBC": agreement([100], [100])})
    assert all(one.source and one.remark for one in made)
    assert made[-1].values == [("RBC 10.0\N{NO-BREAK SPACE}%", made[-1].values[0][1])]
