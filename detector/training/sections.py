"""Sections of the model card's page: figures of evaluations, known failures, training data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

_NOT_KNOWN = "Licence and credits are not known to this program (it has no descriptor of this name)."


def figures(card: Mapping[str, Any]) -> list[str]:
    """A table for each evaluation on the card, over all fields and by domain, with 95 % intervals."""
    lines: list[str] = []
    for one in card.get("figures", ()):
        left_out = f" ({one['left_out']} left out)" if one["left_out"] else ""
        lines += [
            f"## On {one['fields']} fields of {one['data']}, split {one['split']}{left_out}",
            "",
            f"mAP50 {figure(one['map50'], 3)}, mAP50-95 {figure(one['map50_95'], 3)}. Mean absolute error of the count per field:",
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
        errors = (figure(one[kind].get(name), 2) for kind in ("all_cells", "clear_cells", "guess"))
        # Cards made before there was this have no precision by class.
        precision = (figure(one[kind][name], 3) if kind in one else "-" for kind in ("ap50", "ap50_95"))
        yield f"| {fields} | {name} | {' | '.join((*errors, *precision))} |"


def figure(one: Mapping[str, float | None] | None, digits: int) -> str:
    """A figure and its interval in words."""
    if one is None:
        return "undefined"
    interval = "" if one["low"] is None else f" ({one['low']:.{digits}f} to {one['high']:.{digits}f})"
    return f"{one['value']:.{digits}f}{interval}"


def failures(card: Mapping[str, Any]) -> list[str]:
    """How each class fails in each evaluation, and the fields in which it fails most; nothing where no evaluation says."""
    told = [one for one in card.get("figures", ()) if one.get("failures")]
    if not told:
        return []
    lines = [
        "## Known failures",
        "",
        "At the thresholds, compared with the labels as they are, so a false detection may be a cell that was not labelled. Missed and "
        "false cells are assigned to the first situation that fits: at the border (an edge within 1.5 % of the field's side), taken for "
        "another class, among touching cells, or by itself.",
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


def data(card: Mapping[str, Any]) -> list[str]:
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
