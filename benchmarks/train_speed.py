"""How much faster `detector.train` is on a CPU than `yolo train` as it comes, at what accuracy after the same epochs."""

from __future__ import annotations

import csv
import json
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any

import yaml
from rich import box
from rich.table import Table

from detector.arguments import Number, Parser
from detector.commandline import console, run
from detector.errors import EXIT_DONE, NothingToDoError
from detector.training import cpu, fit, framework, settings
from detector.vision import catalogue

TARGET_RATIO, TARGET_DIFFERENCE = 2.0, 0.01
"""What is aimed at: seconds of an epoch against ours, and the most that mAP50 may differ."""
STOCK, OURS = "yolo train", "detector.train"

SAME = {
    # What `yolo train` has no words for, or would not do to the same fields.
    "platelets_times": 1,
    **dict.fromkeys(("rotate_90", "defocus", "noise", "jpeg", "contrast"), 0.0),
    "device": "cpu",
}
NOT_LEARNT = ("augmentations", "cache", "exist_ok", "plots")
"""Arguments of ours that `yolo train` is left to choose for itself: they change no step that is learnt."""


@dataclass(frozen=True)
class Run:
    """One training."""

    kind: str
    seconds: tuple[float, ...]
    """Of each epoch, its validation included."""
    map50: float
    """On the validation fields after the last epoch."""
    load: float
    """Processes that wanted to compute when it began."""

    @property
    def epoch_seconds(self) -> float:
        """Mean over the epochs."""
        return sum(self.seconds) / len(self.seconds)


@dataclass(frozen=True)
class Comparison:
    """Trainings of both kinds, in pairs that followed one another."""

    ratios: tuple[float, ...]
    """Seconds of an epoch of `yolo train` over those of ours, for each pair."""
    ratio: float
    """The same over all trainings."""
    map50_difference: float
    """Largest difference between two trainings of a pair."""


def compare(runs: list[Run]) -> Comparison:
    """The comparison of runs that hold one of each kind in each pair that follows on another."""
    pairs = [{run.kind: run for run in runs[at : at + 2]} for at in range(0, len(runs), 2)]
    ratios = tuple(pair[STOCK].epoch_seconds / pair[OURS].epoch_seconds for pair in pairs)
    total = {kind: sum(pair[kind].epoch_seconds for pair in pairs) for kind in (STOCK, OURS)}
    return Comparison(ratios, total[STOCK] / total[OURS], max(abs(pair[STOCK].map50 - pair[OURS].map50) for pair in pairs))


@dataclass(frozen=True)
class Options:
    """The options by their names; `parser` says what they are."""

    data: Path | None
    fields: int
    model: str
    epochs: int
    image_px: int
    batch: int
    repeats: int
    out: Path


