"""Figures on a model's card."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from detector import card, count
from detector.vision.catalogue import SHIPPED
from detector.vision.model import Model

Run = Callable[..., int]
FIGURE = {"value": 0.5, "low": 0.25, "high": 0.75}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    for suffix in (".onnx", ".json", ".md"):
        shutil.copy(SHIPPED.with_suffix(suffix), tmp_path / f"own{suffix}")
    return tmp_path / "own.onnx"


def metrics(path: Path, **changes: Any) -> Path:
    row = {name: {"mae": FIGURE} for name in ("RBC", "WBC")} | {"Platelets": {"mae": None}}
    ap = {"RBC": FIGURE, "WBC": {"value": 0.4, "low": None, "high": None}, "Platelets": None}
    of_some = {
        "average_precision": {"mean_ap50": FIGURE, "mean_ap50_95": ap["WBC"], "ap50": ap, "ap50_95": ap},
        **dict.fromkeys(("all_cells", "clear_cells", "constant_baseline"), row),
    }
    kinds = {"at the border": 2, "by itself": 0}
    document = {
        "format": "smearcount-metrics",
        "version": 3,
        "kind": "model",
        "model": {"sha256": json.loads(SHIPPED.with_suffix(".json").read_text(encoding="utf-8"))["sha256"]},
        "data": "datasets/mine/data.yaml",
        "split": "test",
        "left_out": 7,
        "figures": {"fields": 33, **of_some},
        "domains": {"mine/a": {"fields": 30, **of_some}, "mine/b": {"fields": 3, **of_some, "constant_baseline": None}},
        "failures": {"RBC": {"missed": kinds, "false": {}, "worst": []}},
    }
    path.write_text(json.dumps({**document, **changes}), encoding="utf-8")
    return path


def test_figures_stand_on_the_card_and_its_page(copy: Path, tmp_path: Path, run_command: Run) -> None:
    before = json.loads(copy.with_suffix(".json").read_text(encoding="utf-8"))
    assert run_command(card.main, copy, metrics(tmp_path / "m.json")) == 0
    after = json.loads(copy.with_suffix(".json").read_text(encoding="utf-8"))
    assert {**after, "figures": None} == {**before, "figures": None}
    assert after["figures"][0]["map50"] == FIGURE
    assert after["figures"][0]["domains"]["mine/a"]["ap50"]["RBC"] == FIGURE
    text = copy.with_suffix(".md").read_text(encoding="utf-8")
    assert "On 33 fields of datasets/mine/data.yaml, split test (7 left out)" in text
    assert "mAP50 0.500 (0.250 to 0.750), mAP50-95 0.400." in text
    assert "| all 33 | Platelets | undefined | undefined | undefined | undefined | undefined |" in text
    shown = "0.50 (0.25 to 0.75)"
    assert f"| mine/a, 30 | WBC | {shown} | {shown} | {shown} | 0.400 | 0.400 |" in text
    assert f"| mine/b, 3 | WBC | {shown} | {shown} | undefined | 0.400 | 0.400 |" in text
    assert "- RBC: 2 missed (2 at the border), 0 false." in text
    assert Model.load(copy).sha256 == before["sha256"]


def test_laboratories_that_a_model_never_saw_stand_on_the_card(
    copy: Path, tmp_path: Path, run_command: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    own, other = (
        metrics(tmp_path / "mine.json"),
        metrics(tmp_path / "other.json", model={"sha256": "ab" * 32}, data="far/data.yaml"),
    )
    assert run_command(card.main, copy, own, "--left-out", other) == 0
    left_out = json.loads(copy.with_suffix(".json").read_text(encoding="utf-8"))["left_out"]
    assert [(figures["data"], figures["model_sha256"]) for figures in left_out] == [("far/data.yaml", "ab" * 32)]
    text = copy.with_suffix(".md").read_text(encoding="utf-8")
    assert "## In laboratories that a model never saw" in text
    assert "| far/data.yaml, 33 | WBC | 0.50 (0.25 to 0.75) |" in text
    assert "SHA-256 of the models: `abababababab`." in text
    assert run_command(card.main, copy, own, "--left-out", own) == 2
    assert "--left-out takes those of one that never saw" in " ".join(capsys.readouterr().err.split())
    # They stay where they are not given anew.
    assert run_command(card.main, copy, own) == 0
    assert json.loads(copy.with_suffix(".json").read_text(encoding="utf-8"))["left_out"] == left_out


def test_of_figures_that_a_former_version_put_there_what_is_missing_is_left_open(
    copy: Path, tmp_path: Path, run_command: Run
) -> None:
    content = json.loads(copy.with_suffix(".json").read_text(encoding="utf-8"))
    del content["left_out"][0]["constant_baseline"]
    copy.with_suffix(".json").write_text(json.dumps(content), encoding="utf-8")
    assert run_command(card.main, copy, metrics(tmp_path / "m.json")) == 0
    text = copy.with_suffix(".md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith(f"| {content['left_out'][0]['data']}, ")]
    assert [row.split(" | ")[4] for row in rows] == ["-", "-", "-"]


@pytest.mark.parametrize(
    ("changes", "code", "message"),
    [
        ({"model": {"sha256": "0" * 64}}, 2, "figures of another model"),
        ({"figures": None}, 2, "lacks some of the figures"),
        ({"version": 1}, 2, "version 1, not smearcount-metrics version 3"),
        ({"kind": "tables"}, 2, "compares tables of counts"),
    ],
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
    assert message in " ".join(capsys.readouterr().err.split())
    assert copy.with_suffix(".json").read_bytes() == before


def test_the_folder_of_an_evaluation_serves_as_its_figures(copy: Path, tmp_path: Path, run_command: Run) -> None:
    (tmp_path / "out").mkdir()
    metrics(tmp_path / "out" / "metrics.json")
    assert run_command(card.main, copy, tmp_path / "out") == 0
    assert json.loads(copy.with_suffix(".json").read_text(encoding="utf-8"))["figures"][0]["map50"] == FIGURE
    assert run_command(card.main, copy, tmp_path) == 2


def test_a_model_without_a_card_is_refused(tmp_path: Path, run_command: Run) -> None:
    assert run_command(card.main, tmp_path / "none.onnx", metrics(tmp_path / "m.json")) == 3


def test_a_model_whose_hash_is_not_its_cards_is_refused_by_commands(
    copy: Path, fields: Path, run_command: Run, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = metrics(copy.with_name("m.json"))
    with copy.open("ab") as file:
        file.write(b"\0")
    for main, arguments in ((count.main, (fields, "--model", copy)), (card.main, (copy, figures))):
        assert run_command(main, *arguments) == 3
        printed = " ".join(capsys.readouterr().err.split())
        assert f"{copy}: its SHA-256 is " in printed
        assert "restore either file" in printed
        assert "Traceback" not in printed


def test_the_shipped_card_has_figures_of_both_test_sets() -> None:
    figures = json.loads(SHIPPED.with_suffix(".json").read_text(encoding="utf-8"))["figures"]
    assert [(one["data"], one["split"]) for one in figures[:2]] == [
        ("datasets/txl_pbc/data.yaml", "test"),
        ("datasets/bccd_complete/data.yaml", "test"),
    ]
    # On TXL-PBC's published validation fields.
    assert figures[0]["map50"]["value"] >= 0.90
