"""Whole processes, as a user starts them: how long they take and how much memory they need."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from detector.errors import NothingToDoError, UsageError

WEIGHTS = Path(__file__).parents[1] / "detector" / "models" / "smearcount.pt"
IMAGE_PX = 416
"""Of the shipped model, so stock is asked for the same."""


@dataclass(frozen=True)
class Measured:
    """What one process took."""

    wall_s: float
    cpu_s: float
    """Of all its threads, in user and system mode."""
    peak_mb: float
    """Most memory that it held at a time."""


def measure(command: Sequence[str], folder: Path, environment: Mapping[str, str] | None = None) -> Measured:
    """Run a command to its end.

    Args:
        folder: where it runs.
        environment: variables beside those of this process.

    Raises:
        NothingToDoError: it fails; the message holds the end of what it said.
    """
    log = folder / "said.txt"
    with log.open("wb") as said:
        began = time.perf_counter()
        # What this process has set for its own libraries is not handed on.
        own = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
        process = subprocess.Popen(command, cwd=folder, env={**own, **(environment or {})}, stdout=said, stderr=said)  # noqa: S603
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        end = log.read_text(encoding="utf-8", errors="replace")[-1500:]
        raise NothingToDoError(f"{' '.join(command)}: ended with {process.returncode}: {end}")
    return Measured(wall, usage.ru_utime + usage.ru_stime, _mb(usage.ru_maxrss))


def own_peak_mb() -> float:
    """Most memory that this process held: Linux lets a child begin with it, so no measured peak can be told below it."""
    return _mb(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def _mb(maxrss: int) -> float:
    return maxrss / 2**20 if sys.platform == "darwin" else maxrss / 2**10


def counting(fields: Path, out: Path, *options: str) -> list[str]:
    """The command that counts fields, with all outputs but overlays."""
    shutil.rmtree(out, ignore_errors=True)
    return [sys.executable, "-m", "detector.count", str(fields), "--out", str(out), *options]


class Stock:
    """`yolo predict` with the shipped weights, as Ultralytics comes, but offline and with none of its reports sent."""

    def __init__(self, folder: Path) -> None:
        """Set up in a folder of its own.

        Raises:
            UsageError: Ultralytics is not installed.
        """
        self._folder = folder
        self._yolo = shutil.which("yolo", path=str(Path(sys.executable).parent))
        if self._yolo is None:
            raise UsageError("comparing with stock needs ultralytics: pip install -e '.[train]', or choose others with --only")
        state = folder / ".ultralytics"
        state.mkdir(parents=True, exist_ok=True)
        self._environment = {
            "YOLO_CONFIG_DIR": str(state), "YOLO_AUTOINSTALL": "0", "YOLO_OFFLINE": "true", "ULTRALYTICS_SAFE_LOAD": "1",
        }  # fmt: skip
        settings = f"from pathlib import Path; from detector.training import framework; framework.prepare(Path({str(state)!r}))"
        measure([sys.executable, "-c", settings], folder, self._environment)
        self.weights = Path(shutil.copy(WEIGHTS, folder / "stock.pt"))

    def predict(self, fields: Path, model: Path) -> Measured:
        """Run it over a folder of fields; it draws and saves each of them, as it does unless told otherwise."""
        out = self._folder / "predicted"
        shutil.rmtree(out, ignore_errors=True)
        options = {"model": model, "source": fields, "imgsz": IMAGE_PX, "device": "cpu", "project": out}
        return measure(self._command("predict", options), self._folder, self._environment)

    def exported(self) -> Path:
        """Its own ONNX export of the same weights."""
        made = self.weights.with_suffix(".onnx")
        if not made.exists():
            options = {"model": self.weights, "format": "onnx", "imgsz": IMAGE_PX, "device": "cpu"}
            measure(self._command("export", options), self._folder, self._environment)
        return made

    def _command(self, mode: str, options: Mapping[str, object]) -> list[str]:
        return [
            str(self._yolo),
            *(["detect"] if mode == "predict" else []),
            mode,
            *(f"{key}={value}" for key, value in options.items()),
        ]
