"""Splits by lists and by seeded shares."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from detector.annotations.layouts import names_in
from detector.annotations.splits import deal, plan
from detector.errors import UsageError

SHARES = (0.8, 0.1, 0.1)


@pytest.mark.slow
@given(st.lists(st.text(min_size=1, max_size=6), unique=True, min_size=1, max_size=60), st.integers(0, 9), st.randoms())
def test_dealing_depends_on_names_and_seed_and_not_on_order(names: list[str], seed: int, random: object) -> None:
    groups = [hash(name[0]) % 20 for name in names]
    dealt = dict(zip(names, deal(names, groups, SHARES, seed), strict=True))
    order = list(range(len(names)))
    random.shuffle(order)  # type: ignore[attr-defined]
    shuffled = [names[i] for i in order]
    # Group numbers are another's business; only who belongs together counts.
    again = deal(shuffled, [f"g{groups[i]}" for i in order], SHARES, seed)
    assert dict(zip(shuffled, again, strict=True)) == dealt
    for group in set(groups):
        assert len({dealt[name] for name, g in zip(names, groups, strict=True) if g == group}) == 1


def test_single_fields_come_close_to_the_shares_and_another_seed_deals_otherwise() -> None:
    names = [f"field_{i:03}" for i in range(200)]
    dealt = deal(names, range(200), SHARES, seed=0)
    assert Counter(dealt) == {"train": 160, "val": 20, "test": 20}
    assert deal(names, range(200), SHARES, seed=1) != dealt


def test_names_that_are_no_utf8_are_dealt_too() -> None:
    assert set(deal(["f\udce9ld", "\ud800", "plain"], [0, 1, 2], SHARES, seed=0)) <= {"train", "val", "test"}


def test_a_share_of_nothing_gets_nothing() -> None:
    assert set(deal(["a", "b", "c"], [0, 1, 2], (0.0, 0.0, 1.0), seed=3)) == {"test"}


def test_lists_take_names_with_dots_paths_and_endings(tmp_path: Path) -> None:
    (tmp_path / "train.txt").write_text("a.b\r\nimages/c d.jpg\n\nFeld_\u00e4\nFeld_o\u0308\n", encoding="utf-8")
    assert names_in(tmp_path / "train.txt") == {"a.b", "c d", "Feld_\u00e4", "Feld_\u00f6"}
    planned = plan(str(tmp_path))
    assert planned is not None
    assert planned.lists == {"train": {"a.b", "c d", "Feld_\u00e4", "Feld_\u00f6"}}


@pytest.mark.parametrize("text", ["0.8/0.2", "0.8/0.1/0.2", "1.2/-0.1/-0.1", "nan/0.5/0.5", "train/val/test", "nowhere", ""])
def test_wrong_plans_say_what_is_right(text: str) -> None:
    with pytest.raises(UsageError, match=r"0\.8/0\.1/0\.1"):
        plan(text)


def test_a_folder_without_lists_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"none of train\.txt, val\.txt, test\.txt"):
        plan(str(tmp_path))
