"""Which rule finds thresholds that suit a stain which it was not tuned on: validation fields, each domain left out in turn."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich import box
from rich.table import Table

from benchmarks import markdown
from detector.accuracy.counts import clear_of_border_zone
from detector.accuracy.intervals import Floats, bootstrap, resamples
from detector.accuracy.thresholds import ALL_WEIGHT, GRID, LEAST_SCORE, middle_of_best
from detector.annotations import dataset
from detector.annotations.records import Record
from detector.arguments import Parser
from detector.commandline import console, progress_bar, run
from detector.errors import EXIT_DONE, AnnotationError
from detector.vision import finder, images
from detector.vision.cells import CLASSES
from detector.vision.detections import Detections
from detector.vision.model import Model

_FEW = 5
"""A field with fewer cells of a class has no typical score; it takes the common threshold."""

Rule = Callable[[Floats], Floats]
"""From a field's sorted scores of one class to its threshold for each common one in `GRID`."""


def relative(share: float, least: float, typical: float) -> Rule:
    """Thresholds in proportion to a quantile of the field's scores from `least` on, which mostly is `typical`."""

    def rule(score: Floats) -> Floats:
        sure = score[score >= least]
        return GRID * (float(np.quantile(sure, share)) / typical if len(sure) >= _FEW else 1.0)

    return rule


def otsu(score: Floats) -> Floats:
    """The cut that parts the field's scores best into low and high ones (Otsu, 1979), shifted by the common threshold less 0.5."""
    if len(score) < _FEW:
        return GRID
    apart = [i * (len(score) - i) * (score[:i].mean() - score[i:].mean()) ** 2 for i in range(1, len(score))]
    cut = 1 + int(np.argmax(apart))
    return np.asarray((score[cut - 1] + score[cut]) / 2 + GRID - 0.5)


def valley(score: Floats) -> Floats:
    """The middle of the widest gap between the field's scores within 0.1 of the common threshold."""
    middles = []
    for at in GRID:
        edges = np.array([at - 0.1, *score[np.abs(score - at) <= 0.1], at + 0.1])
        widest = int(np.diff(edges).argmax())
        middles.append(edges[widest : widest + 2].mean())
    return np.array(middles)


RULES: Mapping[str, Rule] = {
    "common": lambda _score: GRID,
    "median of the field": relative(0.5, 0.5, 0.85),
    "quartile of the field": relative(0.25, 0.3, 0.8),
    "Otsu of the field": otsu,
    "valley of the field": valley,
}
GOALS = {"all cells": (0.0, 1.0), "clear": (1.0, 0.0), f"clear + {ALL_WEIGHT:g} all": (1.0, ALL_WEIGHT)}
"""Weights of the errors of clear and of all cells, whose sum is made least."""
KEPT = ("common", f"clear + {ALL_WEIGHT:g} all")


@dataclass(frozen=True, eq=False)
class Errors:
    """Absolute errors of the count of one class at each threshold of `GRID`, by domain, each of shape (fields, thresholds)."""

    clear: dict[str, Floats]
    all: dict[str, Floats]


def command(*, data: Sequence[Path], model: Path | None) -> int:
    """Print the errors that each rule leaves in the domains it was tuned on, and in each domain when tuned on the others."""
    of_domain = {file: dataset.domains(file) for file in data}
    fields = [(of_domain[file](record.name), record) for file in data for record in dataset.read(file, "val")]
    if len({domain for domain, _ in fields}) < 3:
        raise AnnotationError(f"{', '.join(map(str, data))}: val fields of three domains are needed to leave one out")
    loaded, detections = Model.load(model), []
    with progress_bar("finding cells", len(fields)) as advance:
        for _, record in fields:
            detections.append(finder.find(loaded, images.read(record.image or Path()), min_score=LEAST_SCORE).cells)
            advance(1)
    report([domain for domain, _ in fields], [record for _, record in fields], detections)
    return EXIT_DONE


