"""Figures as people read them."""

from __future__ import annotations

import pytest

from detector.accuracy.agreement import agreement
from detector.accuracy.bootstrap import Figure
from detector.accuracy.report import beside, content


@pytest.mark.parametrize(
    ("value", "text"), [(1234.5, "1,234.50"), (-0.5, "−0.50"), (-0.001, "0.00"), (0.0, "0.00"), (-10.0, "−10.00")]
)
def test_numbers(value: float, text: str) -> None:
    assert content.number(2)(value) == text


def test_figures_say_what_is_known() -> None:
    assert content.cell(None, content.share) == content.Cell("undefined")
    assert content.cell(None, content.share, "too few") == content.Cell("undefined", why="too few")
    assert content.cell(Figure(-0.5, -0.75, 0), content.points).interval == ("−75.0", "0.0\N{NO-BREAK SPACE}pp")
    assert content.cell(Figure(0.5), content.share) == content.Cell("50.0\N{NO-BREAK SPACE}%")
    assert content.cell(Figure(0.5, 0.25, 1.0), content.share).interval == ("25.0", "100.0\N{NO-BREAK SPACE}%")
    assert content.told(Figure(1, 0, 2), content.number(1)) == "1.0 (0.0 to 2.0)"


def test_counts_of_smears_are_named_so() -> None:
    one = content.agreement("RBC", {"these": agreement([3, 4], [3, 5])}, "smear")
    assert [row.name for row in one.rows][:3] == ["cells counted", "true cells", "mean absolute error per smear"]
    assert [row.cells[0].text for row in one.rows][:3] == ["7", "8", "0.50"]


def test_yardsticks_say_their_source() -> None:
    told = beside.yardsticks({"RBC": agreement([100], [100])})
    assert all(one.source and one.remark for one in told)
    assert told[-1].values == [("RBC 10.0\N{NO-BREAK SPACE}%", told[-1].values[0][1])]
