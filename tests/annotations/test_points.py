"""Labelled points of Chula RBC-12: their lines, and which fields are one smear."""

from __future__ import annotations

from pathlib import Path

import pytest

from detector.annotations import points
from detector.errors import AnnotationError


def test_damaged_lines_are_told_and_left_out(tmp_path: Path) -> None:
    path = tmp_path / "1.txt"
    path.write_text("10 20 4\n\n10 20\n10 20 13\nten 20 1\n5 6 12\n", encoding="utf-8")
    assert points.read(path) == ([(10, 20, 4), (5, 6, 12)], [3, 4, 5])


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(AnnotationError, match="points cannot be read"):
        points.read(tmp_path / "none.txt")


def test_neighbouring_numbers_are_one_smear() -> None:
    assert points.smears(["1", "3", "40", "x"]) == {"1": "1", "3": "1", "40": "40", "x": "x"}


def test_two_fields_belong_to_a_smear_in_spite_of_their_numbers() -> None:
    smears = points.smears(["466", "467", "491", "492"])
    assert set(smears.values()) == {"491"}
