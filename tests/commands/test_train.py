"""From synthetic fields to a model that counts, by the commands that a user calls."""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from detector.vision.cells import CLASSES
from detector.vision.model import Model

# Looked for and not imported: imported by itself, it changes how Pillow opens images in this whole process.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("ultralytics") is None, reason="needs the train extra: pip install -e '.[train]'"),
]

TESTS = Path(__file__).parents[1]
PROGRAM, NETWORK = TESTS / "commands" / "trainings.py", TESTS / "training" / "small.yaml"

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
        ("--data", "data/data.yaml", "--name", "n3", "--model", "fake.pt"),
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


EXPORT = ("export", "runs/train/tiny/weights/best.pt", "--data", "data/data.yaml", "--out")
AGAIN, OTHER_SIZE = (*EXPORT, "own/again.onnx"), (*EXPORT, "own/other.onnx", "--image-px", "416")
COUNT = ("count", "smears", "--model", "runs/train/tiny/model.onnx", "--out", "counted")
LINES = (COUNT, AGAIN, AGAIN, OTHER_SIZE, *(("train", *arguments) for arguments, _, _ in WRONG))
"""Commands that follow the training."""


@dataclass(frozen=True)
class Trained:
    """A folder in which a tiny model was trained for two epochs on synthetic fields, and what else was done in it."""

    folder: Path
    ended: dict[str, Any]
    """As `trainings.py` gives it: commands with their exit code, output and errors."""

    @property
    def run(self) -> Path:
        return self.folder / "runs" / "train" / "tiny"

    def ends_of(self, line: tuple[str, ...]) -> list[dict[str, Any]]:
        """How a command ended each time."""
        return [ended for own, ended in zip(LINES, self.ended["lines"], strict=True) if own == line]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("train")
    program = [sys.executable, str(PROGRAM), str(NETWORK)]
    done = subprocess.run(program, cwd=folder, input=json.dumps(LINES), capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stderr[-3000:]
    return Trained(folder, json.loads(done.stdout.splitlines()[-1]))


def test_a_training_tells_what_came_of_it(trained: Trained) -> None:
    told = trained.ended["train"]
    assert "same counts as the weights in 2 of 2 fields" in told["output"]
    assert "train longer" in told["errors"]


def test_a_run_leaves_its_settings_log_curves_and_weights(trained: Trained) -> None:
    run = trained.run
    for name in ("settings.json", "train.log", "results.csv", "results.png", "weights/best.pt", "weights/last.pt", "model.onnx"):
        assert (run / name).is_file(), name
    record = json.loads((run / "settings.json").read_text(encoding="utf-8"))
    assert (record["settings"]["epochs"], record["settings"]["image_px"]) == (2, 64)
    assert len(trained.ended["table"].splitlines()) == 3


def test_the_card_says_what_a_user_must_know(trained: Trained) -> None:
    card = json.loads((trained.run / "model.json").read_text(encoding="utf-8"))
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
    text = (trained.run / "model.md").read_text(encoding="utf-8")
    assert "](model.thresholds.png)" in text
    assert "Pairs of fields that show the same cells in two splits: none." in text
    plot = trained.run / "model.thresholds.png"
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_the_new_model_counts(trained: Trained) -> None:
    (done,) = trained.ends_of(COUNT)
    assert done["code"] == 0, done["errors"]
    run = json.loads((trained.folder / "counted" / "run.json").read_text(encoding="utf-8"))
    assert run["fields"]["read"] == 10
    assert run["model"]["image_px"] == 64


def test_the_model_sees_and_answers_what_its_weights_do(trained: Trained) -> None:
    alike = trained.ended["parity"]
    assert alike["as it is"] == [True, True]
    # Channels in the wrong order, which nobody sees in a count, must not pass. So short a training has not learnt to tell
    # colours, so what it answers says nothing of them.
    assert not alike["swapped"][0]


def test_export_makes_the_same_model_of_the_weights(trained: Trained) -> None:
    made, again = trained.ends_of(AGAIN)
    (other,) = trained.ends_of(OTHER_SIZE)
    assert made["code"] == 0, made["errors"]
    own = json.loads((trained.folder / "own" / "again.json").read_text(encoding="utf-8"))
    first = json.loads((trained.run / "model.json").read_text(encoding="utf-8"))
    assert own["thresholds"] == first["thresholds"]
    assert again["code"] == 3
    assert "exists already" in again["errors"]
    assert other["code"] == 2
    assert f"--image-px 416: {EXPORT[1]} was trained at 64 px; leave it out" in " ".join(other["errors"].split())
    assert not (trained.folder / "own" / "other.onnx").exists()


def test_a_finished_training_is_not_trained_further_by_resume(trained: Trained) -> None:
    done = trained.ended["finished"]
    assert done["code"] == 0, done["errors"]
    assert (trained.run / "results.csv").read_text(encoding="utf-8") == trained.ended["table"]


def test_a_corrected_dataset_is_trained_on(trained: Trained) -> None:
    """Rendered fields are counted by the shipped model and corrected; the review writes a dataset, and `train` makes a model of it."""
    corrected = trained.ended["corrected"]
    assert [ended["code"] for ended in corrected["ended"]] == [0, 0, 0], [ended["errors"] for ended in corrected["ended"]]
    with (trained.folder / "counts" / "counts.csv").open(encoding="utf-8", newline="") as file:
        before = [sum(int(row[name]) for row in rows) for rows in [list(csv.DictReader(file))] for name in CLASSES]
    assert corrected["counts"] == [before[0], before[1], before[2] + corrected["drawn"]]
    run = trained.folder / "runs" / "train" / "corrected"
    card = json.loads((run / "model.json").read_text(encoding="utf-8"))
    (trained_on,) = card["data"]
    sums = {name: card["val_sums"][name]["dataset"] for name in CLASSES}
    # What was trained on and what thresholds were tuned on are together what the reader left in the fields.
    in_training = [int(re.search(rf"(\d+) {name}", trained_on)[1]) for name in CLASSES]  # type: ignore[index]
    in_val = [sums[name]["true"] + sums[name]["missed"] for name in CLASSES]
    assert [a + b for a, b in zip(in_training, in_val, strict=True)] == corrected["counts"]
    assert card["datasets"]["dataset"]["fields"] == {"train": 8, "val": 2, "test": 0}
    assert len((run / "results.csv").read_text(encoding="utf-8").splitlines()) == 2
    assert Model.load(run / "model.onnx").card.image_px == 64


@pytest.mark.skipif(sys.platform == "win32", reason="signals differ on Windows")
@pytest.mark.parametrize(("name", "kept"), [("between", 1), ("unsaved", 2), ("torn", 2)])
def test_a_training_that_was_killed_goes_on_where_it_stands_now(trained: Trained, name: str, kept: int) -> None:
    """Killed at the start of an epoch, and between the row of an epoch and its checkpoint; then its folder is moved."""
    resumed, folder = trained.ended["resumed"][name], trained.folder / f"moved_{name}"
    assert resumed["kept"] == kept
    assert resumed["code"] == 0, resumed["errors"]
    assert ("last.pt is damaged; the training goes on from best.pt, after epoch" in resumed["errors"]) == (name == "torn")
    rows = (folder / "results.csv").read_text(encoding="utf-8").splitlines()[1:]
    assert [row.split(",")[0] for row in rows] == ["1", "2", "3"]
    assert (folder / "model.onnx").is_file()
    assert not (trained.run.parent / name).exists()
    assert not list(folder.rglob(".*.part"))


@pytest.mark.parametrize(("arguments", "code", "message"), WRONG)
def test_wrong_use_is_one_line_and_its_exit_code(trained: Trained, arguments: tuple[str, ...], code: int, message: str) -> None:
    (ended,) = trained.ends_of(("train", *arguments))
    printed = " ".join(ended["errors"].split())
    assert message in printed
    assert ended["code"] == code
    assert "Traceback" not in printed
