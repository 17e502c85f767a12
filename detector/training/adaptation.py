"""Adapting the shipped weights to one laboratory by a few corrected fields, and the proof that it gained.

Only the layers that score are trained, half of the pictures are rendered fields, and few steps are taken, so that little is forgotten.
The proof is a cross-validation: each field is counted by weights that were not trained on its fold, at thresholds tuned without it.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

from detector.accuracy import counts, figures, thresholds
from detector.accuracy.counts import Agreement, Differences
from detector.accuracy.intervals import Floats, bootstrap, by_chance, divide, resamples, units
from detector.accuracy.matching import val_sums
from detector.accuracy.terminal import empty_table, two_lines
from detector.annotations import dataset
from detector.annotations.records import Record
from detector.counting.intervals import Interval
from detector.errors import NothingToDoError
from detector.output.figures import tenths
from detector.synthetic.truth import write_jpeg
from detector.synthetic.variety import Variety
from detector.training import export, finish, framework, page, settings
from detector.vision import card as cards
from detector.vision import finder, images, quality
from detector.vision.cells import CLASSES, RBC
from detector.vision.detections import Detections
from detector.vision.familiar import Familiar
from detector.vision.model import Model

FEWEST = 5
"""Corrected fields that are needed at the least."""
FOLDS = 3
STEPS = 60
"""Each fold's weights and the final ones are trained for so many steps, at a learning rate that falls to nothing."""
HOME = 24
"""Rendered fields of many kinds that are trained on beside the corrected ones; as many others tell what was forgotten."""
_VIEWS = 96
"""Augmented pictures of the corrected fields, all together; each field has at least `_FEWEST_VIEWS`. As many are of rendered ones."""
_FEWEST_VIEWS = 4
_TRAINED_SEED, _HOME_SEED = 71, 72
_SETTINGS = {"image_px": 320, "learning_rate": 0.001}
"""Settings of the training that are other than the shipped training's."""
_HOME_WORSE, _HOME_MORE = 1.2, 0.1
"""Most error on the rendered fields afterwards: so many times that before, and so many cells more."""
_CHANCE = 0.05
"""Most likely that a gain is by chance where a model is kept."""
_DOMAIN = "own"
"""The corrected fields, among the domains of a card."""
SHIPPED, TUNED, TRAINED = "shipped", "thresholds", "trained"
"""What may be kept: the model as it was, the same with its own thresholds, or one with weights and thresholds of its own."""
_NAMES = {SHIPPED: "as it was", TUNED: "own thresholds", TRAINED: "trained"}

Advance = Callable[[str], None]
"""Told what is being done next."""


@dataclass(frozen=True)
class Choice:
    """One of the models to choose from, on fields that it was not trained or tuned on."""

    kind: str
    """`SHIPPED`, `TUNED` or `TRAINED`."""
    model: Model
    """It counts at its own thresholds."""
    own: Mapping[str, Agreement]
    """By class, on the corrected fields, each counted by a model that does not know its fold."""
    apart: Mapping[str, Differences]
    """By class, its errors on these fields less those of the shipped model."""
    home: Mapping[str, Agreement]
    """By class, on rendered fields, counted by the final model."""
    gain: Interval
    """By how much less it errs than the shipped model, mean of the classes, each in the scatter that a field's count of it has by chance
    (the root of its mean count, at least 1 cell); positive where it is better."""
    chance: float
    """How likely so high a gain is by chance."""
    forgot: bool
    """Whether it errs more on the rendered fields than it may."""

    @property
    def name(self) -> str:
        """What a user knows it by."""
        return _NAMES[self.kind]

    @property
    def told_gain(self) -> str:
        """By how much it errs less than the model as it was, in words."""
        forgot = "; errs more on rendered fields than it may" if self.forgot else ""
        worse = "".join(f"; errs more on {name}" for name in self.worse)
        limits = "" if self.gain.limits is None else " ({:.2f} to {:.2f})".format(*self.gain.limits)
        chance = "" if self.gain.value <= 0 else f", by chance in {tenths(self.chance)} of such cases"
        return f"errors lower by {self.gain.value:.2f}{limits} of a count's own scatter{chance}{worse}{forgot}"

    @property
    def worse(self) -> list[str]:
        """Classes on which it errs more than the shipped model, beyond chance."""
        return [name for name, apart in self.apart.items() if apart.mae is not None and (apart.mae.low or 0.0) > 0]

    @property
    def proven(self) -> bool:
        """Whether it is better on the corrected fields beyond chance, on no class worse, and forgot nothing."""
        return not self.forgot and not self.worse and self.gain.value > 0 and self.chance <= _CHANCE


