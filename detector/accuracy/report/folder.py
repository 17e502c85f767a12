"""The folder that an evaluation leaves."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from detector.accuracy.evaluation import Evaluation
from detector.accuracy.report import drawn, fields, metrics, model_page, page, tables_page
from detector.accuracy.tabled import TableEvaluation
from detector.errors import writing
from detector.output import html, results

REPORT = "report.html"
FILES = (metrics.NAME, fields.NAME, drawn.FOLDER, REPORT)
"""What an evaluation leaves in its folder."""


@contextmanager
def begun(out: Path | None) -> Iterator[Path]:
    """The folder for results, `runs/evaluate/<time>` where none is given; where the block does not end well, nothing is left in it.

    Raises:
        OutputError: it cannot be made or written, or holds the results of an evaluation already.
    """
    target = out or results.default_folder("evaluate")
    results.make_folder(target, FILES)
    try:
        yield target
    except BaseException:
        # What stands under these names is ours: nothing did before.
        for name in FILES:
            shutil.rmtree(target / name, ignore_errors=True)
            (target / name).unlink(missing_ok=True)
        with suppress(OSError):
            target.rmdir()
        raise


def write_model(target: Path, result: Evaluation, about: Mapping[str, Any]) -> None:
    """Write `metrics.json`, `fields.csv`, the plots and `report.html` of a model against labels.

    Raises:
        OutputError: one of them cannot be written. MissingExtraError: matplotlib is not installed.
    """
    with writing(target):
        metrics.write(target / metrics.NAME, metrics.of_evaluation(result, about))
        fields.write(target / fields.NAME, fields.of_evaluation(result.per_field, result.unread))
        html.write(target / REPORT, page.render(model_page.page(result, about), drawn.of_evaluation(target, result)))


def write_tables(target: Path, result: TableEvaluation, about: Mapping[str, Any]) -> None:
    """Write the same of counts against true counts; `fields.csv` has a row for each smear where smears are compared.

    Raises:
        OutputError: one of them cannot be written. MissingExtraError: matplotlib is not installed.
    """
    with writing(target):
        metrics.write(target / metrics.NAME, metrics.of_tables(result, about))
        fields.write(target / fields.NAME, fields.of_tables(result))
        html.write(target / REPORT, page.render(tables_page.page(result, about), drawn.of_tables(target, result)))
