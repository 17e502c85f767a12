"""`detector.evaluate` on a small dataset folder, with a fake model that reads its answers off the picture."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from detector import evaluate
from detector.annotations import dataset
from detector.annotations.records import Record
from detector.commandline import EXIT_DONE, console
from detector.errors import ConfigError, NothingToDoError, OutputError, UsageError
from detector.vision.detections import Detections
from detector.vision.model import Model

FOUND = 40
"""Cells that are brighter than this are found by the fake."""


class FakeModel:
    """Finds squares on black, as red cells where they are dim and white cells where they are bright."""

    path = Path("fake.onnx")
    sha256 = "0" * 64
    card = SimpleNamespace(image_px=200, rbc_px=20.0, minimum=lambda: (0.5, 0.5, 0.5))

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


def figures(data: Path, **options: Any) -> dict[str, Any]:
    out = data.parent / "made" / "metrics.json"
    assert evaluate.command(data, out=out, **options) == EXIT_DONE
    document: dict[str, Any] = json.loads(out.read_text())
    return document


def test_figures_are_printed_and_written(data: Path) -> None:
    with console.capture() as capture:
        found = figures(data)
    assert (found["format"], found["version"], found["split"], found["fields"]) == ("smearcount-metrics", 1, "test", 3)
    red = found["all_cells"]["RBC"]
    assert (red["counted"], red["truth"]) == (8, 11)
    assert red["bias"] == {"value": -1, "low": None, "high": None}
    assert red["pooled_accuracy"]["value"] == pytest.approx(8 / 11)
    assert found["guess"]["RBC"]["counted"] == 9
    assert found["operating"]["RBC"]["recall"]["value"] == pytest.approx(8 / 11)
    assert found["average_precision"]["ap50"]["WBC"]["value"] == pytest.approx(1)
    assert found["average_precision"]["ap50"]["Platelets"] is None
    text = capture.get()
    assert "cells found in 3 fields" in text
    assert "guess" in text
    assert "undefined" in text
    assert max(map(len, text.splitlines())) <= console.width


def test_each_domain_has_figures_of_its_own(data: Path, tmp_path: Path) -> None:
    assert figures(data)["domains"] == {}
    plan = [("a_1", "train", 5), ("b_1", "train", 3), ("a_2", "test", 2), ("a_3", "test", 4), ("b_2", "test", 5)]
    dataset.write(tmp_path / "two", [field(tmp_path / "source", *row) for row in plan])
    with console.capture() as capture:
        found = figures(tmp_path / "two" / "data.yaml")
    assert {name: of["fields"] for name, of in found["domains"].items()} == {"two/a": 2, "two/b": 1}
    red = found["domains"]["two/a"]["all_cells"]["RBC"]
    assert (red["counted"], red["truth"]) == (4, 6)
    # The guess is that of the domain's own training field.
    assert [found["domains"][f"two/{name}"]["guess"]["RBC"]["counted"] for name in "ab"] == [10, 3]
    assert found["guess"]["RBC"]["counted"] == 12
    assert "unread" not in found["domains"]["two/a"]
    text = capture.get()
    assert "two/a" in text
    assert max(map(len, text.splitlines())) <= console.width


def test_the_worst_fields_are_named_with_what_is_wrong_in_them(data: Path) -> None:
    found = figures(data)["failures"]
    assert found["RBC"]["missed"] == {"at the border": 0, "taken for another class": 0, "among touching cells": 0, "by itself": 3}
    assert found["RBC"]["worst"][0] == {"field": "b", "counted": 1, "truth": 2, "missed": {"by itself": 1}, "false": {}}
    assert found["WBC"]["worst"] == []


def test_names_can_be_left_out(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = tmp_path / "names.txt"
    names.write_text("b\n\nnowhere\n", encoding="utf-8")
    assert figures(data, exclude=names)["fields"] == 2
    names.write_text("b\nc\nd\n", encoding="utf-8")
    with pytest.raises(NothingToDoError, match="no fields to evaluate"):
        evaluate.command(data, exclude=names)
    with pytest.raises(ConfigError, match="cannot be read"):
        evaluate.command(data, exclude=tmp_path / "absent.txt")


def test_an_empty_split_is_nothing_to_do(data: Path) -> None:
    with pytest.raises(NothingToDoError, match="'val'"):
        evaluate.command(data, split="val")
    with pytest.raises(UsageError, match="no such split"):
        evaluate.command(data, split="exam")


def test_an_output_that_cannot_be_written_is_said(data: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        evaluate.command(data, out=tmp_path / "file" / "metrics.json")
