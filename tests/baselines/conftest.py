"""Rendered fields with exact truth, one class or all of them, touching cells or none."""

from __future__ import annotations

from typing import Any

import pytest

from detector.annotations.records import Record
from detector.baselines.methods import LabelledField
from detector.synthetic.series import Series

SIZE_WH = (280, 210)
"""Width and height of the fields."""


def rendered(fields: int, seed: int, **other: Any) -> list[LabelledField]:
    """Fields of one smear with red cells of 38 px, of which many touch."""
    settings = {"rbc": 22, "wbc": 2, "platelets": 4, "touching": 0.4, **other}
    series = Series(fields=fields, size_wh=SIZE_WH, um_per_px=0.2, seed=seed, **settings)
    return [
        LabelledField(Record(f"seed{seed}_{number}", None, SIZE_WH, field.xyxy, field.label, ignore=field.ignore), field.image)
        for number, (_, field) in enumerate(series.render())
    ]


@pytest.fixture(scope="session")
def train_fields() -> list[LabelledField]:
    """Fields to fit on."""
    return rendered(5, seed=3)


@pytest.fixture(scope="session")
def test_fields() -> list[LabelledField]:
    """Others of the same stain."""
    return rendered(3, seed=4)
