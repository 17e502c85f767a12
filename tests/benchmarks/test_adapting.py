"""Points of an adaptation's benchmark are kept, and errors are those of the fields that were measured on."""

from __future__ import annotations

import csv
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

if find_spec("ultralytics") is None:
    pytest.skip("needs the train extra: pip install -e '.[train]'", allow_module_level=True)

from benchmarks import adapting
from detector.annotations import dataset, sources
from detector.counting.intervals import Interval
from detector.errors import OutputError
from detector.training import adaptation
from detector.vision.model import Model

SAMPLES = Path(__file__).parents[2] / "datasets" / "samples" / "truth.json"


@pytest.fixture
def laboratory(tmp_path: Path) -> Path:
    """A dataset with five fields to correct and two that errors are measured on."""
    records = list(sources.load_truth(SAMPLES).records.values())[:7]
    splits = ("train",) * 5 + ("test",) * 2
    named = [replace(r, name=f"f{i}", split=split) for i, (r, split) in enumerate(zip(records, splits, strict=True))]
    dataset.write(tmp_path / "lab", named)
    return tmp_path / "lab" / "data.yaml"


class Tried(adaptation.Trials):
    """Trials that kept the thresholds."""

    @property
    def kept(self) -> adaptation.Choice:
        """The second choice."""
        return self.choices[1]


@pytest.fixture
def called(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of fields that were adapted to; one model finds red cells twice, and all cells are found else."""
    numbers: list[int] = []

    def trials(job: adaptation.Adaptation, *_: object) -> Tried:
        number = len(job.records)
        numbers.append(number)
        judge = adaptation._Judge(job, [0] * number, [], adaptation._Seen([], []))
        thresholds = {name: value / 2 for name, value in job.model.card.thresholds.items()}
        other = Model(job.model.network, replace(job.model.card, thresholds=thresholds), job.model.path, job.model.sha256)
        models = {adaptation.SHIPPED: job.model, adaptation.TUNED: other, adaptation.TRAINED: other}
        choices = [adaptation.Choice(kind, model, {}, {}, {}, Interval(0.1), 0.01, False) for kind, model in models.items()]
        return Tried(choices, job.weights, judge, {})

    def count(model: Model, records: adapting.Sequence[adapting.Record]) -> dict[str, list[int]]:
        extra = int(model.card.thresholds != Model.load().card.thresholds)
        return {r.name: np.add(np.bincount(r.label, minlength=3), (extra, 0, 0)).tolist() for r in records}

    monkeypatch.setattr(adaptation, "trials", trials)
    monkeypatch.setattr(adapting, "count", count)
    return numbers


def asked(laboratory: Path, out: Path, *fields: int) -> int:
    return adapting.command(data=[laboratory], home=[laboratory], model=None, fields=fields, split="test", every=1, out=out)


@pytest.mark.slow
def test_points_are_kept_and_the_table_holds_every_model(
    laboratory: Path, tmp_path: Path, called: list[int], capsys: pytest.CaptureFixture[str]
) -> None:
    # There are no val fields at home.
    with pytest.raises(adapting.NothingToDoError):
        asked(laboratory, tmp_path / "out", 5)
    assert (
        adapting.command(data=[laboratory], home=[], model=None, fields=[5, 9], split="test", every=1, out=tmp_path / "out") == 0
    )
    assert adapting.command(data=[laboratory], home=[], model=None, fields=[5], split="test", every=1, out=tmp_path / "out") == 0
    assert called == [5]
    printed = capsys.readouterr()
    assert "lab has 5 fields to correct, so 9 are left out" in " ".join(printed.err.split())
    assert "kept thresholds" in printed.out
    with (tmp_path / "out" / "adapting.csv").open(encoding="utf-8") as file:
        rows = [row for row in csv.DictReader(file) if row["cells"] == "RBC"]
    assert [(row["fields"], row["model"], row["error"], row["change"]) for row in rows] == [
        ("0", "shipped", "0.000", ""),
        ("5", "thresholds", "1.000", "1.000"),
        ("5", "trained", "1.000", "1.000"),
        ("5", "kept", "1.000", "1.000"),
    ]
    assert (tmp_path / "out" / "adapting.png").stat().st_size > 1000


@pytest.mark.slow
def test_points_with_other_fields_at_home_are_refused(laboratory: Path, tmp_path: Path, called: list[int]) -> None:
    assert adapting.command(data=[laboratory], home=[], model=None, fields=[], split="test", every=1, out=tmp_path) == 0
    content = (tmp_path / "points" / "lab-0.json").read_text(encoding="utf-8")
    (tmp_path / "points" / "lab-0.json").write_text(content.replace('"shipped": {}', '"shipped": {"a": [1, 2, 3]}'))
    with pytest.raises(OutputError, match="another --home"):
        adapting.command(data=[laboratory], home=[], model=None, fields=[], split="test", every=1, out=tmp_path)


def test_points_of_another_model_are_refused(laboratory: Path, tmp_path: Path, called: list[int]) -> None:
    point = tmp_path / "points" / "lab-0.json"
    point.parent.mkdir()
    point.write_text(
        '{"model": "0", "fields": [], "kept": "shipped", "told": {}, "seconds": 0, "counted": {}, "home": {}, "machine": {}}'
    )
    with pytest.raises(OutputError, match="another model"):
        adapting.command(data=[laboratory], home=[], model=None, fields=[5], split="test", every=1, out=tmp_path)


def test_neighbouring_numbers_are_one_smear() -> None:
    assert adapting.smears(["3", "10", "1", "2", "image-4"]) == ["from 1", "from 10", "from 1", "from 1", "image-4"]
