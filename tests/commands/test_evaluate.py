"""`detector.evaluate` on a small dataset folder, with a fake model that reads its answers off the picture."""

from __future__ import annotations

import csv
import json
import sys
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from detector import evaluate
from detector.accuracy.report import drawings
from detector.annotations import dataset
from detector.annotations.records import Record
from detector.commandline import console
from detector.errors import EXIT_DONE, ConfigError, MissingExtraError, NothingToDoError, OutputError, UsageError
from detector.vision.cells import CLASSES
from detector.vision.detections import Detections
from detector.vision.model import Model

FOUND = 40
"""Cells that are brighter than this are found by the fake."""


class FakeModel:
    """Finds squares on black, as red cells where they are dim and white cells where they are bright."""

    path = Path("fake.onnx")
    sha256 = "0" * 64
    card = SimpleNamespace(
        name="fake",
        thresholds=dict.fromkeys(CLASSES, 0.5),
        nms_iou=0.6,
        image_px=200,
        rbc_px=20.0,
        shown_px=20.0,
        minimum=lambda: (0.5, 0.5, 0.5),
    )

    def detect(self, rgb: np.ndarray, min_score: float | None = None, zoom: float | None = None) -> Detections:
        n, _, stats, _ = cv2.connectedComponentsWithStats((rgb[:, :, 0] > FOUND).astype(np.uint8))
        xywh = stats[1:n, :4].astype(np.float32)
        xyxy = np.concatenate([xywh[:, :2], xywh[:, :2] + xywh[:, 2:]], axis=1)
        bright = [int(rgb[int(y) + 1, int(x) + 1, 0] > 200) for x, y in xyxy[:, :2]]
        size_wh = (rgb.shape[1], rgb.shape[0])
        return Detections(xyxy, np.full(n - 1, 0.9, np.float32), np.array(bright, np.int64), size_wh)


def field(folder: Path, name: str, split: str, cells: int) -> Record:
    """A field with a white cell and `cells` red ones, of which the last is too dim to be found."""
    rgb = np.zeros((100, 200, 3), np.uint8)
    rows = []
    for i in range(cells + 1):
        x = 10 + 30 * i
        rgb[40:60, x : x + 20] = 255 if i == 0 else 20 if i == cells else 150
        rows.append([x, 40, x + 20, 60])
    path = folder / f"{name}.png"
    cv2.imwrite(str(path), rgb)
    return Record(name, path, (200, 100), np.array(rows, np.float32), np.array([1] + [0] * cells), split)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(Model, "load", lambda path=None, threads=1: FakeModel())
    source = tmp_path / "source"
    source.mkdir()
    plan = [("a", "train", 3), ("b", "test", 2), ("c", "test", 4), ("d", "test", 5)]
    dataset.write(tmp_path / "set", [field(source, *row) for row in plan])
    return tmp_path / "set" / "data.yaml"


