"""Fine-tune a YOLO detector on converted datasets, and make of it a model that counts."""

from __future__ import annotations

import inspect
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from detector.commandline import EXIT_DONE, EXIT_INTERRUPTED, console, errors, run
from detector.errors import UsageError
from detector.export import make_model
from detector.training import fit, settings

RUNS = Path("runs") / "train"


def train(
    data: Annotated[
        list[Path] | None, typer.Option(help="data.yaml of a converted dataset; named twice, it is sampled twice")
    ] = None,
    name: Annotated[str | None, typer.Option(help="folder under runs/train; default: the time")] = None,
    config: Annotated[Path | None, typer.Option(help="YAML file over configs/train.yaml")] = None,
    resume: Annotated[Path | None, typer.Option(help="run folder of a training to continue")] = None,
    **overrides: Any,
) -> int:
    """Fine-tune a YOLO detector on datasets made by detector.convert.

    Writes runs/train/NAME: settings.json, train.log, results.csv, curves, weights/best.pt and last.pt, and model.onnx with
    its card model.json, which python -m detector.count --model takes.
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
            raise UsageError("--data is missing: give the data.yaml of a dataset made by python -m detector.convert")
        chosen = settings.load(config, overrides)
        folder = RUNS / (name or time.strftime("%Y%m%d-%H%M%S"))
    try:
        weights = fit.resume(folder) if resume else fit.fit(chosen, data or [], folder)
    except KeyboardInterrupt:
        if (folder / "weights" / "last.pt").is_file():
            errors.print(f"interrupted; continue with: python -m detector.train --resume {folder}", markup=False, soft_wrap=True)
            return EXIT_INTERRUPTED
        raise
    used = fit.recorded_settings(folder)
    finished = make_model(weights, fit.recorded_data(folder), folder / "model.onnx", used.image_px, used.model_dump())
    console.print(f"count with it: python -m detector.count --model {finished.model} INPUT", markup=False, soft_wrap=True)
    return EXIT_DONE


def _with_settings_as_options() -> None:
    """Give `train` one option for each setting, so that their names, help and defaults stand in one place."""
    signature = inspect.signature(train, eval_str=True)
    fixed = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    options = []
    for key, field in settings.TrainSettings.model_fields.items():
        kind = field.annotation if field.annotation in (int, float, bool) else str
        option = typer.Option(help=field.description, rich_help_panel="Settings (default: configs/train.yaml)")
        annotation = Annotated[kind | None, option]  # type: ignore[valid-type]
        options.append(inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation))
    train.__signature__ = signature.replace(parameters=[*fixed, *options])  # type: ignore[attr-defined]
    train.__annotations__ = {
        **inspect.get_annotations(train, eval_str=True),
        **{option.name: option.annotation for option in options},
    }


def main() -> None:
    """Entry point."""
    _with_settings_as_options()
    run(train, "python -m detector.train")


if __name__ == "__main__":
    main()
