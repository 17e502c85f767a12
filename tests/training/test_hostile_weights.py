"""Weights of strangers are programs: none is run, whichever command is given them and however they are wrapped."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from detector.errors import ModelError
from detector.training import settings
from detector.vision import backends, card
from detector.vision.catalogue import SHIPPED
from detector.vision.model import Model

WEIGHTS = SHIPPED.with_suffix(".pt")


class Program:
    """What makes a folder when it is unpickled."""

    def __init__(self, mark: Path, by: Callable[..., Any]) -> None:
        self.made_by = by, (str(mark),)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return self.made_by


def plain(target: Path, pickled: bytes) -> None:
    """A bare pickle."""
    target.write_bytes(pickled)


def archive(target: Path, pickled: bytes) -> None:
    """The form in which torch saves."""
    with zipfile.ZipFile(target, "w") as file:
        for name, content in (("data.pkl", pickled), ("version", b"3\n"), ("byteorder", b"little")):
            file.writestr(f"archive/{name}", content)


def former(target: Path, pickled: bytes) -> None:
    """The form in which torch saved before: a magic number, a version and the system's kind stand before the content."""
    head = (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True, "type_sizes": {}})
    target.write_bytes(b"".join(pickle.dumps(part, 2) for part in head) + pickled + pickle.dumps([], 2))


FORMS = {"plain": plain, "archive": archive, "former": former}

COMMANDS = """
import sys
from pathlib import Path
from detector import count, evaluate, export, train

calls = {
    "train": (train.main, ["--data=set/data.yaml", "--model={weights}", "--name={name}"]),
    "export": (export.main, ["{weights}", "--data=set/data.yaml", "--out={name}.onnx"]),
    "resume": (train.main, ["--resume={name}-run"]),
    "count": (count.main, [sys.argv[1], "--model={weights}"]),
    "evaluate": (evaluate.main, ["--data=set/data.yaml", "--model={weights}"]),
}
for weights in sorted(Path().glob("*.pt")):
    for name, (main, arguments) in calls.items():
        sys.argv[1:] = [argument.format(weights=weights, name=weights.stem) for argument in arguments]
        try:
            main()
        except SystemExit as ended:
            print(weights.stem, name, ended.code, flush=True)
"""


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ultralytics") is None, reason="needs the train extra: pip install -e '.[train]'")
def test_no_command_runs_what_a_pickle_holds(tmp_path: Path) -> None:
    from detector import shipped

    for call in (
        ["synth", "--out", "smears", "--fields", "4", "--size", "160x128", "--rbc", "4", "--um-per-px", "0.2"],
        ["convert", "smears/truth.json", "--out", "set", "--splits", "0.5/0.25/0.25"],
    ):
        subprocess.run([sys.executable, "-m", "detector", *call], cwd=tmp_path, check=True, capture_output=True)
    record = {"settings": settings.load().model_dump(), "data": [str(tmp_path / "set" / "data.yaml")]}
    for form, write in FORMS.items():
        pickled = pickle.dumps({"model": Program(tmp_path / "ran", os.mkdir), "epoch": 3}, 2)
        write(tmp_path / f"{form}.pt", pickled)
        run = tmp_path / f"{form}-run"
        (run / "weights").mkdir(parents=True)
        write(run / "weights" / "last.pt", pickled)
        (run / "settings.json").write_text(json.dumps(record), encoding="utf-8")
    # The files do what they are feared for.
    pickle.loads((tmp_path / "plain.pt").read_bytes())
    (tmp_path / "ran").rmdir()

    program = [sys.executable, "-c", COMMANDS, str(shipped.samples())]
    done = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    assert not (tmp_path / "ran").exists()
    ended = {tuple(line.split()[:2]): int(line.split()[2]) for line in done.stdout.splitlines() if line.split()[:1][0] in FORMS}
    assert len(ended) == 5 * len(FORMS), done.stderr
    assert set(ended.values()) == {ModelError.exit_code}
    assert "Traceback" not in done.stderr
    assert done.stderr.count("is not a YOLO model that can be loaded safely") == 2 * len(FORMS)
    assert done.stderr.count("weights/last.pt and best.pt are damaged") == len(FORMS)
    assert done.stderr.count("weights are for training") == 2 * len(FORMS)


@pytest.mark.parametrize("beside", ['{"sha256": "0"}', "{}", "[" * 200_000, "no card", '{"sha256": {}}'])
def test_a_model_is_compared_with_its_card_before_it_is_parsed(
    beside: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backends, "open_network", lambda *_: pytest.fail("was parsed"))
    shutil.copyfile(SHIPPED, tmp_path / "other.onnx")
    (tmp_path / "other.json").write_text(beside, encoding="utf-8")
    with pytest.raises(ModelError, match="restore"):
        Model.load(tmp_path / "other.onnx")


def test_weights_are_compared_with_the_card_of_their_model(tmp_path: Path) -> None:
    assert json.loads(SHIPPED.with_suffix(".json").read_text(encoding="utf-8"))[card.WEIGHTS_HASH] == card.check_weights(WEIGHTS)
    own = tmp_path / "own.pt"
    own.write_bytes(b"weights")
    digest = card.check_weights(own)
    for content in ({}, {card.WEIGHTS_HASH: digest}):
        own.with_suffix(".json").write_text(json.dumps(content), encoding="utf-8")
        assert card.check_weights(own) == digest
    own.with_suffix(".json").write_text(json.dumps({card.WEIGHTS_HASH: "0" * 64}), encoding="utf-8")
    with pytest.raises(ModelError, match=r"own\.pt: its SHA-256 is .*, its card says 000000000000"):
        card.check_weights(own)
