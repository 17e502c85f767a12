"""Numbers as people read them."""

from __future__ import annotations

import pytest

from detector.output import figures


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (0.01234, "0.0123"), (9.876, "9.88"), (123.4, "123"), (999.7, "1,000"), (-1234.4, "-1,234"), (1e6, "1,000,000")],
)
def test_three_digits_or_all_before_the_point(value: float, text: str) -> None:
    assert figures.short(value) == text


def test_nouns_agree_with_their_number() -> None:
    assert [figures.many(n, "field") for n in (0, 1, 1200)] == ["0 fields", "1 field", "1,200 fields"]
