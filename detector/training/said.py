"""What an adaptation gained, in words and as a table for the terminal."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from detector.accuracy.terminal import empty_table, two_lines
from detector.output.figures import percent
from detector.training.adaptation import SHIPPED, TRAINED, TUNED, Choice
from detector.vision.cells import CLASSES

KINDS = {SHIPPED: "as it was", TUNED: "own thresholds", TRAINED: "trained"}
"""Names of the models that are compared."""


def table(choices: Sequence[Choice]) -> Table:
    """Errors of each model, class by class."""
    made = empty_table(
        ["cells", *(KINDS[choice.kind] for choice in choices), "rendered fields, before", "trained"],
        "Mean absolute error of the count a field (95 %)",
        "Each corrected field is counted by a model that does not know it. Rendered fields of many kinds tell what was forgotten.",
    )
    for name in CLASSES:
        own = [two_lines(choice.own[name].mae, 2) for choice in choices]
        made.add_row(name, *own, *(two_lines(choices[i].home[name].mae, 2) for i in (0, -1)))
    return made


def gain(choice: Choice) -> str:
    """By how much a model errs less than the one as it was."""
    forgot = "; errs more on rendered fields than it may" if choice.forgot else ""
    limits = "" if choice.gain.limits is None else " ({} to {})".format(*map(percent, choice.gain.limits))
    return f"errors lower by {percent(choice.gain.value)}{limits} of a field's cells{forgot}"
