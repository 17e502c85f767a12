"""The convert command: what it prints, writes and ends with."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from detector import convert
from detector.annotations import download

ROOT = Path(__file__).parents[2]


def field(path: Path, seed: int, text: str = "1 0.5 0.5 0.25 0.25\n") -> None:
    """An image and its YOLO labels below a folder."""
    noise = np.random.default_rng(seed).normal(size=(64, 96, 3)).astype(np.float32)
    pixels = np.clip(128 + 500 * cv2.GaussianBlur(noise, (0, 0), 4), 0, 255).astype(np.uint8)
    for kind, suffix, content in (
        ("images", ".png", cv2.imencode(".png", pixels)[1].tobytes()),
        ("labels", ".txt", text.encode()),
    ):
        target = path.parent / kind / f"{path.name}{suffix}"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


@pytest.fixture
def source(tmp_path: Path) -> Path:
    root = tmp_path / "set with spaces"
    for i in range(10):
        field(root / f"f{i}", i)
    (root / "classes.txt").write_text("WBC\nRBC\nPlatelet\n", encoding="utf-8")
    return root


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> int:
    monkeypatch.setattr(sys, "argv", ["convert", *map(str, arguments)])
    with pytest.raises(SystemExit) as ended:
        convert.main()
    return int(ended.value.code or 0)


def test_all_well(source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(monkeypatch, source, "--out", tmp_path / "out") == 0
    printed = capsys.readouterr().out
    assert "boxes: 0 repaired, 0 dropped" in printed
    assert "audit.md" in printed
    audit = json.loads((tmp_path / "out" / "audit.json").read_text(encoding="utf-8"))
    assert {split: tally["images"] for split, tally in audit["splits"].items()} == {"train": 8, "val": 1, "test": 1}
    assert audit["splits"]["train"]["boxes"] == {"RBC": 8, "WBC": 0, "Platelets": 0}
    assert (audit["split_plan"], audit["seed"]) == ("0.8/0.1/0.1", 0)


def test_some_inputs_failed(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (source / "images" / "f3.png").write_bytes(b"")
    assert run(monkeypatch, source, "--out", tmp_path / "out", "--splits", "0.6/0.2/0.2", "--seed", 1) == 1
    assert "images/f3.png" in capsys.readouterr().err
    assert (tmp_path / "out" / "data.yaml").is_file()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        ([], 2, "Missing option"),
        (["--out", "out"], 2, "give either SOURCE"),
        (["nowhere", "--out", "out"], 3, "nowhere: no such file or folder"),
        (["{source}", "--out", "out", "--download", "bccd"], 2, "give either SOURCE"),
        (["--out", "out", "--download", "coco"], 2, "known: bccd"),
        (["{source}", "--out", "out", "--splits", "0.5/0.6/0.1"], 2, "must sum to 1"),
        (["{source}", "--out", "out", "--splits", "official"], 2, "no splits of its own"),
        (["{source}", "--out", "out", "--only-relabelled"], 2, "needs --labels"),
        (["{source}", "--out", "out", "--labels", "nowhere"], 3, "nowhere: no such file or folder"),
        (["{source}", "--out", "out", "--against", "nowhere"], 3, "nowhere: no such folder"),
        (["{source}", "--out", "{source}"], 2, "lies in or around"),
        (["{source}/images", "--out", "out"], 3, "holds no label set"),
        (["{source}/classes.txt", "--out", "out"], 3, "not a label set"),
        (["{source}", "--out", "{source}/classes.txt/out"], 2, "lies in or around"),
        (["{source}", "--out", "file/out"], 3, "cannot be written"),
        (["{source}", "--out", "file"], 3, "exists and is no earlier conversion"),
    ],
)
def test_wrong_use(
    source: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    code: int,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("a file", encoding="utf-8")
    assert run(monkeypatch, *(argument.format(source=source) for argument in arguments)) == code
    printed = capsys.readouterr()
    assert message in " ".join(printed.err.split())
    assert "Traceback" not in printed.err
    assert not (tmp_path / "out").exists()


def test_download_then_convert(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    asked: list[str] = []

    def fetched(dataset: download.Descriptor, folder: Path, told: object) -> Path:
        asked.append(f"{dataset.url} {folder.as_posix()}")
        return source

    monkeypatch.setattr(download, "fetch", fetched)
    assert run(monkeypatch, "--download", "bccd", "--out", "out") == 0
    (line,) = asked
    assert line.startswith("https://")
    assert line.endswith("/BCCD/ datasets/downloads/bccd")


def test_the_module_runs_as_a_program_without_torch(source: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from detector import convert; convert.run = lambda *a: None; convert.main(); print('torch' in sys.modules)"
    )
    told = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "False"
    command = [sys.executable, "-m", "detector.convert", str(source), "--out", str(tmp_path / "out"), "--against", str(source)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, env={**os.environ, "COLUMNS": "200"})
    assert done.returncode == 0, done.stderr
    assert "fields also in" in done.stdout
    assert done.stderr == ""
