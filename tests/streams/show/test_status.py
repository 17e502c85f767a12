"""How a run stands, in words."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console
from staging import StubMode, until, write_video

from detector.counting.intervals import Interval
from detector.streams.capture import Capture
from detector.streams.live import Live
from detector.streams.log import FrameLog
from detector.streams.show import status
from detector.streams.sources import open_source
from detector.streams.totals import ClassTotal, StreamTotals


class KnownMode(StubMode):
    """Knows red cells to 4 %."""

    def totals(self) -> StreamTotals:
        one = ClassTotal(1234, Interval(15.5, 14.9, 16.1), 0.0392, 0.05)
        return StreamTotals(
            {"RBC": one, "WBC": ClassTotal(0, None, None, 0.2)}, 80, 0, 0, 0.0123, 2, False, "uncertainty: red cells ±3.9 %"
        )


@pytest.fixture
def live(tmp_path: Path) -> Live:
    source = open_source(str(write_video(tmp_path / "v.avi", 10)))
    with FrameLog(tmp_path) as log, Capture(source) as capture, Live(capture, KnownMode(), log) as run:
        until(lambda: run.wait(0.02))
    return run


def test_a_line_tells_counts_frames_and_what_goes_on(live: Live) -> None:
    assert status.line(live) == "RBC 1234 ±3.9 %, WBC 0 | 10 frames, 8 used, 0 dropped, 2 rejected | now: blurred"


def test_a_table_tells_the_interval_and_what_was_asked_for(live: Live) -> None:
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(status.table(live))
    text = console.export_text()
    assert [one.strip() for one in text.splitlines()[3].strip("│").split("│")] == [
        "RBC",
        "1234",
        "15.5 (14.9–16.1)",
        "±3.9 %",
        "±5.0 %",
    ]
    assert "10 frames, 8 used" in text


def test_the_state_is_plain(live: Live) -> None:
    state = status.state(live, "v.avi")
    assert state["classes"][0] == {
        "name": "RBC", "colour": "#0072b2", "count": 1234, "per_field": {"value": "15.5", "span": "14.9–16.1"},
        "known_to": "±3.9 %", "target": "±5.0 %", "enough": True,
    }  # fmt: skip
    assert state["classes"][1]["enough"] is False
    assert state["ended"] == {"why": "ended", "reason": "the source ended"}
    assert state["area_mm2"] == "0.0123"
    assert state["frames"]["received"] == 10
