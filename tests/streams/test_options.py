"""One object holds the options of a stream, for the command line and from Python."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path

import pytest
from staging import StubMode, write_video

from detector import stream
from detector.streams import modes
from detector.streams.options import StreamOptions
from detector.streams.totals import TARGETS


def test_the_command_line_has_these_options_and_defaults() -> None:
    given = stream.parser().given(["0"])
    assert set(given) == {field.name for field in fields(StreamOptions)}
    assert StreamOptions(**given) == StreamOptions("0")
    assert StreamOptions("0").targets == TARGETS


def test_a_stream_runs_from_python_and_its_options_stand_in_run_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(modes, "fields", lambda *_: StubMode())
    options = StreamOptions(str(write_video(tmp_path / "v.avi", 10)), out=tmp_path / "out", save=tmp_path / "seen.avi")
    assert stream.stream(options) == 0
    assert json.loads((tmp_path / "out" / "run.json").read_text(encoding="utf-8"))["settings"] == {
        "source": str(tmp_path / "v.avi"), "mode": "fields", "um_per_px": None, "until_enough": False, "rbc_within": 15.0,
        "wbc_within": 20.0, "seconds": None, "save": str(tmp_path / "seen.avi"),
    }  # fmt: skip
