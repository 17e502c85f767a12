"""The model card as a page for people, made from the card for programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from detector.counting.expected import corrections
from detector.training import sections
from detector.vision.sums import val_sums

_USE = """\
## Intended use

For counting red cells, white cells and platelets in stained, thin blood smears photographed through a microscope, by people who
check the counts. Not for diagnosis, and not a medical device. White cells are counted, not told apart. Smears, stains and cameras
unlike those of the training data must be checked against counts by hand before the counts are used
(`python -m detector.count FIELDS --truth COUNTS.csv`)."""


def render(card: Mapping[str, Any]) -> str:
    """Markdown of a model card, from the content of the `.json` beside the model."""
    lines = [
        f"# Model card: {card['name']}",
        "",
        f"SHA-256 of the `.onnx` file: `{card['sha256']}`. Licence: {card['licence']}.",
        "",
        _USE,
        "",
        "## How it counts",
        "",
        f"The scale of a smear is told by its red cells, or given; fields are shown with red cells {card['shown_px']:g} px wide, in tiles "
        f"where they are large. Where no scale is known a field is scaled to {card['image_px']} px on its long side; red cells of the "
        f"training fields are then about {card['rbc_px']:g} px wide.",
        "",
        f"Thresholds: {card['thresholds_from']}.",
        "",
        *_thresholds(card),
        "",
        "Error of the count on the validation fields that the thresholds were tuned on (mean absolute error per field, so better "
        "than on other fields):",
        "",
        *_error_table(card),
        "",
        *_operating(card),
        _parity(card["parity_with_weights"]),
        *_levels(card.get("levels")),
        "",
        *sections.figures(card),
        *sections.failures(card),
        "## Training data",
        "",
        *sections.data(card),
        "",
        "## Recipe",
        "",
        ", ".join(f"{key} {value}" for key, value in card["training"].items()) + ".",
        "",
        "Versions: " + ", ".join(f"{key} {value}" for key, value in card["versions"].items()) + ".",
    ]
    return "\n".join(lines) + "\n"


def _thresholds(card: Mapping[str, Any]) -> list[str]:
    """The threshold of each class, and what it costs each domain beside the one that the domain would choose by itself."""
    tuning = card.get("threshold_tuning")
    if tuning is None:
        return [
            "| cells | least score |",
            "|---|---|",
            *(f"| {name} | {value:.2f} |" for name, value in card["thresholds"].items()),
        ]
    domains = list(next(iter(tuning.values()))["domains"])
    lines = [f"| cells | least score | {' | '.join(domains)} |", "|---|---|" + "---|" * len(domains)]
    for name, value in card["thresholds"].items():
        one = tuning[name]
        costs = (
            f"{at['error']:.2f} ({at['own_error']:.2f} at its own best, {at['own_threshold']:.2f})"
            for at in (one["domains"][domain] for domain in domains)
        )
        lines.append(f"| {name} | {value:.2f} ({one['low']:.2f} to {one['high']:.2f}) | {' | '.join(costs)} |")
    return [
        *lines,
        "",
        "In brackets after a threshold: 95 % of those that are chosen when the fields are drawn anew. For each domain: the mean error "
        "per field of the count of cells clear of the border at the common threshold, and what it would be at the threshold that is "
        "best for that domain alone.",
        "",
        f"![Error of the count against the threshold]({card['name']}.thresholds.png)",
    ]


def _operating(card: Mapping[str, Any]) -> list[str]:
    """Precision and recall at the thresholds, and what they make of a count; nothing for a card made before there was this."""
    if card.get("val_sums") is None:
        return []
    sums = val_sums(card["val_sums"])
    fields = sum(one.fields for one in next(iter(sums.values())).values())
    known = corrections(sums)
    lines = [
        f"Precision and recall at these thresholds, on the same {fields} validation fields, and the true cells to be expected for each "
        "counted one in fields of a stain that is not among theirs (`docs/expected_count.md`), with 95 % intervals:",
        "",
        "| cells | precision | recall | true cells per counted cell |",
        "|---|---|---|---|",
    ]
    for name in card["class_names"]:
        at, correction = card["val_precision_recall"][name], known[name]
        factor = (
            "not known: too few in the validation fields" if correction is None else sections.figure(asdict(correction.factor), 2)
        )
        lines.append(f"| {name} | {sections.figure(at['precision'], 3)} | {sections.figure(at['recall'], 3)} | {factor} |")
    return [*lines, ""]


def _error_table(card: Mapping[str, Any]) -> list[str]:
    names = card["class_names"]
    rows = [f"| {group} | " + " | ".join(f"{error[name]:.2f}" for name in names) + " |" for group, error in
            card["val_count_error_per_field"].items()]  # fmt: skip
    return ["| fields | " + " | ".join(names) + " |", "|---|" + "---|" * len(names), *rows]


def _levels(levels: Mapping[str, Any] | None) -> list[str]:
    """Which levels of the network the file lacks, where it lacks one."""
    if levels is None:
        return []
    silent = [px for px in levels["places_px"] if px not in levels["kept_px"]]
    if not silent:
        return []
    places = " and ".join(map(str, silent))
    return [
        f"It lacks the weights' level for places of {places} px, which never answers: no score there reaches {levels['least_score']:g} "
        f"in any of {levels['fields']} training and validation fields."
    ]


def _parity(parity: Mapping[str, int]) -> str:
    return (
        f"The file counts the same as the weights that it was made from in {parity['equal']} of {parity['fields']} validation fields; "
        f"the largest difference of a class in a field is {parity['worst']}."
    )
