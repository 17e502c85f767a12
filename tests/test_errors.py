"""The error of a place that cannot be written."""

from __future__ import annotations

from pathlib import Path

import pytest

from detector.errors import EXIT_NOTHING_DONE, OutputError, UsageError, writing


def test_a_place_that_cannot_be_written_is_named_with_reason_and_advice(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError) as told, writing(tmp_path / "file"):
        (tmp_path / "file").mkdir()
    assert str(told.value) == f"{tmp_path / 'file'}: cannot be written (File exists); free space or choose another --out"
    assert told.value.exit_code == EXIT_NOTHING_DONE
    with pytest.raises(OutputError, match=r"out: cannot be written \(full\); free space"), writing(Path("out"), "free space"):
        raise OSError("full")


def test_other_errors_pass() -> None:
    with pytest.raises(UsageError, match="mine"), writing(Path("out")):
        raise UsageError("mine")
