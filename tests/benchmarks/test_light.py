"""Errors under each light stand beside the plain ones and are held to their limits; counts at other sizes likewise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks import light, lights
from detector.annotations.records import Record
from detector.vision.cells import CLASSES

Run = Callable[..., int]


def test_limits_follow_the_plain_error() -> None:
    assert light.limit("dim", "RBC", 0.5) == pytest.approx(0.7)
    assert [light.limit("dim", name, 0.2) for name in CLASSES[1:]] == pytest.approx([0.25, 0.3])
    assert [light.limit(lights.GREY, name, 0.2) for name in CLASSES[1:]] == pytest.approx([0.3, 0.4])


def test_a_row_tells_the_error_the_difference_and_whether_the_limit_is_met() -> None:
    plain = np.array([[0, 0, np.nan]] * 6 + [[1, 0, np.nan]] * 4)
    errors = {light.PLAIN: plain, "dim": -plain, "bright": plain + 1}
    rows = light.rows(errors, 0)
    assert [(row.light, row.error.value) for row in rows] == [("plain", 0.4), ("dim", 0.4), ("bright", 1.4)]
    assert rows[0].less_plain is None
    assert [row.less_plain.value for row in rows[1:] if row.less_plain] == pytest.approx([0, 1])
    assert [row.met for row in rows] == [True, True, False]
    assert rows[2].texts()[2:] == ["+1.00", "0.58", "2.41", "MISSED"]
    assert light.rows(errors, 2) == []


def test_what_an_eyepiece_cuts_is_not_judged() -> None:
    xyxy = np.array([[40, 40, 60, 60], [88, 40, 100, 60], [0, 0, 8, 8]], np.float32)
    record = Record("a", None, (100, 100), xyxy, np.array([0, 1, 2]))
    assert light.seen_in("dim", record) is record
    seen = light.seen_in(lights.EYEPIECE_NAME, record)
    assert (seen.label.tolist(), seen.ignore.tolist()) == ([0], [[88, 40, 100, 60]])


def test_a_size_is_judged_by_the_count_of_all_fields() -> None:
    plain, larger = np.array([[60, 1, 0], [40, 1, 0]]), np.array([[61, 1, 1], [41, 1, 0]])
    assert light.size_row(2.0, 0, plain, larger) == ["2", "RBC", "2", "100", "102", "+2.0 %", "100 %", "met"]
    assert light.size_row(2.0, 2, plain, larger)[3:] == ["0", "1", "-", "50 %", "MISSED"]


@pytest.mark.slow
def test_every_change_has_a_row_for_each_class(
    rendered: Path, run_command: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lights, "CHANGES", {name: lights.CHANGES[name] for name in ("dim", lights.EYEPIECE_NAME)})
    assert run_command(light.main, "--data", rendered) == 0
    printed = capsys.readouterr().out
    assert [line for line in printed.splitlines() if " fields (" in line] == [
        "RBC: 2 fields (rendered/all, rendered/white; val)",
        "WBC: 4 fields (rendered/all, rendered/white; val)",
        "Platelets: 2 fields (rendered/all, rendered/white; val)",
    ]
    rows = [line for line in printed.splitlines() if line.startswith("| ")]
    assert [row.split(" | ")[0][2:].strip() for row in rows[2:5]] == ["plain", "dim", lights.EYEPIECE_NAME]
    assert all(len(row) <= 120 for row in rows)
    assert rows[3].endswith("met |")
    assert printed.splitlines()[-1] == "missed: 0"


@pytest.mark.slow
def test_fields_are_counted_at_other_sizes(rendered: Path, run_command: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(light.main, "--data", rendered, "--sizes", "--every", 2) == 0
    rows = [line.split() for line in capsys.readouterr().out.splitlines() if " RBC " in line]
    assert [row[1] for row in rows] == ["0.25", "0.5", "2", "3"]
    for row in rows:
        plain, sized = int(row[7]), int(row[9])
        assert abs(sized - plain) <= max(0.05 * plain, 1), row
        assert row[-2] == ("met" if abs(sized - plain) <= 0.02 * plain else "MISSED")


@pytest.mark.slow
def test_a_field_that_cannot_be_read_is_told_and_the_others_counted(
    rendered: Path, run_command: Run, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lights, "CHANGES", {"dim": lights.CHANGES["dim"]})
    image = next((rendered.parent / "images" / "val").glob("all_0.*"))
    image.write_bytes(image.read_bytes()[:2000])
    assert run_command(light.main, "--data", rendered) == 1
    printed = capsys.readouterr()
    assert "RBC: 1 fields" in printed.out
    assert "all_0: " in printed.err


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ([], 2, "--data"),
        (["--data", "nowhere/data.yaml"], 3, "no such file"),
        (["--data", "RENDERED", "--every", "0"], 2, "whole number from 1 up"),
        (["--data", "RENDERED", "--split", "test"], 3, "no fields of the split 'test'"),
        (["--data", "RENDERED", "--model", "none.onnx"], 3, "no such model file"),
    ],
)
def test_wrong_use_is_one_line(
    arguments: list[str], code: int, said: str, rendered: Path, run_command: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(light.main, *[str(rendered) if one == "RENDERED" else one for one in arguments]) == code
    printed = " ".join(capsys.readouterr().err.split())
    assert said in printed
    assert "Traceback" not in printed
