"""The result type refuses what does not fit, and cannot be changed."""

from __future__ import annotations

import numpy as np
import pytest

from detector.vision.detections import Detections


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
    found = Detections(source, np.array([0.9]), np.array([0]), (20, 20))
    source[0, 0] = 7
    assert found.xyxy[0, 0] == 0
    with pytest.raises(ValueError, match="read-only"):
        found.xyxy[0, 0] = 3


def test_indexing_chooses_cells_and_keeps_the_field() -> None:
    found = _two()
    assert found[found.score > 0.5].label.tolist() == [0]
    assert found[1].label.tolist() == [2]
    assert found[:0].size_wh == (20, 20)
    assert len(found[:0]) == 0
