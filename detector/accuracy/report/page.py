"""The report of an evaluation as one HTML file that asks nothing of a network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from detector.accuracy.evaluation import Evaluation
from detector.accuracy.plots import style
from detector.accuracy.report import figures, overlays
from detector.accuracy.report.drawn import Plots
from detector.output import html

MOST_ROWS = 2000
"""Rows of the table of fields."""
MOST_NAMED = 300
"""Fields named in a list of those with a fault."""

_TEMPLATES = Path(__file__).parent / "templates"


def write_evaluation(target: Path, result: Evaluation, about: Mapping[str, Any], plots: Plots) -> None:
    """Write the page of a model against labels.

    Raises:
        OutputError: it cannot be written.
    """
    html.write(target, of_evaluation(result, about, plots))


def of_evaluation(result: Evaluation, about: Mapping[str, Any], plots: Plots) -> str:
    """The page of a model against labels; `about` as in `metrics.json`."""
    drawn = [one for one in map(overlays.of, result.worst) if one is not None]
    return html.render(
        _TEMPLATES,
        sentence=figures.sentence(result, about),
        about=about,
        settings=figures.settings(about),
        colours=style.OF_CLASS,
        plots=plots,
        found=figures.found(result),
        confusion=figures.confusion(result.confusion),
        counts=figures.counts(result),
        smears=figures.smears(result),
        domains=figures.domains(result),
        slices=figures.slices(result.slices),
        failures=figures.failures(result),
        lists=figures.lists(result),
        worst=drawn,
        field_rows=[figures.field_row(one) for one in result.per_field[:MOST_ROWS]],
        field_columns=figures.FIELD_COLUMNS,
        fields=len(result.per_field),
        most_named=MOST_NAMED,
        classes=list(style.OF_CLASS),
    )
