"""A device that is not there is refused before anything is written; what a run leaves is read with care."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from detector.errors import ConfigError, UsageError
from detector.training import fit, settings

torch = pytest.importorskip("torch", reason="needs the train extra: pip install -e '.[train]'")


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """As many GPUs as the test asks for, and no Apple GPU."""
    monkeypatch.setattr(torch.cuda, "device_count", lambda: request.param)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)


@pytest.mark.parametrize(
    ("gpus", "name"), [(0, "auto"), (0, "cpu"), (1, "0"), (4, "3"), (2, "0,1"), (4, "1,3")], indirect=["gpus"]
)
def test_what_is_there_may_be_used(gpus: None, name: str) -> None:
    fit.require_device(name, 16)


@pytest.mark.parametrize(
    ("gpus", "name", "message"),
    [
        (0, "0", "--device 0: is not available; available: auto, cpu$"),
        (0, "mps", "available: auto, cpu$"),
        (1, "0,1", "available: auto, cpu, 0$"),
        (2, "2", "available: auto, cpu, 0, 1, or several GPUs such as 0,1$"),
        (2, "0,0", "--device 0,0"),
        (2, "cuda", "--device cuda"),
        (2, "", "--device : "),
    ],
    indirect=["gpus"],
)
def test_another_is_refused_with_those_that_are_there(gpus: None, name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        fit.require_device(name, 16)


@pytest.mark.parametrize("gpus", [4], indirect=True)
def test_a_batch_is_shared_by_all_gpus(gpus: None) -> None:
    fit.require_device("0,1,2", 9)
    with pytest.raises(UsageError, match="--batch 16: must be a multiple of 3"):
        fit.require_device("0,1,2", 16)


def test_an_apple_gpu_is_taken_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    fit.require_device("mps", 16)


def test_the_table_of_epochs_is_cut_to_those_of_the_checkpoint(tmp_path: Path) -> None:
    table = tmp_path / "results.csv"
    head, rows = "epoch,time,loss\n", [f"{epoch},1.5,0.3\n" for epoch in range(1, 5)]
    for torn in ("", "5,2", "\n", "x,1,2\n"):
        table.write_text(head + "".join(rows) + torn, encoding="utf-8")
        fit._forget_after(table, 2)
        assert table.read_text(encoding="utf-8") == head + "".join(rows[:3])
    fit._forget_after(tmp_path / "none.csv", 2)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("{", "cannot be read"),
        ("[" * 100_000, "cannot be read"),
        ("[]", "does not hold the settings"),
        ('{"settings": 3, "data": []}', "does not hold the settings"),
        ('{"settings": {}, "data": [4]}', "does not hold the settings"),
        ('{"settings": {"epochs": "x"}, "data": []}', "epochs"),
    ],
)
def test_settings_of_a_run_that_were_changed_are_told(tmp_path: Path, content: str, told: str) -> None:
    (tmp_path / "settings.json").write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match=told) as error:
        fit.recorded_settings(tmp_path)
    assert "settings.json" in str(error.value)


def test_settings_of_a_run_come_back(tmp_path: Path) -> None:
    chosen = settings.load(None, {"epochs": 3})
    record = {"settings": chosen.model_dump(), "data": ["a/data.yaml"]}
    (tmp_path / "settings.json").write_text(json.dumps(record), encoding="utf-8")
    assert fit.recorded_settings(tmp_path) == chosen
    assert fit.recorded_data(tmp_path) == [Path("a/data.yaml")]


def test_a_torn_checkpoint_has_no_epoch(tmp_path: Path) -> None:
    pytest.importorskip("ultralytics", reason="needs the train extra: pip install -e '.[train]'")
    for content in (b"", b"PK\x03\x04", bytes(1000)):
        (tmp_path / "last.pt").write_bytes(content)
        assert fit._epoch_of(tmp_path / "last.pt") is None
