"""`python -m detector.stream` from its options to its files and exit codes."""

from __future__ import annotations

import csv
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import pytest
from staging import MjpegServer, StubMode, number_of, picture, until, write_video

from detector import count, stream
from detector.streams import modes

Run = Callable[..., int]
Window = Any
"""What `conftest.Window` is."""
ROOT = Path(__file__).parents[2]
FILES = {"report.html", "counts.csv", "smears.csv", "detections.json", "run.json", "frames.csv", "mosaic.jpg"}

STUBBED = """
import sys
sys.path.insert(0, {staging!r})
from staging import StubMode
from detector import stream
from detector.streams import modes
modes.fields = lambda *_: StubMode(0.005)
stream.main()
"""


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def stubbed(monkeypatch: pytest.MonkeyPatch) -> StubMode:
    mode = StubMode()
    monkeypatch.setattr(modes, "fields", lambda *_: mode)
    return mode


def test_a_video_leaves_the_files_of_a_count_and_what_became_of_its_frames(
    run_command: Run, stubbed: StubMode, capsys: pytest.CaptureFixture[str]
) -> None:
    write_video(Path("v.avi"), 30)
    assert run_command(stream.main, "v.avi", "--out", "out", "--save", "seen.avi") == 0
    assert {one.name for one in Path("out").iterdir()} == FILES
    assert [row["status"] for row in rows(Path("out/frames.csv"))].count("used") == 24
    told = json.loads(Path("out/run.json").read_text(encoding="utf-8"))["stream"]
    assert told["ended"] == {"why": "ended", "reason": "the source ended"}
    assert told["frames"]["received"] == 30
    assert told["frames"]["reasons"] == {"blurred": 6}
    assert told["problems"] == []
    report = Path("out/report.html").read_text(encoding="utf-8")
    assert "It ended because the source ended;" in report
    assert "30 received: 24 used, 0 dropped, 6 rejected" in report
    assert "30 frames, 24 used; ended because the source ended" in capsys.readouterr().err
    video = cv2.VideoCapture("seen.avi")
    assert int(video.get(cv2.CAP_PROP_FRAME_COUNT)) == 30
    # Nor does a count take what stands in such a folder for fields.
    assert run_command(count.main, "out/..") == 3


@pytest.mark.slow
@pytest.mark.parametrize(("mode", "path"), [("fields", "path=fields&speed=80&rest=10&lost=3"), ("scan", "path=pan&lost=3")])
def test_a_simulated_microscope_is_counted_and_reported(run_command: Run, chromium: Window, mode: str, path: str) -> None:
    source = f"fake:resized?width=320&height=240&rows=1&columns=4&{path}"
    assert run_command(stream.main, source, "--mode", mode, "--out", "out") == 0
    assert {one.name for one in Path("out").iterdir()} == FILES
    told = json.loads(Path("out/run.json").read_text(encoding="utf-8"))["stream"]
    assert [one["kind"] for one in told["frames"]["incidents"]] == ["lost", "gap", "resized"]
    boxes = json.loads(Path("out/detections.json").read_text(encoding="utf-8"))["annotations"]
    counted = sum(int(row[name]) for row in rows(Path("out/counts.csv")) for name in ("RBC", "WBC", "Platelets"))
    assert counted == sum(int(row["total"]) for row in rows(Path("out/smears.csv"))) == len(boxes) > 5
    # Some cells are only taken for certain at the end.
    assert 0 < sum(int(row["new_cells"] or 0) for row in rows(Path("out/frames.csv"))) <= counted
    mosaic = cv2.imread("out/mosaic.jpg")
    assert mosaic.std() > 10
    chromium.open(Path("out/report.html"), 390)
    assert chromium.run("document.documentElement.scrollWidth") <= 390
    assert chromium.run("document.querySelector('.mosaic img').naturalWidth") > 200
    assert chromium.complaints == []


def test_what_is_missing_is_told_by_the_exit_code(run_command: Run, stubbed: StubMode) -> None:
    video = write_video(Path("v.avi"), 60)
    video.write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    assert run_command(stream.main, "v.avi", "--out", "out") == 1
    assert "states 60 pictures and gave" in Path("out/report.html").read_text(encoding="utf-8")


