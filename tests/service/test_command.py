"""The command that serves: what it refuses to start with, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
from asking import PATIENCE_S, TOKEN

from detector import serve

for package in ("fastapi", "python_multipart", "prometheus_client"):
    pytest.importorskip(package, reason="needs the service extra: pip install -e '.[service]'")

Run = Callable[..., int]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (("--model", "nowhere.onnx"), 3, "nowhere.onnx"),
        (("--address", "127.0.0.1:x"), 2, "--address 127.0.0.1:x: is not a port"),
        (("--address", "0.0.0.0:0"), 2, "a token is needed: set SMEARCOUNT_TOKEN, or give --token-file"),
        (("--address", "192.0.2.1:0"), 3, "--address: 192.0.2.1:0 cannot be taken"),
        (("--token-file", "short"), 2, "is no token; 16 or more"),
        (("--token-file", "none"), 2, "cannot be read"),
        (("--queue", "0"), 2, "from 1 up"),
        (("--state", "short"), 3, "choose another --state"),
    ],
)
def test_what_cannot_be_served_is_one_line(
    arguments: tuple[str, ...],
    code: int,
    said: str,
    run_command: Run,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("SMEARCOUNT_TOKEN", raising=False)
    Path("short").write_text("abc", encoding="utf-8")
    defaults = () if "--address" in arguments else ("--address", "0")
    assert run_command(serve.main, *defaults, *arguments) == code
    printed = capsys.readouterr().err
    assert said in " ".join(printed.split())
    assert "Traceback" not in printed


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="ends a process as POSIX systems do")
def test_it_warns_where_others_can_reach_it_and_ends_when_asked(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(f"{TOKEN}\n", encoding="utf-8")
    command = [sys.executable, "-m", "detector.serve", "--address", "0.0.0.0:0", "--token-file", "token", "--state", "state"]
    log = tmp_path / "log"
    with log.open("wb") as written, subprocess.Popen(command, stderr=written, cwd=tmp_path) as process:
        until = time.monotonic() + PATIENCE_S
        while '"ready"' not in log.read_text(encoding="utf-8"):
            assert process.poll() is None, log.read_text(encoding="utf-8")
            assert time.monotonic() < until
            time.sleep(0.05)
        events = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
        warning = next(event for event in events if event["level"] == "warning")
        assert "nothing is encrypted" in warning["event"]
        port = next(event["port"] for event in events if event["event"] == "started")
        assert httpx.get(f"http://127.0.0.1:{port}/health/ready", headers={"Host": "smearcount"}).status_code == 200
        assert httpx.get(f"http://127.0.0.1:{port}/v1/jobs").status_code == 401
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE_S) == 0
    last = json.loads(log.read_text(encoding="utf-8").splitlines()[-1])
    assert last["event"] == "ended"