@dataclass(frozen=True)
class Adapted:
    """What came of it."""

    fields: int
    cells: Mapping[str, int]
    """Labelled cells by class."""
    choices: Sequence[Choice]
    kept: Choice
    model: Path | None
    """The model file that was written; None where the shipped model is kept."""


@dataclass(frozen=True)
class Adaptation:
    """What is adapted to what."""

    records: Sequence[Record]
    """The corrected fields, with their images."""
    groups: Sequence[str]
    """The smear of each: the fields of one are never on both sides of a fold."""
    model: Model
    weights: Path
    """The model's weights."""
    about: str
    """Microscope and stain, for the card."""


@dataclass(frozen=True, eq=False)
class Trials:
    """The models to choose from, each with its errors on fields that it does not know; files lie in the folder of the trials."""

    choices: Sequence[Choice]
    """Of each kind."""
    weights: Path
    """Those of the trained one."""
    judge: _Judge
    seen: Mapping[str, _Seen]
    """By kind."""

    @property
    def kept(self) -> Choice:
        """The one that gained most among those whose gain is proven; else the model as it was."""
        proven = (choice for choice in self.choices if choice.proven)
        return max(proven, key=lambda choice: choice.gain.value, default=self.choices[0])


def adapt(job: Adaptation, target: Path, advance: Advance) -> Adapted:
    """Adapt a model, and write the better one to `target`, with its card beside it, if it is better beyond chance.

    Raises:
        NothingToDoError: fewer than `FEWEST` fields, or no red cell in them. ModelError: weights that cannot be trained.
        OutputError: the model cannot be written.
    """
    _require(job.records)
    with tempfile.TemporaryDirectory(prefix="smearcount-adapt-") as name:
        tried = trials(job, Path(name), advance)
        kept = tried.kept
        adapted = Adapted(len(job.records), _cells(job.records), tried.choices, kept, None)
        if kept.kind == SHIPPED:
            return adapted
        advance("writing the model")
        shutil.copyfile(tried.weights if kept.kind == TRAINED else job.weights, target.with_suffix(".pt"))
        tried.judge.write(target, tried.seen[kept.kind], adapted)
        return replace(adapted, model=target)


def trials(job: Adaptation, scratch: Path, advance: Advance) -> Trials:
    """Tune and train on the corrected fields, and compare what comes of it; files are written into `scratch`."""
    framework.prepare(scratch / ".ultralytics", says=False)
    advance("rendering fields of many kinds")
    rendered, home = (_rendered(scratch / part, seed) for part, seed in (("rendered", _TRAINED_SEED), ("home", _HOME_SEED)))
    fold_of = folds(job.groups)
    advance("counting with the model as it is")
    before = _Seen(_found(job.model, job.records), _found(job.model, home))
    advance("looking at the fields in other light and size")
    learner = _Learner(job, rendered, scratch)
    crossed = list(before.own)
    for fold in range(parts := max(fold_of) + 1):
        advance(f"training without part {fold + 1} of {parts}")
        _, model = learner.trained([i for i, of in enumerate(fold_of) if of != fold], f"fold-{fold + 1}")
        for i in np.flatnonzero(np.array(fold_of) == fold):
            crossed[i] = _found(model, [job.records[int(i)]])[0]
    advance("training with all fields")
    weights, final = learner.trained(range(len(job.records)), "final")
    seen = {SHIPPED: before, TUNED: before, TRAINED: _Seen(crossed, _found(final, home))}
    judge = _Judge(job, fold_of, home, before)
    models = {SHIPPED: job.model, TUNED: job.model, TRAINED: final}
    return Trials([judge.choice(kind, models[kind], seen[kind]) for kind in seen], weights, judge, seen)


