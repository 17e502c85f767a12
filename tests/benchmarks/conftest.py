"""A dataset of rendered fields."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from detector.annotations import dataset, sources

SAMPLES = Path(__file__).parents[2] / "datasets" / "samples" / "truth.json"


@pytest.fixture
def rendered(tmp_path: Path) -> Path:
    """The `data.yaml` of six rendered fields of two domains, four of them of val; one domain has no labels but of white cells."""
    records = list(sources.load_truth(SAMPLES).records.values())[:6]
    made = []
    for i, (record, split) in enumerate(zip(records, ("val", "val", "train") * 2, strict=True)):
        kept = slice(None) if i < 3 else record.label == 1
        name = f"{'all' if i < 3 else 'white'}_{i}"
        made.append(replace(record, name=name, split=split, xyxy=record.xyxy[kept], label=record.label[kept]))
    dataset.write(tmp_path / "rendered", made)
    return tmp_path / "rendered" / "data.yaml"
