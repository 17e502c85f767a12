"""Fine-tune a YOLO detector on converted datasets, and make of it a model that counts."""

from __future__ import annotations

import re
import time
from argparse import BooleanOptionalAction
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from detector.arguments import Number, Parser, called
from detector.commandline import console, errors, run
from detector.errors import EXIT_DONE, EXIT_INTERRUPTED, UsageError
from detector.export import make_model
from detector.texts import harmless
from detector.training import fit, settings
from detector.training.export import ModelSizes

RUNS = Path("runs") / "train"
_NUMBERS: dict[Any, Number] = {int: Number(int), float: Number(float)}


def train(
    *, data: Sequence[Path], name: str | None, config: Path | None, resume: Path | None, **overrides: Any,
) -> int:  # fmt: skip
    """Fine-tune a YOLO detector on datasets made by detector.convert.

    Writes runs/train/NAME: settings.json, train.log, results.csv, plots, weights/best.pt and last.pt, model.onnx for
    detector.count --model, and its card (model.json and model.md).
    """
    if resume is not None:
        given = [
            key for key, value in {"data": data, "name": name, "config": config, **overrides}.items() if value not in (None, [])
        ]
        if given:
            raise UsageError(f"--resume continues a training as it was begun; leave out --{', --'.join(given)}".replace("_", "-"))
        folder = resume
    else:
        if not data:
            raise UsageError(f"--data is missing: give the data.yaml of a dataset made by {called('convert')}")
        chosen = settings.load(config, overrides)
        folder = RUNS / _checked(time.strftime("%Y%m%d-%H%M%S") if name is None else name)
    try:
        weights = fit.resume(folder, _warn) if resume else fit.fit(chosen, data, folder)
    except KeyboardInterrupt:
        if (folder / "weights" / "last.pt").is_file():
            errors.print(f"interrupted; continue with: {called('train')} --resume {folder}", markup=False, soft_wrap=True)
            return EXIT_INTERRUPTED
        raise
    used = fit.recorded_settings(folder)
    sizes = ModelSizes(used.image_px, used.shown_rbc_px)
    finished = make_model(weights, fit.recorded_data(folder), folder / "model.onnx", sizes, used.model_dump())
    console.print(f"count with it: {called('count')} --model {finished.model} INPUT", markup=False, soft_wrap=True)
    return EXIT_DONE


def _warn(words: str) -> None:
    errors.print(f"warning: {words}", style="yellow", markup=False, soft_wrap=True)


def _checked(name: str) -> str:
    # What one system takes for a folder's name, another may not.
    if not name.strip(". ") or harmless(name) != name or re.search(r'[<>:"/\\|?*\n\t]', name):
        raise UsageError(f"--name {name}: must be the name of one folder, which is made in {RUNS}, such as mine")
    return name


def parser() -> Parser:
    """What the command takes."""
    made = Parser("train", "[OPTION]...", train.__doc__)
    again = "data.yaml of a converted dataset; can be given several times, and a dataset given twice is sampled twice"
    made.add_argument("--data", type=Path, action="append", default=[], help=again)
    made.add_argument("--name", help="name of the run folder in runs/train; default: the time")
    made.add_argument("--config", type=Path, help="YAML file with settings that replace the defaults")
    made.add_argument("--resume", type=Path, help="run folder of an interrupted training to continue")
    # One for each setting, so that their names, help and defaults stand in one place.
    group = made.add_argument_group("settings (defaults: the train.yaml that comes with the program)")
    for key, field in settings.TrainSettings.model_fields.items():
        option = f"--{key.replace('_', '-')}"
        if field.annotation is bool:
            group.add_argument(option, action=BooleanOptionalAction, help=field.description)
        else:
            group.add_argument(option, type=_NUMBERS.get(field.annotation, str), help=field.description)
    return made


def main() -> None:
    """Entry point."""
    run(train, parser())


if __name__ == "__main__":
    main()
