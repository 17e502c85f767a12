"""Counts that are killed, signalled, cut off from their disk or their inputs lose nothing, and end as if nothing had happened."""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from benchmarks import crashes
from detector import batch, count
from detector.engines import job
from detector.vision import images

resource = pytest.importorskip("resource", reason="signals and limits differ on Windows")

Run = Callable[..., int]


@pytest.mark.slow
@pytest.mark.parametrize("kind", crashes.KINDS)
def test_killed_at_random_moments_it_ends_as_if_undisturbed(tmp_path: Path, kind: str) -> None:
    if kind == crashes.SLIDES:
        pytest.importorskip("imagecodecs", reason="JPEG needs the extra slides")
        pytest.importorskip("openslide", reason="needs the extra slides")
    # A stream has a round in each mode; the first of a count has three kills.
    rounds = 2 if kind == crashes.STREAMS else 1
    outcomes = crashes.of_kind(kind, tmp_path / kind, rounds, random.Random(5))
    assert outcomes.faults == []
    assert outcomes.rounds == rounds
    assert outcomes.kills >= 2


class Counting:
    """A count of eighteen files by a process, and what it must leave."""

    def __init__(self, folder: Path) -> None:
        """Count them once, undisturbed."""
        self.folder = folder
        self._command = [*crashes._COUNT, *crashes._fields(folder / "inputs"), "--threads", "1", "--out"]
        self.finish("whole")
        self.expected = crashes.contents(folder / "whole")

    def start(self, name: str, *more: str, before: Callable[[], None] | None = None) -> subprocess.Popen[str]:
        """Begin a count into the folder of that name."""
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return subprocess.Popen([*self._command, name, *more], cwd=self.folder, text=True, preexec_fn=before, **pipes)

    def finish(self, name: str, *more: str) -> str:
        """Count to the end; gives what is told on standard error."""
        started = self.start(name, *more)
        _, told = started.communicate(timeout=300)
        assert started.returncode == 1, told
        return told


@pytest.fixture(scope="module")
def counting(tmp_path_factory: pytest.TempPathFactory) -> Counting:
    return Counting(tmp_path_factory.mktemp("counting"))


def _heeding() -> None:
    """Hear of a lost terminal, though these tests may run under nohup, which is inherited."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.mark.slow
@pytest.mark.parametrize("sent", [(signal.SIGTERM,), (signal.SIGHUP,), (signal.SIGINT, signal.SIGINT)])
def test_signalled_it_ends_with_130_and_goes_on_where_it_was(counting: Counting, sent: tuple[signal.Signals, ...]) -> None:
    name = "_".join(number.name for number in sent)
    started = counting.start(name, before=_heeding)
    journal = counting.folder / name / "journal.jsonl"
    deadline = time.monotonic() + 120
    while not (journal.is_file() and journal.read_bytes().count(b"\n") > 3) and time.monotonic() < deadline:
        time.sleep(0.005)
    for number in sent:
        started.send_signal(number)
    _, told = started.communicate(timeout=60)
    assert started.returncode == 130, told
    assert told.strip() in (f"interrupted; continue with the same command and: --out {name} --resume", "interrupted")
    assert not (journal.parent / "counts.csv").exists()
    counting.finish(name, "--resume")
    assert crashes.contents(journal.parent) == counting.expected


def _small_files() -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))


@pytest.mark.slow
def test_on_a_full_disk_it_ends_in_one_line_and_goes_on_when_there_is_room(counting: Counting) -> None:
    """A limit on the size of files stands for a disk that fills up in the middle of the journal."""
    started = counting.start("full", before=_small_files)
    _, told = started.communicate(timeout=120)
    assert started.returncode == 3
    assert "cannot be written (File too large)" in " ".join(told.split())
    assert "Traceback" not in told
    counting.finish("full", "--resume")
    assert crashes.contents(counting.folder / "full") == counting.expected


@pytest.mark.parametrize("left", ["nothing", "a file"])
def test_an_output_folder_that_goes_away_is_one_line(
    fields: Path, run_command: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], left: str
) -> None:
    counted = job.count_fields

    def then_removed(*arguments: Any) -> Any:
        outcome = counted(*arguments)
        shutil.rmtree("out")
        if left == "a file":
            Path("out").write_text("in the way", encoding="utf-8")
        return outcome

    monkeypatch.setattr(batch.job, "count_fields", then_removed)
    assert run_command(count.main, fields, "--out", "out") == 3
    told = capsys.readouterr().err
    assert "error: out: cannot be written" in told
    assert "Traceback" not in told


def test_an_output_folder_that_becomes_read_only_is_one_line_and_goes_on_when_it_is_not(
    fields: Path, run_command: Run, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """To root no folder is read-only, so what moves results to their place stands for a file system that became so."""
    assert run_command(count.main, fields, "--out", "whole") == 0
    capsys.readouterr()

    def refused(*_: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    with monkeypatch.context() as patched:
        patched.setattr(os, "replace", refused)
        assert run_command(count.main, fields, "--out", "out") == 3
    told = capsys.readouterr().err
    assert "error: out: cannot be written (Read-only file system)" in " ".join(told.split())
    assert "Traceback" not in told
    assert not Path("out/counts.csv").exists()
    assert run_command(count.main, fields, "--out", "out", "--resume") == 0
    assert crashes.contents(Path("out")) == crashes.contents(Path("whole"))


def test_a_field_that_vanishes_in_mid_run_costs_no_other_its_count(
    fields: Path, run_command: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_command(count.main, fields, "--out", "whole") == 0
    gone = fields / "smear_a" / "field_01.jpg"
    content, searched = gone.read_bytes(), job.search

    def then_gone(*arguments: Any) -> Any:
        cells = searched(*arguments)
        gone.unlink()
        return cells

    monkeypatch.setattr(batch.job, "search", then_gone)
    assert run_command(count.main, fields, "--out", "out") == 1
    rows = Path("out/counts.csv").read_text(encoding="utf-8").splitlines()
    assert [row.split(",")[0] for row in rows if "cannot be opened" in row] == ["smear_a/field_01.jpg"]
    assert len(rows) == 5
    monkeypatch.undo()
    monkeypatch.chdir(fields.parent)
    gone.write_bytes(content)
    assert run_command(count.main, fields, "--out", "out", "--resume") == 0
    assert crashes.contents(Path("out")) == crashes.contents(Path("whole"))


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), True),
        (RuntimeError("[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : std::bad_alloc"), True),
        (RuntimeError("Failed to allocate memory for requested buffer of size 9"), True),
        (OSError("image file is truncated"), False),
    ],
)
def test_want_of_memory_is_told_from_damage(error: Exception, expected: bool) -> None:
    assert images.out_of_memory(error) == expected
