"""What a model file says of itself, and files of earlier versions."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from detector.errors import ModelError
from detector.vision import card as cards
from detector.vision.catalogue import SHIPPED
from detector.vision.model import Model
from detector.vision.sums import FieldSums

HERE = Path("own.onnx")
SUMS = FieldSums(fields=2, true=9, false=1, missed=2, counted_squared=52, truth_squared=61, counted_truth=56)


def test_sums_of_the_validation_fields_go_through_the_metadata(model: Model) -> None:
    card = replace(model.card, val_sums={"RBC": {"a/b": SUMS}})
    assert cards.from_metadata({cards.METADATA_KEY: card.json()}, HERE) == card


def test_a_file_made_before_there_were_sums_is_read(model: Model) -> None:
    content = json.loads(model.card.json())
    del content["val_sums"]
    read = cards.from_metadata({cards.METADATA_KEY: json.dumps(content)}, HERE)
    assert read.val_sums is None
    assert read.thresholds == model.card.thresholds


def test_a_card_is_written_as_it_was_read(model: Model) -> None:
    text = model.network.metadata[cards.METADATA_KEY]
    assert cards.from_metadata({cards.METADATA_KEY: text}, HERE).json() == text
    beside = json.loads(SHIPPED.with_suffix(".json").read_text(encoding="utf-8"))
    own = json.loads(text)
    assert list(beside)[: len(own)] == list(own)
    assert {key: beside[key] for key in own} == own
    assert '"name":"Ölprobe µ"' in replace(model.card, name="Ölprobe µ").json()


def test_what_a_later_version_adds_is_passed_over(model: Model) -> None:
    content = {**json.loads(model.card.json()), "added": 1}
    content["val_sums"]["RBC"] = {"a": {**asdict(SUMS), "added": 1}}
    read = cards.from_metadata({cards.METADATA_KEY: json.dumps(content)}, HERE)
    assert read.val_sums is not None
    assert read.val_sums["RBC"] == {"a": SUMS}


_SUMS = asdict(SUMS)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"image_px": "416"}, "image_px must be a whole number from 32 to 4096, is '416'"),
        ({"image_px": 31}, "image_px must be a whole number from 32 to 4096, is 31"),
        ({"image_px": 416.5}, "image_px must be a whole number"),
        ({"image_px": 10**400}, "image_px must be a whole number"),
        ({"stride_px": 0}, "stride_px must be a whole number from 1 to 4096, is 0"),
        ({"stride_px": 2**40}, "stride_px must be a whole number from 1 to 4096, is 1099511627776"),
        ({"shown_px": 1e-9}, "shown_px must be a number above 1 and below 4096, is 1e-09"),
        ({"shown_px": 1e12}, "shown_px must be a number above 1 and below 4096"),
        ({"max_cells": True}, "max_cells must be a whole number from 1 up, is True"),
        ({"layout": None}, "layout must be a whole number"),
        ({"rbc_px": 0}, "rbc_px must be a number above 0, is 0"),
        ({"rbc_px": float("nan")}, "rbc_px must be a number above 0, is nan"),
        ({"rbc_px": float("inf")}, "rbc_px must be a number above 0, is inf"),
        ({"nms_iou": 1}, "nms_iou must be a number above 0 and below 1, is 1"),
        ({"nms_iou": [0.6]}, "nms_iou must be a number above 0 and below 1, is a list"),
        ({"name": 3}, "name must be text, is 3"),
        ({"name": "\ud800"}, "name must be text"),
        ({"class_names": "RBC"}, "class_names must be a list of texts, is 'RBC'"),
        ({"class_names": ["RBC", {}]}, "class_names.1 must be text, is a dict"),
        ({"data": None}, "data must be a list of texts, is None"),
        ({"thresholds": [0.3, 0.3, 0.3]}, "thresholds must be names with values, is a list"),
        ({"thresholds": {"RBC": "low"}}, "thresholds.RBC must be a number above 0 and below 1, is 'low'"),
        ({"thresholds": {"RBC": float("nan")}}, "thresholds.RBC must be a number above 0 and below 1, is nan"),
        ({"thresholds": {"RBC": 2}}, "thresholds.RBC must be a number above 0 and below 1, is 2"),
        ({"thresholds": {"RBC": -0.1}}, "thresholds.RBC must be a number above 0 and below 1, is -0.1"),
        ({"thresholds": {"RBC": 10**400}}, "thresholds.RBC must be a number"),
        ({"training": "none"}, "training must be names with values"),
        ({"versions": {"torch": 2}}, "versions.torch must be text, is 2"),
        ({"val_sums": []}, "val_sums must be names with values, is a list"),
        ({"val_sums": {"RBC": {"a": 3}}}, "val_sums.RBC.a: it must be names with values, is 3"),
        ({"val_sums": {"RBC": {"a": {**_SUMS, "missed": -1}}}}, "val_sums.RBC.a: missed must be a whole number from 0 up, is -1"),
        ({"val_sums": {"RBC": {"a": {**_SUMS, "fields": 0}}}}, "val_sums.RBC.a: fields must be a whole number from 1 up, is 0"),
        (
            {"val_sums": {"RBC": {"a": {"fields": 1, "true": 1}}}},
            "val_sums.RBC.a: false, missed, counted_squared, truth_squared and",
        ),
    ],
)
def test_what_cannot_be_is_refused_by_name(model: Model, changes: dict[str, Any], told: str) -> None:
    with pytest.raises(ModelError) as error:
        cards.from_metadata({cards.METADATA_KEY: json.dumps({**asdict(model.card), **changes})}, HERE)
    assert f"own.onnx: its metadata cannot be understood ({told}" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "3", "null", "{}", "[" * 100_000, '{"name": ' + "9" * 5000 + "}"])
def test_metadata_that_are_no_card_are_refused(text: str) -> None:
    with pytest.raises(ModelError, match=r"own\.onnx: its metadata cannot be understood"):
        cards.from_metadata({cards.METADATA_KEY: text}, HERE)


def test_a_card_is_checked_however_it_is_made(model: Model) -> None:
    with pytest.raises(ValueError, match="nms_iou must be a number above 0 and below 1, is 2"):
        replace(model.card, nms_iou=2)
    with pytest.raises(ValueError, match="missed must be a whole number from 0 up, is -1"):
        replace(SUMS, missed=-1)


def test_the_squared_error_is_about_the_ratio_of_the_totals() -> None:
    """Counted 6 and 4, truth 6 and 5: the ratio is 1.1, the errors 0.6 and 0.6."""
    assert SUMS.squared_error() == pytest.approx(2 * 0.6**2)
    assert FieldSums(**{**asdict(SUMS), "true": 0, "false": 0}).squared_error() == 0


def test_a_file_made_by_another_version_says_what_to_do(model: Model) -> None:
    """What goes into its network and what comes out of it differs."""
    content = {**asdict(model.card), "layout": 1}
    with pytest.raises(ModelError, match="made by another version of smearcount; make it again from its weights"):
        cards.from_metadata({cards.METADATA_KEY: json.dumps(content)}, HERE)


@pytest.mark.parametrize(
    "text", ["", "[]", "3", "{", "[" * 100_000, '{"a":' * 100_000, "\ud800".encode("utf-8", "surrogatepass")]
)
def test_a_file_beside_a_model_that_is_no_card_is_told(tmp_path: Path, text: str | bytes) -> None:
    (tmp_path / "m.onnx").write_bytes(b"model")
    (tmp_path / "m.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(ModelError, match=r"m\.json: is not a model card; restore the card of m\.onnx or remove it"):
        cards.check_hash(tmp_path / "m.onnx")
