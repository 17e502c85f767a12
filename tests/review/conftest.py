"""A finished count to review."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from detector import count
from detector.counting.fields import FieldCount
from detector.counting.result import FieldResult
from detector.counting.smears import aggregate
from detector.output import results
from detector.output.outcome import Outcome
from detector.review.journal import Journal
from detector.review.opened import open_run
from detector.review.review import Review
from detector.vision.detections import Detections

SAMPLES = Path(__file__).parents[2] / "datasets" / "samples"
NASTY = "field <img src=x onerror=alert(1)>&'.jpg"


@pytest.fixture(scope="session")
def counted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the pictures of two smears in `fields`, one unread, one with markup in its name, and their count in `out`."""
    folder = tmp_path_factory.mktemp("counted")
    for smear, names in {"smear_a": ("field_01.jpg", "field_02.jpg"), "smear_b": (NASTY, "field_02.jpg")}.items():
        (folder / "fields" / smear).mkdir(parents=True)
        for sample, name in zip(("field_01.jpg", "field_02.jpg"), names, strict=True):
            shutil.copy(SAMPLES / smear / sample, folder / "fields" / smear / name)
    (folder / "fields" / "smear_b" / "empty.jpg").write_bytes(b"")
    options = ["--out", str(folder / "out"), "--um-per-px", "0.075", "--rbc-per-ul", "4.5e6", "--quiet"]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setattr(sys, "argv", ["count", "fields", *options])
        with pytest.raises(SystemExit) as ended:
            count.main()
    assert ended.value.code == 1
    return folder


@pytest.fixture
def run_folder(counted: Path, tmp_path: Path) -> Path:
    """A copy of that count, to be changed, beside its pictures."""
    shutil.copytree(counted, tmp_path / "case")
    return tmp_path / "case" / "out"


Opening = Callable[[], Any]


@pytest.fixture
def opened(run_folder: Path) -> Opening:
    """Opens the review of that count, as a context manager."""

    @contextmanager
    def opening() -> Iterator[Review]:
        run = open_run(run_folder)
        with Journal(run_folder, run.sha256) as journal:
            yield Review(run, journal)

    return opening


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


@pytest.fixture
def many_fields(tmp_path: Path) -> Path:
    """A count of 200 fields with two cells each."""
    return write_run(tmp_path, 200, 2)
