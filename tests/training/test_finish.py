"""What a training leaves on the model's card of the fields that it knows."""

from __future__ import annotations

from pathlib import Path

import pytest

from detector.annotations.records import Record
from detector.vision import finder, images, quality
from detector.vision.model import Model

pytest.importorskip("torch")

from detector.training import finish

SAMPLES = sorted((Path(__file__).parents[2] / "datasets" / "samples").glob("*/*.jpg"))


def test_training_fields_are_familiar_and_have_ranges(model: Model) -> None:
    records, numbers = [], []
    for path in SAMPLES:
        rgb = images.read(path)
        detections = finder.find(model, rgb).cells
        numbers.append(quality.measure(rgb, detections).numbers())
        records.append(Record(path.stem, path, detections.size_wh, detections.xyxy, detections.label))
    ranges = finish._familiar(model, records, records[:1])
    assert ranges is not None
    assert set(ranges.ranges) <= set(numbers[0])
    # The only right field that told the limit, as it is.
    assert ranges.distance(numbers[0]) <= ranges.limit
    assert finish._familiar(model, records, []) is None
