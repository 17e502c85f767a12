"""Weights of strangers are programs: none is run, whichever command is given them and however they are wrapped."""

from __future__ import annotations

import json
import os
import pickle
import random
import re
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
from detector import convert, count, evaluate, export, synth, train

samples = sys.argv[1]


def ended(main, *words):
    sys.argv[1:] = words
    try:
        main()
    except SystemExit as raised:
        return raised.code


assert not ended(synth.main, *"--out smears --fields 4 --size 160x128 --rbc 4 --um-per-px 0.2".split())
assert not ended(convert.main, *"smears/truth.json --out set --splits 0.5/0.25/0.25".split())
calls = {
    "train": (train.main, ["--data=set/data.yaml", "--model={weights}", "--name={name}"]),
    "export": (export.main, ["{weights}", "--data=set/data.yaml", "--out={name}.onnx"]),
    "resume": (train.main, ["--resume={name}-run"]),
    "count": (count.main, [samples, "--model={weights}"]),
    "evaluate": (evaluate.main, ["--data=set/data.yaml", "--model={weights}"]),
}
for weights in sorted(Path().glob("*.pt")):
    for name, (main, words) in calls.items():
        code = ended(main, *(word.format(weights=weights, name=weights.stem) for word in words))
        print(weights.stem, name, code, flush=True)
"""


@pytest.mark.slow
@pytest.mark.skipif(find_spec("ultralytics") is None, reason="needs the train extra: pip install -e '.[train]'")
def test_no_command_runs_what_a_pickle_holds(tmp_path: Path) -> None:
    from detector import shipped

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


TAKERS = {
    "count": "count {samples} --model {file} --out out",
    "stream": "stream fake:fields --seconds 1 --model {file} --out out",
    "evaluate": "evaluate --data set/data.yaml --model {file} --out out",
    "evaluate, second model": "evaluate --data set/data.yaml --against {file} --out out",
    "control": "control {samples} --log log.csv --model {file}",
    "compare": "compare --data set/data.yaml --model {file} --out out",
    "card": "card {file} figures.json",
    "export": "export {file} --data set/data.yaml --out made.onnx",
    "adapt": "adapt --from set --name mine --model {file}",
    "train": "train --data set/data.yaml --name mine --model {file}",
}
"""Commands that take a model or weights."""
SERVES = "serve --address 0 --state jobs --model {file}"

CALLS = """
import io, json, sys
from contextlib import redirect_stderr, redirect_stdout
from importlib import import_module

for line in sys.stdin:
    name, *sys.argv[1:] = json.loads(line)
    printed = io.StringIO()
    with redirect_stdout(printed), redirect_stderr(printed):
        try:
            import_module(f"detector.{name}").main()
        except SystemExit as ended:
            code = ended.code
    print(json.dumps([code, printed.getvalue()]), flush=True)
