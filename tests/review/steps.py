"""What tests do with a review."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from detector.counting.fields import FieldCount
from detector.counting.result import FieldResult
from detector.counting.smears import aggregate
from detector.output import results
from detector.output.outcome import Outcome
from detector.review.review import Review
from detector.vision.detections import Detections

_NUMBERS = itertools.count()


def change(review: Review, field: int = 0, by: str = "Ann", **what: Any) -> int:
    """Change one field as it is now."""
    fields = [{"field": field, "revision": review.fields[field].revision, **what}]
    return review.change({"id": f"change-{next(_NUMBERS):04}", "by": by, "fields": fields})


def undo(review: Review, by: str = "Ann", again: bool = False) -> int:
    return review.undo({"id": f"undo-{next(_NUMBERS):06}", "by": by}, again)


def counts(review: Review, field: int = 0) -> list[int]:
    return review.state()["fields"][field]["counts"]


def looked_at_all(review: Review, by: str = "Ann") -> None:
    for number, state in enumerate(review.fields):
        if state.source.is_read:
            change(review, number, by, looked=True)


def write_run(folder: Path, fields: int, cells: int, size_wh: tuple[int, int] = (640, 480)) -> Path:
    """Write a count of so many fields with so many cells each, as a saved `Outcome` is, beside its pictures; gives its folder."""
    random = np.random.default_rng(1)
    pictures, out = folder / "fields" / "smear", folder / "out"
    pictures.mkdir(parents=True)
    out.mkdir()
    cv2.imwrite(str(pictures / "0000.png"), cv2.resize(random.integers(90, 255, (30, 40, 3), dtype=np.uint8), size_wh))
    found = []
    for number in range(fields):
        name = f"{number:04}.png"
        if number:
            os.link(pictures / "0000.png", pictures / name)
        corner = random.uniform(0, 1, (cells, 2)) * (np.array(size_wh) - 40)
        xyxy = np.concatenate([corner, corner + random.uniform(10, 40, (cells, 2))], axis=1)
        seen = Detections(xyxy, random.uniform(0.5, 1, cells), random.choice(3, cells, p=(0.8, 0.05, 0.15)), size_wh)
        found.append(FieldResult(f"smear/{name}", "smear", None, seen))
    counted = [result.count() for result in found]
    smears = aggregate([field for field in counted if isinstance(field, FieldCount)])
    run = {
        "settings": {"inputs": ["fields"], "manifest": None, "um_per_px": None, "rbc_per_ul": None, "ul_factor": None},
        "model": {"name": "none", "thresholds": {"RBC": 0.4, "WBC": 0.4, "Platelets": 0.4}},
        "finished": "2026-01-01T00:00:00+00:00",
    }
    results.write(out, Outcome(tuple(counted), tuple(smears)), run)
    results.write_cells(out, found)
    return out


@contextmanager
def started(folder: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """The command as a process, and the address of its page; it is killed at the end."""
    program = [sys.executable, "-m", "detector.review", str(folder), "--no-browser", *options]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    with subprocess.Popen(program, stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            assert process.stderr is not None
            yield process, next(found[0] for line in process.stderr if (found := re.search(r"http://\S+", line)))
        finally:
            process.kill()
