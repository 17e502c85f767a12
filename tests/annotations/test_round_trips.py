"""Boxes keep their place through every format."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from detector.annotations import coco, repair, voc, yolo
from detector.annotations.records import Record
from detector.vision import boxes
from detector.vision.cells import CLASSES


@st.composite
def fields(draw: st.DrawFn) -> tuple[tuple[int, int], list[tuple[str, float, float, float, float]]]:
    """An image size and boxes inside it that are wider than a slip of the mouse."""
    width, height = draw(st.integers(16, 9000)), draw(st.integers(16, 9000))
    cells = []
    for _ in range(draw(st.integers(0, 6))):
        x1, y1 = draw(st.floats(0, width - 4)), draw(st.floats(0, height - 4))
        x2, y2 = draw(st.floats(x1 + 3, width)), draw(st.floats(y1 + 3, height))
        cells.append((draw(st.sampled_from(CLASSES)), x1, y1, x2, y2))
    return (width, height), cells


def assert_same(record: Record, other: Record) -> None:
    assert record.size_wh == other.size_wh
    assert record.label.tolist() == other.label.tolist()
    assert record.xyxy.shape == other.xyxy.shape
    assert np.abs(record.xyxy.astype(np.float64) - other.xyxy).max(initial=0) < 0.01


@settings(deadline=None, max_examples=60)
@given(fields())
def test_voc_to_yolo_to_coco(field: tuple[tuple[int, int], list[tuple[str, float, float, float, float]]]) -> None:
    size_wh, cells = field
    xyxy = np.array([corners for _, *corners in cells], dtype=np.float32).reshape(-1, 4)
    overlap = boxes.iou(xyxy, xyxy)[~np.eye(len(xyxy), dtype=bool)]
    assume((overlap < 0.97).all())
    with TemporaryDirectory() as folder:
        root = Path(folder)
        (root / "a.xml").write_text(_voc(cells), encoding="utf-8")
        first = repair.mend(voc.read(root / "a.xml"), size_wh).record("a", None)
        assert len(first.xyxy) == len(cells)
        (root / "a.txt").write_text(yolo.text(first), encoding="utf-8")
        second = repair.mend(yolo.read(root / "a.txt", list(CLASSES)), size_wh).record("a", None)
        (root / "a.json").write_text(_coco(second), encoding="utf-8")
        third = repair.mend(coco.read(root / "a.json")[0].labels, size_wh).record("a", None)
    assert_same(first, second)
    assert_same(second, third)


def _voc(objects: list[tuple[str, float, float, float, float]]) -> str:
    tags = ("xmin", "ymin", "xmax", "ymax")
    text = ""
    for name, *corners in objects:
        box = "".join(f"<{tag}>{value!r}</{tag}>" for tag, value in zip(tags, corners, strict=True))
        text += f"<object><name>{name}</name><bndbox>{box}</bndbox></object>"
    return f"<annotation>{text}</annotation>"


def _coco(record: Record) -> str:
    boxes_xywh = [[x1, y1, x2 - x1, y2 - y1] for x1, y1, x2, y2 in record.xyxy.tolist()]
    rows = [{"image_id": 1, "category_id": int(k) + 1, "bbox": b} for k, b in zip(record.label, boxes_xywh, strict=True)]
    names = [{"id": k + 1, "name": name} for k, name in enumerate(CLASSES)]
    return json.dumps({"images": [{"id": 1, "file_name": "a.png"}], "annotations": rows, "categories": names})


@given(st.permutations(["RBC", "white blood cell", "PLT"]), st.integers(0, 2))
def test_a_yolo_number_means_the_name_in_its_place(names: list[str], number: int) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "a.txt"
        path.write_text(f"{number} 0.5 0.5 0.25 0.25\n", encoding="utf-8")
        mended = repair.mend(yolo.read(path, names), (100, 100))
    expected = {"RBC": "RBC", "white blood cell": "WBC", "PLT": "Platelets"}[names[number]]
    assert [CLASSES[k] for k in mended.label] == [expected]


def test_voc_corners_are_edges_as_they_stand(tmp_path: Path) -> None:
    (tmp_path / "a.xml").write_text(_voc([("RBC", 0, 1, 640, 480)]), encoding="utf-8")
    assert voc.read(tmp_path / "a.xml").xyxy.tolist() == [[0, 1, 640, 480]]


def test_written_labels_have_eight_decimals(tmp_path: Path) -> None:
    record = Record("a", None, (3, 3), np.array([[0, 0, 1, 2]], dtype=np.float32), np.array([2], dtype=np.int64))
    assert yolo.text(record) == "2 0.16666667 0.33333333 0.33333333 0.66666667\n"


@pytest.mark.parametrize("size_wh", [(640, 480), (50_000, 40_000)])
def test_yolo_rounding_is_under_a_hundredth_of_a_pixel(tmp_path: Path, size_wh: tuple[int, int]) -> None:
    xyxy = np.array([[1 / 3, 2 / 3, size_wh[0] / 7, size_wh[1] / 9]], dtype=np.float32)
    record = Record("a", None, size_wh, xyxy, np.array([0], dtype=np.int64))
    (tmp_path / "a.txt").write_text(yolo.text(record), encoding="utf-8")
    again = repair.mend(yolo.read(tmp_path / "a.txt", list(CLASSES)), size_wh).record("a", None)
    assert_same(record, again)
