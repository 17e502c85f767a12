"""The one door to ultralytics and torch: both are imported here, quietly, offline and with safe loading."""

from __future__ import annotations

import io
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from types import ModuleType

from PIL import Image

from detector.errors import MissingExtraError
from detector.vision import images
from detector.vision.model import processors


def prepare(state_folder: Path, says: bool = True) -> None:
    """Import ultralytics with its automatic installs, telemetry and unsafe loading off; call it before anything imports it.

    Args:
        state_folder: where it may keep its own settings file.
        says: whether it reports more than errors.

    Raises:
        MissingExtraError: the `train` extra is not installed.
    """
    state_folder.mkdir(parents=True, exist_ok=True)
    os.environ["YOLO_CONFIG_DIR"] = str(state_folder.resolve())
    os.environ["YOLO_AUTOINSTALL"] = "0"
    # Without it, its import asks public name servers whether there is a network.
    os.environ["YOLO_OFFLINE"] = "1"
    os.environ["ULTRALYTICS_SAFE_LOAD"] = "1"
    os.environ["YOLO_VERBOSE"] = str(says)
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
    # Others than `vision.backends` may import ONNX Runtime here first.
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    os.environ.setdefault("OMP_NUM_THREADS", str(processors()))
    try:
        from ultralytics.utils import SETTINGS
    except ImportError:
        raise MissingExtraError("ultralytics", "train", "training") from None
    Image.open = images.opener()
    _leave_out_triton()
    integrations = ("clearml", "comet", "dvc", "hub", "mlflow", "neptune", "raytune", "tensorboard", "wandb")
    SETTINGS.update({"sync": False, **{name: False for name in integrations if name in SETTINGS}})


def _leave_out_triton() -> None:
    """Triton compiles for GPUs only. Imported, as it is for any optimizer, it may end a program with pages of its own leaks."""
    import torch

    if not torch.cuda.is_available() and "triton" not in sys.modules:
        sys.modules["triton"] = None  # type: ignore[assignment]  # How Python is told that there is no such module.


def graph() -> ModuleType:
    """`detector.training.graph`, which imports ultralytics, so it may be imported only when that is prepared."""
    from detector.training import graph

    return graph


@contextmanager
def log_to(path: Path) -> Iterator[None]:
    """Copy what Ultralytics logs into a file for the length of a block."""
    from ultralytics.utils import LOGGER

    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s"))
    LOGGER.addHandler(handler)
    try:
        yield
    finally:
        LOGGER.removeHandler(handler)
        handler.close()


@contextmanager
def quiet() -> Iterator[None]:
    """Keep Ultralytics' own report to errors for the length of a block."""
    from ultralytics.utils import LOGGER

    level = LOGGER.level
    LOGGER.setLevel(logging.ERROR)
    try:
        # Some of its progress bars are shown at any level.
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        LOGGER.setLevel(level)