def test_where_nothing_could_be_counted_it_says_so(run_command: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    write_video(Path("v.avi"), 10)
    monkeypatch.setattr(modes, "fields", lambda *_: StubMode(fails=lambda _: True))
    assert run_command(stream.main, "v.avi", "--out", "out") == 3
    assert {one.name for one in Path("out").iterdir()} == FILES


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["none.mp4"], 3, "none.mp4: does not exist; SOURCE is a camera number"),
        (["97"], 3, "no such camera"),
        ([], 2, "give either SOURCE or --finish FOLDER"),
        (["v.avi", "--finish", "used"], 2, "give either SOURCE or --finish FOLDER"),
        (["--finish", "used"], 3, "a stream that ended has its results already"),
        (["text.mp4"], 3, "is not a video"),
        (["fake:nothing"], 2, "unknown simulated microscope"),
        (["v.avi", "--um-per-px", "50"], 2, "not a scale of a smear"),
        (["v.avi", "--rbc-within", "0"], 2, "rbc-within"),
        (["v.avi", "--serve", "x"], 2, "is not a port"),
        (["v.avi", "--save", "v.avi"], 3, "exists already"),
        (["v.avi", "--save", "v.txt"], 2, "ends with none of"),
        (["v.avi", "--model", "none.onnx"], 3, "no such model file"),
        (["v.avi", "--out", "used"], 3, "holds frames.csv already"),
    ],
)
def test_wrong_use_says_what_would_work_and_leaves_nothing(
    run_command: Run, stubbed: StubMode, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, message: str
) -> None:
    if sys.platform != "linux" and "97" in arguments:
        pytest.skip("needs devices as files")
    write_video(Path("v.avi"), 5)
    Path("text.mp4").write_text("no video")
    Path("used").mkdir()
    Path("used/frames.csv").touch()
    assert run_command(stream.main, *arguments) == code
    assert message in " ".join(capsys.readouterr().err.replace("\n", " ").replace("│", " ").split())
    assert not Path("runs").exists()


