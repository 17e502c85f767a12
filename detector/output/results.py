"""The folder of results that a count leaves."""

from __future__ import annotations

import json
import platform
import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from detector.counting import expected
from detector.counting.fields import FieldCount, UnreadField
from detector.counting.result import FieldResult
from detector.counting.shapes import ShapeShares
from detector.errors import OutputError, writing
from detector.output import coco, slides, tables
from detector.output.files import write_text
from detector.output.report import page
from detector.shipped import version
from detector.vision import backends
from detector.vision.model import Model

if TYPE_CHECKING:
    from detector.output.outcome import AgainstTruth, Outcome

JOURNAL = "journal.jsonl"
COUNTS, SMEARS, RUN, CELLS = "counts.csv", "smears.csv", "run.json", "detections.json"
SHAPES = "shapes.csv"
OVERLAYS = "overlays"
ARCHIVE_HEADER = "journal/header.json"
"""Head of the journal of a count by several machines, which is a folder."""
REPORT, PDF = "report.html", "report.pdf"
EXCHANGE = "exchange"
"""Folder of the files for other tools."""
FILES = (
    JOURNAL,
    ARCHIVE_HEADER,
    COUNTS,
    SMEARS,
    CELLS,
    RUN,
    REPORT,
    PDF,
    SHAPES,
    "errors.csv",
    "agreement.csv",
    OVERLAYS,
    EXCHANGE,
    slides.TILES,
    slides.DENSITY,
)
"""What a count may leave in its folder."""
STREAM_LOG = "frames.csv"
"""Its like in the folder of a stream."""
MOSAIC = "mosaic.jpg"
STREAM_FILES = (COUNTS, SMEARS, CELLS, RUN, REPORT, STREAM_LOG, MOSAIC)
"""What a stream may leave in its folder."""
RUN_LAYOUT = 4
"""Version of the layout of `run.json`."""


def default_folder(command: str) -> Path:
    """A new folder `runs/COMMAND/<time>` that does not exist yet."""
    base = Path("runs") / command / time.strftime("%Y%m%d-%H%M%S")
    folder = base
    number = 2
    while folder.exists():
        folder = base.with_name(f"{base.name}-{number}")
        number += 1
    return folder


def is_result(folder: Path) -> bool:
    """Whether a folder is one of results, so that its pictures are no fields."""
    saved = all((folder / name).exists() for name in (COUNTS, SMEARS, RUN))
    return saved or any((folder / name).exists() for name in (JOURNAL, ARCHIVE_HEADER, STREAM_LOG))


def prepare(folder: Path, resume: bool) -> None:
    """Make the folder for results.

    Raises:
        OutputError: it cannot be made or written, or holds results already and is not to be continued.
    """
    if resume and not (folder / JOURNAL).exists():
        raise OutputError(f"{folder}: holds no count to resume; leave out --resume to begin one")
    make_folder(folder, () if resume else FILES, "choose another --out, or continue with --resume")


def make_folder(folder: Path, names: Iterable[str], advice: str = "choose another --out") -> None:
    """Make a folder for results that are to stand under `names`.

    Args:
        advice: what would work where results stand there already.

    Raises:
        OutputError: it cannot be made or written, or something stands under one of the names.
    """
    present = [name for name in names if (folder / name).exists()]
    if present:
        raise OutputError(f"{folder}: holds {', '.join(present)} already; {advice}")
    with writing(folder, "choose another --out"):
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable"
        probe.touch()
        probe.unlink()


def save(folder: Path, outcome: Outcome) -> None:
    """Write all that a count leaves but for its journal and overlays.

    Raises:
        OutputError: something cannot be written, or stands there already.
    """
    make_folder(folder, FILES, "choose another folder")
    write(folder, outcome, outcome.run)
    write_cells(folder, outcome.results)
    if outcome.against_truth is not None:
        write_truth(folder, outcome.against_truth)
    page.write(folder / REPORT, outcome, outcome.results, outcome.run)


def write(folder: Path, outcome: Outcome, run: Mapping[str, Any]) -> None:
    """Write `counts.csv`, `smears.csv` and `run.json`, and `shapes.csv` where shapes were asked for.

    Raises:
        OutputError: one of them cannot be written.
    """
    with writing(folder):
        tables.of_fields(outcome.fields).write(folder / COUNTS)
        tables.of_smears(outcome.smears).write(folder / SMEARS)
        if outcome.shapes is not None:
            tables.of_shapes(outcome.shapes).write(folder / SHAPES)
        write_text(folder / RUN, json.dumps(run, indent=2, ensure_ascii=False) + "\n")


def write_truth(folder: Path, truth: AgainstTruth) -> None:
    """Write `errors.csv` and `agreement.csv`.

    Raises:
        OutputError: one of them cannot be written.
    """
    with writing(folder):
        truth.errors.write(folder / "errors.csv")
        truth.agreement.write(folder / "agreement.csv")


def write_cells(folder: Path, results: Iterable[FieldResult]) -> None:
    """Write `detections.json`; of slides, `tiles.csv` and pictures of the density.

    Args:
        results: in the order of the fields; they may come while the count goes on.

    Raises:
        OutputError: one of them cannot be written.
    """
    with writing(folder):
        coco.write(folder / CELLS, slides.write(folder, results))


def describe_run(
    model: Model,
    settings: Mapping[str, Any],
    fields: Sequence[FieldCount | UnreadField],
    started: float,
    finished: float,
) -> dict[str, Any]:
    """What `run.json` holds: how the results were made and how much could be read.

    Args:
        started, finished: seconds since the epoch.
    """
    read = [field for field in fields if isinstance(field, FieldCount)]
    corrected = expected.corrections(model.card.val_sums)
    return {
        "layout": RUN_LAYOUT,
        "versions": versions(),
        "model": {
            **describe_model(model),
            "true_per_counted": {name: correction and asdict(correction.factor) for name, correction in corrected.items()},
        },
        "backend": {"name": model.network.backend, "program": model.network.program, "precision": backends.PRECISION},
        "settings": dict(settings),
        "started": _utc(started),
        "finished": _utc(finished),
        "seconds": round(finished - started, 3),
        "fields": {
            "read": len(read),
            "unread": len(fields) - len(read),
            "saturated": sum(field.saturated for field in read),
        },
        "scales": _scales(read),
    }


def _scales(read: Sequence[FieldCount]) -> list[dict[str, Any]]:
    """Widths of red cells that fields were searched at, by smear and source, and in how many fields."""
    fields = Counter((field.smear, field.scale) for field in read if field.scale is not None)
    return [{"smear": smear, **asdict(scale), "fields": n} for (smear, scale), n in fields.items()]


def describe_model(model: Model) -> dict[str, Any]:
    """Which model it is, and how it is used."""
    return {
        "name": model.card.name,
        "file": model.path.name,
        "sha256": model.sha256,
        "thresholds": model.card.thresholds,
        "nms_iou": model.card.nms_iou,
        "image_px": model.card.image_px,
        "shown_px": model.card.shown_px,
    }


def describe_shapes(shares: ShapeShares) -> dict[str, Any]:
    """Which classifier told shapes of red cells, and how well it does."""
    card = shares.card
    return {"name": card.name, "sha256": shares.sha256, "threshold": card.threshold, "figures": card.figures}


def versions() -> dict[str, str]:
    """Versions of this package, of Python, and of the packages that decide what is counted."""
    packages = {
        name: metadata.version(name) for name in ("numpy", "opencv-python-headless", "onnxruntime", "pillow", "simplejpeg")
    }
    return {"smearcount": version(), "python": platform.python_version(), **packages}


def _utc(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")
