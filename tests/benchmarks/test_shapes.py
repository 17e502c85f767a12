"""The benchmark of `--shapes` looks at the cells that a count looks at."""

from __future__ import annotations

from pathlib import Path

from benchmarks import shapes
from detector.vision import finder, images, quality
from detector.vision.model import Model
from detector.vision.shapes import ShapeModel

SAMPLE = Path(__file__).parents[2] / "datasets" / "samples" / "smear_a" / "field_01.jpg"


def test_a_field_is_timed_with_the_cells_that_a_count_looks_at(model: Model) -> None:
    second = ShapeModel.load()
    timed = shapes.measure(model, second, SAMPLE, 1)
    rgb = images.read(SAMPLE)
    searched = finder.find(model, rgb)
    looked = second.look(rgb, searched.cells, searched.scale.rbc_px, quality.measure(rgb, searched.cells))
    assert timed.looked == looked
    assert timed.cells == sum(looked.cells.values())
    assert timed.finding_s > 0
    assert timed.shapes_s > 0
