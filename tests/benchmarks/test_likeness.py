"""The benchmark of likeness tells cells that look like their class from those that do not, and never compares within a field."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from benchmarks import likeness

Run = Callable[..., int]


def cells(apart: float) -> likeness.Cells:
    """Two classes of 50 cells in ten fields, so far from each other."""
    random = np.random.default_rng(0)
    label = np.arange(100) % 2
    vectors = random.normal(size=(100, 6)).astype(np.float32)
    vectors[:, 0] += apart * label
    return likeness.Cells(vectors, label, np.arange(100) // 10)


def test_what_looks_like_its_class_is_told_from_what_does_not() -> None:
    assert likeness._share_of_nearest(cells(20)).mean() == 1
    assert 0.35 < likeness._share_of_nearest(cells(0)).mean() < 0.65
    own = likeness.Cells(np.arange(20, dtype=np.float32)[:, None], np.arange(20) // 10, np.arange(20) // 10)
    # Each class is one field, and cells of their own field do not count.
    assert likeness._share_of_nearest(own).mean() == 0
    assert likeness._share_of_neighbours(np.array([0, 0, 1, 1, 1])).tolist() == [1, 0.5, 0.5, 1, 1]


def test_types_are_joined_to_boxes_where_they_belong_together(tmp_path: Path) -> None:
    for name in ("images", "points", "draft/labels"):
        (tmp_path / name).mkdir(parents=True)
    cv2.imwrite(str(tmp_path / "images" / "1.png"), np.full((100, 200, 3), 220, np.uint8))
    # The second point is in no box, the third in two, and the last line is damaged.
    (tmp_path / "points" / "1.txt").write_text("50 50 4\n10 10 0\n150 50 7\n5 5\n", encoding="utf-8")
    boxes = ("0 0.25 0.5 0.2 0.4", "0 0.75 0.5 0.2 0.4", "0 0.77 0.5 0.2 0.4")
    (tmp_path / "draft" / "labels" / "1.txt").write_text("\n".join(boxes), encoding="utf-8")
    ((image, xyxy, types),) = likeness._typed(tmp_path, 1)
    assert (image.name, xyxy.tolist(), types.tolist()) == ("1.png", [[30, 30, 70, 70]], [4])
