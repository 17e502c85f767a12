"""What was evaluated, as plain values that do not depend on the machine."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Any

from detector.output import results
from detector.vision.model import Model


def of_model(
    data: Path, split: str, left_out: int, smears: Path | None, model: Model, against: Model | None, also: Path | None = None
) -> dict[str, Any]:
    """A model, or two, against the labels of a dataset; `left_out` fields of the split were not asked for."""
    return {
        "data": portable(data),
        "split": split,
        "left_out": left_out,
        "smears": smears and portable(smears),
        "also": also and portable(also),
        "model": results.describe_model(model),
        "other": against and results.describe_model(against),
        "versions": versions(),
    }


def of_tables(counts: Path, truth: Path, against: Path | None) -> dict[str, Any]:
    """A table of counts, or two, against true counts."""
    return {
        "counts": portable(counts),
        "truth": portable(truth),
        "other": against and portable(against),
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Versions of what the figures come from."""
    try:
        reference = {"pycocotools": metadata.version("pycocotools")}
    except metadata.PackageNotFoundError:
        reference = {}
    return results.versions() | reference


def portable(path: Path) -> str:
    """A path as it stands below the folder of the call, or else its last two parts, which say enough elsewhere."""
    if not path.is_absolute() and ".." not in path.parts:
        return path.as_posix()
    try:
        return path.resolve().relative_to(Path.cwd()).as_posix()
    except ValueError:
        return Path(*path.resolve().parts[-2:]).as_posix()
