"""The card of a classifier of red cell shapes as a page for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from detector.counting.shapes import shortfall
from detector.output.files import write_text
from detector.vision.shapes import NOT_SURE, ShapeCard


def write(target: Path, card: ShapeCard) -> None:
    """Write the page.

    Raises:
        OSError: it cannot be written.
    """
    write_text(target, text(card))


def text(card: ShapeCard) -> str:
    """The page in Markdown."""
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
                ("the same without temperature", _percent(own["ece_before"]), ""),
                *((f"{name}: accuracy, balanced accuracy", f"{_percent(of['accuracy'])}, {_percent(of['balanced'])}", "")
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
    first, second = (_percent(of[name]) + _between(of["limits"].get(name)) for of in (own, test))
    return first, second


def _between(limits: Sequence[float] | None) -> str:
    return f" ({_percent(limits[0])} to {_percent(limits[1])})" if limits else ""


def _percent(share: float) -> str:
    return f"{100 * share:.1f} %"


def _span(shares: Sequence[float]) -> str:
    return f"{_percent(min(shares))} to {_percent(max(shares))}, {len(shares)} smears" if shares else "not known"


def _confusion(names: Sequence[str], rows: Sequence[Sequence[int]]) -> str:
    body = [(f"**{name}**", *(f"{number:,}" if number else "" for number in row)) for name, row in zip(names, rows, strict=True)]
    return _table(("labelled, below; called, right", *names, NOT_SURE), body)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
