"""The committed samples are what their command makes."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from detector.synthetic.render import RenderedField
from detector.synthetic.series import Series
from detector.synthetic.truth import Truth
from detector.vision.cells import CLASSES

SAMPLES = Path(__file__).parents[2] / "datasets" / "samples"
COMMAND = "--fields 4 --smears 2 --stain mixed --rbc 14 --wbc 2.5 --platelets 5 --seed 5"
SERIES = Series(fields=4, smears=2, stain="mixed", rbc=14, wbc=2.5, platelets=5, seed=5)


@pytest.fixture(scope="module")
def rendered() -> list[tuple[str, RenderedField]]:
    return list(SERIES.render())


def test_the_readme_names_the_command() -> None:
    assert COMMAND in (SAMPLES / "README.md").read_text(encoding="utf-8")


@pytest.mark.slow
def test_truth_is_exactly_that_of_the_command(rendered: list[tuple[str, RenderedField]]) -> None:
    truth = Truth("")
    for name, field in rendered:
        truth.add(name, field)
    assert (SAMPLES / "truth.csv").read_text(encoding="utf-8") == truth.csv()
    kept, made = json.loads((SAMPLES / "truth.json").read_text(encoding="utf-8")), json.loads(truth.coco())
    assert {**kept, "info": None} == {**made, "info": None}


def test_pixels_are_those_of_the_command_but_for_the_jpeg(rendered: list[tuple[str, RenderedField]]) -> None:
    names = sorted(path.relative_to(SAMPLES).as_posix() for path in SAMPLES.rglob("*.jpg"))
    assert names == [name for name, _ in rendered]
    for name, field in rendered:
        bgr = cv2.imdecode(np.frombuffer((SAMPLES / name).read_bytes(), np.uint8), cv2.IMREAD_COLOR)
        assert np.abs(bgr[:, :, ::-1].astype(int) - field.image).mean() < 3


def test_there_are_enough_cells_of_every_class_for_a_share_to_mean_something() -> None:
    with (SAMPLES / "truth.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    totals = {c: sum(int(row[c]) for row in rows) for c in CLASSES}
    assert totals["RBC"] >= 100
    assert totals["WBC"] >= 20
    assert totals["Platelets"] >= 20


def test_the_samples_stay_small() -> None:
    assert sum(path.stat().st_size for path in SAMPLES.rglob("*") if path.is_file()) < 1_000_000