def test_it_ends_when_enough_is_known(run_command: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    write_video(Path("v.avi"), 50)
    monkeypatch.setattr(modes, "fields", lambda *_: StubMode(enough_at=8))
    assert run_command(stream.main, "v.avi", "--out", "out", "--until-enough") == 0
    assert json.loads(Path("out/run.json").read_text(encoding="utf-8"))["stream"]["ended"]["why"] == "enough"


def _heed_hangups() -> None:
    """Let a process hear of its terminal's loss, though these tests may run under nohup, which is inherited."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals of another kind")
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM, getattr(signal, "SIGHUP", None)])
def test_interrupted_it_writes_what_was_counted(mjpeg: MjpegServer, tmp_path: Path, sent: signal.Signals) -> None:
    script = STUBBED.format(staging=str(ROOT / "tests" / "streams"))
    command = [sys.executable, "-c", script, mjpeg.url, "--out", "out"]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    started = subprocess.Popen(command, cwd=tmp_path, text=True, preexec_fn=_heed_hangups, **pipes)
    frames = tmp_path / "out" / "frames.csv"
    until(lambda: frames.is_file() and len(rows(frames)) > 10)
    started.send_signal(sent)
    # Whoever is impatient must not lose it.
    started.send_signal(sent)
    _, told = started.communicate(timeout=60)
    assert started.returncode == 130, told
    assert "Traceback" not in told
    assert "ended because it was interrupted" in told
    assert {one.name for one in frames.parent.iterdir()} == FILES
    stream_run = json.loads((tmp_path / "out" / "run.json").read_text(encoding="utf-8"))["stream"]
    counted = [row["status"] for row in rows(frames)]
    assert stream_run["frames"]["used"] == counted.count("used") > 0
    assert stream_run["frames"]["received"] == len(counted)


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="terminals of another kind")
def test_a_terminal_that_is_gone_costs_nothing(mjpeg: MjpegServer, tmp_path: Path) -> None:
    script = STUBBED.format(staging=str(ROOT / "tests" / "streams"))
    command = [sys.executable, "-c", script, mjpeg.url, "--out", "out"]
    ours, theirs = os.openpty()
    ends = dict.fromkeys(("stdin", "stdout", "stderr"), theirs)
    started = subprocess.Popen(command, cwd=tmp_path, start_new_session=True, preexec_fn=_heed_hangups, **ends)
    os.close(theirs)
    frames = tmp_path / "out" / "frames.csv"
    until(lambda: frames.is_file() and len(rows(frames)) > 10)
    os.close(ours)
    # Writing to it fails from now on.
    before = len(rows(frames))
    until(lambda: len(rows(frames)) > before + 10)
    started.send_signal(signal.SIGHUP)
    assert started.wait(60) == 130
    assert {one.name for one in frames.parent.iterdir()} == FILES


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="signals of another kind")
def test_of_a_run_that_was_killed_results_are_made(tmp_path: Path, run_command: Run) -> None:
    source = "fake:serpentine?width=320&height=240&rows=2&columns=3&speed=4&live=1"
    command = [sys.executable, "-m", "detector.stream", source, "--mode", "scan", "--out", "out", "--um-per-px", "0.1"]
    where = {**os.environ, "PYTHONPATH": str(ROOT)}
    started = subprocess.Popen(command, cwd=tmp_path, env=where, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    journal = tmp_path / "out" / "journal.jsonl"
    until(lambda: journal.is_file() and journal.read_bytes().count(b"\n") > 3)
    assert run_command(stream.main, "--finish", str(journal.parent)) == 3
    started.kill()
    started.communicate(timeout=60)
    assert {one.name for one in journal.parent.iterdir()} == {"frames.csv", "journal.jsonl"}
    assert run_command(stream.main, source, "--out", str(journal.parent)) == 3
    assert run_command(stream.main, "--finish", str(journal.parent)) == 1
    assert {one.name for one in journal.parent.iterdir()} == FILES
    told = json.loads((journal.parent / "run.json").read_text(encoding="utf-8"))
    assert told["stream"]["ended"]["why"] == "killed"
    assert told["settings"]["um_per_px"] == 0.1
    assert told["stream"]["frames"]["used"] > 10
    smear = {row["class"]: row for row in rows(journal.parent / "smears.csv")}
    assert int(smear["RBC"]["total"]) > 0
    assert float(smear["RBC"]["per_mm2"]) > 0
    assert len(json.loads((journal.parent / "detections.json").read_text())["annotations"]) == sum(
        int(row["total"]) for row in smear.values()
    )
    assert run_command(stream.main, "--finish", str(journal.parent)) == 3


def test_where_no_frame_was_used_it_says_why(run_command: Run, capsys: pytest.CaptureFixture[str]) -> None:
    Path("stills").mkdir()
    for number in range(3):
        cv2.imwrite(f"stills/{number}.png", picture(number)[:, :, ::-1])
    assert run_command(stream.main, "stills", "--out", "out") == 3
    told = " ".join(capsys.readouterr().err.split())
    assert "none of 3 frames was used: " in told
    assert "photographs of single fields are counted with" in told
    assert "none of 3 frames was used" in Path("out/report.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_a_stream_is_saved_while_its_camera_is_lost_and_comes_back(mjpeg: MjpegServer, tmp_path: Path) -> None:
    script = STUBBED.format(staging=str(ROOT / "tests" / "streams"))
    command = [sys.executable, "-c", script, mjpeg.url, "--out", "out", "--save", "seen.avi", "--seconds", "4"]
    started = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    frames = tmp_path / "out" / "frames.csv"
    until(lambda: frames.is_file() and len(rows(frames)) > 10)
    mjpeg.kill()
    until(lambda: any(row["status"] == "fault" for row in rows(frames)))
    mjpeg.start()
    _, told = started.communicate(timeout=60)
    assert started.returncode == 0, told
    assert {"used", "fault", "gap"} <= {row["status"] for row in rows(frames)}
    video = cv2.VideoCapture(str(tmp_path / "seen.avi"))
    ok, bgr = video.read()
    assert ok
    assert number_of(bgr[26:, :, ::-1]) >= 0
