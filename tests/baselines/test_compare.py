"""The command: its files, what it goes on with, and what it refuses."""

from __future__ import annotations

import csv
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from detector import compare
from detector.annotations import dataset
from detector.baselines import classifiers, comparison
from detector.baselines.circles import HoughCircles
from detector.baselines.classifiers import CropClassifier, Features, Labels
from detector.baselines.comparison import OurDetector
from detector.baselines.crops import Crops
from detector.baselines.methods import LabelledField, Method
from detector.baselines.white_cells import CmykMoments, HueSaturation
from detector.errors import EXIT_DONE, EXIT_INTERRUPTED, EXIT_NOTHING_DONE, EXIT_SOME_FAILED, EXIT_WRONG_USE, NothingToDoError
from detector.vision.cells import PLATELETS, WBC
from detector.vision.detections import Detections
from detector.vision.images import Rgb
from detector.vision.model import Model

Run = Callable[..., int]


class Unfittable(CmykMoments):
    """A method that cannot be fitted."""

    name = "unfittable"

    def fit(self, fields: Sequence[LabelledField]) -> None:
        """Refuse."""
        raise NothingToDoError("unfittable needs what nobody has")


class Failing(CmykMoments):
    """A method whose library fails on every field but the first, in a way that nobody foresaw."""

    name = "failing"
    asked = 0

    def search(self, rgb: Rgb) -> tuple[Detections, Detections]:
        """Fail from the second field on."""
        self.asked += 1
        if self.asked > 1:
            raise cv2.error("library: too\nfew <rows>")
        return super().search(rgb)


class Unforeseen(CmykMoments):
    """A method whose library fails as it is fitted."""

    name = "unforeseen"

    def fit(self, fields: Sequence[LabelledField]) -> None:
        """Fail."""
        raise ZeroDivisionError


