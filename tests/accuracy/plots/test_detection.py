"""The plot of count error against threshold."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from detector.accuracy import thresholds
from detector.accuracy.plots import detection
from detector.annotations.records import Record
from detector.errors import MissingExtraError
from detector.vision.detections import Detections

Make = Callable[..., tuple[list[Record], list[Detections]]]
BLUE_BGR, VERMILION_BGR = (178, 114, 0), (0, 94, 213)


def _drawn(path: Path) -> np.ndarray:
    picture = cv2.imread(str(path))
    assert picture is not None
    return picture


def _has(picture: np.ndarray, bgr: tuple[int, int, int]) -> bool:
    return bool((picture == np.array(bgr, np.uint8)).all(axis=2).any())


@pytest.mark.slow
def test_every_domain_has_its_line(make: Make, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs the evaluate extra: pip install -e '.[evaluate]'")
    records, detections = make(1)
    detection.error_by_threshold(thresholds.tune(records, detections, ["a"] * 12), tmp_path / "one.png")
    detection.error_by_threshold(thresholds.tune(records, detections, ["a", "b"] * 6), tmp_path / "two.png")
    one, two = _drawn(tmp_path / "one.png"), _drawn(tmp_path / "two.png")
    assert _has(one, BLUE_BGR)
    assert not _has(one, VERMILION_BGR)
    assert _has(two, BLUE_BGR)
    assert _has(two, VERMILION_BGR)
    assert one.shape[1] > 1000
    detection.error_by_threshold(thresholds.tune(records, detections, ["a", "b"] * 6), tmp_path / "again.png")
    assert (tmp_path / "again.png").read_bytes() == (tmp_path / "two.png").read_bytes()


@pytest.mark.slow
def test_a_class_that_is_nowhere_and_many_domains_can_be_drawn(make: Make, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="needs the evaluate extra: pip install -e '.[evaluate]'")
    records, detections = make(2, fields=9, per_class=(4, 0, 0))
    detection.error_by_threshold(thresholds.tune(records, detections, list("abcdefghi")), tmp_path / "many.png")
    assert _drawn(tmp_path / "many.png").size


def test_without_matplotlib_it_says_what_to_install(make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "matplotlib"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    with pytest.raises(MissingExtraError, match=r"a plot needs matplotlib.*\[evaluate\]"):
        detection.error_by_threshold(thresholds.tune(*make(3), ["a"] * 12), tmp_path / "none.png")
