"""What a model made of weights is compared by."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest

from detector.annotations.records import Record
from detector.training import export
from detector.vision.detections import Detections
from detector.vision.model import Model

WH = (64, 64)


def test_fields_that_one_pass_does_not_hold_are_not_compared(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, model: Model
) -> None:
    pytest.importorskip("ultralytics", reason="needs the train extra: pip install -e '.[train]'")
    records = []
    for level in (10, 20, 30):
        image = tmp_path / f"{level}.png"
        cv2.imwrite(str(image), np.full((*WH, 3), level, np.uint8))
        records.append(Record(image.stem, image, WH, np.zeros((0, 4), np.float32), np.zeros(0, np.int64)))
    whites = Detections(np.array([[1, 1, 20, 20]]), np.array([0.9]), np.array([1]), WH)
    answers = {10: whites, 20: replace(whites, saturated=True), 30: Detections.none(WH)}

    def detect(rgb: Any, zoom: float) -> Detections:
        return answers[int(rgb[0, 0, 0])]

    monkeypatch.setattr(export, "start", lambda weights: None)
    monkeypatch.setattr(export, "_reference_counts", lambda *given: whites.counts())
    stub: Any = SimpleNamespace(card=model.card, detect=detect)
    assert export.parity(tmp_path / "weights.pt", stub, records) == export.Parity(fields=2, equal=1, worst=1)
