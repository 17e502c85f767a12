"""Figures on a model's card."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from detector import card
from detector.vision.model import SHIPPED, Model

Run = Callable[..., int]
FIGURE = {"value": 0.5, "low": 0.25, "high": 0.75}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for suffix in (".onnx", ".json", ".md"):
        shutil.copy(SHIPPED.with_suffix(suffix), tmp_path / f"own{suffix}")
    return tmp_path / "own.onnx"


def metrics(path: Path, **changes: Any) -> Path:
    row = {name: {"mae": FIGURE} for name in ("RBC", "WBC")} | {"Platelets": {"mae": None}}
    document = {
        "model_sha256": json.loads(SHIPPED.with_suffix(".json").read_text(encoding="utf-8"))["sha256"],
        "data": "datasets/mine/data.yaml",
        "split": "test",
        "fields": 33,
        "left_out": 7,
        "average_precision": {"mean_ap50": FIGURE, "mean_ap50_95": {"value": 0.4, "low": None, "high": None}},
        **dict.fromkeys(("all_cells", "clear_cells", "guess"), row),
    }
    path.write_text(json.dumps({**document, **changes}), encoding="utf-8")
    return path


def test_figures_stand_on_the_card_and_its_page(copy: Path, tmp_path: Path, run_command: Run) -> None:
    before = json.loads(copy.with_suffix(".json").read_text(encoding="utf-8"))
    assert run_command(card.main, copy, metrics(tmp_path / "m.json")) == 0
    after = json.loads(copy.with_suffix(".json").read_text(encoding="utf-8"))
    assert {**after, "figures": None} == {**before, "figures": None}
    assert after["figures"][0]["map50"] == FIGURE
    text = copy.with_suffix(".md").read_text(encoding="utf-8")
    assert "On 33 fields of datasets/mine/data.yaml, split test (7 left out)" in text
    assert "mAP50 0.500 (0.250 to 0.750), mAP50-95 0.400." in text
    assert "| Platelets | undefined | undefined | undefined |" in text
    assert Model.load(copy).sha256 == before["sha256"]


@pytest.mark.parametrize(
    ("changes", "code", "message"),
    [({"model_sha256": "0" * 64}, 2, "figures of another model"), ({"all_cells": None}, 2, "holds no figures")],
)
def test_figures_that_do_not_belong_are_refused(
    copy: Path,
    tmp_path: Path,
    run_command: Run,
    capsys: pytest.CaptureFixture[str],
    changes: dict[str, Any],
    code: int,
    message: str,
) -> None:
    before = copy.with_suffix(".json").read_bytes()
    assert run_command(card.main, copy, metrics(tmp_path / "m.json", **changes)) == code
    assert message in capsys.readouterr().err
    assert copy.with_suffix(".json").read_bytes() == before


def test_a_model_without_a_card_is_refused(tmp_path: Path, run_command: Run) -> None:
    assert run_command(card.main, tmp_path / "none.onnx", metrics(tmp_path / "m.json")) == 3


def test_the_shipped_card_has_figures_of_both_test_sets() -> None:
    figures = json.loads(SHIPPED.with_suffix(".json").read_text(encoding="utf-8"))["figures"]
    assert [(one["data"], one["split"]) for one in figures[:2]] == [
        ("datasets/txl_pbc/data.yaml", "test"),
        ("datasets/bccd_complete/data.yaml", "test"),
    ]
    # What this model was made for: 0.93 on TXL-PBC's published validation fields.
    assert figures[0]["map50"]["value"] >= 0.93
