"""A model is adapted only where it counts corrected fields better beyond chance."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

if find_spec("ultralytics") is None:
    pytest.skip("needs the train extra: pip install -e '.[train]'", allow_module_level=True)

from detector import adapt as command
from detector.annotations import dataset
from detector.annotations.records import Record
from detector.errors import NothingToDoError
from detector.synthetic.series import Series
from detector.synthetic.truth import write_jpeg
from detector.training import adaptation
from detector.vision import catalogue
from detector.vision.cells import CLASSES
from detector.vision.detections import Detections
from detector.vision.model import Model


def fields_in(folder: Path, number: int, smears: int = 1) -> list[Record]:
    """Rendered fields as records, `number` of each smear."""
    records = []
    for name, field in Series(
        fields=number, smears=smears, size_wh=(320, 240), um_per_px=0.2, rbc=14, wbc=0.7, platelets=2
    ).render():
        path = folder / name
        write_jpeg(path, field)
        size_wh = (field.image.shape[1], field.image.shape[0])
        label = field.label.astype(np.int64)
        records.append(Record(name.replace("/", "_")[:-4], path, size_wh, field.xyxy.astype(np.float32), label))
    return records


def job_of(records: Sequence[Record], model: Model, groups: Sequence[str] | None = None) -> adaptation.Adaptation:
    """What is to be adapted."""
    return adaptation.Adaptation(
        records, groups or [r.name for r in records], model, catalogue.SHIPPED.with_suffix(".pt"), "mono camera"
    )


def detected(record: Record, missed: int, at: float = 0.9) -> Detections:
    """All of a record's cells, but for the first ones, with one score."""
    score = np.full(len(record.label), at, np.float32)
    return Detections(record.xyxy, score, record.label, record.size_wh, CLASSES)[np.arange(len(score)) >= missed]


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        (["a", "b", "c", "d"], [0, 1, 2, 0]),
        (["a"] * 5, [0, 1, 2, 0, 1]),
        (["a", "a", "a", "b"], [0, 0, 0, 1]),
        (["a", "b", "b", "c", "c", "d"], [2, 0, 0, 1, 1, 2]),
    ],
)
def test_fields_of_a_smear_are_left_out_together(groups: list[str], expected: list[int]) -> None:
    assert adaptation.folds(groups) == expected


class Trained(Model):
    """Stands for a model that was trained."""

    def __init__(self, model: Model) -> None:
        super().__init__(model.network, model.card, model.path, model.sha256)


def untrained(monkeypatch: pytest.MonkeyPatch, own: Sequence[Record], missed_before: int, missed_after: int) -> None:
    """Take the place of training and detection: the shipped model misses so many cells of each own field, a trained one others."""

    def detections(model: Model, records: Sequence[Record]) -> list[Detections]:
        is_own = records[0].name in {record.name for record in own}
        missed = (missed_after if isinstance(model, Trained) else missed_before) if is_own else 0
        return [detected(record, missed) for record in records]

    class Learner:
        def __init__(self, job: adaptation.Adaptation, *_: object) -> None:
            self.job = job

        def trained(self, *_: object) -> tuple[Path, Trained]:
            return self.job.weights, Trained(self.job.model)

    monkeypatch.setattr(adaptation, "_found", detections)
    monkeypatch.setattr(adaptation, "_Learner", Learner)
    monkeypatch.setattr(adaptation, "HOME", 3)


