"""From synthetic fields to a model that counts, by the commands that a user calls."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

# Looked for and not imported: imported by itself, it changes how Pillow opens images in this whole process.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("ultralytics") is None, reason="needs the train extra: pip install -e '.[train]'"),
]

ROOT = Path(__file__).parents[2]


def call(folder: Path, name: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder as its user would."""
    command = [sys.executable, "-m", f"detector.{name}", *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=600)


IN_TURN = """
import io, json, sys
from contextlib import redirect_stderr
from importlib import import_module

ended = []
for name, *arguments in json.loads(sys.argv[1]):
    sys.argv = [name, *arguments]
    with redirect_stderr(io.StringIO()) as errors:
        try:
            import_module(f"detector.{name}").main()
            code = 0
        except SystemExit as error:
            code = error.code or 0
    ended.append([code, errors.getvalue()])
print(json.dumps(ended))
"""


def call_in_turn(folder: Path, *lines: tuple[object, ...]) -> list[tuple[int, str]]:
    """Run commands one after the other in one process, which imports PyTorch once; exit codes and standard errors."""
    given = json.dumps([[str(word) for word in line] for line in lines])
    done = subprocess.run([sys.executable, "-c", IN_TURN, given], cwd=folder, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    return [(code, errors) for code, errors in json.loads(done.stdout.splitlines()[-1])]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which a tiny model was trained for two epochs on synthetic fields."""
    folder = tmp_path_factory.mktemp("train")
    made = call(folder, "synth", "--out", "smears", "--fields", 10, "--size", "160x128", "--rbc", 4, "--um-per-px", 0.2)
    assert made.returncode == 0, made.stderr
    converted = call(folder, "convert", "smears/truth.json", "--out", "data", "--splits", "0.6/0.2/0.2")
    assert converted.returncode == 0, converted.stderr
    options = ("--model", "yolo11n.yaml", "--epochs", 2, "--image-px", 64, "--batch", 3, "--close-mosaic-epochs", 1)
    done = call(folder, "train", "--data", "data/data.yaml", "--name", "tiny", *options)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "same counts as the weights in 2 of 2 fields" in done.stdout
    assert "train longer" in done.stderr
    return folder


def test_a_run_leaves_its_settings_log_curves_and_weights(trained: Path) -> None:
    run = trained / "runs" / "train" / "tiny"
    for name in ("settings.json", "train.log", "results.csv", "results.png", "weights/best.pt", "weights/last.pt", "model.onnx"):
        assert (run / name).is_file(), name
    record = json.loads((run / "settings.json").read_text(encoding="utf-8"))
    assert (record["settings"]["epochs"], record["settings"]["image_px"]) == (2, 64)
    assert len((run / "results.csv").read_text(encoding="utf-8").splitlines()) == 3


def test_the_card_says_what_a_user_must_know(trained: Path) -> None:
    card = json.loads((trained / "runs" / "train" / "tiny" / "model.json").read_text(encoding="utf-8"))
    assert card["class_names"] == ["RBC", "WBC", "Platelets"]
    assert card["licence"] == "AGPL-3.0-only"
    assert card["image_px"] == 64
    assert set(card["thresholds"]) == set(card["class_names"])
    assert "2 val fields of data" in card["thresholds_from"]
    # Red cells of 7.6 µm at 0.2 µm/px are 38 px wide in fields of 160 px, which are shown at 64.
    assert card["rbc_px"] == pytest.approx(38 * 64 / 160, rel=0.1)
    assert card["parity_with_weights"]["fields"] == 2
    assert {
        name: sum(domain["fields"] for domain in domains.values()) for name, domains in card["val_sums"].items()
    } == dict.fromkeys(card["class_names"], 2)
    assert set(card["val_precision_recall"]) == set(card["class_names"])
    assert card["datasets"]["data"]["fields"] == {"train": 6, "val": 2, "test": 2}
    assert set(card["threshold_tuning"]["RBC"]["domains"]) == set(card["val_count_error_per_field"]) == {"data"}
    text = (trained / "runs" / "train" / "tiny" / "model.md").read_text(encoding="utf-8")
    assert "](model.thresholds.png)" in text
    assert "Pairs of fields that show the same cells in two splits: none." in text
    plot = trained / "runs" / "train" / "tiny" / "model.thresholds.png"
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_the_new_model_counts(trained: Path) -> None:
    done = call(trained, "count", "smears", "--model", "runs/train/tiny/model.onnx", "--out", "counted")
    assert done.returncode == 0, done.stderr
    run = json.loads((trained / "counted" / "run.json").read_text(encoding="utf-8"))
    assert run["fields"]["read"] == 10
    assert run["model"]["image_px"] == 64


PARITY = """
from pathlib import Path
import cv2
import numpy as np
import torch
from detector.training import framework
framework.prepare(Path("state"))
from ultralytics import YOLO
from detector.vision import images
from detector.vision.model import Model, canvas

bgr = images.read(Path("smears/smear_a/field_01.jpg"))[:, :, ::-1]
cv2.imwrite("field.png", bgr)
rgb = images.read(Path("field.png"))
ours = Model.load(Path("runs/train/tiny/model.onnx"))
weights = YOLO("runs/train/tiny/weights/best.pt")
weights.predict("field.png", imgsz=64, device="cpu", verbose=False)
shown = weights.predictor.preprocess([cv2.imread("field.png")])
with torch.no_grad():
    expected = weights.predictor.model(shown)
expected = (expected[0] if isinstance(expected, (list, tuple)) else expected).numpy()
expected = expected[0].T
half = expected[:, 2:4] / 2
expected[:, :4] = np.concatenate([expected[:, :2] - half, expected[:, :2] + half], axis=1)
for how, picture in (("as it is", rgb), ("swapped", np.ascontiguousarray(rgb[:, :, ::-1]))):
    pixels = canvas(picture, ours.card)[0]
    output = ours.network.run(pixels, np.zeros(3, dtype=np.float32))
    assert output.shape == expected.shape and output.shape[1] == 7, (output.shape, expected.shape)
    print(f"input {how}", np.allclose(pixels.transpose(2, 0, 1)[None] / 255, shown.numpy(), atol=1e-6))
    print(f"output {how}", np.allclose(output, expected, rtol=1e-3, atol=1e-4))
"""


def test_the_model_sees_and_answers_what_its_weights_do(trained: Path) -> None:
    done = subprocess.run([sys.executable, "-c", PARITY], cwd=trained, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert "input as it is True" in done.stdout
    assert "output as it is True" in done.stdout
    # Channels in the wrong order, which nobody sees in a count, must not pass. So short a training has not learnt to tell
    # colours, so what it answers says nothing of them.
    assert "input swapped False" in done.stdout


def test_export_makes_the_same_model_of_the_weights(trained: Path) -> None:
    weights = "runs/train/tiny/weights/best.pt"
    line = ("export", weights, "--data", "data/data.yaml", "--out")
    made, again, other = call_in_turn(
        trained, (*line, "own/again.onnx"), (*line, "own/again.onnx"), (*line, "own/other.onnx", "--image-px", 416)
    )
    assert made[0] == 0, made[1]
    own = json.loads((trained / "own" / "again.json").read_text(encoding="utf-8"))
    first = json.loads((trained / "runs" / "train" / "tiny" / "model.json").read_text(encoding="utf-8"))
    assert own["thresholds"] == first["thresholds"]
    assert again[0] == 3
    assert "exists already" in again[1]
    assert other[0] == 2
    assert f"--image-px 416: {weights} was trained at 64 px; leave it out" in " ".join(other[1].split())
    assert not (trained / "own" / "other.onnx").exists()


def test_a_finished_training_is_not_trained_further_by_resume(trained: Path) -> None:
    before = (trained / "runs" / "train" / "tiny" / "results.csv").read_bytes()
    done = call(trained, "train", "--resume", "runs/train/tiny")
    assert done.returncode == 0, done.stderr
    assert (trained / "runs" / "train" / "tiny" / "results.csv").read_bytes() == before


KILLED = """
import os, signal, sys
from pathlib import Path
import torch  # once for all
from detector.training import fit, settings
original = fit.start
def train_until(name, moment, epoch):
    def start(model):
        yolo = original(model)
        def stop(trainer):
            if trainer.epoch == int(epoch): os.kill(os.getpid(), signal.SIGKILL)
        yolo.add_callback(moment, stop)
        return yolo
    fit.start = start
    chosen = settings.load(None, dict(model="yolo11n.yaml", epochs=3, image_px=64, batch=3, threads=1))
    fit.fit(chosen, [Path("data/data.yaml")], Path("runs/train") / name)
for words in sys.argv[1:]:
    child = os.fork()
    if not child:
        train_until(*words.split())
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGKILL, words
"""
KILLS = {"between": ("on_train_epoch_start", 1), "unsaved": ("on_fit_epoch_end", 1), "torn": ("on_train_epoch_start", 2)}
"""Names of trainings with the moment and the epoch, from 0, of their end."""


@dataclass(frozen=True)
class Resumed:
    """A training that was killed, moved and resumed."""

    folder: Path
    kept: int
    """Epochs of which there was a row when it was killed."""
    code: int
    errors: str


@pytest.fixture(scope="module")
def resumed(trained: Path) -> dict[str, Resumed]:
    words = [f"{name} {moment} {epoch}" for name, (moment, epoch) in KILLS.items()]
    killed = subprocess.run([sys.executable, "-c", KILLED, *words], cwd=trained, capture_output=True, text=True, timeout=600)
    assert killed.returncode == 0, killed.stderr[-2000:]
    moved = {name: (trained / "runs" / "train" / name).rename(trained / f"moved_{name}") for name in KILLS}
    kept = [len((folder / "results.csv").read_text(encoding="utf-8").splitlines()) - 1 for folder in moved.values()]
    last = moved["torn"] / "weights" / "last.pt"
    last.write_bytes(last.read_bytes()[:9999])
    ended = call_in_turn(trained, *(("train", "--resume", folder) for folder in moved.values()))
    return {name: Resumed(moved[name], rows, *end) for name, rows, end in zip(KILLS, kept, ended, strict=True)}


@pytest.mark.skipif(sys.platform == "win32", reason="signals differ on Windows")
@pytest.mark.parametrize(("name", "kept"), [("between", 1), ("unsaved", 2), ("torn", 2)])
def test_a_training_that_was_killed_goes_on_where_it_stands_now(
    trained: Path, resumed: dict[str, Resumed], name: str, kept: int
) -> None:
    """Killed at the start of an epoch, and between the row of an epoch and its checkpoint; then its folder is moved."""
    training = resumed[name]
    assert training.kept == kept
    assert training.code == 0, training.errors[-3000:]
    assert ("last.pt is damaged; the training goes on from best.pt, after epoch" in training.errors) == (name == "torn")
    rows = (training.folder / "results.csv").read_text(encoding="utf-8").splitlines()[1:]
    assert [row.split(",")[0] for row in rows] == ["1", "2", "3"]
    assert (training.folder / "model.onnx").is_file()
    assert not (trained / "runs" / "train" / name).exists()
    assert not list(training.folder.rglob(".*.part"))


WRONG: list[tuple[tuple[str, ...], int, str]] = [
    ((), 2, "--data is missing"),
    (("--data", "gone.yaml"), 3, "gone.yaml: no such file; python -m detector.convert writes one"),
    (("--data", "data/data.yaml", "--epochs", "0"), 2, "epochs"),
    (("--data", "data/data.yaml", "--name", "tiny"), 3, "exists already"),
    (
        ("--data", "data/data.yaml", "--name", "n1", "--model", "yolo11n"),
        2,
        "must be smearcount, weights (.pt) or an architecture",
    ),
    (("--data", "data/data.yaml", "--name", "n2", "--model", "none.yaml"), 3, "not an architecture"),
    (
        ("--data", "data/data.yaml", "--name", "n3", "--model", "data/fake.pt"),
        3,
        "not a YOLO model that can be loaded safely",
    ),
    (("--resume", "runs/train/none"), 3, "to resume"),
    (("--data", "data/data.yaml", "--name", "../evil"), 2, "--name ../evil: must be the name of one folder"),
    (("--data", "data/data.yaml", "--name", ".."), 2, "--name ..: must be the name of one folder"),
    (("--data", "data/data.yaml", "--name", "/evil"), 2, "--name /evil: must be the name of one folder"),
    (("--resume", "runs/train/tiny", "--epochs", "9"), 2, "leave out --epochs"),
]
"""Arguments of a training with its exit code and what it says."""


@pytest.fixture(scope="module")
def refused(trained: Path) -> dict[tuple[str, ...], tuple[int, str]]:
    """Exit codes and standard errors by the arguments."""
    (trained / "data" / "fake.pt").write_bytes(b"not weights")
    lines = [arguments for arguments, _, _ in WRONG]
    return dict(zip(lines, call_in_turn(trained, *(("train", *line) for line in lines)), strict=True))


@pytest.mark.parametrize(("arguments", "code", "message"), WRONG)
def test_wrong_use_is_one_line_and_its_exit_code(
    refused: dict[tuple[str, ...], tuple[int, str]], arguments: tuple[str, ...], code: int, message: str
) -> None:
    ended, errors = refused[arguments]
    printed = " ".join(errors.split())
    assert message in printed
    assert ended == code
    assert "Traceback" not in printed