"""
"""Each line of standard input is a command as JSON; each line of the answer its exit code and what it printed."""


def hostile_files(folder: Path) -> list[str]:
    """Names of files that are no model, each as `.onnx` and as `.pt`."""
    pickled = pickle.dumps({"model": Program(folder / "ran", os.mkdir), "epoch": 3}, 2)
    real = {".onnx": SHIPPED.read_bytes(), ".pt": WEIGHTS.read_bytes()}
    names = []
    for suffix, other in ((".onnx", ".pt"), (".pt", ".onnx")):
        contents = {
            "empty": b"",
            "random": random.Random(1).randbytes(5000),
            "page": b"<html>Not found</html>",
            "cut": real[suffix][:100_000],
            "of_the_other_kind": real[other],
            # A field of protobuf that says to be 32 GiB long.
            "endless": b"\x3a\xff\xff\xff\xff\x7f" * 1000,
        }
        for name, content in contents.items():
            (folder / f"{name}{suffix}").write_bytes(content)
        for form, write in FORMS.items():
            write(folder / f"{form}{suffix}", pickled)
        with (folder / f"large{suffix}").open("wb") as file:
            file.truncate(2**31 + 1)
        (folder / f"folder{suffix}").mkdir()
        names += [f"{name}{suffix}" for name in (*contents, *FORMS, "large", "folder")]
    return [*names, away(folder)]


def away(folder: Path) -> str:
    """Name of an ONNX file whose weights are in another one, which is a pipe."""
    from onnx import TensorProto, helper

    weight = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1, 7], data_location=TensorProto.EXTERNAL)
    weight.external_data.add(key="location", value="pipe")
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, [1, 7])
    graph = helper.make_graph([helper.make_node("Identity", ["w"], ["out"])], "away", [], [out], [weight])
    (folder / "away.onnx").write_bytes(helper.make_model(graph).SerializeToString())
    os.mkfifo(folder / "pipe")
    return "away.onnx"


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="makes a pipe as POSIX systems do")
def test_no_command_takes_hostile_bytes_for_a_model(tmp_path: Path) -> None:
    for package, extra in {"ultralytics": "train", "onnx": "train", "sklearn": "baselines", "fastapi": "service"}.items():
        pytest.importorskip(package, reason=f"needs the {extra} extra: pip install -e '.[{extra}]'")
    from detector import shipped

    files = hostile_files(tmp_path)
    (tmp_path / "figures.json").write_text("{}", encoding="utf-8")
    (tmp_path / "models").mkdir()
    for file in files:
        if (tmp_path / file).is_file():
            os.link(tmp_path / file, tmp_path / "models" / file)
    lines = [
        "synth --out smears --fields 4 --size 160x128 --rbc 4 --um-per-px 0.2",
        "convert smears/truth.json --out set --splits 0.5/0.25/0.25",
        "models",
        *(line.format(file=file, samples=shipped.samples()) for line in TAKERS.values() for file in files),
        *(SERVES.format(file=f"plain{suffix}") for suffix in (".onnx", ".pt")),
    ]
    done = subprocess.run(
        [sys.executable, "-c", CALLS],
        cwd=tmp_path,
        env={**os.environ, "SMEARCOUNT_MODELS": "models", "PYTHONPATH": str(Path(__file__).parents[2])},
        input="".join(f"{json.dumps(line.split())}\n" for line in lines),
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    answers = [json.loads(answer) for answer in done.stdout.splitlines()]
    assert len(answers) == len(lines), done.stderr
    # ONNX Runtime writes past Python.
    assert "onnxruntime" not in done.stderr
    assert not (tmp_path / "ran").exists()
    assert [code for code, _ in answers[:3]] == [0, 0, 1]
    assert all(Path(file).stem in answers[2][1] for file in files if file.endswith(".onnx") and "folder" not in file)
    for line, (code, printed) in zip(lines[3:], answers[3:], strict=True):
        text = " ".join(printed.split())
        file = next(file for file in files if file in line.split())
        assert code in (2, 3), (line, text)
        assert "Traceback" not in text, line
        # The file, and what would have worked.
        assert re.search(rf"{re.escape(file)}: .*(give |make a model of them with|must be )", text), (line, text)


LIES: dict[str, tuple[Callable[[dict[str, Any], Any], object], str]] = {
    "size": (lambda kept, _: kept["train_args"].update(imgsz=10**9), "trained at 1000000000 px, which is no size"),
    "negative size": (lambda kept, _: kept["train_args"].update(imgsz=-32), "trained at -32 px, which is no size"),
    "settings": (lambda kept, _: kept.update(train_args=3), "can be loaded safely"),
    "task": (lambda kept, _: kept["train_args"].update(task="segment"), "its task is not detection"),
    "names": (lambda _, network: setattr(network, "names", 3), "its classes have no names"),
    "keys of names": (lambda _, network: setattr(network, "names", {0: "RBC", "a": "WBC"}), "its classes have no names"),
    "strides": (lambda _, network: setattr(network, "stride", None), "its strides are none"),
    "architecture": (lambda _, network: setattr(network, "yaml", 5), "its architecture is none"),
    "layers": (lambda _, network: setattr(network.model[-1], "f", [99]), "it cannot be run"),
    "numbers": (lambda _, network: next(network.parameters()).data.fill_(float("nan")), "hold no numbers"),
}
"""How weights that load can lie about themselves, and what is said of it."""


@pytest.mark.slow
@pytest.mark.parametrize("lie", LIES)
def test_weights_that_lie_about_themselves_are_refused(lie: str, tmp_path: Path) -> None:
    pytest.importorskip("ultralytics", reason="needs the train extra: pip install -e '.[train]'")
    from detector.training import fit, framework

    framework.prepare(tmp_path / "state", says=False)
    import torch
    from ultralytics.nn.tasks import torch_safe_load

    kept, _ = torch_safe_load(str(WEIGHTS), safe_only=True)
    change, said = LIES[lie]
    change(kept, kept["model"])
    torch.save(kept, tmp_path / "lying.pt")
    with pytest.raises(ModelError, match=rf"lying\.pt: .*({said}).*give weights that a training wrote"):
        fit.trained_px(tmp_path / "lying.pt")


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
