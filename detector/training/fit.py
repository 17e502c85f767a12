"""Fine-tuning an Ultralytics YOLO detector."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from detector import configuration, texts
from detector.errors import ConfigError, DownloadError, ModelError, NothingToDoError, OutputError, UsageError
from detector.output import files
from detector.training import augment, corpus, cpu, framework
from detector.training.settings import TrainSettings
from detector.vision import card, catalogue

_UNSAFE = "is not a YOLO model that can be loaded safely"
_WORKS = "give weights that a training wrote, such as runs/train/NAME/weights/best.pt"
_TRIED_PX = 64
"""Side of the picture on which weights are tried."""

_SETTINGS = "settings.json"

MAX_CELLS = 1000
"""Most cells found in a crop, in training and afterwards: Ultralytics would stop at 300 and say nothing."""


def fit(settings: TrainSettings, data_files: Sequence[Path], run_folder: Path) -> Path:
    """Train, and give the best checkpoint.

    `run_folder` receives `settings.json`, `data.yaml`, `train.log`, `results.csv`, curves, and `weights/{last,best}.pt`.

    Raises:
        UsageError: a device that is not there.
        OutputError: the run folder exists already or cannot be made.
        AnnotationError: a dataset that cannot be trained on.
        ModelError, DownloadError: weights that cannot be loaded or fetched.
    """
    if run_folder.exists():
        raise OutputError(f"{run_folder}: exists already; choose another --name, or continue it with --resume")
    joined = corpus.join(data_files, settings.platelets_times)
    try:
        framework.prepare(run_folder.parent / ".ultralytics")
        require_device(settings.device, settings.batch)
        model = start(settings.model)
        framework.graph().check(model.model, settings.model)
        run_folder.mkdir(parents=True)
    except OSError as error:
        raise OutputError(f"{run_folder}: cannot be made ({error.strerror})") from None
    data = joined.write(run_folder / "data.yaml")
    record = {"settings": settings.model_dump(), "data": [str(f.resolve()) for f in data_files]}
    files.write_text(run_folder / _SETTINGS, json.dumps(record, indent=2) + "\n")
    return _train(model, run_folder, settings, arguments(settings, data, run_folder))


def resume(run_folder: Path, tell: Callable[[str], None] = lambda _words: None) -> Path:
    """Continue a training that was interrupted or killed, and give its best checkpoint.

    All is written into `run_folder`, wherever it was moved or copied to. Where `last.pt` is damaged, the training goes on from `best.pt`.

    Args:
        tell: called with what a user must know.

    Raises:
        NothingToDoError: the folder holds no checkpoint that a training can go on from.
        AnnotationError: a dataset of the training is not there any more.
    """
    last = run_folder / "weights" / "last.pt"
    if not last.is_file() or not (run_folder / _SETTINGS).is_file():
        raise NothingToDoError(f"{run_folder}: holds no weights/last.pt and settings.json of a training to resume")
    settings, data_files = recorded_settings(run_folder), recorded_data(run_folder)
    framework.prepare(run_folder.parent / ".ultralytics")
    epoch = _epoch_of(last)
    if epoch is None:
        last = last.with_name("best.pt")
        epoch = _epoch_of(last)
        if epoch is None or epoch < 0:
            raise NothingToDoError(f"{run_folder}: weights/last.pt and best.pt are damaged; train again with another --name")
        tell(f"{run_folder}/weights/last.pt is damaged; the training goes on from best.pt, after epoch {epoch + 1}")
    if epoch < 0:
        return run_folder / "weights" / "best.pt"
    require_device(settings.device, settings.batch)
    # Both named absolute paths when the training began.
    data = corpus.join(data_files, settings.platelets_times).write(run_folder / "data.yaml")
    _forget_after(run_folder / "results.csv", epoch)
    given = {"resume": True, "save_dir": str(run_folder.resolve()), "data": str(data.resolve())}
    return _train(start(str(last)), run_folder, settings, given)


def recorded_settings(run_folder: Path) -> TrainSettings:
    """The settings that a run was started with.

    Raises:
        ConfigError: they cannot be read.
    """
    return configuration.validate(TrainSettings, _record(run_folder)["settings"], str(run_folder / _SETTINGS))


def recorded_data(run_folder: Path) -> list[Path]:
    """The datasets that a run was started with.

    Raises:
        ConfigError: they cannot be read.
    """
    return [Path(path) for path in _record(run_folder)["data"]]


def _record(run_folder: Path) -> dict[str, Any]:
    path = run_folder / _SETTINGS
    try:
        record = json.loads(texts.content(path, texts.MEBIBYTE))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: cannot be read ({texts.one_line(error)})") from None
    sound = isinstance(record, dict) and isinstance(record.get("settings"), dict) and isinstance(record.get("data"), list)
    if not sound or not all(isinstance(name, str) for name in record["data"]):
        raise ConfigError(f"{path}: does not hold the settings and datasets of a training; it was changed")
    return dict(record)


def start(model: str) -> Any:
    """An Ultralytics model from the shipped weights, from a local or public `.pt`, or from nothing by an architecture `.yaml`.

    Raises:
        UsageError: neither kind of name. ModelError: not loadable. DownloadError: not here and not to be had.
    """
    from ultralytics import YOLO

    model = resolved(model)
    suffix = Path(model).suffix
    if suffix not in (".pt", ".yaml"):
        raise UsageError(
            f"--model {model}: must be {catalogue.NAME}, weights (.pt) or an architecture (.yaml, for example yolo11n.yaml)"
        )
    here = Path(model).is_file()
    if here and suffix == ".pt":
        card.check_weights(Path(model))
    elif Path(model).exists() and not here:
        raise ModelError(f"{model}: is no file; {_WORKS}")
    try:
        opened = YOLO(model, task="detect")
    except Exception as error:
        reason = _reason(error)
        if here:
            raise ModelError(f"{model}: {_UNSAFE} ({reason}); {_WORKS}") from None
        if suffix == ".yaml":
            raise ModelError(f"{model}: is not an architecture that Ultralytics knows; try yolo11n.yaml") from None
        raise DownloadError(
            f"{model}: is not on this computer and could not be downloaded ({reason}); "
            "without network give --model smearcount, a local .pt file, or yolo11n.yaml to start from nothing"
        ) from None
    if suffix == ".pt":
        _require_detector(opened, model)
    return opened


def _require_detector(opened: Any, name: str) -> None:
    """Refuse weights that load, but are no detector: what they say of themselves is used later, without a look.

    Raises:
        ModelError: they are none.
    """
    import torch

    network = opened.model
    names = getattr(network, "names", None)
    stride = getattr(network, "stride", None)
    sound = {
        "its task is not detection": opened.task == "detect",
        "its architecture is none": isinstance(getattr(network, "yaml", None), dict),
        "its classes have no names": isinstance(names, dict) and all(isinstance(key, int) for key in names),
        "its strides are none": isinstance(stride, torch.Tensor) and stride.ndim == 1 and bool((stride >= 1).all()),
        "its weights hold no numbers (NaN)": all(bool(torch.isfinite(weight).all()) for weight in network.parameters()),
    }
    wrong = [what for what, is_so in sound.items() if not is_so]
    try:
        with torch.no_grad():
            network(torch.zeros(1, 3, _TRIED_PX, _TRIED_PX))
    # What a stranger's layers raise may be anything.
    except Exception as error:
        wrong.append(f"it cannot be run: {_reason(error)}")
    if wrong:
        raise ModelError(f"{name}: is no detector that can be trained or exported ({wrong[0]}); {_WORKS}")


def trained_px(weights: Path) -> int | None:
    """Side of the pictures that weights were trained with, in pixels; None where they do not say.

    Raises:
        ModelError: they cannot be loaded, or say what no side is.
    """
    stated = (getattr(start(str(weights)), "ckpt", None) or {}).get("train_args", {}).get("imgsz")
    if not isinstance(stated, int):
        return None
    if not _TRIED_PX <= stated <= card.MOST_PX:
        raise ModelError(f"{weights}: says that it was trained at {stated} px, which is no size of a picture; {_WORKS}")
    return stated


def resolved(model: str) -> str:
    """What Ultralytics knows a model by: the path of its weights for a name of the catalogue, and any other name as it is."""
    try:
        return model if Path(model).suffix else str(catalogue.find(Path(model)).with_suffix(".pt"))
    except ModelError:
        return model


def require_device(device: str, batch: int) -> None:
    """Refuse a device that torch does not have on this computer, and a batch that several GPUs cannot share.

    Args:
        device: auto, cpu, mps, or numbers of GPUs such as 0 or 0,1.
        batch: fields a step, on all GPUs together.

    Raises:
        UsageError: says what would work here.
    """
    import torch

    gpus = torch.cuda.device_count()
    here = ["auto", "cpu", *(["mps"] if torch.backends.mps.is_available() else []), *map(str, range(gpus))]
    if device in here:
        return
    numbers = [int(number) for number in device.split(",")] if re.fullmatch(r"\d+(,\d+)+", device) else []
    if not numbers or max(numbers) >= gpus or len(set(numbers)) < len(numbers):
        several = f", or several GPUs such as {','.join(map(str, range(gpus)))}" if gpus > 1 else ""
        raise UsageError(f"--device {device}: is not available; available: {', '.join(here)}{several}")
    if batch % len(numbers):
        raise UsageError(f"--batch {batch}: must be a multiple of {len(numbers)}, the number of GPUs in --device {device}")


def _train(model: Any, run_folder: Path, settings: TrainSettings, chosen: dict[str, Any]) -> Path:
    from detector.training.trainer import Trainer

    cpu.speed_up(model, cpu.ask(settings.threads))
    try:
        with framework.log_to(run_folder / "train.log"):
            model.train(trainer=Trainer, **chosen)
    except subprocess.CalledProcessError as error:
        raise ModelError(
            f"{run_folder}: training on GPUs {settings.device} ended with exit code {error.returncode}; the reason is printed above"
        ) from None
    best = run_folder / "weights" / "best.pt"
    if not best.is_file():
        raise ModelError(f"{run_folder}: the training left no weights/best.pt; see train.log")
    return best


def _epoch_of(weights: Path) -> int | None:
    """The last epoch of a checkpoint, from 0; -1 of a training that is finished, None where it cannot be read."""
    from ultralytics.nn.tasks import torch_safe_load

    try:
        checkpoint, _ = torch_safe_load(str(weights), safe_only=True)
        # A finished training strips the optimizer from its checkpoints and sets the epoch to -1.
        return int(checkpoint.get("epoch", -1))
    # A torn archive raises almost anything.
    except Exception:
        return None


def _forget_after(table: Path, epoch: int) -> None:
    """Leave out rows of epochs that are trained again: their row is written before their checkpoint, and may be torn."""
    if not table.is_file():
        return
    head, *rows = table.read_text(encoding="utf-8").splitlines(keepends=True) or [""]
    numbers = [row.partition(",")[0].strip() for row in rows]
    kept = [row for row, number in zip(rows, numbers, strict=True) if number.isdigit() and int(number) <= epoch + 1]
    files.write_text(table, "".join([head, *kept]))


def _reason(error: Exception) -> str:
    """The first sentence: what Ultralytics advises after it is not of this program."""
    return texts.one_line(error).removeprefix("ERROR ❌️ ").partition(". ")[0]


def arguments(settings: TrainSettings, data: Path, run_folder: Path) -> dict[str, Any]:
    """The arguments that Ultralytics gets for a training; all that our settings do not name is left as it is in Ultralytics."""
    return {
        "data": str(data.resolve()),
        "project": str(run_folder.parent.resolve()),
        "name": run_folder.name,
        "exist_ok": True,
        "epochs": settings.epochs,
        "imgsz": settings.image_px,
        "batch": settings.batch,
        # Every batch is a step: with 64, the default, small datasets would see a quarter of the steps.
        "nbs": settings.batch,
        "device": None if settings.device == "auto" else settings.device,
        "seed": settings.seed,
        "optimizer": settings.optimizer,
        "lr0": settings.learning_rate,
        "lrf": settings.final_learning_rate_share,
        "cos_lr": settings.cosine,
        "weight_decay": settings.weight_decay,
        "warmup_epochs": settings.warmup_epochs,
        "patience": settings.patience,
        "mosaic": settings.mosaic,
        "close_mosaic": settings.close_mosaic_epochs,
        # Taken by `pictures.Crop` as widths of red cells in pixels.
        "scale": (settings.smallest_rbc_px, settings.largest_rbc_px),
        "translate": settings.translate,
        "hsv_h": settings.hue,
        "hsv_s": settings.saturation,
        "hsv_v": settings.brightness,
        "degrees": 0.0,
        "fliplr": 0.5,
        "flipud": 0.5,
        "augmentations": augment.transforms(settings),
        "max_det": MAX_CELLS,
        "cache": "ram",
        "plots": True,
    }
