"""What a model file says of itself, and files of earlier versions."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from detector.errors import ModelError
from detector.vision import card as cards
from detector.vision.model import Model
from detector.vision.sums import FieldSums

HERE = Path("own.onnx")
SUMS = FieldSums(fields=2, true=9, false=1, missed=2, counted_squared=52, truth_squared=61, counted_truth=56)


def test_sums_of_the_validation_fields_go_through_the_metadata(model: Model) -> None:
    card = model.card.model_copy(update={"val_sums": {"RBC": {"a/b": SUMS}}})
    assert cards.from_metadata({cards.METADATA_KEY: card.model_dump_json()}, HERE) == card


def test_a_file_made_before_there_were_sums_is_read(model: Model) -> None:
    content = json.loads(model.card.model_dump_json())
    del content["val_sums"]
    read = cards.from_metadata({cards.METADATA_KEY: json.dumps(content)}, HERE)
    assert read.val_sums is None
    assert read.thresholds == model.card.thresholds


def test_sums_that_cannot_be_are_refused(model: Model) -> None:
    content = json.loads(model.card.model_dump_json())
    content["val_sums"] = {"RBC": {"a": {**SUMS.model_dump(), "missed": -1}}}
    with pytest.raises(ModelError, match=r"own\.onnx: its metadata cannot be understood"):
        cards.from_metadata({cards.METADATA_KEY: json.dumps(content)}, HERE)


def test_the_squared_error_is_about_the_ratio_of_the_totals() -> None:
    """Counted 6 and 4, truth 6 and 5: the ratio is 1.1, the errors 0.6 and 0.6."""
    assert SUMS.squared_error() == pytest.approx(2 * 0.6**2)
    assert FieldSums(**{**SUMS.model_dump(), "true": 0, "false": 0}).squared_error() == 0


def test_a_file_made_by_another_version_says_what_to_do(model: Model) -> None:
    """What goes into its network and what comes out of it differs."""
    content = {**model.card.model_dump(), "layout": 1}
    with pytest.raises(ModelError, match="made by another version of smearcount; make it again from its weights"):
        cards.from_metadata({cards.METADATA_KEY: json.dumps(content)}, HERE)
