"""What a classifier of red cell shapes is worth: calibration, the limit below which it is not sure, its errors, and its card."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special

from detector.counting.intervals import share
from detector.counting.shapes import shortfall
from detector.output.figures import tenths
from detector.output.files import write_text
from detector.training import shapes
from detector.training.shape_cells import TAUGHT, ShapeCells
from detector.training.shapes import Learned
from detector.vision import card as cards
from detector.vision import familiar
from detector.vision.familiar import Familiar
from detector.vision.shapes import MEASURED, NORMAL, NOT_SURE, ShapeCard, ShapeErrors

Floats = NDArray[np.floating[Any]]
Labels = NDArray[np.int64]

GROUPS: dict[str, tuple[str, ...]] = {
    NORMAL: ("normal", "macrocyte", "microcyte"),
    "spherocyte": ("spherocyte",),
    "target cell or stomatocyte": ("target cell", "stomatocyte"),
    "ovalocyte or tear-drop": ("ovalocyte", "tear-drop"),
    "burr cell": ("burr cell",),
    "schistocyte": ("schistocyte",),
    "hypochromic cell": ("hypochromia",),
}
"""Shapes that are reported, and the taught ones that each joins: those that are not told apart in smears that were left out."""
SHAPES = tuple(GROUPS)
LICENCE = "AGPL-3.0-only"
DATA = (
    "Chula RBC-12: images and shapes, MIT, Copyright (c) 2021 Chula PIC Lab (K. Naruenatthanaset et al., arXiv:2012.01321)",
    "boxes of this project for the same fields (datasets/labels/chula), MIT",
)
_GRADED_FROM = {"schistocyte": 0.01}
"""Share from which on readers take a shape as a finding: of schistocytes more than 1 % (Zini et al., ICSH, Int J Lab Hematol 2021), of
others 5 %, the project's choice."""
_GRADED_OTHERS = 0.05
_BINS = 15
_SURE = 0.9
"""Share of the cells that it is sure of that are to be called rightly."""
_LEAST_COVERED = 0.5
_OTHER_CELLS, _OWN_CELLS = 50, 15
"""Least cells of other shapes, and of a shape itself, by which a smear tells of its errors."""
_TAIL = 0.98
_STRANGE = 0.05
"""Share of the cells of smears that were left out which are called unlike those that were learned from."""
_LEAST = 1e-6


def grouped() -> NDArray[np.float32]:
    """Which taught shape belongs to which reported one, of shape (len(TAUGHT), len(SHAPES))."""
    return np.array([[name in members for members in GROUPS.values()] for name in TAUGHT], dtype=np.float32)


def truth(cells: ShapeCells) -> Labels:
    """The reported shape of each cell, as an index into `SHAPES`."""
    return np.asarray(grouped().argmax(axis=1)[cells.shape], dtype=np.int64)


def probability(answers: Floats, temperature: float) -> Floats:
    """Probabilities of the reported shapes, of shape (n, len(SHAPES)), from a network's answers, of shape (n, len(TAUGHT))."""
    return np.asarray(special.softmax(answers.astype(np.float64) / temperature, axis=1) @ grouped())


def temperature(answers: Floats, label: Labels) -> float:
    """What answers are to be divided by so that probabilities are right (Guo et al., ICML 2017): that of the greatest likelihood."""

    def loss(log: float) -> float:
        own = probability(answers, float(np.exp(log)))[np.arange(len(label)), label]
        return -float(np.log(np.maximum(own, 1e-9)).mean())

    optimum = optimize.minimize_scalar(loss, bounds=(np.log(0.01), np.log(10)), method="bounded")
    return round(float(np.exp(optimum.x)), 3)


def calibration_error(chances: Floats, label: Labels) -> float:
    """Expected calibration error: mean distance of the highest probability from the share of cells that are called rightly, over
    15 bins of equal width, each weighing by its cells (Guo et al., ICML 2017).
    """
    highest, right = chances.max(axis=1), chances.argmax(axis=1) == label
    bins = np.minimum((highest * _BINS).astype(int), _BINS - 1)
    return float(sum(abs(highest[bins == i].sum() - right[bins == i].sum()) for i in range(_BINS)) / max(len(label), 1))


def threshold(chances: Floats, label: Labels) -> float:
    """Least probability of a cell that is sure: `_SURE` of those are called rightly, or as many as can be where half are sure."""
    highest, right = chances.max(axis=1), chances.argmax(axis=1) == label
    limits = [limit for limit in np.arange(0.3, 0.96, 0.05).round(2) if (highest >= limit).mean() >= _LEAST_COVERED]
    for limit in limits:
        if right[highest >= limit].mean() >= _SURE:
            return float(limit)
    return float(limits[-1]) if limits else 0.5


def called(chances: Floats, limit: float) -> Labels:
    """The shape that each cell is called, of shape (n,); `len(SHAPES)` where that is not sure."""
    return np.where(chances.max(axis=1) >= limit, chances.argmax(axis=1), len(SHAPES)).astype(np.int64)