def folds(groups: Sequence[str]) -> list[int]:
    """The part in which each field is left out, from 0 to 2 at the most.

    The fields of a smear stay together, the largest smears first, each in the part that has the fewest fields. Of a single smear, its
    fields are dealt out.
    """
    if len(set(groups)) < 2:
        return [i % FOLDS for i in range(len(groups))]
    names, sizes = np.unique(np.array(groups), return_counts=True)
    filled = [0] * min(FOLDS, len(names))
    fold_of: dict[str, int] = {}
    for i in np.argsort(-sizes, kind="stable"):
        fold_of[str(names[i])] = fold = filled.index(min(filled))
        filled[fold] += int(sizes[i])
    return [fold_of[group] for group in groups]


def _require(records: Sequence[Record]) -> None:
    if len(records) < FEWEST:
        raise NothingToDoError(
            f"{len(records)} corrected fields are too few to learn from and to prove a gain with: correct {FEWEST} or more, "
            "best of several smears"
        )
    if not any((record.label == RBC).any() for record in records):
        raise NothingToDoError("the corrected fields hold no red cell, so their scale is not known; label their red cells too")


def _rendered(folder: Path, seed: int) -> list[Record]:
    records = []
    for name, field in Variety(fields=HOME, seed=seed).render():
        path = folder / Path(name).name
        write_jpeg(path, field)
        size_wh = (field.image.shape[1], field.image.shape[0])
        xyxy, label = field.xyxy.astype(np.float32), field.label.astype(np.int64)
        ignore = field.ignore.astype(np.float32).reshape(-1, 4)
        records.append(Record(f"rendered-{folder.name}-{path.stem}", path, size_wh, xyxy, label, None, ignore))
    return records


def _found(model: Model, records: Sequence[Record]) -> list[Detections]:
    least = thresholds.LEAST_SCORE
    return [r.judged(finder.find(model, images.read(r.image), min_score=least).cells) for r in records if r.image]


