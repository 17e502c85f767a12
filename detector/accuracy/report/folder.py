"""The folder that an evaluation leaves: what was evaluated, its files, and its report as one page that asks nothing of a network."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib import metadata
from pathlib import Path
from typing import Any

from detector.accuracy.comparison import TableEvaluation
from detector.accuracy.evaluation import Evaluation
from detector.accuracy.report import content, drawings, metrics, pages, sheets
from detector.accuracy.report.drawings import Plots
from detector.accuracy.report.sheets import Sheet
from detector.errors import writing
from detector.output import html, results
from detector.vision.drawing import HEX_COLOURS
from detector.vision.model import Model

REPORT = "report.html"
FILES = (metrics.NAME, metrics.FIELDS, drawings.FOLDER, REPORT)
"""What an evaluation leaves in its folder."""

MOST_NAMED = 300
"""Fields named in a list of those with a fault."""
_MOST_OPEN = 20
"""A longer list is folded."""
_TEMPLATES = Path(__file__).parent / "templates"


@contextmanager
def begun(out: Path | None, kind: str = "evaluate") -> Iterator[Path]:
    """The folder for results, `runs/KIND/<time>` where none is given; where the block does not end well, nothing is left in it.

    Raises:
        OutputError: it cannot be made or written, or holds the results of an evaluation already.
    """
    target = out or results.default_folder(kind)
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


def write_model(target: Path, result: Evaluation, about: Mapping[str, Any]) -> dict[str, Any]:
    """Write `metrics.json`, `fields.csv`, the plots and `report.html` of a model against labels; gives the content of the first.

    Raises:
        OutputError: one of them cannot be written. MissingExtraError: matplotlib is not installed.
    """
    document = metrics.of_evaluation(result, about)
    with writing(target):
        metrics.write(target / metrics.NAME, document)
        metrics.write_fields(target / metrics.FIELDS, metrics.rows_of_evaluation(result.per_field, result.unread))
        html.write(target / REPORT, render(pages.model_page(result, about), drawings.of_evaluation(target, result)))
    return document


def write_tables(target: Path, result: TableEvaluation, about: Mapping[str, Any]) -> dict[str, Any]:
    """Write the same of counts against true counts; `fields.csv` has a row for each smear where smears are compared.

    Raises:
        OutputError: one of them cannot be written. MissingExtraError: matplotlib is not installed.
    """
    document = metrics.of_tables(result, about)
    with writing(target):
        metrics.write(target / metrics.NAME, document)
        metrics.write_fields(target / metrics.FIELDS, metrics.rows_of_tables(result))
        html.write(target / REPORT, render(pages.tables_page(result, about), drawings.of_tables(target, result)))
    return document


def write_study(out: Path | None, study: Sheet, about: Mapping[str, Any], kind: str = "evaluate") -> Path:
    """Write `report.html`, `metrics.json` and the plots of a laboratory's study into a folder, which is given back.

    Args:
        out: the folder; None makes a new one, named by its `kind` and the time.

    Raises:
        OutputError: one of them cannot be written, or stands there already. MissingExtraError: matplotlib is not installed.
    """
    with begun(out, kind) as target:
        sheets.write(target, study, (REPORT, metrics.NAME, drawings.FOLDER), about)
    return target


def render(page: content.Page, plots: Plots) -> str:
    """The page as HTML."""
    return html.render(
        _TEMPLATES,
        page=page,
        about=page.about,
        lists=[listed for listed in page.lists if listed.names],
        settings=_settings(page.about),
        plots=plots,
        colours=HEX_COLOURS,
        most_named=MOST_NAMED,
        most_open=_MOST_OPEN,
    )


def _settings(about: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What was compared, as names and values; what does not apply is left out."""
    rows = [(name, about[name]) for name in ("data", "split", "smears", "also", "counts", "truth") if about.get(name)]
    rows += [row for title, key in (("model", "model"), ("other model", "other")) for row in _side(title, about.get(key))]
    return [*rows, ("versions", ", ".join(f"{name} {value}" for name, value in about["versions"].items()))]


def _side(title: str, side: Mapping[str, Any] | str | None) -> list[tuple[str, str]]:
    if side is None:
        return []
    if isinstance(side, str):
        return [("other counts", side)]
    return [
        (title, f"{side['name']} ({side['file']})"),
        ("SHA-256", side["sha256"]),
        ("thresholds", ", ".join(f"{name} {value:g}" for name, value in side["thresholds"].items())),
        ("overlap suppressed", f"IoU above {side['nms_iou']:g}"),
        ("model input", f"{side['image_px']} px"),
    ]


def about_model(
    data: Path, split: str, left_out: int, smears: Path | None, model: Model, against: Model | None, also: Path | None = None
) -> dict[str, Any]:
    """A model, or two, against the labels of a dataset; `left_out` fields of the split were not asked for."""
    return {
        "data": portable(data),
        "split": split,
        "left_out": left_out,
        "smears": smears and portable(smears),
        "also": also and portable(also),
        "model": results.describe_model(model),
        "other": against and results.describe_model(against),
        "versions": versions(),
    }


def about_tables(counts: Path, truth: Path, against: Path | None) -> dict[str, Any]:
    """A table of counts, or two, against true counts."""
    return {
        "counts": portable(counts),
        "truth": portable(truth),
        "other": against and portable(against),
        "versions": versions(),
    }


def versions() -> dict[str, str]:
    """Versions of what the figures come from."""
    try:
        reference = {"pycocotools": metadata.version("pycocotools")}
    except metadata.PackageNotFoundError:
        reference = {}
    return results.versions() | reference


def portable(path: Path) -> str:
    """A path as it stands below the folder of the call, or else its last two parts, which say enough elsewhere."""
    if not path.is_absolute() and ".." not in path.parts:
        return path.as_posix()
    try:
        return path.resolve().relative_to(Path.cwd()).as_posix()
    except ValueError:
        return Path(*path.resolve().parts[-2:]).as_posix()
