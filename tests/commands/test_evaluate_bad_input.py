"""`detector.evaluate` on folders that are not as they should be, with the shipped model: what is of no use is named, the rest evaluated."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from detector import evaluate
from detector.accuracy.report import drawings
from detector.annotations import dataset, sources
from detector.errors import EXIT_DONE, EXIT_SOME_FAILED
from detector.vision.catalogue import SHIPPED

SAMPLES = Path(__file__).parents[2] / "datasets" / "samples" / "truth.json"
Run = Callable[..., int]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Five rendered fields to test on, `f0` to `f4`, and one to train on."""
    records = list(sources.load_truth(SAMPLES).records.values())[:6]
    splits = ["test"] * 5 + ["train"]
    made = [replace(r, name=f"f{i}", split=split) for i, (r, split) in enumerate(zip(records, splits, strict=True))]
    dataset.write(tmp_path / "set", made)
    return tmp_path / "set" / "data.yaml"


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the plots, which take the time."""
    monkeypatch.setattr(drawings, "write", lambda folder, parts, *kinds: {part: [] for part in parts})


def file(data: Path, kind: str, name: str) -> Path:
    return data.parent / kind / "test" / name


def metrics(folder: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    return document


def test_each_fault_is_named_and_the_rest_evaluated(
    data: Path, run_command: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], undrawn: None
) -> None:
    file(data, "labels", "f0.txt").unlink()
    file(data, "images", "f1.jpg").unlink()
    content = file(data, "images", "f2.jpg").read_bytes()
    file(data, "images", "f2.jpg").write_bytes(content[: len(content) // 3])
    file(data, "labels", "f3.txt").write_text("", encoding="utf-8")
    assert run_command(evaluate.main, "--data", data, "--out", tmp_path / "out") == EXIT_SOME_FAILED
    printed = " ".join(capsys.readouterr().err.split())
    for name, reason in (("f0", "has no label file"), ("f1", "has labels and no image"), ("f2", "truncated")):
        assert name in printed
        assert reason in printed
    document = metrics(tmp_path / "out")
    assert [field["source"] for field in document["unread"]] == ["f0", "f1", "f2"]
    assert document["figures"]["fields"] == 2
    # A field with an empty label file holds no cell, so all that is found in it is false.
    assert document["worst"][0]["field"] == "f3"


@pytest.mark.slow
def test_one_field_gives_figures_without_intervals(data: Path, run_command: Run, tmp_path: Path) -> None:
    for name in ("f1", "f2", "f3", "f4"):
        file(data, "labels", f"{name}.txt").unlink()
        file(data, "images", f"{name}.jpg").unlink()
    only_red = [line for line in file(data, "labels", "f0.txt").read_text().splitlines() if line.startswith("0 ")]
    file(data, "labels", "f0.txt").write_text("\n".join(only_red), encoding="utf-8")
    assert run_command(evaluate.main, "--data", data, "--out", tmp_path / "out") == EXIT_DONE
    figures = metrics(tmp_path / "out")["figures"]
    assert figures["fields"] == 1
    red = figures["average_precision"]["ap50"]["RBC"]
    assert red["value"] > 0.9
    assert (red["low"], red["high"]) == (None, None)
    assert figures["operating"]["RBC"]["recall"]["low"] is None
    # No platelet is labelled: what would be of them is undefined, and neither 0 nor 1.
    assert figures["average_precision"]["ap50"]["Platelets"] is None
    assert figures["curves"]["Platelets"] is None
    assert figures["operating"]["Platelets"]["recall"] is None


def test_a_split_that_is_not_there_says_which_are(data: Path, run_command: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_command(evaluate.main, "--data", data, "--split", "val") == 3
    assert "'val' has no fields to evaluate (of images train has 1, test has 5)" in " ".join(capsys.readouterr().err.split())
    assert run_command(evaluate.main, "--data", data, "--split", "exam") == 2
    assert "known: train, val, test" in capsys.readouterr().err


def test_where_no_field_is_of_use_the_reasons_are_told(data: Path, run_command: Run, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("f0", "f1", "f2", "f3", "f4"):
        file(data, "labels", f"{name}.txt").unlink()
    assert run_command(evaluate.main, "--data", data) == 3
    assert "f0: has no label file" in " ".join(capsys.readouterr().err.split())


def test_classes_that_are_no_blood_cells(data: Path, run_command: Run, capsys: pytest.CaptureFixture[str]) -> None:
    data.write_text("names: [car, bus, tram]\n", encoding="utf-8")
    assert run_command(evaluate.main, "--data", data) == 3
    assert "no box has a known class name; found 'bus', 'car', 'tram'; known: RBC, WBC, Platelets" in " ".join(
        capsys.readouterr().err.split()
    )


def test_a_model_with_other_classes(data: Path, run_command: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    onnx = pytest.importorskip("onnx", reason="needs the train extra: pip install -e '.[train]'")
    shutil.copy(SHIPPED, tmp_path / "other.onnx")
    network = onnx.load(str(tmp_path / "other.onnx"))
    for entry in network.metadata_props:
        entry.value = entry.value.replace('"Platelets"', '"Basophils"')
    onnx.save(network, str(tmp_path / "other.onnx"))
    for options in (("--model", tmp_path / "other.onnx"), ("--against", tmp_path / "other.onnx")):
        assert run_command(evaluate.main, "--data", data, *options) == 3
        printed = " ".join(capsys.readouterr().err.split())
        assert "finds RBC, WBC, Basophils; a model for RBC, WBC, Platelets is needed" in printed


@pytest.mark.slow
def test_other_labels_of_the_same_fields(
    data: Path, run_command: Run, tmp_path: Path, capsys: pytest.CaptureFixture[str], undrawn: None
) -> None:
    """The others leave cells out, know only three of the fields and two that are not in the split."""
    shutil.copytree(data.parent, tmp_path / "others")
    other = tmp_path / "others" / "data.yaml"
    for name in ("f0", "f1"):
        for kind, ending in (("images", "jpg"), ("labels", "txt")):
            file(other, kind, f"{name}.{ending}").rename(file(other, kind, f"g{name}.{ending}"))
    lines = file(other, "labels", "f2.txt").read_text().splitlines()
    file(other, "labels", "f2.txt").write_text("\n".join(lines[:3]), encoding="utf-8")
    assert run_command(evaluate.main, "--data", data, "--also", other, "--out", tmp_path / "out") == EXIT_DONE
    printed = capsys.readouterr()
    assert "3 fields by both label sets" in printed.out
    assert "2 not labelled by the others: f0, f1" in " ".join(printed.err.split())
    document = metrics(tmp_path / "out")["relabelled"]
    assert document["only_second"] == ["f5", "gf0", "gf1"]
    red = [document[which]["operating"]["RBC"] for which in ("first", "second")]
    assert red[0]["true"] > red[1]["true"]
    assert sum(red[0][key] for key in ("true", "false")) == sum(red[1][key] for key in ("true", "false"))
    assert document["labels"]["RBC"]["bias"]["value"] < 0


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("", "is a folder; give the data.yaml of a dataset"),
        ("mine.yaml", "mine.yaml: is not called data.yaml"),
        ("none.yaml", "none.yaml: no such file; python -m detector.convert writes one"),
    ],
)
def test_what_is_no_data_file_is_refused(
    data: Path, run_command: Run, capsys: pytest.CaptureFixture[str], name: str, told: str
) -> None:
    (data.parent / "mine.yaml").write_text("names: [WBC, RBC]\n", encoding="utf-8")
    assert run_command(evaluate.main, "--data", data.parent / name) == 3
    assert told in " ".join(capsys.readouterr().err.split())


def test_a_data_file_that_is_no_text_is_named(data: Path, run_command: Run, capsys: pytest.CaptureFixture[str]) -> None:
    data.write_bytes(b"names: [\xff]")
    assert run_command(evaluate.main, "--data", data) == 3
    assert f"{data}: data.yaml is not UTF-8 text" in capsys.readouterr().err.replace("\n", "")
