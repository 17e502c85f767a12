"""Models by name."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from detector import models
from detector.errors import ModelError, UsageError
from detector.vision import catalogue
from detector.vision.cells import CLASSES
from detector.vision.model import Model


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder of models, with one that is a copy of the shipped one."""
    monkeypatch.setenv(catalogue.FOLDER_VARIABLE, str(tmp_path / "models"))
    (tmp_path / "models").mkdir()
    for suffix in (".onnx", ".json"):
        shutil.copy(catalogue.SHIPPED.with_suffix(suffix), tmp_path / "models" / f"mylab{suffix}")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "models"


def test_a_model_is_found_by_name_or_path(mine: Path) -> None:
    assert catalogue.find(None) == catalogue.find(Path("smearcount")) == catalogue.SHIPPED
    assert catalogue.find(Path("mylab")) == mine / "mylab.onnx"
    assert catalogue.find(mine / "mylab.onnx") == mine / "mylab.onnx"
    assert Model.load(Path("mylab")).path == mine / "mylab.onnx"


def test_a_file_of_that_name_here_is_meant_first(mine: Path) -> None:
    Path("mylab").write_bytes(b"not a model")
    assert catalogue.find(Path("mylab")) == Path("mylab")


@pytest.mark.parametrize("name", ["other", "../models/mylab", "models/other.onnx"])
def test_what_is_not_here_is_refused_with_the_known_names(mine: Path, name: str) -> None:
    with pytest.raises(ModelError, match=r"no such model file.*smearcount, mylab"):
        catalogue.find(Path(name))


@pytest.mark.parametrize("name", ["", "../evil", "a/b", ".hidden", "mylab.onnx", "x" * 61, "a\nb"])
def test_names_that_are_none_are_refused(mine: Path, name: str) -> None:
    with pytest.raises(UsageError, match="letters"):
        catalogue.new(name)


@pytest.mark.parametrize("name", ["smearcount", "mylab"])
def test_names_that_are_taken_are_refused(mine: Path, name: str) -> None:
    with pytest.raises(UsageError, match="there is a model of this name"):
        catalogue.new(name)


def test_a_free_name_is_a_file_in_the_folder(mine: Path) -> None:
    assert catalogue.new("second-lab_2") == mine / "second-lab_2.onnx"


def test_models_are_listed_with_their_errors(
    mine: Path, run_command: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(models.main) == 0
    listed = capsys.readouterr().out
    assert listed.index("smearcount\n") < listed.index("mylab\n")
    assert listed.count("licence AGPL-3.0-only, SHA-256 ") == 2
    assert "test fields of" in listed
    assert "errors in other stains and light can be larger" in listed


def test_models_are_listed_for_programs(mine: Path, run_command: Callable[..., int], capsys: pytest.CaptureFixture[str]) -> None:
    (mine / "bare.onnx").write_bytes(b"x")
    assert run_command(models.main, "--json") == 1
    printed = capsys.readouterr()
    document = json.loads(printed.out)
    assert (document["format"], document["version"]) == ("smearcount-models", 1)
    shipped, bare, mylab = document["models"]
    assert [model["name"] for model in document["models"]] == ["smearcount", "bare", "mylab"]
    card = json.loads(catalogue.SHIPPED.with_suffix(".json").read_text(encoding="utf-8"))
    assert (shipped["sha256"], shipped["licence"], shipped["problem"]) == (card["sha256"], "AGPL-3.0-only", "")
    assert [error["classes"] for error in shipped["errors"]] == [figures["all_cells"] for figures in card["figures"]]
    assert shipped["errors"][0]["on"] == f"{card['figures'][0]['fields']} test fields of {card['figures'][0]['data']}"
    assert Path(mylab["path"]) == mine / "mylab.onnx"
    assert (bare["problem"], bare["sha256"], bare["errors"]) == ("has no card beside it", None, [])
    assert "has no card beside it" in printed.err


def test_an_adapted_model_has_its_errors_before_and_after(
    mine: Path, run_command: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    beside = mine / "mylab.json"
    errors = {"shipped": 0.8, "trained": 0.5}
    choices = [{"kind": kind, "own_error": {name: {"value": value} for name in CLASSES}} for kind, value in errors.items()]
    card = json.loads(beside.read_text(encoding="utf-8"))
    card |= {"about": "mono camera", "adapted": {"fields": 7, "kept": "trained", "choices": choices}}
    card["training"]["adapted from"] = "smearcount"
    beside.write_text(json.dumps(card), encoding="utf-8")
    assert run_command(models.main, "--json") == 0
    mylab = json.loads(capsys.readouterr().out)["models"][1]
    assert (mylab["about"], mylab["adapted_from"]) == ("mono camera", "smearcount")
    assert [(error["on"], error["classes"]["RBC"]["value"]) for error in mylab["errors"]] == [
        ("7 corrected fields, cross-validated", 0.5),
        ("7 corrected fields, cross-validated, before", 0.8),
    ]
    assert run_command(models.main) == 0
    told = "error a field: RBC 0.50, WBC 0.50, Platelets 0.50; before RBC 0.80, WBC 0.80, Platelets 0.80"
    assert f"{told} (7 corrected fields, cross-validated)" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        (lambda folder: (folder / "mylab.json").unlink(), "has no card beside it"),
        (lambda folder: (folder / "mylab.json").write_text("{"), "its card cannot be read"),
        (lambda folder: (folder / "mylab.json").write_text("[" * 100_000), "its card cannot be read"),
        (lambda folder: (folder / "mylab.onnx").write_bytes(b"x"), "its SHA-256 is"),
    ],
)
def test_a_damaged_one_is_named_and_the_others_listed(
    mine: Path, run_command: Callable[..., int], capsys: pytest.CaptureFixture[str], harm: Callable[[Path], object], said: str
) -> None:
    harm(mine)
    assert run_command(models.main) == 1
    listed = capsys.readouterr().out
    assert said in listed
    assert "test fields of" in listed
