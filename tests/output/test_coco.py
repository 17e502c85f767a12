from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from detector.counting.result import FieldResult
from detector.output import coco
from detector.vision.detections import Detections, Unread


def test_what_is_written_is_valid_and_holds_every_cell(tmp_path: Path) -> None:
    xyxy = np.array([[0, 0.25, 10.5, 20], [100.13, 1e-7, 130.2, 4.06]], dtype=np.float32)
    detections = Detections(xyxy, np.array([0.5, 1e-5], np.float32), np.array([0, 2]), (640, 480))
    lost = Unread("c.jpg", "is empty")
    entries = [FieldResult('a "1".jpg', "s", None, detections), FieldResult("b.jpg", "s", None, Detections.none((5, 4))),
               FieldResult("c.jpg", "s", None, lost), FieldResult("d.jpg", "s", None, detections[:1])]  # fmt: skip
    coco.write(tmp_path / "detections.json", entries)
    content = json.loads((tmp_path / "detections.json").read_text(encoding="utf-8"))
    assert content["annotations"] == [
        {"id": 1, "image_id": 1, "category_id": 1, "bbox": [0.0, 0.25, 10.5, 19.75], "area": 207.4, "iscrowd": 0, "score": 0.5},
        {"id": 2, "image_id": 1, "category_id": 3, "bbox": [100.13, 0.0, 30.07, 4.06], "area": 122.1, "iscrowd": 0, "score": 0.0},
        {"id": 3, "image_id": 3, "category_id": 1, "bbox": [0.0, 0.25, 10.5, 19.75], "area": 207.4, "iscrowd": 0, "score": 0.5},
    ]
    assert [image["file_name"] for image in content["images"]] == ['a "1".jpg', "b.jpg", "d.jpg"]
    assert content["unread"] == [{"file_name": "c.jpg", "reason": "is empty"}]