def rates(chances: Floats, label: Labels) -> dict[str, float]:
    """Accuracy, its mean over the shapes, and the calibration error, of cells that are each given their likeliest shape."""
    right = chances.argmax(axis=1) == label
    return {
        "accuracy": _rounded(right.mean()),
        "balanced": _rounded(np.mean([right[label == kind].mean() for kind in np.unique(label)])),
        "ece": _rounded(calibration_error(chances, label)),
    }


def calibrated_rates(taught: Floats, label: Labels) -> dict[str, float]:
    """`rates` of probabilities of the taught shapes, of shape (n, len(TAUGHT)), once they are calibrated by a temperature."""
    answers = np.log(np.maximum(taught, _LEAST))
    return rates(probability(answers, temperature(answers, label)), label)


def figures(chances: Floats, label: Labels, smears: Sequence[str], limit: float) -> dict[str, Any]:
    """Accuracy of cells whose shape is known; `confusion` has a row for each shape, a column for each and one for those not sure."""
    taken, named = chances.argmax(axis=1), called(chances, limit)
    sure = named < len(SHAPES)
    confusion = np.zeros((len(SHAPES), len(SHAPES) + 1), dtype=np.int64)
    np.add.at(confusion, (label, named), 1)
    unit = np.unique(np.asarray(smears), return_inverse=True)[1]
    limits = {
        "accuracy": _limits(taken == label, unit),
        "coverage": _limits(sure, unit),
        "accuracy_sure": _limits((named == label)[sure], unit[sure]),
    }
    return {
        "cells": len(label),
        "smears": len(set(smears)),
        **rates(chances, label),
        "coverage": _rounded(sure.mean()),
        "accuracy_sure": _rounded((named == label)[sure].mean() if sure.any() else 0.0),
        "not_sure_most": most(~sure, smears),
        "limits": limits,
        "confusion": confusion.tolist(),
    }


def most(chosen: NDArray[np.bool_], smears: Sequence[str]) -> float:
    """The greatest share of chosen cells in any of the smears."""
    smear = np.asarray(smears)
    return _rounded(max(chosen[smear == own].mean() for own in np.unique(smear)))


def errors(named: Labels, label: Labels, smears: Sequence[str]) -> dict[str, ShapeErrors]:
    """How each shape is told in each smear that was left out, from what its cells were called."""
    smear = np.asarray(smears)
    errors = {}
    for kind, name in enumerate(SHAPES):
        false, right = [], []
        for own in np.unique(smear):
            of_it = (smear == own) & (label == kind)
            others = (smear == own) & (label != kind)
            if others.sum() >= _OTHER_CELLS:
                false.append(_rounded((named[others] == kind).mean()))
            if of_it.sum() >= _OWN_CELLS:
                right.append(_rounded((named[of_it] == kind).mean()))
        errors[name] = ShapeErrors(tuple(false), tuple(right), _GRADED_FROM.get(name, _GRADED_OTHERS))
    return errors


def like(cells: ShapeCells, measures: Sequence[str]) -> Familiar:
    """Ranges of the training fields, and the distance within which nearly all fields of a smear lie that was left out of them.

    Args:
        measures: names of the numbers that are used.
    """
    smear_of = dict(zip(cells.fields, cells.smears, strict=True))
    numbers = {name: {key: value for key, value in cells.numbers[name].items() if key in measures} for name in smear_of}
    distances = []
    for smear in sorted(set(smear_of.values())):
        own = [numbers[name] for name in smear_of if smear_of[name] == smear]
        others = [numbers[name] for name in smear_of if smear_of[name] != smear]
        ranges = familiar.calibrate(others, [(seen, False) for seen in own])
        distances += [ranges.distance(seen) for seen in own] if ranges else []
    whole = familiar.calibrate(list(numbers.values()), [(seen, False) for seen in numbers.values()])
    assert whole is not None
    return Familiar(whole.ranges, round(max(float(np.quantile(distances, _TAIL)) if distances else 0.0, 0.5) * 1.001, 3))


def _limits(right: NDArray[np.bool_], unit: NDArray[np.int64]) -> list[float]:
    """95 % limits of a share, by its scatter between smears."""
    yes, no = (np.bincount(unit[own], minlength=int(unit.max(initial=0)) + 1).tolist() for own in (right, ~right))
    interval = share(yes, no)
    return [] if interval is None or interval.limits is None else [_rounded(limit) for limit in interval.limits]


def _rounded(value: float | np.floating[Any]) -> float:
    return round(float(value), 4)


