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
        *_evaluations(card),
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
        f"It lacks the weights' level for places of {places} px, which never answers: no score there reaches {levels['least_score']:g} "
        f"in any of {levels['fields']} training and validation fields."
    ]


def _parity(parity: Mapping[str, int]) -> str:
    return (
        f"The file counts the same as the weights that it was made from in {parity['equal']} of {parity['fields']} validation fields; "
        f"the largest difference of a class in a field is {parity['worst']}."
    )


def _evaluations(card: Mapping[str, Any]) -> list[str]:
    """A table for each evaluation on the card, over all fields and by domain, with 95 % intervals."""
    lines: list[str] = []
    for one in card.get("figures", ()):
        left_out = f" ({one['left_out']} left out)" if one["left_out"] else ""
        lines += [
            f"## On {one['fields']} fields of {one['data']}, split {one['split']}{left_out}",
            "",
            f"mAP50 {in_words(one['map50'], 3)}, mAP50-95 {in_words(one['map50_95'], 3)}. Mean absolute error of the count per field:",
            "",
            "| fields | cells | all | clear of the border | constant baseline | AP50 | AP50-95 |",
            "|---|---|---|---|---|---|---|",
            *_rows(f"all {one['fields']}", one, card),
        ]
        for domain, of in one.get("domains", {}).items():
            lines += _rows(f"{domain}, {of['fields']}", of, card)
        lines.append("")
    return lines


def _rows(fields: str, one: Mapping[str, Any], card: Mapping[str, Any]) -> Iterator[str]:
    for name in card["class_names"]:
        errors = (in_words(one[kind].get(name), 2) for kind in ("all_cells", "clear_cells", "guess"))
        # Cards made before there was this have no precision by class.
        precision = (in_words(one[kind][name], 3) if kind in one else "-" for kind in ("ap50", "ap50_95"))
        yield f"| {fields} | {name} | {' | '.join((*errors, *precision))} |"


def in_words(one: Mapping[str, float | None] | None, digits: int) -> str:
    """A figure and its interval in words."""
    if one is None:
        return "undefined"
    interval = "" if one["low"] is None else f" ({one['low']:.{digits}f} to {one['high']:.{digits}f})"
    return f"{one['value']:.{digits}f}{interval}"


def known_failures(card: Mapping[str, Any]) -> list[str]:
    """How each class fails in each evaluation, and the fields in which it fails most; nothing where no evaluation says."""
    told = [one for one in card.get("figures", ()) if one.get("failures")]
    if not told:
        return []
    lines = [
        "## Known failures",
        "",
        "Counted at the thresholds, against the labels as they are: a cell that is found where no label is may be a cell. A missed or "
        "false cell is of the first kind that fits: at the border (an edge within 1.5 % of the field's side), taken for another class, "
        "among touching cells, or by itself.",
        "",
    ]
    for one in told:
        lines += [f"On {one['data']}, split {one['split']}:", ""]
        for name, at in one["failures"].items():
            lines.append(f"- {name}: {_told(at)}.")
            lines += [
                f"    - `{worst['field']}`: counted {worst['counted']}, labelled {worst['truth']}; {_told(worst)}"
                for worst in at["worst"]
            ]
        lines.append("")
    return lines


def _told(at: Mapping[str, Any]) -> str:
    return ", ".join(f"{sum(at[which].values())} {which}{_kinds(at[which])}" for which in ("missed", "false"))


def _kinds(kinds: Mapping[str, int]) -> str:
    told = ", ".join(f"{n} {kind}" for kind, n in kinds.items() if n)
    return f" ({told})" if told else ""


def training_data(card: Mapping[str, Any]) -> list[str]:
    """What each dataset is, whose it is, and what its audit found; the lines of training fields alone for cards without that."""
    known: Mapping[str, Any] = card.get("datasets", {})
    if not known:
        return [f"- {line}" for line in card["data"]]
    # The order of the datasets is that of their lines.
    lines: list[str] = []
    for (name, one), fields in zip(known.items(), card["data"], strict=True):
        lines += [f"**{name}**: {_credit(one)}", "", f"- Trained on {fields.removeprefix(f'{name}: ')}.", *_audited(one), ""]
    return lines[:-1]


def _credit(one: Mapping[str, Any]) -> str:
    if "licence" not in one:
        return _NOT_KNOWN
    return f"{one['title']}. <{one['homepage']}>. Licence: {one['licence']}. Credits: {'; '.join(one['credits'])}."


def _audited(one: Mapping[str, Any]) -> Iterator[str]:
    if "fields" not in one:
        yield "- Not converted by this program, so not audited."
        return
    yield "- Splits: " + ", ".join(f"{split} {n} fields" for split, n in one["fields"].items()) + "."
    pairs = ", ".join(f"{n} between {splits}" for splits, n in one["same_cells_across_splits"].items())
    yield f"- Pairs of fields that show the same cells in two splits: {pairs or 'none'}."
    if one["boxes_dropped"]:
        yield "- Boxes dropped: " + ", ".join(f"{n} ({reason})" for reason, n in one["boxes_dropped"].items()) + "."
    yield f"- {_corrected(one['corrections'])}."


def _corrected(at: Mapping[str, Any] | None) -> str:
    if at is None:
        return "Labels as published, not corrected"
    return (
        f"Labels corrected by `{at['file']}` (SHA-256 `{at['sha256'][:12]}`): {at['remove']} boxes removed, {at['relabel']} given "
        f"another class, {at['add']} added, {at['not_applied']} changes not applied"
    )
