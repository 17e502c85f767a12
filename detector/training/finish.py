"""What follows a training: a model file that counts, with thresholds tuned on the validation fields, and its card."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from detector.accuracy import thresholds
from detector.accuracy.matching import precision_recall, val_sums
from detector.accuracy.plots import detection
from detector.annotations import dataset
from detector.annotations.audit import provenance
from detector.annotations.records import Record
from detector.errors import AnnotationError
from detector.training import export, page
from detector.vision import border, familiar, finder, images, quality
from detector.vision import card as cards
from detector.vision.cells import CLASSES
from detector.vision.detections import Detections
from detector.vision.familiar import LIGHTS, PLAIN, Familiar
from detector.vision.model import Model

_TO_KNOW = 300
"""Training fields that are enough to know what such are like."""
PLOT = ".thresholds.png"
"""Ending of the plot of count error against threshold, beside the model."""


@dataclass(frozen=True)
class FinishedModel:
    """A model file that is ready to count."""

    model: Path
    card: Path
    thresholds: dict[str, float]
    """By class name."""
    unfound: tuple[str, ...]
    """Classes of which there are cells in the validation fields, and none is found at any score."""
    untuned: tuple[str, ...]
    """Classes of which the validation fields hold no cell, so that nothing tells their threshold."""
    parity: export.Parity


@dataclass(frozen=True)
class UnseenData:
    """Laboratories that tell which of the thresholds that do about as well does best in a laboratory that no model saw."""

    model: Path
    """A model that was trained without them."""
    data: Sequence[Path]
    """Their data files."""


def finish(
    weights: Path,
    data_files: Sequence[Path],
    target: Path,
    sizes: export.ModelSizes,
    training: dict[str, Any],
    unseen_data: UnseenData | None = None,
) -> FinishedModel:
    """Export weights, tune thresholds on the validation fields of the datasets, measure the error that is left there, and
    compare counts with the weights' own.

    Args:
        target: the `.onnx` file to write; its card goes beside it as `.json` and `.md`, a plot of the thresholds as `PLOT`.
        unseen_data: of their validation fields too.

    Raises:
        AnnotationError: the datasets hold no validation fields. ModelError: the weights cannot be exported.
    """
    unseen = None if unseen_data is None else _unseen(unseen_data)
    named = _named(data_files)
    train = {name: dataset.read(file, "train") for name, file in named.items()}
    domain_of = {name: dataset.domains(file, name) for name, file in named.items()}
    val = [(record, domain_of[name](record.name)) for name, file in named.items() for record in dataset.read(file, "val")]
    if not val:
        raise AnnotationError(
            f"{', '.join(map(str, named.values()))}: no val fields to tune thresholds on; convert again with some"
        )
    records, of_domain = [record for record, _ in val], [domain for _, domain in val]
    times = {name: sum(path.resolve() == file for path in data_files) for name, file in named.items()}
    data = [_described(name, train[name], times[name]) for name in named]
    trained = [record for fields in train.values() for record in fields]
    draft = export.first_card(target.stem, sizes, trained, training, data)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".export-") as folder:
        made = Path(folder) / target.name
        levels = export.to_onnx(weights, made, draft, [*records, *trained])
        model = Model.load(made)
        tuned = thresholds.tune(records, _searched(model, records), of_domain, unseen)
        card = replace(draft, thresholds=tuned.thresholds, thresholds_from=_origin(of_domain, tuned.untuned, unseen))
        export.put_card(made, card)
        model = Model.load(made)
        counted = [r.judged(finder.find(model, images.read(r.image)).cells) for r in records if r.image]
        card = replace(card, val_sums=val_sums(records, counted, of_domain), familiar=_familiar(model, trained, records))
        export.put_card(made, card)
        parity = export.parity(weights, Model.load(made), records)
        content = {
            **asdict(card),
            "sha256": cards.sha256(made),
            cards.WEIGHTS_HASH: cards.sha256(weights),
            **tuned.document(),
            "val_precision_recall": operating(records, counted),
            "parity_with_weights": asdict(parity),
            "levels": asdict(levels),
            "datasets": {name: provenance(file) for name, file in named.items()},
        }
        made.with_suffix(".json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        made.with_suffix(".md").write_text(page.render(content), encoding="utf-8")
        detection.error_by_threshold(tuned, made.with_suffix(PLOT))
        for suffix in (".onnx", ".json", ".md", PLOT):
            made.with_suffix(suffix).replace(target.with_suffix(suffix))
    return FinishedModel(target, target.with_suffix(".json"), tuned.thresholds, tuned.unfound, tuned.untuned, parity)


def _searched(model: Model, records: Sequence[Record]) -> list[Detections]:
    least = thresholds.LEAST_SCORE
    return [r.judged(finder.find(model, images.read(r.image), min_score=least).cells) for r in records if r.image]


def _unseen(of: UnseenData) -> thresholds.Unseen:
    records: list[Record] = []
    domains: list[str] = []
    for name, file in _named(of.data).items():
        read = dataset.read(file, "val")
        records += read
        domains += [name] * len(read)
    if not records:
        raise AnnotationError(f"{', '.join(map(str, of.data))}: no val fields; convert again with some")
    return thresholds.Unseen(records, _searched(Model.load(of.model), records), domains)


def _familiar(model: Model, trained: Sequence[Record], val: Sequence[Record]) -> Familiar | None:
    """What fields are like that the model can count: by fields of its training, and by its errors in validation fields in any light."""
    few = [record for record in trained[:: max(len(trained) // _TO_KNOW, 1)] if record.image]
    training = [seen for record in few for seen, _ in _seen(model, record, (PLAIN,))]
    return familiar.calibrate(training, [seen for record in val for seen in _seen(model, record, LIGHTS)])


def _seen(model: Model, record: Record, in_lights: Iterable[str]) -> Iterator[tuple[dict[str, float], bool]]:
    """The numbers of a field in each light, and whether its count is wrong; nothing where it has no image."""
    rgb = None if record.image is None else images.read(record.image)
    rbc_px = border.rbc_px(record.xyxy, record.label, record.size_wh)
    for light in in_lights:
        # Without red cells to measure a blur by, it would be as good as any.
        if rgb is not None and (rbc_px is not None or light == PLAIN):
            lit = LIGHTS[light](rgb, rbc_px or 1.0)
            detections = finder.find(model, lit).cells
            yield quality.measure(lit, detections).numbers(), record.miscounted(detections)


def operating(records: Sequence[Record], counted: Sequence[Detections]) -> dict[str, dict[str, Any]]:
    """Precision and recall of each class, as a card holds them in plain JSON values."""
    of_class = precision_recall(records, counted)
    return {name: {key: share and asdict(share) for key, share in shares.items()} for name, shares in of_class.items()}


def _origin(of_domain: Sequence[str], untuned: Sequence[str], unseen: thresholds.Unseen | None) -> str:
    domains = sorted(set(of_domain))
    weighed = ", each domain weighing the same" if len(domains) > 1 else ""
    fields = f"{len(of_domain)} val fields of {', '.join(domains)}{weighed}"
    rest = f"; not tuned, since none of them has one: {', '.join(untuned)}" if untuned else ""
    if unseen is not None:
        others = f"{len(unseen.records)} val fields of {', '.join(sorted(set(unseen.domains)))}"
        rest = (
            f"; of those that do about as well the one that does best on {others}, counted by a model that never saw such{rest}"
        )
    return f"least error per field of the count of {thresholds.TUNED_ON}, on {fields}{rest}"


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
