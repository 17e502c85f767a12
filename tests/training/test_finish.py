"""What a training leaves on the model's card of the fields that it knows."""

from __future__ import annotations

from pathlib import Path

import pytest

from detector.accuracy import thresholds
from detector.annotations import dataset
from detector.annotations.records import Record
from detector.errors import AnnotationError
from detector.vision import finder, images, quality
from detector.vision.model import Model

pytest.importorskip("torch")

from detector.training import finish

SAMPLES = sorted((Path(__file__).parents[2] / "datasets" / "samples").glob("*/*.jpg"))


@pytest.mark.slow
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


def test_fields_of_unseen_laboratories_are_counted_by_the_other_model(model: Model, tmp_path: Path) -> None:
    for name, splits in {"ours": ("val", "train"), "theirs": ("val",)}.items():
        records = []
        for path, split in zip(SAMPLES, splits, strict=False):
            cells = finder.find(model, images.read(path)).cells
            records.append(Record(path.stem, path, cells.size_wh, cells.xyxy, cells.label, split))
        dataset.write(tmp_path / name, records)
    files = [tmp_path / name / "data.yaml" for name in ("ours", "theirs")]
    unseen = finish._unseen(finish.UnseenData(model.path, files))
    assert list(unseen.domains) == ["ours", "theirs"]
    assert {record.split for record in unseen.records} == {"val"}
    for record, cells in zip(unseen.records, unseen.detections, strict=True):
        assert thresholds.LEAST_SCORE <= cells.score.min() < model.card.thresholds["RBC"]
        assert (cells.score >= model.card.thresholds["RBC"]).sum() >= (record.label == 0).sum()
    origin = finish._origin(["home"], [], unseen)
    assert "best on 2 val fields of ours, theirs, counted by a model that never saw such" in origin


def test_unseen_laboratories_without_val_fields_are_refused(model: Model, tmp_path: Path) -> None:
    path = SAMPLES[0]
    cells = finder.find(model, images.read(path)).cells
    dataset.write(tmp_path, [Record(path.stem, path, cells.size_wh, cells.xyxy, cells.label, "train")])
    with pytest.raises(AnnotationError, match="no val fields"):
        finish._unseen(finish.UnseenData(model.path, [tmp_path / "data.yaml"]))
