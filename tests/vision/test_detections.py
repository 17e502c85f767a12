"""The result type refuses what does not fit, and cannot be changed."""

from __future__ import annotations

import base64
import sys
from dataclasses import replace

import numpy as np
import pytest

from detector.errors import ImageError, UsageError
from detector.vision import images
from detector.vision.detections import Detections
from detector.vision.drawing import COLOURS


def _two() -> Detections:
    return Detections(np.array([[0, 0, 10, 10], [5, 5, 9, 9]]), np.array([0.9, 0.4]), np.array([0, 2]), (20, 20))


def test_counts_name_every_class_zeros_included() -> None:
    assert _two().counts() == {"RBC": 1, "WBC": 0, "Platelets": 1}
    assert Detections.none((5, 5)).counts() == {"RBC": 0, "WBC": 0, "Platelets": 0}


@pytest.mark.parametrize(
    ("xyxy", "score", "label", "message"),
    [
        (np.zeros((2, 3)), np.zeros(2), np.zeros(2), r"xyxy must have shape \(n, 4\), got \(2, 3\)"),
        (np.zeros((2, 4)), np.zeros(3), np.zeros(2), r"score must have shape \(2,\) to match xyxy, got \(3,\)"),
        (np.zeros((2, 4)), np.zeros(2), np.zeros(1), r"label must have shape \(2,\)"),
        (np.zeros((1, 4)), np.zeros(1), np.array([3]), "labels must be 0 to 2, got 3 to 3"),
        (np.zeros((1, 4)), np.zeros(1), np.array([-1]), "labels must be 0 to 2, got -1 to -1"),
    ],
)
def test_arrays_that_disagree_are_refused(xyxy: np.ndarray, score: np.ndarray, label: np.ndarray, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Detections(xyxy, score, label, (20, 20))


def test_neither_the_result_nor_its_source_can_change_the_other() -> None:
    source = np.array([[0, 0, 10, 10]], dtype=np.float32)
    detections = Detections(source, np.array([0.9]), np.array([0]), (20, 20))
    source[0, 0] = 7
    assert detections.xyxy[0, 0] == 0
    with pytest.raises(ValueError, match="read-only"):
        detections.xyxy[0, 0] = 3


def test_a_result_is_one_line_and_draws_itself_where_its_field_is_known() -> None:
    field = np.full((20, 20, 3), 200, np.uint8)
    detections = _two()
    assert repr(detections) == "Detections(1 RBC, 0 WBC, 1 Platelets in 20 x 20 px)"
    assert detections._repr_html_() is None
    with pytest.raises(UsageError, match=r"draw\(rgb\)"):
        detections.draw()
    with pytest.raises(UsageError, match=r"must have shape \(20, 20, 3\), got \(20, 21, 3\)"):
        detections.draw(np.zeros((20, 21, 3), np.uint8))
    drawn = detections.draw(field)
    assert drawn.shape == (46, 20, 3)
    assert (drawn[26, 0] == COLOURS["RBC"]).all()
    assert (field == 200).all()
    known = replace(detections, pixels=lambda: field)
    assert np.array_equal(known.draw(), drawn)
    page = known._repr_html_()
    assert page is not None
    shown = images.decode(base64.b64decode(page.split("base64,")[1].rstrip('">'))).rgb
    assert shown.shape == drawn.shape
    assert np.array_equal(known[:1].draw(), detections[:1].draw(field))

    def gone() -> np.ndarray:
        raise ImageError("cannot be opened")

    assert replace(detections, pixels=gone)._repr_html_() is None


def test_cells_are_a_table_of_pandas() -> None:
    table = _two().to_pandas()
    assert list(table.columns) == ["class", "score", "x1", "y1", "x2", "y2"]
    assert table["class"].tolist() == ["RBC", "Platelets"]
    assert table.iloc[1].tolist()[2:] == [5, 5, 9, 9]
    assert len(Detections.none((5, 5)).to_pandas()) == 0


def test_cells_are_given_to_supervision(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "supervision", None)
    with pytest.raises(UsageError, match="pip install supervision"):
        _two().to_supervision()
    monkeypatch.undo()
    pytest.importorskip("supervision", reason="needs supervision: pip install supervision")
    given = _two().to_supervision()
    assert given.xyxy.tolist() == [[0, 0, 10, 10], [5, 5, 9, 9]]
    assert given.class_id.tolist() == [0, 2]
    assert given.data["class_name"].tolist() == ["RBC", "Platelets"]
    assert len(given[given.confidence > 0.5]) == 1


def test_indexing_chooses_cells_and_keeps_the_field() -> None:
    detections = _two()
    assert detections[detections.score > 0.5].label.tolist() == [0]
    assert detections[1].label.tolist() == [2]
    assert detections[:0].size_wh == (20, 20)
    assert len(detections[:0]) == 0
