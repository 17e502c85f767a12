"""Numbers as people read them."""

from __future__ import annotations

import numpy as np
import pytest

from detector.output import figures


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.01234, "0.0123"),
        (9.876, "9.88"),
        (123.4, "123"),
        (999.7, "1,000"),
        (-1234.4, "-1,234"),
        (1e6, "1,000,000"),
        (1.81e19, "1.81e+19"),
    ],
)
def test_three_digits_or_all_before_the_point(value: float, text: str) -> None:
    assert figures.short(value) == text


def test_nouns_agree_with_their_number() -> None:
    assert [figures.many(n, "field") for n in (0, 1, 1200)] == ["0 fields", "1 field", "1,200 fields"]


@pytest.mark.parametrize(
    ("share", "words"), [(None, None), (0.0392, "±3.9 %"), (0.2, "±20 %"), (1.004, "±100 %"), (np.float64(0.099), "±9.9 %")]
)
def test_half_widths_in_words(share: float | None, words: str | None) -> None:
    assert figures.half_width(share) == words
