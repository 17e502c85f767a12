"""What follows a training: a model file that counts, with thresholds tuned on the validation fields, and its card."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from detector.annotations import dataset
from detector.annotations.records import Record
from detector.errors import AnnotationError
from detector.training import export, page
from detector.vision import card as cards
from detector.vision import finder, images
from detector.vision.cells import CLASSES
from detector.vision.detections import Detections
from detector.vision.model import Model

Tuner = Callable[[Sequence[Record], Sequence[Detections], Sequence[str]], tuple[dict[str, float], dict[str, Any]]]
"""From fields, their detections and their groups to thresholds by class name, and the error that these leave."""


@dataclass(frozen=True)
class Finished:
    """A model file that is ready to count."""

    model: Path
    card: Path
    thresholds: dict[str, float]
    parity: export.Parity


def finish(
    weights: Path,
    data_files: Sequence[Path],
    target: Path,
    image_px: int,
    training: dict[str, Any],
    tune: Tuner,
    least_score: float,
) -> Finished:
    """Export weights, tune thresholds on the validation fields of the datasets, and compare counts with the weights' own.

    Args:
        target: the `.onnx` file to write; its card goes beside it as `.json`.
        tune: chooses the thresholds from detections down to `least_score`.

    Raises:
        AnnotationError: the datasets hold no validation fields. ModelError: the weights cannot be exported.
    """
    named = _named(data_files)
    train = {name: dataset.read(file, "train") for name, file in named.items()}
    val = [(record, name) for name, file in named.items() for record in dataset.read(file, "val")]
    if not val:
        raise AnnotationError(
            f"{', '.join(map(str, named.values()))}: no val fields to tune thresholds on; convert again with some"
        )
    records, groups = [record for record, _ in val], [name for _, name in val]
    times = {name: sum(path.resolve() == file for path in data_files) for name, file in named.items()}
    data = [_described(name, train[name], times[name]) for name in named]
    draft = export.first_card(target.stem, image_px, [r for fields in train.values() for r in fields], training, data)
    origin = f"least count error per field on {len(val)} val fields of {', '.join(named)}, each dataset weighing the same"
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".export-") as folder:
        made = Path(folder) / target.name
        export.to_onnx(weights, made, draft)
        model = Model.load(made)
        found = [finder.find(model, images.read(r.image), min_score=least_score)[0] for r in records if r.image]
        thresholds, error = tune(records, found, groups)
        card = draft.model_copy(update={"thresholds": thresholds, "thresholds_from": origin})
        export.put_card(made, card)
        parity = export.parity(weights, Model.load(made), records)
        content = {
            **card.model_dump(),
            "sha256": cards.sha256(made),
            "val_count_error_per_field": error,
            "parity_with_weights": asdict(parity),
        }
        made.with_suffix(".json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        made.with_suffix(".md").write_text(page.render(content), encoding="utf-8")
        for suffix in (".onnx", ".json", ".md"):
            made.with_suffix(suffix).replace(target.with_suffix(suffix))
    return Finished(target, target.with_suffix(".json"), thresholds, parity)


def _described(name: str, fields: Sequence[Record], times: int) -> str:
    cells = ", ".join(f"{sum(int((r.label == i).sum()) for r in fields)} {c}" for i, c in enumerate(CLASSES))
    sampled = "" if times == 1 else f", sampled {times} times"
    return f"{name}: {len(fields)} fields with {cells}{sampled}"


def _named(data_files: Sequence[Path]) -> dict[str, Path]:
    """Each data file once, by the name of its folder, with a number where two folders share one."""
    named: dict[str, Path] = {}
    for file in dict.fromkeys(path.resolve() for path in data_files):
        name, number = file.parent.name, 2
        while name in named:
            name, number = f"{file.parent.name} ({number})", number + 1
        named[name] = file
    return named
