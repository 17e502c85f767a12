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
check the counts. Not for diagnosis, and not a medical device. Types of white cells are not distinguished. For smears, stains and
cameras unlike those of the training data, compare with counts by hand before you use the counts
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
        f"The scale of a smear is given, or estimated from its red cells. Fields are shown to the model with red cells "
        f"{card['shown_px']:g} px wide; large fields are shown in tiles. If the scale is not known, a field is scaled to "
        f"{card['image_px']} px on its long side; red cells of the training fields are then about {card['rbc_px']:g} px wide.",
        "",
        f"Thresholds: {card['thresholds_from']}.",
        "",
        *_thresholds(card),
        "",
        "Mean absolute error of the count per field, on the validation fields on which the thresholds were tuned. On other fields it "
        "is larger:",
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
            "| cells | threshold |",
            "|---|---|",
            *(f"| {name} | {value:.2f} |" for name, value in card["thresholds"].items()),
        ]
    domains = list(next(iter(tuning.values()))["domains"])
    lines = [f"| cells | threshold | {' | '.join(domains)} |", "|---|---|" + "---|" * len(domains)]
    for name, value in card["thresholds"].items():
        one = tuning[name]
        costs = (
            f"{at['error']:.2f} ({at['own_error']:.2f} at its best threshold, {at['own_threshold']:.2f})"
            for at in (one["domains"][domain] for domain in domains)
        )
        lines.append(f"| {name} | {value:.2f} ({one['low']:.2f} to {one['high']:.2f}) | {' | '.join(costs)} |")
    return [
        *lines,
        "",
        "In brackets after a threshold: the range of 95 % of the thresholds chosen on resampled fields. For each domain: the mean "
        "absolute error per field of the count of cells clear of the border at the common threshold, and at the threshold that is "
        "best for this domain alone.",
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
        f"Precision and recall at these thresholds, on the same {fields} validation fields, and the expected number of true cells for "
        "each counted cell in fields of another stain (`docs/expected_count.md`), with 95 % intervals:",
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
        f"The detection level of stride {places} of the weights is left out, because it never detects anything: no score there reaches "
        f"{levels['least_score']:g} in any of {levels['fields']} training and validation fields."
    ]


def _parity(parity: Mapping[str, int]) -> str:
    return (
        f"The counts of the file equal those of its weights in {parity['equal']} of {parity['fields']} validation fields; the largest "
        f"difference of a class in a field is {parity['worst']}."
    )