@pytest.mark.slow
def test_what_gains_is_written_with_its_proof(tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    own = fields_in(tmp_path, 6)
    untrained(monkeypatch, own, missed_before=4, missed_after=0)
    written: list[Path] = []
    monkeypatch.setattr(adaptation._Judge, "write", lambda judge, target, *_: written.append(target))
    calls: list[str] = []
    adapted = adaptation.adapt(job_of(own, model), tmp_path / "mylab.onnx", calls.append)
    assert adapted.kept.kind == adaptation.TRAINED
    assert adapted.model == tmp_path / "mylab.onnx"
    assert written == [tmp_path / "mylab.onnx"]
    shipped, _, trained = adapted.choices
    assert [choice.name for choice in adapted.choices] == ["as it was", "own thresholds", "trained"]
    assert trained.told_gain.startswith("errors lower by ")
    total = sum(len(record.label) for record in own)
    errors = [sum(at.mae.value for at in choice.own.values() if at.mae) for choice in (shipped, trained)]
    assert errors == [4.0, 0.0]
    assert sum(adapted.cells.values()) == total
    assert trained.gain.value > 0
    assert not shipped.proven
    assert calls[-1] == "writing the model"


@pytest.mark.slow
def test_without_a_gain_the_model_stays(tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    own = fields_in(tmp_path, 5)
    untrained(monkeypatch, own, missed_before=0, missed_after=0)
    adapted = adaptation.adapt(job_of(own, model), tmp_path / "mylab.onnx", lambda step: None)
    assert adapted.kept.kind == adaptation.SHIPPED
    assert adapted.model is None
    assert not (tmp_path / "mylab.onnx").exists()


@pytest.mark.slow
def test_what_forgets_is_not_kept(model: Model, tmp_path: Path) -> None:
    own, home = fields_in(tmp_path / "own", 6), fields_in(tmp_path / "home", 4)
    before = adaptation._Seen([detected(r, 4) for r in own], [detected(r, 0) for r in home])
    after = adaptation._Seen([detected(r, 0) for r in own], [detected(r, 3) for r in home])
    judge = adaptation._Judge(job_of(own, model), adaptation.folds([r.name for r in own]), home, before)
    choice = judge.choice(adaptation.TRAINED, model, after)
    assert choice.forgot
    assert choice.gain.value > 0
    assert not choice.proven
    assert not judge.choice(adaptation.TRAINED, model, replace(after, home=before.home)).forgot


def test_thresholds_are_judged_on_fields_that_they_were_not_tuned_on(model: Model, tmp_path: Path) -> None:
    own = fields_in(tmp_path, 6)
    # A false detection in each field, with another score in each part: no threshold of the other parts is right here.
    records = [replace(r, xyxy=r.xyxy[:3], label=np.zeros(3, np.int64)) for r in own]
    folds = adaptation.folds([r.name for r in own])
    detections = []
    for record, fold in zip(records, folds, strict=True):
        cells = detected(record, 0)
        xyxy = np.concatenate([cells.xyxy, [[0, 0, 9, 9]]]).astype(np.float32)
        score = np.append(cells.score, np.float32(0.55 if fold else 0.85))
        detections.append(Detections(xyxy, score, np.zeros(4, np.int64), record.size_wh, CLASSES))
    seen = adaptation._Seen(detections, [])
    judge = adaptation._Judge(job_of(records, model), folds, [], seen)
    counted = judge.counted(adaptation.TUNED, seen)[:, 0]
    in_first = np.array(folds) == 0
    # Tuned with all fields, every field would be right.
    assert (counted[in_first] == 4).all()


@pytest.mark.parametrize(("at", "changed"), [(0.3, True), (0.9, False)])
def test_thresholds_change_only_where_that_is_better(model: Model, tmp_path: Path, at: float, changed: bool) -> None:
    own = fields_in(tmp_path, 5)
    seen = adaptation._Seen([detected(r, 0, at) for r in own], [])
    own_thresholds = adaptation._Judge(job_of(own, model), [0, 1, 2, 0, 1], [], seen)._thresholds(adaptation.TUNED, seen)
    assert (own_thresholds["RBC"] < model.card.thresholds["RBC"]) is changed


def test_classes_without_a_labelled_cell_keep_their_threshold(model: Model, tmp_path: Path) -> None:
    own = [replace(r, xyxy=r.xyxy[r.label == 0], label=r.label[r.label == 0]) for r in fields_in(tmp_path, 5)]
    false = [replace(r, label=np.full(len(r.label), 1)) for r in own]
    seen = adaptation._Seen([detected(r, 0, 0.6) for r in false], [])
    own_thresholds = adaptation._Judge(job_of(own, model), [0, 1, 2, 0, 1], [], seen)._thresholds(adaptation.TUNED, seen)
    shipped = model.card.thresholds
    assert {name: own_thresholds[name] for name in CLASSES[1:]} == {name: shipped[name] for name in CLASSES[1:]}


def test_a_threshold_that_rendered_fields_suffer_from_stays(model: Model, tmp_path: Path) -> None:
    own, home = fields_in(tmp_path / "own", 5), fields_in(tmp_path / "home", 4)
    lost = [detected(r, 0, 0.3) for r in own]
    # At home, false cells lie between the model's threshold and the one that the own fields ask for.
    false = [
        Detections(
            np.concatenate([r.xyxy, np.tile(np.array([[0, 0, 9, 9]], np.float32), (5, 1))]),
            np.append(np.full(len(r.label), 0.9), np.full(5, 0.35)),
            np.append(r.label, np.zeros(5, np.int64)),
            r.size_wh,
            CLASSES,
        )
        for r in home
    ]
    for at_home, stays in ((false, True), ([detected(r, 0) for r in home], False)):
        seen = adaptation._Seen(lost, at_home)
        judge = adaptation._Judge(job_of(own, model), [0, 1, 2, 0, 1], home, seen)
        choice = judge.choice(adaptation.TUNED, model, seen)
        assert (choice.model.card.thresholds["RBC"] == model.card.thresholds["RBC"]) is stays
        assert not choice.forgot


def test_each_class_whose_threshold_may_move_is_a_try(model: Model, tmp_path: Path) -> None:
    own = fields_in(tmp_path, 6)
    seen = adaptation._Seen([detected(r, 0, 0.3) for r in own], [])
    judge = adaptation._Judge(job_of(own, model), [0, 1, 2, 0, 1, 2], [], seen)
    classes = len(set(np.concatenate([r.label for r in own]).tolist()))
    better = adaptation._Seen([detected(r, 0) for r in own], [])
    # All six fields are better, of 64 choices of signs the one.
    assert judge.choice(adaptation.TRAINED, model, better).chance == pytest.approx(1 / 64)
    assert judge.choice(adaptation.TUNED, model, seen).chance == pytest.approx(classes / 64)


def test_too_little_is_refused(model: Model, tmp_path: Path) -> None:
    own = fields_in(tmp_path, 5)
    with pytest.raises(NothingToDoError, match="4 corrected fields are too few"):
        adaptation.adapt(job_of(own[:4], model), tmp_path / "x.onnx", lambda step: None)
    blank = [replace(r, xyxy=r.xyxy[:0], label=r.label[:0]) for r in own]
    with pytest.raises(NothingToDoError, match="no red cell"):
        adaptation.adapt(job_of(blank, model), tmp_path / "x.onnx", lambda step: None)


def test_reviewed_fields_of_a_count_are_found(tmp_path: Path) -> None:
    (tmp_path / "detections.json").write_text("{}")
    with pytest.raises(NothingToDoError, match="--write --dataset"):
        command._data(tmp_path)
    (tmp_path / "reviewed" / "dataset").mkdir(parents=True)
    assert command._data(tmp_path) == tmp_path / "reviewed" / "dataset" / "data.yaml"
    assert command._data(tmp_path / "other") == tmp_path / "other"


@pytest.mark.slow
def test_a_model_is_trained_written_and_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv(catalogue.FOLDER_VARIABLE, str(tmp_path / "models"))
    for name, value in {"STEPS": 1, "HOME": 3, "_VIEWS": 3, "_FEWEST_VIEWS": 1}.items():
        monkeypatch.setattr(adaptation, name, value)
    # One step gains nothing, but what is written is to be seen.
    monkeypatch.setattr(adaptation.Choice, "proven", property(lambda choice: choice.kind == adaptation.TRAINED))
    own = fields_in(tmp_path / "fields", 3, smears=2)
    dataset.write(tmp_path / "corrected", [replace(record, split="train") for record in own])
    smears = tmp_path / "smears.csv"
    smears.write_text("field,smear\n" + "".join(f"{r.name},{r.name.split('_')[1]}\n" for r in own))
    assert command.adapt(command.AdaptOptions(tmp_path / "corrected", "mylab", smears=smears, about="mono camera")) == 0
    said = capsys.readouterr()
    assert "6 corrected fields of 2 smears with" in said.out
    assert "count with it" in said.out
    assert "training without part 2 of 2" in said.err
    card = json.loads((tmp_path / "models" / "mylab.json").read_text(encoding="utf-8"))
    assert card["about"] == "mono camera"
    assert card["adapted"]["kept"] == "trained"
    assert "| RBC |" in (tmp_path / "models" / "mylab.md").read_text(encoding="utf-8")
    adapted, shipped = Model.load(Path("mylab")), Model.load()
    assert adapted.sha256 != shipped.sha256
    assert adapted.card.training["adapted from"].startswith("smearcount (SHA-256 ")
    assert adapted.card.val_sums is not None
    assert set(adapted.card.val_sums["RBC"]) == {"own"}
    # The weights are there, so that it can be adapted again.
    assert (tmp_path / "models" / "mylab.pt").is_file()
