"""Models by name: the one that comes with the program, and those that were adapted on this computer.

Adapted models lie in one folder of the user's, each an `.onnx` file with its card (`.json`) and its weights (`.pt`) beside it.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detector.arguments import called
from detector.errors import ModelError, UsageError
from detector.vision import card as cards

NAME = "smearcount"
"""The model that comes with the program."""
SHIPPED = Path(__file__).parents[1] / "models" / f"{NAME}.onnx"
"""Its file."""
FOLDER_VARIABLE = "SMEARCOUNT_MODELS"
"""Environment variable that names another folder for adapted models."""

_NAMES = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,59}")
_MOST_CARD = 64 * 2**20


@dataclass(frozen=True)
class ModelEntry:
    """A model that is here."""

    name: str
    path: Path
    card: Mapping[str, Any] | None
    """What its card says; None where it has none that can be read, or belongs to another file."""
    problem: str
    """Why it cannot be used; empty where it can."""


def folder() -> Path:
    """Where adapted models lie; it need not exist."""
    import platformdirs  # most counts use the shipped model, and should start without it

    named = os.environ.get(FOLDER_VARIABLE)
    return Path(named) if named else platformdirs.user_data_path("smearcount", appauthor=False) / "models"


def new(name: str) -> Path:
    """The file of a model that is to be made.

    Raises:
        UsageError: the name cannot be one, or is taken.
    """
    if not _NAMES.fullmatch(name) or Path(name).suffix in (".onnx", ".pt", ".json", ".md"):
        raise UsageError(
            f"--name {name}: use 1 to 60 letters, digits, '-', '_' or '.', beginning with a letter or digit, such as mylab"
        )
    target = folder() / f"{name}.onnx"
    if name == NAME or target.exists():
        raise UsageError(f"--name {name}: there is a model of this name ({called('models')} lists them); choose another")
    return target


def find(model: Path | None) -> Path:
    """The file that a user means: a path, the name of a model of the catalogue, or None for the shipped model.

    Raises:
        ModelError: there is none; says which names are known.
    """
    if model is None or str(model) == NAME:
        return SHIPPED
    named = folder() / f"{model}.onnx"
    if not model.exists() and _NAMES.fullmatch(str(model)) and named.is_file():
        return named
    if not model.is_file():
        known = ", ".join([NAME, *(path.stem for path in _files())])
        raise ModelError(
            f"{model}: no such model file; give the path of an .onnx file made by detector.train or detector.export, or one of: {known}"
        )
    return model


def entries() -> list[ModelEntry]:
    """The shipped model, then the adapted ones by name."""
    return [_entry(path) for path in (SHIPPED, *_files())]


def _files() -> list[Path]:
    return sorted(path for path in folder().glob("*.onnx") if path.is_file())


def _entry(path: Path) -> ModelEntry:
    beside = path.with_suffix(".json")
    try:
        if beside.stat().st_size > _MOST_CARD:
            raise ValueError("its card is too large")
        card = json.loads(beside.read_text(encoding="utf-8"))
        cards.Card.of(card)
    except FileNotFoundError:
        return ModelEntry(path.stem, path, None, "has no card beside it")
    except (OSError, ValueError, RecursionError):
        return ModelEntry(path.stem, path, None, "its card cannot be read")
    try:
        cards.check_hash(path)
    except ModelError as error:
        return ModelEntry(path.stem, path, None, str(error))
    return ModelEntry(path.stem, path, card, "")
