"""What follows a training: a model file that counts, with thresholds tuned on the validation fields, and its card."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from detector.annotations import dataset, domains, provenance
from detector.annotations.records import Record
from detector.errors import AnnotationError
from detector.training import export, page
from detector.vision import border, familiar, finder, images, quality
from detector.vision import card as cards
from detector.vision.cells import CLASSES
from detector.vision.detections import Detections
from detector.vision.familiar import Familiar
from detector.vision.lights import LIGHTS, PLAIN
from detector.vision.model import Model
from detector.vision.sums import ValSums

_TO_KNOW = 300
"""Training fields that are enough to know what such are like."""
PLOT = ".thresholds.png"
"""Ending of the plot of count error against threshold, beside the model."""


@dataclass(frozen=True)
class Tuning:
    """Thresholds and what they rest on."""

    thresholds: dict[str, float]
    """By class name."""
    tuned_on: str
    """The cells of whose count the error was made least, in words."""
    card: dict[str, Any]
    """What the model's card says of them, as plain JSON values."""
    draw: Callable[[Path], None]
    """Draws the error of the count against the threshold into a PNG file."""


Tuner = Callable[[Sequence[Record], Sequence[Detections], Sequence[str]], Tuning]
"""From fields, their detections and their domains to thresholds."""


@dataclass(frozen=True)
class Measured:
    """What the counts of the validation fields at these thresholds tell of the detector's error."""

    sums: ValSums
    card: dict[str, Any]
    """What the model's card says of it besides, as plain JSON values."""


Measurer = Callable[[Sequence[Record], Sequence[Detections], Sequence[str]], Measured]
"""From fields, their counted detections and their domains to the detector's error."""


@dataclass(frozen=True)
class Finished:
    """A model file that is ready to count."""

    model: Path
    card: Path
    thresholds: dict[str, float]
    parity: export.Parity


def finish(  # noqa: PLR0913
    weights: Path,
    data_files: Sequence[Path],
    target: Path,
    sizes: export.Sizes,
    training: dict[str, Any],
    tune: Tuner,
    least_score: float,
    measure: Measurer,
) -> Finished:
    """Export weights, tune thresholds on the validation fields of the datasets, measure the error that is left there, and
    compare counts with the weights' own.

    Args:
        target: the `.onnx` file to write; its card goes beside it as `.json` and `.md`, a plot of the thresholds as `PLOT`.
        tune: chooses the thresholds from detections down to `least_score`.
        measure: measures the error of the counts at these thresholds.

    Raises:
        AnnotationError: the datasets hold no validation fields. ModelError: the weights cannot be exported.
    """
    named = _named(data_files)
    train = {name: dataset.read(file, "train") for name, file in named.items()}
    domain_of = {name: domains.of_dataset(file, name) for name, file in named.items()}
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
        found = [r.judged(finder.find(model, images.read(r.image), min_score=least_score).cells) for r in records if r.image]
        tuning = tune(records, found, of_domain)
        origin = _origin(tuning, of_domain)
        card = replace(draft, thresholds=tuning.thresholds, thresholds_from=origin)
        export.put_card(made, card)
        model = Model.load(made)
        counted = [r.judged(finder.find(model, images.read(r.image)).cells) for r in records if r.image]
        measured = measure(records, counted, of_domain)
        card = replace(card, val_sums=measured.sums, familiar=_familiar(model, trained, records))
        export.put_card(made, card)
        parity = export.parity(weights, Model.load(made), records)
        content = {
            **asdict(card),
            "sha256": cards.sha256(made),
            **tuning.card,
            **measured.card,
            "parity_with_weights": asdict(parity),
            "levels": asdict(levels),
            "datasets": {name: provenance.describe(file) for name, file in named.items()},
        }
        made.with_suffix(".json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        made.with_suffix(".md").write_text(page.render(content), encoding="utf-8")
        tuning.draw(made.with_suffix(PLOT))
        for suffix in (".onnx", ".json", ".md", PLOT):
            made.with_suffix(suffix).replace(target.with_suffix(suffix))
    return Finished(target, target.with_suffix(".json"), tuning.thresholds, parity)


def _familiar(model: Model, trained: Sequence[Record], val: Sequence[Record]) -> Familiar | None:
    """What fields are like that the model can count: by fields of its training, and by its errors in validation fields in any light."""
    few = [one for one in trained[:: max(len(trained) // _TO_KNOW, 1)] if one.image]
    training = [seen for record in few for seen, _ in _seen(model, record, (PLAIN,))]
    return familiar.calibrate(training, [one for record in val for one in _seen(model, record, LIGHTS)])


def _seen(model: Model, record: Record, in_lights: Iterable[str]) -> Iterator[tuple[dict[str, float], bool]]:
    """The numbers of a field in each light, and whether its count is wrong; nothing where it has no image."""
    rgb = None if record.image is None else images.read(record.image)
    rbc_px = border.rbc_px(record.xyxy, record.label, record.size_wh)
    for light in in_lights:
        # Without red cells to measure a blur by, it would be as good as any.
        if rgb is not None and (rbc_px is not None or light == PLAIN):
            lit = LIGHTS[light](rgb, rbc_px or 1.0)
            found = finder.find(model, lit).cells
            yield quality.measure(lit, found).numbers(), record.miscounted(found)


def _origin(tuning: Tuning, of_domain: Sequence[str]) -> str:
    domains = sorted(set(of_domain))
    weighed = ", each domain weighing the same" if len(domains) > 1 else ""
    return f"least error per field of the count of {tuning.tuned_on}, on {len(of_domain)} val fields of {', '.join(domains)}{weighed}"


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
