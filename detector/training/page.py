"""The model card as a page for people, made from the card for programs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from detector.counting.expected import corrections
from detector.vision.sums import val_sums

_NOT_KNOWN = "Licence and credits are not known to this program (it has no descriptor of this name)."

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
        *(_adapted(card) if "adapted" in card else _tuned(card)),
        *_evaluations(card),
        *_left_out(card),
        *known_failures(card),
        "## Training data",
        "",
        *training_data(card),
        "",
        "## Recipe",
        "",
        ", ".join(f"{key} {value}" for key, value in card["training"].items()) + ".",
        "",
        "Versions: " + ", ".join(f"{key} {value}" for key, value in card["versions"].items()) + ".",
    ]
    return "\n".join(lines) + "\n"


def _tuned(card: Mapping[str, Any]) -> list[str]:
    """What a training's validation fields tell."""
    return [
        "Mean absolute error of the count per field, on the validation fields on which the thresholds were tuned. On other fields it "
        "is larger:",
        "",
        *_error_table(card),
        "",
        *_operating(card),
        _parity(card["parity_with_weights"]),
        *_levels(card.get("levels")),
        "",
    ]


def _adapted(card: Mapping[str, Any]) -> list[str]:
    """What the corrected fields of a laboratory tell."""
    adapted = card["adapted"]
    before, kept = (next(c for c in adapted["choices"] if c["kind"] == kind) for kind in ("shipped", adapted["kept"]))
    lines = [
        f"Adapted to a laboratory ({card['about'] or 'microscope and stain are not named'}) by {adapted['fields']} corrected fields. Mean "
        "absolute error of the count per field, each field counted by weights and thresholds that do not know its part of the fields:",
        "",
        "| cells | labelled | before | adapted | change | rendered fields before | adapted |",
        "|---|---|---|---|---|---|---|",
    ]
    for name in card["class_names"]:
        columns = [before["own_error"], kept["own_error"], kept["own_change"], before["home_error"], kept["home_error"]]
        errors = (in_words(column[name], 2) for column in columns)
        lines.append(f"| {name} | {adapted['cells'][name]} | {' | '.join(errors)} |")
    return [*lines, "", *_operating(card)]


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
        tuned = tuning[name]
        costs = (
            f"{at['error']:.2f} ({at['own_error']:.2f} at its best threshold, {at['own_threshold']:.2f})"
            for at in (tuned["domains"][domain] for domain in domains)
        )
        lines.append(f"| {name} | {value:.2f} ({tuned['low']:.2f} to {tuned['high']:.2f}) | {' | '.join(costs)} |")
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
    fields = sum(domain.fields for domain in next(iter(sums.values())).values())
    factors = corrections(sums)
    lines = [
        f"Precision and recall at these thresholds, on the same {fields} validation fields, and the expected number of true cells for "
        "each counted cell in fields of another stain (`docs/expected_count.md`), with 95 % intervals:",
        "",
        "| cells | precision | recall | true cells per counted cell |",
        "|---|---|---|---|",
    ]
    for name in card["class_names"]:
        at, correction = card["val_precision_recall"][name], factors[name]
        factor = "not known: too few in the validation fields" if correction is None else in_words(asdict(correction.factor), 2)
        lines.append(f"| {name} | {in_words(at['precision'], 3)} | {in_words(at['recall'], 3)} | {factor} |")
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


def _evaluations(card: Mapping[str, Any]) -> list[str]:
    """A table for each evaluation on the card, over all fields and by domain, with 95 % intervals."""
    lines: list[str] = []
    for figures in card.get("figures", ()):
        left_out = f" ({figures['left_out']} left out)" if figures["left_out"] else ""
        lines += [
            f"## On {figures['fields']} fields of {figures['data']}, split {figures['split']}{left_out}",
            "",
            f"mAP50 {in_words(figures['map50'], 3)}, mAP50-95 {in_words(figures['map50_95'], 3)}. "
            "Mean absolute error of the count per field:",
            "",
            "| fields | cells | all | clear of the border | constant baseline | AP50 | AP50-95 |",
            "|---|---|---|---|---|---|---|",
            *_rows(f"all {figures['fields']}", figures, card),
        ]
        for domain, part in figures.get("domains", {}).items():
            lines += _rows(f"{domain}, {part['fields']}", part, card)
        lines.append("")
    return lines


def _left_out(card: Mapping[str, Any]) -> list[str]:
    """A table of laboratories' fields, counted by models that never saw any field of theirs; nothing where no model was trained so."""
    evaluations = card.get("left_out", ())
    if not evaluations:
        return []
    lines = [
        "## In laboratories that a model never saw",
        "",
        "Test fields of a laboratory, counted by another model that was trained without any field of it. Mean absolute error of the "
        "count per field:",
        "",
        "| fields | cells | all | clear of the border | constant baseline | AP50 | AP50-95 |",
        "|---|---|---|---|---|---|---|",
    ]
    for figures in evaluations:
        lines += _rows(f"{figures['data']}, {figures['fields']}", figures, card)
    digests = sorted({figures["model_sha256"] for figures in evaluations})
    return [*lines, "", f"SHA-256 of the models: {', '.join(f'`{digest[:12]}`' for digest in digests)}.", ""]