@pytest.fixture
def undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Plots take most of the time, and have tests of their own."""
    for name in ("of_evaluation", "of_tables"):
        monkeypatch.setattr(drawings, name, lambda target, result: defaultdict(list))


def figures(data: Path, **options: Any) -> dict[str, Any]:
    out = data.parent / "made" / f"{len(list(data.parent.glob('made/*')))}"
    assert evaluate.command(evaluate.EvaluateOptions(data, out=out, **options)) == EXIT_DONE
    document: dict[str, Any] = json.loads((out / "metrics.json").read_text(encoding="utf-8"))
    return document


def rows_of(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "fields.csv").read_text(encoding="utf-8").splitlines()))


@pytest.mark.slow
def test_a_folder_holds_figures_fields_plots_and_a_page(data: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs the evaluate extra: pip install -e '.[evaluate]'")
    with console.capture() as capture:
        document = figures(data)
    out = data.parent / "made" / "0"
    assert sorted(path.name for path in out.iterdir()) == ["fields.csv", "metrics.json", "plots", "report.html"]
    names = {path.stem for path in (out / "plots").iterdir()}
    assert {"precision_recall", "confusion", "thresholds_RBC", "bland_altman_WBC", "counts_RBC"} <= names
    assert "thresholds_Platelets" not in names
    assert {path.suffix for path in (out / "plots").iterdir()} == {".png", ".svg"}
    assert (document["format"], document["version"], document["kind"]) == ("smearcount-metrics", 3, "model")
    assert (document["split"], document["figures"]["fields"], document["left_out"]) == ("test", 3, 0)
    assert document["model"]["sha256"] == "0" * 64
    red = document["figures"]["all_cells"]["RBC"]
    assert (red["counted"], red["truth"], red["bias"]["value"]) == (8, 11, -1)
    assert red["pooled_accuracy"]["value"] == pytest.approx(8 / 11)
    assert document["figures"]["constant_baseline"]["RBC"]["counted"] == 9
    assert document["figures"]["operating"]["RBC"]["recall"]["value"] == pytest.approx(8 / 11)
    assert document["figures"]["average_precision"]["ap50"]["Platelets"] is None
    rows = rows_of(out)
    assert [(row["field"], row["truth"], row["counted"], row["missed"]) for row in rows if row["class"] == "RBC"] == [
        ("b", "2", "1", "1"),
        ("c", "4", "3", "1"),
        ("d", "5", "4", "1"),
    ]
    page = (out / "report.html").read_text(encoding="utf-8")
    assert page.count("data:image/svg+xml;base64,") == len(names)
    assert page.count("data:image/jpeg;base64,") == 3
    text = capture.get()
    assert "cells found in 3 fields" in text
    assert "undefined" in text
    assert max(map(len, text.splitlines())) <= console.width


def test_the_same_evaluation_writes_the_same_files(data: Path, undrawn: None) -> None:
    figures(data)
    figures(data)
    for name in ("metrics.json", "fields.csv", "report.html"):
        first, second = ((data.parent / "made" / folder / name).read_bytes() for folder in "01")
        assert first == second
    # Nothing of the machine stands in them.
    assert str(data.parent.parent).encode() not in first


@pytest.mark.slow
def test_each_domain_has_figures_of_its_own(data: Path, tmp_path: Path, undrawn: None) -> None:
    assert figures(data)["domains"] == {}
    plan = [("a_1", "train", 5), ("b_1", "train", 3), ("a_2", "test", 2), ("a_3", "test", 4), ("b_2", "test", 5)]
    dataset.write(tmp_path / "two", [field(tmp_path / "source", *row) for row in plan])
    with console.capture() as capture:
        document = figures(tmp_path / "two" / "data.yaml")
    assert {name: of["fields"] for name, of in document["domains"].items()} == {"two/a": 2, "two/b": 1}
    red = document["domains"]["two/a"]["all_cells"]["RBC"]
    assert (red["counted"], red["truth"]) == (4, 6)
    # The constant baseline is that of the domain's own training field.
    assert [document["domains"][f"two/{name}"]["constant_baseline"]["RBC"]["counted"] for name in "ab"] == [10, 3]
    assert document["figures"]["constant_baseline"]["RBC"]["counted"] == 12
    assert "unread" not in document["domains"]["two/a"]
    text = capture.get()
    assert "two/a" in text
    assert max(map(len, text.splitlines())) <= console.width


def test_the_worst_fields_are_named_with_what_is_wrong_in_them(data: Path, undrawn: None) -> None:
    document = figures(data)
    missed = document["failures"]["RBC"]["missed"]
    assert missed == {"at the border": 0, "taken for another class": 0, "among touching cells": 0, "by itself": 3}
    assert document["worst"][0] == {"field": "b", "off": 1, "mistakes": 1}
    page = (data.parent / "made" / "0" / "report.html").read_text(encoding="utf-8")
    assert "RBC: 1 counted, 2 labelled (1 missed, 0 false)" in page
    assert page.count('class="missed" vector-effect') == 3


def test_smears_are_drawn_together(data: Path, tmp_path: Path, undrawn: None) -> None:
    manifest = tmp_path / "smears.csv"
    manifest.write_text("field,smear\nb.png,one\nc.png,one\nd.png,two\n", encoding="utf-8")
    document = figures(data, smears=manifest)
    assert document["figures"]["per_smear"]["RBC"]["fields"] == 2
    assert "Totals of 2 smears" in (data.parent / "made" / "0" / "report.html").read_text(encoding="utf-8")


def test_domains_can_be_told(data: Path, tmp_path: Path, undrawn: None) -> None:
    manifest = tmp_path / "domains.csv"
    manifest.write_text("field,domain\na.png,giemsa\nb.png,giemsa\nc.png,wright\n", encoding="utf-8")
    document = figures(data, smears=manifest)
    assert {name: of["fields"] for name, of in document["domains"].items()} == {"giemsa": 1, "of no known domain": 1, "wright": 1}
    # The training field is of one of them.
    assert [document["domains"][name]["constant_baseline"] is None for name in ("giemsa", "wright")] == [False, True]
    assert document["figures"]["per_smear"] is None
    assert document["without_smear"] == []
    rows = rows_of(data.parent / "made" / "0")
    assert {row["field"]: row["domain"] for row in rows} == {"b": "giemsa", "c": "wright", "d": "of no known domain"}
    manifest.write_text("field,domain\na_b.png,giemsa\n", encoding="utf-8")
    with pytest.raises(UsageError, match="names none of the fields to evaluate; they are named like 'b'"):
        evaluate.command(evaluate.EvaluateOptions(data, smears=manifest))


def test_names_can_be_left_out(data: Path, tmp_path: Path, undrawn: None, capsys: pytest.CaptureFixture[str]) -> None:
    names = tmp_path / "names.txt"
    names.write_text("b\n\nnowhere\n", encoding="utf-8")
    document = figures(data, exclude=names)
    assert (document["figures"]["fields"], document["left_out"]) == (2, 1)
    names.write_text("b\nc\nd\n", encoding="utf-8")
    with pytest.raises(NothingToDoError, match="no fields to evaluate"):
        evaluate.command(evaluate.EvaluateOptions(data, exclude=names))
    with pytest.raises(ConfigError, match="cannot be read"):
        evaluate.command(evaluate.EvaluateOptions(data, exclude=tmp_path / "absent.txt"))


def test_an_empty_split_is_nothing_to_do(data: Path) -> None:
    with pytest.raises(NothingToDoError, match="'val'"):
        evaluate.command(evaluate.EvaluateOptions(data, split="val"))
    with pytest.raises(UsageError, match="no such split"):
        evaluate.command(evaluate.EvaluateOptions(data, split="exam"))


def test_an_output_that_cannot_be_written_is_said_before_any_work(data: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        evaluate.command(evaluate.EvaluateOptions(data, out=tmp_path / "file" / "out"))


def test_results_that_stand_already_are_not_overwritten(data: Path, tmp_path: Path, undrawn: None) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    assert evaluate.command(evaluate.EvaluateOptions(data, out=out)) == EXIT_DONE
    before = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    with pytest.raises(OutputError, match=r"holds metrics\.json, fields\.csv, report\.html already; choose another --out$"):
        evaluate.command(evaluate.EvaluateOptions(data, out=out))
    assert {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()} == before


@pytest.mark.parametrize("ended", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_what_ends_early_leaves_nothing_half(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ended: type[BaseException] | BaseException
) -> None:
    def draw(target: Path, result: Any) -> Any:
        (target / "plots").mkdir()
        (target / "plots" / "a.png").write_bytes(b"a")
        raise ended

    monkeypatch.setattr(drawings, "of_evaluation", draw)
    with console.capture() as capture, pytest.raises((KeyboardInterrupt, OutputError)):
        evaluate.command(evaluate.EvaluateOptions(data, out=tmp_path / "out"))
    assert not (tmp_path / "out").exists()
    # The figures were told before they could not be written.
    assert "counts per field" in capture.get()


def counts(path: Path, *rows: str) -> Path:
    path.write_text("\n".join(["field,RBC,WBC", *rows, ""]), encoding="utf-8")
    return path


def test_tables_of_counts_are_compared_without_a_model(tmp_path: Path, undrawn: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pycocotools", None)
    mine = counts(tmp_path / "mine.csv", "a,10,1", "b,12,0", "c,9,1", "e,4,4")
    truth = counts(tmp_path / "truth.csv", "a,10,1", "b,13,0", "c,9,2", "d,8,1")
    other = counts(tmp_path / "other.csv", "a,11,1", "b,13,0", "c,9,2")
    with console.capture() as capture:
        assert (
            evaluate.command(evaluate.EvaluateOptions(counts=mine, truth=truth, against=other, out=tmp_path / "out")) == EXIT_DONE
        )
    document = json.loads((tmp_path / "out" / "metrics.json").read_text(encoding="utf-8"))
    assert (document["kind"], document["figures"]["fields"], document["figures"]["per"]) == ("tables", 3, "field")
    assert document["only_counted"] == ["e"]
    assert document["only_truth"] == ["d"]
    assert document["figures"]["all_cells"]["RBC"]["mae"]["value"] == pytest.approx(1 / 3)
    assert document["differences"]["WBC"]["b_nearer"] == 1
    rows = rows_of(tmp_path / "out")
    assert {(row["field"], row["status"]) for row in rows} == {
        ("a", "ok"), ("b", "ok"), ("c", "ok"), ("e", "only counted"), ("d", "only in truth")
    }  # fmt: skip
    assert [row["against_error"] for row in rows if row["class"] == "RBC"] == ["1", "0", "0"]
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    for told in (
        "Counted, but not in the truth",
        "In the truth, but not counted",
        "Compared with the other counts",
        "Reference values",
    ):
        assert told in page
    assert "Against truth" in capture.get()


@pytest.mark.parametrize("kind", ["model", "tables", "study"])
def test_json_is_all_that_standard_output_holds(
    data: Path, tmp_path: Path, undrawn: None, run_command: Callable[..., int], capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch, kind: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(drawings, "write", lambda folder, parts, *kinds: {part: [] for part in parts})
    mine, truth = (counts(tmp_path / f"{name}.csv", "a,10,1", "b,12,0", "c,9,1") for name in ("mine", "truth"))
    again = tmp_path / "again.csv"
    again.write_text("smear,RBC\np,90\np,97\n", encoding="utf-8")
    given = {
        "model": ("--data", data),
        "tables": ("--counts", mine, "--truth", truth),
        "study": ("--counts", again, "--protocol", "repeatability"),
    }[kind]
    assert run_command(evaluate.main, *given, "--out", "plain") == 0
    assert "results: plain" in capsys.readouterr().out
    assert run_command(evaluate.main, *given, "--out", "made", "--json") == 0
    printed = capsys.readouterr()
    document = json.loads(printed.out)
    assert document.pop("out") == "made"
    assert document == json.loads(Path("made/metrics.json").read_text(encoding="utf-8"))
    assert document.get("kind", "study") == kind
    assert "results: made" in printed.err
    assert "RBC" in printed.err


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({}, "give either --data"),
        ({"data": "d", "counts": "c", "truth": "t"}, "give either --data"),
        ({"counts": "c"}, "--counts and --truth belong together"),
        ({"data": "d", "truth": "t"}, "--counts and --truth belong together"),
        ({"counts": "c", "truth": "t", "model": "m"}, "--model belongs to --data"),
        ({"counts": "c", "truth": "t", "split": "val", "exclude": "e"}, "--split, --exclude belongs to --data"),
    ],
)
def test_options_that_do_not_go_together_say_what_does(options: dict[str, str], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        evaluate.command(
            evaluate.EvaluateOptions(**{name: text if name == "split" else Path(text) for name, text in options.items()})
        )


def test_without_matplotlib_it_says_what_to_install_before_any_work(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"needs matplotlib.*\[evaluate\]"):
        evaluate.command(evaluate.EvaluateOptions(data))
