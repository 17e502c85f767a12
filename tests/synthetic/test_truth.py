"""Files of truth: what is written is what was rendered."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from io import StringIO
from pathlib import Path

import cv2
import numpy as np

from detector.synthetic.series import Series
from detector.synthetic.truth import Truth, write_jpeg
from detector.vision.cells import CLASSES


def test_both_files_hold_every_cell() -> None:
    truth = Truth("test")
    rendered = list(Series(fields=2, size_wh=(400, 300)).render())
    for name, field in rendered:
        truth.add(name, field)
    rows = list(csv.DictReader(StringIO(truth.csv())))
    coco = json.loads(truth.coco())
    names = {category["id"]: category["name"] for category in coco["categories"]}
    for (name, field), row, image in zip(rendered, rows, coco["images"], strict=True):
        assert (row["field"], row["smear"]) == (name, "smear_a")
        assert {c: int(row[c]) for c in CLASSES} == field.counts()
        cells = [a for a in coco["annotations"] if a["image_id"] == image["id"]]
        assert [names[a["category_id"]] for a in cells] == [CLASSES[label] for label in field.label]
        boxes = np.array([a["bbox"] for a in cells], dtype=np.float32)
        np.testing.assert_array_equal(np.hstack([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]]), field.xyxy)
        assert (image["file_name"], image["width"], image["height"]) == (name, 400, 300)
    assert truth.totals() == {c: sum(field.counts()[c] for _, field in rendered) for c in CLASSES}


def test_fields_without_cells_give_empty_lists() -> None:
    truth = Truth('a "quoted" title')
    assert json.loads(truth.coco())["annotations"] == []
    assert truth.csv() == "field,smear,RBC,WBC,Platelets\n"


def test_ignore_regions_are_a_category_of_their_own_and_no_cells() -> None:
    (_, plain), *_ = Series(fields=1, size_wh=(200, 150)).render()
    heap = replace(plain, ignore=np.array([[3, 4, 23, 44]], dtype=np.float32))
    truth, without = Truth("test"), Truth("test")
    truth.add("a/1.jpg", heap)
    without.add("a/1.jpg", plain)
    coco, plainly = json.loads(truth.coco()), json.loads(without.coco())
    assert [category["name"] for category in coco["categories"]] == [*CLASSES, "ignore"]
    assert [category["name"] for category in plainly["categories"]] == list(CLASSES)
    assert coco["annotations"][:-1] == plainly["annotations"]
    region = coco["annotations"][-1]
    assert (region["category_id"], region["bbox"], region["iscrowd"]) == (4, [3, 4, 20, 40], 0)
    assert truth.csv() == without.csv()


def test_a_jpeg_keeps_colours_and_takes_any_path(tmp_path: Path) -> None:
    (_, field), *_ = Series(fields=1, size_wh=(200, 150)).render()
    path = tmp_path / "Ausstrich é 1" / "field.jpg"
    write_jpeg(path, field)
    bgr = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    assert np.abs(bgr[:, :, ::-1].astype(int) - field.image).mean() < 4