def finish(target: Path, learned: Learned, cells: ShapeCells, tests: ShapeCells, training: dict[str, Any]) -> ShapeCard:
    """Calibrate what was learned, test it, and write its ONNX file with its card in it; beside it the card as JSON and as a page.

    Args:
        target: the ONNX file.
        tests: cells of smears that nothing was learned or chosen from.
        training: how it was trained.
    """
    label = truth(cells)
    heat = temperature(learned.held_out, label)
    chances = probability(learned.held_out, heat)
    limit = threshold(chances, label)
    before = calibration_error(probability(learned.held_out, 1.0), label)
    answers = learned.network.answers(shapes.middles(tests.pictures[:, 0]))
    tested = figures(probability(answers, heat), truth(tests), tests.smears, limit)
    strange_from = round(float(np.quantile(learned.held_out_distance, 1 - _STRANGE)), 4)
    strange = learned.held_out_distance > strange_from
    tested_strange = learned.appearance.distance(shapes.middles(tests.pictures[:, 0])) > strange_from
    card = ShapeCard(
        name="shapes",
        shapes=SHAPES,
        threshold=limit,
        strange_from=strange_from,
        licence=LICENCE,
        data=DATA,
        training={**training, "temperature": heat, "taught": {name: list(members) for name, members in GROUPS.items()}},
        figures={
            **figures(chances, label, cells.smears, limit),
            "ece_before": _rounded(before),
            "strange_most": most(strange, cells.smears),
            "test": {**tested, "strange_most": most(tested_strange, tests.smears)},
        },
        errors=errors(called(chances, limit), label, cells.smears),
        familiar=like(cells, MEASURED),
    )
    shapes.write(learned, target, heat, grouped(), card.json())
    beside = {**json.loads(card.json()), "sha256": cards.sha256(target)}
    write_text(target.with_suffix(".json"), json.dumps(beside, indent=1, ensure_ascii=False) + "\n")
    write_text(target.with_suffix(".md"), page(card))
    np.savez(
        target.with_name("held_out.npz"),
        answers=learned.held_out,
        distance=learned.held_out_distance,
        shape=cells.shape,
        smear=np.array(cells.smears),
        field=np.array(cells.fields),
    )
    return card


def page(card: ShapeCard) -> str:
    """The card as a page for people, in Markdown."""
    own, test = card.figures, card.figures["test"]
    parts = [
        "# Model card: shapes of red cells",
        f"A small network for `python -m detector.count --shapes`. Licence: {card.licence}. A flag for a reader, never a diagnosis, and "
        "not a medical device. What it is worth and what not: `docs/shapes.md`.",
        "## Data",
        "\n".join(f"- {line}" for line in card.data),
        f"One laboratory, one camera, one stain. Learned from {own['cells']:,} labelled cells clear of the border in "
        f"{own['smears']} smears; "
        f"tested once on {test['cells']:,} cells in {test['smears']} other smears. Neighbouring numbers of fields are taken for one smear.",
        "## Accuracy",
        "In brackets: 95 % interval, by the scatter between smears. "
        f"Left out by smear: each cell is judged by a network that saw no cell of its smear. "
        "A cell whose likeliest shape has a probability "
        f"below {card.threshold:g} is called \"{NOT_SURE}\". Temperature ({card.training['temperature']:g}) and this limit were chosen on "
        "the cells that were left out; the test split was used for nothing else.",
        _table(
            ("", "left out by smear", "test split"),
            [
                ("accuracy, every cell given its likeliest shape", *_both(own, test, "accuracy")),
                ("balanced accuracy (mean of the shapes)", *_both(own, test, "balanced")),
                (f"cells that it is sure of (not \"{NOT_SURE}\")", *_both(own, test, "coverage")),
                ("accuracy of these", *_both(own, test, "accuracy_sure")),
                ("expected calibration error", *_both(own, test, "ece")),
                ("the same without temperature", tenths(own["ece_before"]), ""),
                ("cells unlike those learned from, most in a smear", tenths(own["strange_most"]), tenths(test["strange_most"])),
                *((f"{name}: accuracy, balanced accuracy", f"{tenths(of['accuracy'])}, {tenths(of['balanced'])}", "")
                  for name, of in card.training.get("classical", {}).items()),
            ],
        ),
        "## By shape, in smears that were left out",
        "\"Called so wrongly\" is the share of all other cells, \"found\" that of the shape's own cells, least to most of the smears with "
        "enough of them.",
        _table(("shape", "called so wrongly", "found", "less sure than a reader needs"), [
            (name, _span(of.false), _span(of.found), shortfall(name, of) or "–") for name, of in card.errors.items()
        ]),
        "## Confusion, left out by smear",
        _confusion(card.shapes, own["confusion"]),
        "## Confusion, test split",
        _confusion(card.shapes, test["confusion"]),
        "## Training",
        "\n".join(f"- {name}: {value}" for name, value in card.training.items() if name not in ("classical", "taught")),
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def _both(own: Mapping[str, Any], test: Mapping[str, Any], name: str) -> tuple[str, str]:
    first, second = (tenths(of[name]) + _between(of["limits"].get(name)) for of in (own, test))
    return first, second


def _between(limits: Sequence[float] | None) -> str:
    return f" ({tenths(limits[0])} to {tenths(limits[1])})" if limits else ""


def _span(shares: Sequence[float]) -> str:
    return f"{tenths(min(shares))} to {tenths(max(shares))}, {len(shares)} smears" if shares else "not known"


def _confusion(names: Sequence[str], rows: Sequence[Sequence[int]]) -> str:
    body = [(f"**{name}**", *(f"{number:,}" if number else "" for number in row)) for name, row in zip(names, rows, strict=True)]
    return _table(("labelled, below; called, right", *names, NOT_SURE), body)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
