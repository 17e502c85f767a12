"""Nothing that runs asks for a network: system calls are watched from outside, for libraries may do so in code of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
_STRACE = shutil.which("strace")

COUNT_FOR_12_S = """
import time
from pathlib import Path

import detector

began, model = time.monotonic(), detector.Detector()
field = sorted(Path("datasets/samples/smear_a").iterdir())[0]
while time.monotonic() - began < 12:
    model.detect(field)
    time.sleep(0.2)
"""
"""ONNX Runtime reports, unless it is kept from it, some ten seconds after it began."""
TRAINING = """
import os
import sys
from importlib import import_module
from pathlib import Path

Path(sys.argv[1]).mkdir()
os.chdir(sys.argv[1])
for line in (
    "synth --out smears --fields 10 --size 160x128 --rbc 4 --um-per-px 0.2",
    "convert smears/truth.json --out set --splits 0.6/0.2/0.2",
    "train --data set/data.yaml --name tiny --model yolo11n.yaml --epochs 1 --image-px 64 --batch 6",
):
    name, *sys.argv[1:] = line.split()
    try:
        import_module(f"detector.{name}").main()
    except SystemExit as ended:
        if ended.code not in (None, 0):
            raise
"""

EVERY_COMMAND = """
import sys
from importlib import import_module
from pathlib import Path

import detector

samples = str(Path(detector.__file__).parents[1] / "datasets" / "samples")
Path(sys.argv[1]).mkdir()
__import__("os").chdir(sys.argv[1])
synth = "--fields 4 --size 160x128 --rbc 4 --um-per-px 0.2"
for line in (
    f"synth --out smears {synth}",
    "convert smears/truth.json --out set --splits 0.5/0.25/0.25",
    f"count {samples} --out counted --overlays",
    "exchange counted --to voc",
    "stream fake:serpentine --seconds 2 --out streamed",
    f"evaluate --counts counted/counts.csv --truth {samples}/truth.csv --out compared",
    "evaluate --data set/data.yaml --out evaluated",
    "models",
):
    name, *sys.argv[1:] = line.split()
    try:
        import_module(f"detector.{name}").main()
        code = 0
    except SystemExit as ended:
        code = ended.code
    print(name, code, file=sys.stderr)
    if code not in (None, 0, 1):
        raise SystemExit(f"{line}: {code}")
"""
"""What a user can call, but what trains, or serves a page or the service."""


def calls_of(program: str, folder: Path, *names: str) -> list[str]:
    """System calls of such names by a Python program, or by one that it starts, that are about an address of the internet.

    The program is given a folder that is not there yet.
    """
    assert _STRACE is not None
    calls = folder / "calls.txt"
    environment = {name: value for name, value in os.environ.items() if name not in ("ORT_DISABLE_TELEMETRY", "YOLO_OFFLINE")}
    watched = [_STRACE, "-f", "-qq", "-e", f"trace={','.join(names)}", "-o", str(calls)]
    command = [*watched, sys.executable, "-c", program, str(folder / "state")]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=300)
    if "PTRACE" in done.stderr or "ptrace" in done.stderr:
        pytest.skip(f"system calls cannot be watched here: {done.stderr.strip().splitlines()[0]}")
    assert done.returncode == 0, done.stderr
    return [line for line in calls.read_text(encoding="utf-8").splitlines() if "AF_INET" in line]


needs_strace = pytest.mark.skipif(_STRACE is None, reason="needs strace, which watches system calls")


@needs_strace
def test_a_socket_would_be_seen(tmp_path: Path) -> None:
    assert calls_of("import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM)", tmp_path, "socket")


@needs_strace
@pytest.mark.slow
def test_counting_opens_no_socket(tmp_path: Path) -> None:
    assert calls_of(COUNT_FOR_12_S, tmp_path, "socket") == []


@needs_strace
@pytest.mark.slow
def test_training_reaches_nobody(tmp_path: Path) -> None:
    if find_spec("ultralytics") is None:
        pytest.skip("needs the train extra: pip install -e '.[train]'")
    # A socket is opened, by libuuid, to ask this computer for the names of its network cards.
    assert calls_of(TRAINING, tmp_path, "connect", "sendto", "sendmsg", "sendmmsg") == []


@needs_strace
@pytest.mark.slow
def test_no_command_opens_a_socket(tmp_path: Path) -> None:
    assert calls_of(EVERY_COMMAND, tmp_path, "socket") == []