def of_kinds(*kinds: type[Method]) -> Callable[[Model, int, bool], list[Method]]:
    return lambda model, *_: [OurDetector(model), *(kind() for kind in kinds)]


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Fast methods only."""
    monkeypatch.setattr(comparison, "methods", of_kinds(HoughCircles, HueSaturation))
    monkeypatch.setattr(comparison, "MOST_CROPS", 12)
    quick = {name: classifiers.CLASSIFIERS[name] for name in ("decision tree", "naive Bayes")}
    monkeypatch.setattr(comparison, "CLASSIFIERS", quick)
    monkeypatch.setattr(classifiers, "CLASSIFIERS", quick)


def written(folder: Path, pictures: Path, **splits: Sequence[LabelledField]) -> Path:
    """The `data.yaml` of a dataset folder with these fields."""
    pictures.mkdir(exist_ok=True)
    records = []
    for split, fields in splits.items():
        for field in fields:
            image = pictures / f"{field.record.name}.png"
            cv2.imwrite(str(image), field.rgb[:, :, ::-1])
            records.append(replace(field.record, image=image, split=split))
    dataset.write(folder, records)
    return folder / "data.yaml"


@pytest.fixture
def data(tmp_path: Path, train_fields: list[LabelledField], test_fields: list[LabelledField]) -> Path:
    return written(tmp_path / "home", tmp_path / "pictures", train=train_fields, test=test_fields[:2])


def read(out: Path) -> dict[tuple[str, ...], str]:
    """Values of `compare.csv` by the columns before them."""
    with (out / "compare.csv").open(encoding="utf-8", newline="") as file:
        return {tuple(row[:6]): row[6] for row in list(csv.reader(file))[1:]}


@pytest.mark.slow
def test_methods_are_compared_on_all_test_sets(
    run_command: Run,
    data: Path,
    tmp_path: Path,
    test_fields: list[LabelledField],
    train_fields: list[LabelledField],
    capsys: pytest.CaptureFixture[str],
) -> None:
    other = written(tmp_path / "away", tmp_path / "others", test=[test_fields[2], train_fields[0]])
    out = tmp_path / "out"
    assert run_command(compare.main, "--data", data, "--test", other, "--out", out) == EXIT_DONE
    values = read(out)
    truth = sum(int((field.record.label == WBC).sum()) for field in test_fields[:2])
    assert int(values["counting", "home", "hue and saturation", "", "WBC", "truth"]) == truth
    assert float(values["counting", "home", "hue and saturation", "", "WBC", "mae"]) <= 0.5
    assert int(values["counting", "away", "smearcount", "", "RBC", "fields"]) == 1
    assert ("counting", "home", "Hough circles", "", "WBC", "mae") not in values
    assert float(values["cells", "home", "decision tree", "on", "all", "balanced"]) > 0.7
    page = (out / "report.html").read_text(encoding="utf-8")
    printed = capsys.readouterr()
    for text in (page, printed.err):
        assert "1 field left out for showing cells of the training fields" in text
        assert "looks for no WBC or Platelets" in text
    # Of a paper's figure for white cells, whose method finds none here, and of one that is measured here.
    assert "Alomari" in page
    assert "not measured here" in page
    assert "Mazalan" in page
    for rate in ("Precision", "Recall", "F1"):
        assert f"{rate} of each class, and its crops" in page
    assert "constant" in printed.out


@pytest.mark.slow
def test_finished_methods_are_not_run_again(
    run_command: Run, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert run_command(compare.main, "--data", data, "--out", out) == EXIT_DONE
    before = (out / "compare.csv").read_bytes()
    assert run_command(compare.main, "--data", data, "--out", out) == EXIT_NOTHING_DONE
    assert "holds a comparison already" in capsys.readouterr().err
    assert run_command(compare.main, "--data", data, "--out", out, "--seed", "1", "--resume") == EXIT_NOTHING_DONE
    assert "was begun with other seed" in capsys.readouterr().err

    fitted: list[str] = []
    of_hough = HoughCircles.fit
    monkeypatch.setattr(HoughCircles, "fit", lambda self, fields: (fitted.append(self.name), of_hough(self, fields))[1])
    monkeypatch.setattr(HueSaturation, "fit", lambda self, fields: fitted.append(self.name))
    assert run_command(compare.main, "--data", data, "--out", out, "--resume") == EXIT_DONE
    assert (out / "compare.csv").read_bytes() == before
    assert fitted == []

    damaged = out / "methods" / "Hough_circles.json"
    damaged.write_bytes(damaged.read_bytes().replace(b'"label":[0', b'"label":[1', 1))
    assert run_command(compare.main, "--data", data, "--out", out, "--resume") == EXIT_DONE
    assert fitted == ["Hough circles"]
    again = {key: value for key, value in read(out).items() if key[5] not in ("ms_per_field", "fit_s")}
    (out / "compare.csv").write_bytes(before)
    assert again == {key: value for key, value in read(out).items() if key[5] not in ("ms_per_field", "fit_s")}


@pytest.mark.slow
def test_a_method_that_cannot_be_fitted_costs_no_other(
    run_command: Run, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(comparison, "methods", of_kinds(Unfittable, HueSaturation))
    assert run_command(compare.main, "--data", data, "--out", tmp_path / "out") == EXIT_SOME_FAILED
    assert "not fitted: unfittable needs what nobody has" in capsys.readouterr().err
    methods = {key[2] for key in read(tmp_path / "out") if key[0] == "counting"}
    assert methods == {"constant baseline", "smearcount", "hue and saturation"}


@pytest.mark.slow
def test_an_unforeseen_failure_costs_no_other_method_and_no_other_field(
    run_command: Run, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    monkeypatch.setattr(comparison, "methods", of_kinds(Failing, Unforeseen, CmykMoments))
    assert run_command(compare.main, "--data", data, "--out", out) == EXIT_SOME_FAILED
    second = sorted(path.stem for path in (data.parent / "images" / "test").iterdir())[1]
    with (out / "failures.csv").open(encoding="utf-8", newline="") as file:
        assert list(csv.reader(file))[1:] == [
            ["failing", "home", second, "error: library: too few <rows>"],
            ["unforeseen", "", "", "ZeroDivisionError"],
        ]
    values = read(out)
    of_failing, of_other = (("counting", "home", name, "", "WBC") for name in ("failing", "CMYK moments"))
    assert [values[*of_failing, "fields"], values[*of_failing, "failed"]] == ["1", "1"]
    assert [values[*of_other, "fields"], values[*of_other, "failed"]] == ["2", "0"]
    assert float(values["cells", "home", "decision tree", "off", "all", "accuracy"]) > 0.7
    page, printed = (out / "report.html").read_text(encoding="utf-8"), capsys.readouterr()
    for text in (page, printed.err):
        assert "failed on 1 of 2 fields of home; they are in none of its figures" in text
        assert "unforeseen: ZeroDivisionError" in text
    assert f"home/{second} (error: library: too few <rows>)" in printed.err
    assert f"<td>{second}</td><td>error: library: too few &lt;rows&gt;</td>" in page
    assert "failing, 1 of 2 fields" in page
    before = (out / "compare.csv").read_bytes()
    assert run_command(compare.main, "--data", data, "--out", out, "--resume") == EXIT_SOME_FAILED
    assert (out / "compare.csv").read_bytes() == before


@pytest.mark.slow
def test_a_method_that_fails_on_all_fields_has_no_figures(
    run_command: Run, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(comparison, "methods", of_kinds(Failing))
    monkeypatch.setattr(Failing, "asked", 1)
    assert run_command(compare.main, "--data", data, "--out", tmp_path / "out") == EXIT_SOME_FAILED
    assert "failed on 2 of 2 fields of home" in capsys.readouterr().err
    figures = {key[5] for key in read(tmp_path / "out") if key[2] == "failing"}
    assert figures == {"fit_s", "size_bytes"}


@pytest.mark.slow
def test_a_classifier_that_fails_unforeseen_costs_no_other(
    run_command: Run, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    of_all = CropClassifier.classify

    def classify(self: CropClassifier, crops: Crops) -> tuple[Labels, Features]:
        if self.name == "naive Bayes":
            raise ValueError("array must not contain NaN")
        return of_all(self, crops)

    monkeypatch.setattr(CropClassifier, "classify", classify)
    assert run_command(compare.main, "--data", data, "--out", tmp_path / "out") == EXIT_SOME_FAILED
    told = "cells: naive Bayes: ValueError: array must not contain NaN"
    assert told in capsys.readouterr().err
    values = read(tmp_path / "out")
    assert ("cells", "home", "naive Bayes", "off", "all", "accuracy") not in values
    assert float(values["cells", "home", "decision tree", "off", "all", "accuracy"]) > 0.7
    with (tmp_path / "out" / "failures.csv").open(encoding="utf-8", newline="") as file:
        assert ["naive Bayes (cells)", "home", "", "ValueError: array must not contain NaN"] in list(csv.reader(file))


@pytest.mark.slow
def test_a_test_set_without_a_class_is_told(
    run_command: Run, data: Path, tmp_path: Path, test_fields: list[LabelledField], capsys: pytest.CaptureFixture[str]
) -> None:
    record = test_fields[2].record
    kept = record.label != PLATELETS
    unlabelled = LabelledField(replace(record, xyxy=record.xyxy[kept], label=record.label[kept]), test_fields[2].rgb)
    other = written(tmp_path / "away", tmp_path / "others", test=[unlabelled])
    assert run_command(compare.main, "--data", data, "--test", other, "--out", tmp_path / "out") == EXIT_DONE
    assert "away: no Platelets labelled" in capsys.readouterr().err


@pytest.mark.slow
def test_excluded_fields_are_in_no_figure(
    run_command: Run, data: Path, tmp_path: Path, test_fields: list[LabelledField], capsys: pytest.CaptureFixture[str]
) -> None:
    away = written(tmp_path / "away", tmp_path / "others", test=test_fields)
    left_out = tmp_path / "left_out.txt"
    left_out.write_text(f"{test_fields[0].record.name}\nnobody\n", encoding="utf-8")
    out = tmp_path / "out"
    assert run_command(compare.main, "--data", data, "--test", away, "--exclude", left_out, "--out", out) == EXIT_DONE
    values = read(out)
    fields = {key[1]: value for key, value in values.items() if key[2] == "smearcount" and key[5] == "fields"}
    assert fields == {"home": "1", "away": "2"}
    told = capsys.readouterr().err
    assert "home: 1 field left out on request" in told
    assert "nobody" in told
    assert ("paper", "60 pictures of their own", "Hough circles", "", "RBC") in {key[:5] for key in values}
    assert "What papers say of their methods" in (out / "report.html").read_text(encoding="utf-8")


@pytest.mark.slow
def test_an_unreadable_picture_costs_its_field(
    run_command: Run, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = sorted((data.parent / "images" / "test").iterdir())[0]
    first.write_bytes(first.read_bytes()[: first.stat().st_size // 2])
    assert run_command(compare.main, "--data", data, "--out", tmp_path / "out") == EXIT_SOME_FAILED
    assert f"home/{first.stem}" in capsys.readouterr().err
    assert read(tmp_path / "out")["counting", "home", "smearcount", "", "RBC", "fields"] == "1"


def test_what_cannot_work_is_refused_at_once(
    run_command: Run, data: Path, tmp_path: Path, train_fields: list[LabelledField], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_command(compare.main, "--data", data, "--shapes", tmp_path) == EXIT_WRONG_USE
    assert "--shapes and --splits belong together" in capsys.readouterr().err
    assert run_command(compare.main, "--data", data, "--resume") == EXIT_WRONG_USE
    assert run_command(compare.main, "--data", data, "--test", data) == EXIT_WRONG_USE
    assert "a dataset is named twice" in capsys.readouterr().err
    same = written(tmp_path / "same", tmp_path / "pictures", train=train_fields, test=train_fields[:1])
    shutil.rmtree(same.parent / "images" / "train")
    assert run_command(compare.main, "--data", same) == EXIT_NOTHING_DONE
    assert "has no field that can be read to fit the methods on" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_fields_of_other_names_that_show_the_same_cells_are_left_out(tmp_path: Path, train_fields: list[LabelledField]) -> None:
    copy = LabelledField(replace(train_fields[0].record, name="renamed"), np.ascontiguousarray(train_fields[0].rgb))
    other = LabelledField(replace(train_fields[4].record, name=train_fields[1].record.name), train_fields[4].rgb)
    data = written(tmp_path / "home", tmp_path / "pictures", train=train_fields[:3])
    away = written(tmp_path / "away", tmp_path / "others", test=[copy, other])
    tests, unread = comparison.test_sets(data, [away], dataset.load(data, "train").records, ())
    assert [record.name for record in tests[0].records] == [other.record.name]
    assert list(tests[0].same_as_fitted) == ["renamed"]
    assert unread == []


def test_an_interruption_says_how_to_go_on(
    run_command: Run, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(self: HueSaturation, fields: Sequence[LabelledField]) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(comparison, "methods", of_kinds(HueSaturation))
    monkeypatch.setattr(HueSaturation, "fit", interrupt)
    out = tmp_path / "out"
    assert run_command(compare.main, "--data", data, "--out", out) == EXIT_INTERRUPTED
    assert f"--out {out} --resume" in capsys.readouterr().err
    assert [path.name for path in (out / "methods").iterdir()] == ["smearcount.json"]