def report(domain_of_field: Sequence[str], records: Sequence[Record], detections: Sequence[Detections]) -> None:
    """Print a table for each class; the arguments are parallel, a domain, a record and detections for each field."""
    for label, name in enumerate(CLASSES):
        errors = {rule: _errors(domain_of_field, records, detections, label, RULES[rule]) for rule in RULES}
        title = f"{name}: mean absolute error of the count per field, all cells / clear of the border; domains weigh the same"
        table = Table("rule", "tuned on", "all domains", "left out", "left out less kept", title=title, box=box.SIMPLE_HEAD)
        kept = _left_out(errors[KEPT[0]], KEPT[1])
        for rule, rule_errors in errors.items():
            for goal in GOALS if rule == "common" else list(GOALS)[::2]:
                chosen = dict.fromkeys(rule_errors.all, _chosen(rule_errors, goal, list(rule_errors.all)))
                out = _left_out(rule_errors, goal)
                table.add_row(
                    rule,
                    goal,
                    _mean(rule_errors, chosen),
                    _mean(rule_errors, out),
                    _difference(rule_errors, out, errors[KEPT[0]], kept),
                )
        console.print(table)


def _errors(
    domain_of_field: Sequence[str], records: Sequence[Record], detections: Sequence[Detections], label: int, rule: Rule
) -> Errors:
    clear: dict[str, list[Floats]] = {domain: [] for domain in sorted(set(domain_of_field))}
    every: dict[str, list[Floats]] = {domain: [] for domain in clear}
    for domain, record, cells in zip(domain_of_field, records, detections, strict=True):
        seen, labelled = cells.label == label, record.label == label
        score = cells.score[seen].astype(np.float64)
        least = rule(np.sort(score)) - 1e-9
        inner, truth = (
            clear_of_border_zone(cells.xyxy[seen], cells.size_wh),
            clear_of_border_zone(record.xyxy[labelled], record.size_wh),
        )
        counts = score[None] >= least[:, None]
        every[domain].append(np.abs(counts.sum(axis=1) - len(truth)))
        clear[domain].append(np.abs((counts & inner).sum(axis=1) - truth.sum()))
    return Errors(*({domain: np.array(rows, float) for domain, rows in part.items()} for part in (clear, every)))


def _chosen(errors: Errors, goal: str, on: Sequence[str]) -> int:
    """Index of the threshold with the least error in the domains `on`, each weighing the same."""
    of_clear, of_all = GOALS[goal]
    means = [of_clear * errors.clear[d].mean(axis=0) + of_all * errors.all[d].mean(axis=0) for d in on]
    return middle_of_best(np.mean(means, axis=0))


def _left_out(errors: Errors, goal: str) -> dict[str, int]:
    """For each domain, the threshold tuned on the others."""
    return {domain: _chosen(errors, goal, [other for other in errors.all if other != domain]) for domain in errors.all}


def _mean(errors: Errors, chosen: Mapping[str, int]) -> str:
    every, clear = (np.mean([part[d][:, i].mean() for d, i in chosen.items()]) for part in (errors.all, errors.clear))
    return f"{every:.2f} / {clear:.2f}"


def _difference(a: Errors, of_a: Mapping[str, int], b: Errors, of_b: Mapping[str, int]) -> str:
    """Error of all cells of one rule less that of another, with its 95 % interval over fields."""
    value, drawn = 0.0, np.zeros(1)
    for i, domain in enumerate(a.all):
        apart = a.all[domain][:, of_a[domain]] - b.all[domain][:, of_b[domain]]
        value += apart.mean() / len(a.all)
        drawn = drawn + resamples(len(apart), seed=i) @ apart / len(apart) / len(a.all)
    difference = bootstrap(value, drawn, sum(len(errors) for errors in a.all.values()))
    # Rules that choose alike leave nothing that scatters, and so no interval.
    return markdown.shown(difference, "+.2f")


def parser() -> Parser:
    """What the command takes."""
    made = Parser("benchmarks.threshold_rules", "[OPTION]... --data <path>", command.__doc__)
    made.add_argument("--data", type=Path, action="append", required=True, help="data.yaml of datasets whose val fields are used")
    made.add_argument("--model", type=Path, help="an .onnx model of ours; default: the one shipped")
    return made


if __name__ == "__main__":
    run(command, parser())