def _rows(fields: str, figures: Mapping[str, Any], card: Mapping[str, Any]) -> Iterator[str]:
    for name in card["class_names"]:
        # Cards of former versions lack some kinds.
        errors = (("all_cells", 2), ("clear_cells", 2), ("constant_baseline", 2))
        shown = (
            in_words(figures[kind].get(name), digits) if kind in figures else "-"
            for kind, digits in (*errors, ("ap50", 3), ("ap50_95", 3))
        )
        yield f"| {fields} | {name} | {' | '.join(shown)} |"


def in_words(figure: Mapping[str, float | None] | None, digits: int) -> str:
    """A figure and its interval in words."""
    if figure is None:
        return "undefined"
    interval = "" if figure["low"] is None else f" ({figure['low']:.{digits}f} to {figure['high']:.{digits}f})"
    return f"{figure['value']:.{digits}f}{interval}"


def known_failures(card: Mapping[str, Any]) -> list[str]:
    """How each class fails in each evaluation, and the fields in which it fails most; nothing where no evaluation says."""
    evaluations = [evaluation for evaluation in card.get("figures", ()) if evaluation.get("failures")]
    if not evaluations:
        return []
    lines = [
        "## Known failures",
        "",
        "At the thresholds, compared with the labels as they are, so a false detection may be a cell that was not labelled. Missed and "
        "false cells are assigned to the first situation that fits: at the border (an edge within 1.5 % of the field's side), taken for "
        "another class, among touching cells, or by itself.",
        "",
    ]
    for evaluation in evaluations:
        lines += [f"On {evaluation['data']}, split {evaluation['split']}:", ""]
        for name, at in evaluation["failures"].items():
            lines.append(f"- {name}: {_mistakes(at)}.")
            lines += [
                f"    - `{worst['field']}`: counted {worst['counted']}, labelled {worst['truth']}; {_mistakes(worst)}"
                for worst in at["worst"]
            ]
        lines.append("")
    return lines


def _mistakes(at: Mapping[str, Any]) -> str:
    return ", ".join(f"{sum(at[which].values())} {which}{_kinds(at[which])}" for which in ("missed", "false"))


def _kinds(kinds: Mapping[str, int]) -> str:
    parts = ", ".join(f"{n} {kind}" for kind, n in kinds.items() if n)
    return f" ({parts})" if parts else ""


def training_data(card: Mapping[str, Any]) -> list[str]:
    """What each dataset is, whose it is, and what its audit found; the lines of training fields alone for cards without that."""
    datasets: Mapping[str, Any] = card.get("datasets", {})
    if not datasets:
        return [f"- {line}" for line in card["data"]]
    # The order of the datasets is that of their lines.
    lines: list[str] = []
    for (name, origin), fields in zip(datasets.items(), card["data"], strict=True):
        lines += [
            f"**{name}**: {_credit(origin)}",
            "",
            f"- Trained on {fields.removeprefix(f'{name}: ')}.",
            *_audited(origin),
            "",
        ]
    return lines[:-1]


def _credit(origin: Mapping[str, Any]) -> str:
    if "licence" not in origin:
        return _NOT_KNOWN
    return f"{origin['title']}. <{origin['homepage']}>. Licence: {origin['licence']}. Credits: {'; '.join(origin['credits'])}."


def _audited(origin: Mapping[str, Any]) -> Iterator[str]:
    if "fields" not in origin:
        yield "- Not converted by this program, so not audited."
        return
    yield "- Splits: " + ", ".join(f"{split} {n} fields" for split, n in origin["fields"].items()) + "."
    pairs = ", ".join(f"{n} between {splits}" for splits, n in origin["same_cells_across_splits"].items())
    yield f"- Pairs of fields that show the same cells in two splits: {pairs or 'none'}."
    if origin["boxes_dropped"]:
        yield "- Boxes dropped: " + ", ".join(f"{n} ({reason})" for reason, n in origin["boxes_dropped"].items()) + "."
    yield f"- {_corrected(origin['corrections'])}."


def _corrected(at: Mapping[str, Any] | None) -> str:
    if at is None:
        return "Labels as published, not corrected"
    return (
        f"Labels corrected by `{at['file']}` (SHA-256 `{at['sha256'][:12]}`): {at['remove']} boxes removed, {at['relabel']} given "
        f"another class, {at['add']} added, {at['not_applied']} changes not applied"
    )