def command(options: Options) -> int:
    """Train with both, one after the other, and print seconds an epoch, their ratio and both accuracies."""
    model, data, out = options.model, options.data, options.out
    chosen = settings.load(
        None,
        {
            **SAME,
            "model": str(Path(fit.resolved(model)).resolve()) if model.endswith(".pt") or model == catalogue.NAME else model,
            "epochs": options.epochs,
            "close_mosaic_epochs": options.epochs // 4,
            "image_px": options.image_px,
            "batch": options.batch,
        },
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    runs: list[Run] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        framework.prepare(folder / ".ultralytics")
        used = data.resolve() if data else _synthetic(folder, options.fields)
        for repeat in range(options.repeats):
            for kind in (STOCK, OURS) if repeat % 2 == 0 else (OURS, STOCK):
                runs.append(_train(kind, folder, f"{repeat}-{kind[:4]}", chosen, used))
                last = runs[-1]
                console.print(f"{kind}: {last.epoch_seconds:.1f} s an epoch, mAP50 {last.map50:.3f}, load before {last.load:.1f}")
    compared = compare(runs)
    content = {
        "machine": _machine(),
        "fields": str(data) if data else f"{options.fields} synthetic",
        "settings": chosen.model_dump(),
        "runs": [asdict(run) for run in runs],
        **asdict(compared),
        "targets": {"ratio": TARGET_RATIO, "map50_difference": TARGET_DIFFERENCE},
    }
    out.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    _show(compared, runs, content["machine"])
    console.print(f"written to {out}", markup=False)
    return EXIT_DONE


def _synthetic(folder: Path, fields: int) -> Path:
    _call(folder, [sys.executable, "-m", "detector.synth", "--out", "smears", "--fields", str(fields), "--stain", "mixed"])
    convert = [sys.executable, "-m", "detector.convert", "smears/truth.json", "--out", "data", "--splits", "0.8/0.2/0"]
    _call(folder, convert)
    return folder / "data" / "data.yaml"


def _train(kind: str, folder: Path, name: str, chosen: settings.TrainSettings, data: Path) -> Run:
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    runs = folder / "runs" / "train"
    if kind == OURS:
        config = folder / f"{name}.yaml"
        config.write_text(yaml.safe_dump(chosen.model_dump()), encoding="utf-8")
        command = [sys.executable, "-m", "detector.train", "--data", str(data), "--config", str(config), "--name", name]
    else:
        options = {key: value for key, value in fit.arguments(chosen, data, runs / name).items() if key not in NOT_LEARNT}
        yolo = shutil.which("yolo", path=str(Path(sys.executable).parent)) or "yolo"
        command = [yolo, "detect", "train", *(f"{key}={value}" for key, value in {**options, "model": chosen.model}.items())]
    _call(folder, command)
    rows = list(csv.DictReader((runs / name / "results.csv").read_text(encoding="utf-8").splitlines()))
    ends = [0.0, *(float(row["time"]) for row in rows)]
    seconds = tuple(end - start for start, end in pairwise(ends))
    return Run(kind, seconds, float(rows[-1]["metrics/mAP50(B)"]), load)


def _call(folder: Path, command: list[str]) -> None:
    # As a user would call it: what this process has set for its own libraries is not handed on.
    environment = {key: value for key, value in os.environ.items() if key != "OMP_NUM_THREADS"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)  # noqa: S603
    if done.returncode:
        raise NothingToDoError(f"{' '.join(command)}: ended with {done.returncode}: {done.stderr[-2000:]}")


def _machine() -> dict[str, Any]:
    from ultralytics.utils.cpu import CPUInfo

    packages = ("smearcount", "ultralytics", "torch", "numpy", "opencv-python")
    return {
        "processor": CPUInfo.name(),
        "processors": os.cpu_count(),
        "system": platform.platform(),
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
        "steps": str(cpu.ask()),
    }


def _show(compared: Comparison, runs: list[Run], machine: Mapping[str, Any]) -> None:
    table = Table(
        "training", "s an epoch", "mAP50", title=f"{machine['processors']} x {machine['processor']}", box=box.SIMPLE_HEAD
    )
    for training in runs:
        table.add_row(training.kind, f"{training.epoch_seconds:.1f}", f"{training.map50:.3f}")
    console.print(table)
    spread = f"{min(compared.ratios):.2f} to {max(compared.ratios):.2f}"
    console.print(f"ratio {compared.ratio:.2f} ({spread} over pairs): {_met(compared.ratio >= TARGET_RATIO)} {TARGET_RATIO:g}")
    met = _met(compared.map50_difference <= TARGET_DIFFERENCE)
    console.print(f"mAP50 differs by at most {compared.map50_difference:.3f}: {met} {TARGET_DIFFERENCE:g}")
    console.print(f"ours: {machine['steps']}; ultralytics {machine['ultralytics']}, torch {machine['torch']}")


def _met(met: bool) -> str:
    return "within the target of" if met else "misses the target of"


def parser() -> Parser:
    """What the command takes."""
    made = Parser("benchmarks.train_speed", "[OPTION]...", command.__doc__)
    made.add_argument("--data", type=Path, help="data.yaml made by detector.convert; default: synthetic fields")
    made.add_argument("--fields", type=Number(int, 10), default=120, help="synthetic fields, a fifth of them for validation")
    made.add_argument("--model", default=catalogue.NAME, help="weights or architecture that both start from")
    made.add_argument("--epochs", type=Number(int, 1), default=8, help="of each training")
    made.add_argument("--image-px", type=Number(int, 64), default=320, help="long side that fields are scaled to")
    made.add_argument("--batch", type=Number(int, 1), default=16, help="fields a step")
    made.add_argument("--repeats", type=Number(int, 1), default=2, help="pairs of trainings, in alternating order")
    made.add_argument("--out", type=Path, default=Path("runs/benchmarks/train_speed.json"), help="JSON file for the figures")
    return made


def main() -> None:
    """Entry point."""
    run(command, parser(), Options)


if __name__ == "__main__":
    main()
