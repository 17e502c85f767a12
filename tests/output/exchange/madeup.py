"""Folders of results with names and pictures that are hard for other tools, made without a model."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from detector.counting.result import FieldResult
from detector.counting.smears import aggregate
from detector.output import coco, tables
from detector.output.exchange import run as runs
from detector.vision.cells import CLASSES
from detector.vision.detections import Detections, Unread

SIZE_WH = (120, 80)
"""Width and height of each picture as displayed."""
PLAIN, TURNED, BARE, HARMFUL = "smear_a/f 1.jpg", "smear_a/turned.jpg", "smear_a/bare.png", '=1+2 & <b onclick="x">.png'
UPWARDS = "../outside.png"
CELLS = (("RBC", 0.0, 0.0, 20.25, 18.5), ("WBC", 100.13, 40.07, 120.0, 80.0), ("Platelets", 50.5, 30.01, 58.33, 37.99))
"""Class and edges in pixels; the first two touch the borders."""


@dataclass(frozen=True)
class Made:
    """A folder of results and the pictures that it is of."""

    folder: Path
    pictures: Path

    def run(self) -> runs.Run:
        """As exchange reads it."""
        return runs.read(self.folder, {name: self.pictures / name for name in (PLAIN, TURNED, BARE, HARMFUL)})


def detections(cells: tuple[tuple[str, float, float, float, float], ...] = CELLS) -> Detections:
    """Cells of one field."""
    xyxy = np.array([corners for _, *corners in cells], np.float32).reshape(-1, 4)
    label = np.array([CLASSES.index(name) for name, *_ in cells], np.int64)
    return Detections(xyxy, np.linspace(0.5, 0.9, len(cells)).astype(np.float32), label, SIZE_WH)


def write_run(folder: Path, results: list[FieldResult], inputs: list[str]) -> None:
    """What a count leaves of these fields, as far as exchange reads it."""
    folder.mkdir(parents=True)
    counted = [result.count() for result in results]
    read = [count for result, count in zip(results, counted, strict=True) if isinstance(result.cells, Detections)]
    unread = [count for result, count in zip(results, counted, strict=True) if isinstance(result.cells, Unread)]
    coco.write(folder / "detections.json", results)
    tables.of_fields(counted).write(folder / "counts.csv")
    tables.of_smears(aggregate(read, unread)).write(folder / "smears.csv")
    about = {
        "model": {"name": "m", "thresholds": {"RBC": 0.25}},
        "settings": {"inputs": inputs, "manifest": None},
        "scales": [1, 2],
    }
    (folder / "run.json").write_text(json.dumps(about), encoding="utf-8")


def save_picture(path: Path, seed: int, orientation: int = 1) -> None:
    """A picture of noise that is displayed in `SIZE_WH`."""
    w, h = SIZE_WH[::-1] if orientation > 4 else SIZE_WH
    pixels = np.random.default_rng(seed).integers(0, 255, (h, w, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[274] = orientation
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, exif=exif)
