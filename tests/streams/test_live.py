"""A run from its frames to its end, over real transports and with what can go wrong on them."""

from __future__ import annotations

import csv
import io
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from staging import FFMPEG, MjpegServer, StubMode, free_port, until, write_video

from detector.streams.capture import Capture, Patience
from detector.streams.live import Live
from detector.streams.log import FrameLog
from detector.streams.sources import open_source, opencv
from detector.streams.sources.source import Source

QUICK = Patience(first_s=10.0, read_s=1.0, backoff_s=(0.05, 0.2), give_up_s=20.0)


class Run:
    """A run of a source with a stub mode, and what it left in `frames.csv`."""

    def __init__(self, source: Source, folder: Path, mode: StubMode | None = None, **options: Any) -> None:
        self.mode = mode or StubMode()
        self.log = FrameLog(folder)
        self._csv = folder / "frames.csv"
        self.capture = Capture(source, QUICK)
        self.live = Live(self.capture, self.mode, self.log, **options)

    def go(self, during: Callable[[Live], object] = lambda _: None) -> list[dict[str, str]]:
        with self.log, self.capture, self.live:
            during(self.live)
            until(lambda: self.live.wait(0.05))
        with self._csv.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        frames = [row for row in rows if row["index"]]
        assert [int(row["index"]) for row in frames] == list(range(self.log.received))
        told = [sum(row["status"] == status for row in frames) for status in ("used", "dropped", "rejected")]
        assert told == [self.log.used, self.log.dropped.total(), self.log.rejected.total()]
        assert sum(told) == self.log.received
        assert all(row["reason"] for row in frames if row["status"] != "used")
        return rows


def test_each_frame_of_a_video_is_counted_and_accounted_for(tmp_path: Path) -> None:
    run = Run(open_source(str(write_video(tmp_path / "v.avi", 50))), tmp_path)
    rows = run.go()
    assert run.mode.taken == list(range(50))
    assert (run.log.used, dict(run.log.rejected)) == (40, {"blurred": 10})
    assert (run.live.ended.why, run.live.ended.reason) == ("ended", "the source ended")
    assert rows[1] == {
        "index": "1", "time_s": "0.04", "status": "used", "reason": "", "focus": "0.5", "dx_px": "1", "dy_px": "0",
        "segment": "1", "cells": "1", "new_cells": "1", "latency_ms": rows[1]["latency_ms"],
    }  # fmt: skip
    assert run.log.summary()["latency_ms"]["p95"] > 0


def test_a_slow_counter_gets_the_newest_frames_of_a_camera(mjpeg: MjpegServer, tmp_path: Path) -> None:
    run = Run(open_source(mjpeg.url), tmp_path, StubMode(pause_s=0.05))
    run.go(lambda live: (until(lambda: live.log.used > 20), live.stop("stopped", "enough seen")))
    assert run.log.dropped["a newer one came"] > run.log.used
    # A frame waits for the one before it and no longer.
    assert run.log.latency_ms()["p95"] < 400
    assert run.live.ended.reason == "enough seen"


@pytest.mark.slow
def test_a_server_that_is_killed_and_started_again_leaves_a_gap(mjpeg: MjpegServer, tmp_path: Path) -> None:
    run = Run(opencv.Address(mjpeg.url, timeout_s=0.5), tmp_path)

    def kill_and_start(live: Live) -> None:
        until(lambda: live.log.received > 5)
        mjpeg.kill()
        until(lambda: live.capture.lost)
        time.sleep(0.3)
        before = live.log.received
        mjpeg.start()
        until(lambda: live.log.received > before + 5)
        assert not live.capture.lost
        live.stop("stopped", "enough seen")

    rows = run.go(kill_and_start)
    assert [one.kind for one in run.mode.faults] == ["lost"]
    gaps = [row for row in rows if row["status"] == "gap"]
    assert len(gaps) == 1
    assert "connected again" in gaps[0]["reason"]
    assert run.log.incidents[-1]["kind"] == "gap"
    assert float(gaps[0]["reason"].split()[3]) >= 0.3


@pytest.mark.slow
def test_a_server_that_stalls_is_connected_to_again(mjpeg: MjpegServer, tmp_path: Path) -> None:
    run = Run(opencv.Address(mjpeg.url, timeout_s=0.3), tmp_path)

    def stall(live: Live) -> None:
        until(lambda: live.log.received > 5)
        mjpeg.stalled.set()
        until(lambda: live.capture.lost)
        mjpeg.stalled.clear()
        before = live.log.received
        until(lambda: live.log.received > before + 5)
        live.stop("stopped", "enough seen")

    run.go(stall)
    assert [one.kind for one in run.mode.faults] == ["lost"]


@pytest.fixture
def sender() -> Iterator[Callable[[int], subprocess.Popen[bytes]]]:
    """Starts ffmpeg, which sends a moving picture to a UDP port of this computer."""
    if FFMPEG is None:
        pytest.skip("needs ffmpeg: apt-get install ffmpeg")
    started: list[subprocess.Popen[bytes]] = []

    def send(port: int) -> subprocess.Popen[bytes]:
        command = [FFMPEG, "-loglevel", "error", "-re", "-f", "lavfi", "-i", "testsrc2=size=160x120:rate=25"]
        command += ["-c:v", "mpeg2video", "-g", "5", "-f", "mpegts", f"udp://127.0.0.1:{port}?pkt_size=1316"]
        started.append(subprocess.Popen(command, stdin=subprocess.DEVNULL))
        return started[-1]

    yield send
    for one in started:
        one.kill()
        one.wait(10)


