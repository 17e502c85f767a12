"""Which counts are wrong, and how right the doubt in them is."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.doubts import Doubted, Tally
from detector.annotations.records import Record
from detector.vision.detections import Detections


def _labels(red: int, white: int) -> np.ndarray:
    return np.array([0] * red + [1] * white + [2], dtype=np.int64)


def _boxes(n: int) -> np.ndarray:
    return np.array([(10 * i, 0, 10 * i + 9, 9) for i in range(n)], dtype=np.float32)


@pytest.mark.parametrize(
    ("true", "counted", "wrong"),
    [
        ((20, 1), (20, 1), False),
        ((20, 1), (16, 1), False),
        ((20, 1), (15, 1), True),
        ((20, 1), (25, 1), True),
        ((3, 0), (2, 0), False),
        ((3, 0), (1, 0), True),
        ((20, 1), (20, 2), True),
        ((20, 1), (20, 0), True),
        ((0, 0), (2, 0), True),
    ],
)
def test_a_count_is_wrong_by_a_fifth_of_the_red_cells_or_a_white_one(
    true: tuple[int, int], counted: tuple[int, int], wrong: bool
) -> None:
    truth, seen = _labels(*true), _labels(*counted)
    record = Record("a", None, (900, 900), _boxes(len(truth)), truth)
    assert record.miscounted(Detections(_boxes(len(seen)), np.full(len(seen), 0.9), seen, (900, 900))) is wrong


def test_what_could_not_be_labelled_is_not_judged() -> None:
    truth = _labels(5, 0)
    ignored = np.array([[500, 0, 600, 100]], dtype=np.float32)
    record = Record("a", None, (900, 900), _boxes(len(truth)), truth, ignore=ignored)
    seen = np.append(truth, 1)
    xyxy = np.concatenate([_boxes(len(truth)), [[510, 10, 560, 60]]])
    assert not record.miscounted(Detections(xyxy, np.full(len(seen), 0.9), seen, (900, 900)))


def test_doubt_is_tallied_by_reason() -> None:
    fields = [Doubted("faint; crowded", True), Doubted("", True), Doubted("faint", False), *[Doubted("", False)] * 3]
    every, crowded, none = Tally.of(fields), Tally.of(fields, "crowded"), Tally.of([])
    assert (every.wrong, every.wrong_doubtful, every.right, every.right_doubtful) == (2, 1, 4, 1)
    assert (every.recall, every.precision, every.false_alarms) == (0.5, 0.5, 0.25)
    assert (crowded.recall, crowded.precision, crowded.false_alarms) == (0.5, 1, 0)
    assert (none.recall, none.precision, none.false_alarms) == (None, None, None)
