"""The table of counts at a terminal: every number whole, however narrow it is."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from detector.accuracy.terminal import empty_table, show
from detector.counting.fields import FieldCount, UnreadField
from detector.counting.intervals import Interval
from detector.counting.smears import ClassCount, SmearCount
from detector.output import terminal
from detector.output.outcome import Outcome

MANY = Interval(7654321.0, 6543210.0, 8765432.0)


def _smears(estimate: Interval, total: int, extra: bool) -> list[SmearCount]:
    area, volume = (estimate, MANY) if extra else (None, None)
    count = ClassCount(total, estimate, total, area, estimate.times(0.001), estimate, estimate, volume)
    classes = dict.fromkeys(("RBC", "WBC", "Platelets"), count)
    return [SmearCount(name, 12345, 0, 0, classes) for name in ("smear_a", "a smear with quite a long name 0123456789")]


def _printed(width: int, smears: list[SmearCount]) -> str:
    console = Console(file=io.StringIO(), width=width, record=True)
    terminal.print_smears(console, smears)
    return console.export_text()


@pytest.mark.parametrize("width", [40, 60, 80, 100, 120, 200])
@pytest.mark.parametrize("estimate", [Interval(7.5, 6.25, 8.75), MANY])
@pytest.mark.parametrize("extra", [False, True])
def test_no_number_is_cut(width: int, estimate: Interval, extra: bool) -> None:
    printed = _printed(width, _smears(estimate, 7531246, extra))
    assert max(map(len, printed.splitlines())) <= max(width, 50)
    assert "…" not in printed
    words = re.findall(r"[\d,.]*\d", printed)
    value, low, high = (
        f"{limit:,.0f}" if limit > 1000 else f"{limit:.3g}" for limit in (estimate.value, estimate.low, estimate.high)
    )
    assert words.count("7,531,246") == 6
    of_others = 6 * extra if estimate is MANY else 0
    assert words.count(value) == 18 + 6 * extra + of_others
    assert words.count(low) == words.count(high) == words.count(value)
    assert len(re.findall(rf"\({re.escape(f'{low}–{high}')}\)", printed)) == words.count(value)
    assert words.count("12,345") == 2


def test_the_usual_table_is_one_at_80_columns() -> None:
    printed = _printed(80, _smears(Interval(14.2, 10.1, 19.6), 57, False))
    assert "; total" not in printed
    assert [line.split() for line in printed.splitlines()][2][:4] == ["smear", "fields", "cells", "total"]
    assert max(map(len, printed.splitlines())) <= 80


def test_tables_of_agreement_are_whole_too() -> None:
    table = empty_table(("class", *(f"figure {i}" for i in range(6))), "Agreement", "as a caption")
    table.add_row("RBC", *["-1234567.89\n-7654321.00 to 2345678.90"] * 6)
    console = Console(file=io.StringIO(), width=60, record=True)
    show(console, [table])
    printed = console.export_text()
    assert len(re.findall(r"-1234567\.89", printed)) == 6
    assert len(re.findall(r"2345678\.90", printed)) == 6
    assert printed.index("Agreement") < printed.index("RBC") < printed.index("as a caption")


def test_doubtful_and_unread_fields_are_named_with_their_reasons() -> None:
    counts = {"RBC": 1, "WBC": 0, "Platelets": 0}
    fields = [
        FieldCount(f"[a]/{i}.jpg", "a", (9, 9), counts, counts, saturated=i == 3, doubt="out of focus" if i < 12 else "")
        for i in range(14)
    ]
    console = Console(file=io.StringIO(), width=40, record=True)
    terminal.print_problems(console, Outcome((*fields, UnreadField("b.jpg", "a", "is empty")), ()))
    printed = console.export_text()
    assert printed.count("out of focus") == 10
    assert "doubtful: [a]/0.jpg: out of focus" in printed
    assert "2 more doubtful, in counts.csv" in printed
    assert "unread: b.jpg: is empty" in printed
    assert "saturated: 1 field " in printed