class _Learner:
    """Trains on some of the corrected fields, and on rendered ones."""

    def __init__(self, job: Adaptation, rendered: Sequence[Record], scratch: Path) -> None:
        from detector.training.scores import Scorer

        self._job, self._rendered, self._scratch = job, rendered, scratch
        data = scratch / "data"
        dataset.write(data, [replace(record, split="train") for record in (*job.records, *rendered)])
        picture = {path.stem: path for path in (data / "images" / "train").iterdir()}
        self._scorer = Scorer(job.weights, settings.load(overrides=_SETTINGS))
        each = max(-(-_VIEWS // len(job.records)), _FEWEST_VIEWS)
        self._own = self._scorer.look([picture[record.name] for record in job.records], each)
        self._home = self._scorer.look([picture[record.name] for record in rendered], -(-_VIEWS // len(rendered)))

    def trained(self, fields: Sequence[int], name: str) -> tuple[Path, Model]:
        """Weights that were trained on some fields, and the model that they make, with the card of the one it began with."""
        weights, model = (self._scratch / f"{name}{suffix}" for suffix in (".pt", ".onnx"))
        own = [view for view in self._own if view.field in set(fields)]
        self._scorer.teach(own, self._home, STEPS, weights)
        learned = [self._job.records[i] for i in fields]
        export.to_onnx(weights, model, self._job.model.card, [*learned, *self._rendered])
        return weights, Model.load(model)


def _cells(records: Sequence[Record]) -> dict[str, int]:
    return {name: sum(int((record.label == i).sum()) for record in records) for i, name in enumerate(CLASSES)}


@dataclass(frozen=True, eq=False)
class _Seen:
    """Detections down to `thresholds.LEAST_SCORE` by one of the models to choose from."""

    own: Sequence[Detections]
    """Of the corrected fields, each by a model that does not know its part."""
    home: Sequence[Detections]


@dataclass(frozen=True, eq=False)
class _Judge:
    """Compares models on fields that they do not know."""

    job: Adaptation
    fold_of: Sequence[int]
    home: Sequence[Record]
    shipped: _Seen

    def choice(self, kind: str, model: Model, seen: _Seen) -> Choice:
        """How one of them does beside the shipped one."""
        groups, truth = self.job.groups, figures.count_cells(self.job.records, clear=False)
        counted, before = self.counted(kind, seen), self.counted(SHIPPED, self.shipped)
        own = self._thresholds(kind, seen)
        at_home = figures.count_cells(_from(seen.home, own), clear=False)
        less = _less(truth, before, counted)
        # Thresholds move class by class where the same fields gained, so each class was a try (Bonferroni).
        tries = int((truth.sum(axis=0) > 0).sum()) if kind == TUNED else 1
        columns = [(counted[:, i].tolist(), before[:, i].tolist(), truth[:, i].tolist()) for i in range(len(CLASSES))]
        return Choice(
            kind,
            Model(model.network, replace(model.card, thresholds=own), model.path, model.sha256),
            figures.agreements(counted, truth, groups),
            {name: counts.differences(*columns[i], groups) for i, name in enumerate(CLASSES)},
            figures.agreements(at_home, figures.count_cells(self.home, clear=False)),
            _mean(less, groups),
            min(1.0, by_chance(less, groups) * tries),
            bool(self._forgotten(seen, own)),
        )

    def counted(self, kind: str, seen: _Seen) -> figures.CountArray:
        """Cells of each corrected field, at thresholds that were tuned without its part."""
        return figures.count_cells(self._counted(kind, seen), clear=False)

    def _counted(self, kind: str, seen: _Seen) -> list[Detections]:
        at = self._by_part(kind, seen)
        if kind == TUNED:
            moves = self._moving(seen)
            at = {part: self._moved(tuned, moves) for part, tuned in at.items()}
        return self._at(seen, at)

    def _at(self, seen: _Seen, at: Mapping[int, Mapping[str, float]]) -> list[Detections]:
        return [_from([cells], at[part])[0] for cells, part in zip(seen.own, self.fold_of, strict=True)]

    def _by_part(self, kind: str, seen: _Seen) -> dict[int, dict[str, float]]:
        """Thresholds that were tuned without a part, by the part."""
        fold_of = np.array(self.fold_of)
        return {part: self._tuned(kind, seen, np.flatnonzero(fold_of != part).tolist()) for part in set(self.fold_of)}

    def _thresholds(self, kind: str, seen: _Seen) -> dict[str, float]:
        """Thresholds of a model, tuned on all corrected fields; those of the shipped one stay."""
        tuned = self._tuned(kind, seen, range(len(seen.own)))
        return self._moved(tuned, self._moving(seen)) if kind == TUNED else tuned

    def _tuned(self, kind: str, seen: _Seen, fields: Sequence[int]) -> dict[str, float]:
        card = self.job.model.card.thresholds
        if kind == SHIPPED:
            return card
        return thresholds.nearest([self.job.records[i] for i in fields], [seen.own[i] for i in fields], card)

    def _forgotten(self, seen: _Seen, least: Mapping[str, float]) -> set[str]:
        """Classes of which a model errs more on the rendered fields than it may."""
        truth = figures.count_cells(self.home, clear=False)
        counted = (_from(seen.home, least), _from(self.shipped.home, self.job.model.card.thresholds))
        now, before = (np.abs(figures.count_cells(cells, clear=False) - truth).sum(axis=0) for cells in counted)
        most = before * _HOME_WORSE + _HOME_MORE * len(self.home)
        return {name for i, name in enumerate(CLASSES) if now[i] > most[i]}

    def _moving(self, seen: _Seen) -> set[str]:
        """Classes whose threshold moves: those that are counted better at thresholds which were tuned on other parts, and not too much
        worse on rendered fields.
        """
        truth = figures.count_cells(self.job.records, clear=False)
        counted = (self._at(seen, self._by_part(TUNED, seen)), _from(seen.own, self.job.model.card.thresholds))
        tuned, before = (np.abs(figures.count_cells(cells, clear=False) - truth).mean(axis=0) for cells in counted)
        better = {name for i, name in enumerate(CLASSES) if tuned[i] < before[i]}
        return better - self._forgotten(seen, self._tuned(TUNED, seen, range(len(seen.own))))

    def _moved(self, tuned: Mapping[str, float], moves: set[str]) -> dict[str, float]:
        return {name: tuned[name] if name in moves else at for name, at in self.job.model.card.thresholds.items()}

    def write(self, target: Path, seen: _Seen, adapted: Adapted) -> None:
        """Write a model file with thresholds and card of its own."""
        kind, records = adapted.kept.kind, self.job.records
        detections = self._counted(kind, seen)
        cells = ", ".join(f"{n} {name}" for name, n in adapted.cells.items())
        of_data = f"{target.stem}: {adapted.fields} corrected fields with {cells}"
        card = replace(
            self.job.model.card,
            name=target.stem,
            thresholds=adapted.kept.model.card.thresholds,
            thresholds_from=f"about the least error per field of the count of all cells, on {adapted.fields} corrected fields",
            data=(*self.job.model.card.data, of_data),
            training={
                "adapted from": f"{self.job.model.card.name} (SHA-256 {self.job.model.sha256[:12]})",
                "changed": "thresholds" if kind == TUNED else "weights and thresholds",
                "steps": 0 if kind == TUNED else STEPS,
            },
            val_sums=val_sums(records, detections, [_DOMAIN] * len(records)),
            familiar=self._familiar(detections),
        )
        shutil.copyfile(adapted.kept.model.path, target)
        export.put_card(target, card)
        content = {
            **asdict(card),
            "sha256": cards.sha256(target),
            cards.WEIGHTS_HASH: cards.sha256(target.with_suffix(".pt")),
            "about": self.job.about,
            "val_precision_recall": finish.operating(records, detections),
            "adapted": document(adapted),
        }
        target.with_suffix(".json").write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        target.with_suffix(".md").write_text(page.render(content), encoding="utf-8")

    def _familiar(self, detections: Sequence[Detections]) -> Familiar | None:
        """What fields are like that the model can count: those of its former training, and the corrected ones."""
        former = self.job.model.card.familiar
        if former is None:
            return None
        seen = [
            quality.measure(images.read(record.image), cells).numbers()
            for record, cells in zip(self.job.records, detections, strict=True)
            if record.image
        ]
        return former.widened(seen)


def _less(truth: figures.CountArray, before: figures.CountArray, counted: figures.CountArray) -> Floats:
    """By how much less each field errs than before, mean of the classes that have cells; of shape (fields,)."""
    judged = truth.sum(axis=0) > 0
    less = (np.abs(before - truth) - np.abs(counted - truth))[:, judged]
    return np.asarray((less / np.sqrt(np.maximum(truth[:, judged].mean(axis=0), 1))).mean(axis=1))


def _mean(of_field: Floats, groups: Sequence[str]) -> Interval:
    weights = resamples(len(of_field), groups=groups)
    drawn = divide(weights @ of_field, weights.sum(axis=1))
    return bootstrap(float(of_field.mean()), drawn, units(len(of_field), groups)) or Interval(0.0)


def _from(detections: Sequence[Detections], least: Mapping[str, float]) -> list[Detections]:
    minimum = np.array([least[name] for name in CLASSES], dtype=np.float32)
    return [cells[cells.score >= minimum[cells.label]] for cells in detections]


def table(choices: Sequence[Choice]) -> Table:
    """Errors of each model, class by class, for the terminal."""
    made = empty_table(
        ["cells", *(choice.name for choice in choices), "rendered fields, before", "trained"],
        "Mean absolute error of the count a field (95 %)",
        "Each corrected field is counted by a model that does not know it. Rendered fields of many kinds tell what was forgotten.",
    )
    for name in CLASSES:
        own = [two_lines(choice.own[name].mae, 2) for choice in choices]
        made.add_row(name, *own, *(two_lines(choices[i].home[name].mae, 2) for i in (0, -1)))
    return made


def document(adapted: Adapted) -> dict[str, Any]:
    """What a card says of an adaptation, as plain JSON values."""
    return {
        "fields": adapted.fields,
        "cells": dict(adapted.cells),
        "kept": adapted.kept.kind,
        "choices": [
            {
                "kind": choice.kind,
                "own_error": {name: asdict(at.mae) if at.mae else None for name, at in choice.own.items()},
                "own_change": {name: asdict(apart.mae) if apart.mae else None for name, apart in choice.apart.items()},
                "home_error": {name: asdict(at.mae) if at.mae else None for name, at in choice.home.items()},
                "gain": asdict(choice.gain),
                "chance": choice.chance,
                "forgot": choice.forgot,
            }
            for choice in adapted.choices
        ],
    }