@pytest.mark.slow
def test_a_stream_over_udp_goes_on_after_its_sender_was_killed(
    sender: Callable[[int], subprocess.Popen[bytes]], tmp_path: Path
) -> None:
    port = free_port()
    first = sender(port)
    run = Run(opencv.Address(f"udp://127.0.0.1:{port}", timeout_s=5.0), tmp_path)

    def kill_and_start(live: Live) -> None:
        until(lambda: live.log.received > 5)
        first.kill()
        until(lambda: live.capture.lost)
        sender(port)
        before = live.log.received
        until(lambda: live.log.received > before + 5)
        live.stop("stopped", "enough seen")

    rows = run.go(kill_and_start)
    assert run.mode.faults[0].kind == "lost"
    assert [row["status"] for row in rows].count("gap") >= 1


def test_a_size_change_reaches_the_mode(tmp_path: Path) -> None:
    run = Run(open_source("fake:still?rest=12&resized=0.5&width=160&height=120"), tmp_path)
    run.go()
    assert [one.kind for one in run.mode.faults] == ["resized"]


def test_a_frame_that_the_detector_fails_on_costs_only_itself(tmp_path: Path) -> None:
    run = Run(open_source(str(write_video(tmp_path / "v.avi", 20))), tmp_path, StubMode(fails=lambda index: index in (3, 4)))
    run.go()
    assert run.log.rejected["could not be searched for cells (out of memory)"] == 2
    assert run.log.used == 15


def test_a_detector_that_fails_always_ends_the_run(tmp_path: Path) -> None:
    run = Run(open_source(str(write_video(tmp_path / "v.avi", 60))), tmp_path, StubMode(fails=lambda index: index > 10))
    run.go()
    assert run.live.ended.why == "failed"
    assert "25 pictures in a row could not be searched for cells: out of memory" in run.live.ended.reason
    assert run.log.used == 9


@pytest.mark.parametrize(
    ("options", "why", "frames"), [({"until_enough": True}, "enough", 12), ({"seconds": 1.0}, "stopped", 26), ({}, "ended", 50)]
)
def test_it_ends_when_enough_is_known_or_the_time_is_over(tmp_path: Path, options: dict[str, Any], why: str, frames: int) -> None:
    run = Run(open_source(str(write_video(tmp_path / "v.avi", 50))), tmp_path, StubMode(enough_at=10), **options)
    run.go()
    assert run.live.ended.why == why
    assert len(run.mode.taken) == frames


def test_the_time_of_a_camera_that_is_lost_ends_too(mjpeg: MjpegServer, tmp_path: Path) -> None:
    run = Run(opencv.Address(mjpeg.url, timeout_s=0.3), tmp_path, seconds=2.0)
    began = time.monotonic()
    run.go(lambda live: (until(lambda: live.log.received > 5), mjpeg.kill()))
    assert run.live.ended.reason == "2 seconds have passed"
    assert time.monotonic() - began < 15


@pytest.mark.skipif(FFMPEG is None, reason="needs ffmpeg: apt-get install ffmpeg")
def test_the_time_ends_though_a_file_begins_again(tmp_path: Path) -> None:
    command = [str(FFMPEG), "-loglevel", "error", "-f", "lavfi", "-i", "testsrc2=size=160x120:rate=25:duration=1"]
    subprocess.run([*command, "-c:v", "mpeg2video", str(tmp_path / "a.ts")], check=True, stdin=subprocess.DEVNULL)
    (tmp_path / "v.ts").write_bytes(4 * (tmp_path / "a.ts").read_bytes())
    run = Run(open_source(str(tmp_path / "v.ts")), tmp_path, seconds=2.5)
    run.go()
    assert run.live.ended.why == "stopped"
    assert 60 <= len(run.mode.taken) <= 66


def test_what_was_written_before_a_crash_stays(tmp_path: Path) -> None:
    run = Run(open_source(str(write_video(tmp_path / "v.avi", 10))), tmp_path)
    with run.log:
        with run.capture, run.live:
            until(lambda: run.live.wait(0.05))
        # Not closed yet, as after a crash.
        assert (tmp_path / "frames.csv").read_text(encoding="utf-8").count("\n") == 11


def test_a_full_disk_ends_the_log_and_not_the_count(tmp_path: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    run = Run(open_source(str(write_video(tmp_path / "v.avi", 20))), tmp_path)
    run.log._file.close()
    run.log._file = io.FileIO("/dev/full", "w")
    with run.log, run.capture, run.live:
        until(lambda: run.live.wait(0.05))
    assert run.log.problem == "frames.csv: cannot be written any more (No space left on device); the count goes on"
    assert run.log.received == 20
    assert run.mode.totals().classes["RBC"].count == 16
