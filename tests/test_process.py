"""A signal at any moment ends a command with 130 in one line, and words that nothing takes cost no result."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.name == "nt", reason="signals and pipes differ on Windows")

_PROGRAM = """
import sys, threading, time
from detector import process
process.catch()
{body}
"""


def _heeding() -> None:
    """Hear of a lost terminal, though these tests may run under nohup, which is inherited."""
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def _ignoring() -> None:
    """As nohup starts a program."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def _signalled(
    body: str, *waits_s: float, sent: signal.Signals = signal.SIGTERM, before: Callable[[], None] | None = None
) -> tuple[int, str]:
    """How a program ends that gets a signal so long after its first line, and what it prints on standard error."""
    program = _PROGRAM.format(body=body)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    started = subprocess.Popen([sys.executable, "-c", program], text=True, preexec_fn=before, **pipes)
    assert started.stdout is not None
    started.stdout.readline()
    for wait_s in waits_s:
        time.sleep(wait_s)
        started.send_signal(sent)
    _, printed = started.communicate(timeout=30)
    return started.returncode, printed


def test_before_a_command_runs_a_signal_ends_it_at_once() -> None:
    thread = "threading.Thread(target=time.sleep, args=(60,)).start()"
    assert _signalled(f"{thread}\nprint(flush=True)\ntime.sleep(60)", 0.1) == (130, "interrupted\n")


def test_a_signal_waits_for_the_next_check_and_a_second_one_does_not() -> None:
    body = """
with process.answering("wait"):
    print(flush=True)
    for step in range(100):
        time.sleep(0.02)
        if step == 50:
            try:
                process.check()
            except KeyboardInterrupt:
                sys.exit(f"at the check, {process.asked()}")
"""
    assert _signalled(body, 0.1) == (1, "at the check, True\n")
    assert _signalled(body, 0.1, 0.1) == (130, "interrupted\n")


def test_the_loss_of_the_terminal_ends_it_too_but_not_under_nohup() -> None:
    body = """
with process.answering("wait"):
    print(flush=True)
    for step in range(20):
        time.sleep(0.02)
    sys.exit(f"asked: {process.asked()}")
"""
    assert _signalled(body, 0.1, sent=signal.SIGHUP, before=_heeding) == (1, "asked: True\n")
    assert _signalled(body, 0.1, sent=signal.SIGHUP, before=_ignoring) == (1, "asked: False\n")


def test_where_a_signal_may_raise_it_does() -> None:
    body = """
try:
    with process.answering("raise"):
        print(flush=True)
        time.sleep(60)
except KeyboardInterrupt:
    sys.exit("raised")
"""
    assert _signalled(body, 0.1) == (1, "raised\n")


@pytest.mark.parametrize("module", ["detector.card", "detector"])
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_behind_standard_output_is_no_traceback(module: str) -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = subprocess.run([sys.executable, "-m", module, "--help"], stdout=full, stderr=subprocess.PIPE, text=True)
    assert done.stderr == ""


def _printing(stdout: int | None, before: str = "") -> subprocess.CompletedProcess[str]:
    program = (
        "import sys; sys.argv = ['x']\n"
        "from detector.arguments import Parser\nfrom detector import commandline\n"
        "def much():\n    for _ in range(9000): commandline.console.print('words')\n"
        f"{before}\n"
        "commandline.run(much, Parser('x', '', ''))"
    )
    return subprocess.run([sys.executable, "-c", program], stdout=stdout, stderr=subprocess.PIPE, text=True)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_output_that_cannot_be_written_is_one_line_and_code_1() -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        done = _printing(full.fileno())
    assert (done.returncode, done.stderr) == (1, "error: standard output cannot be written (No space left on device)\n")


def test_a_pipe_that_is_closed_is_code_1_and_no_words() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    done = _printing(writing)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, "")


def test_without_standard_output_a_command_runs() -> None:
    done = _printing(None, "import os; os.close(1); sys.stdout = None")
    assert (done.returncode, done.stderr) == (0, "")
