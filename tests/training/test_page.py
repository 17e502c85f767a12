"""The page of a model card, with and without what newer exports know."""

from __future__ import annotations

import json
from typing import Any

import pytest

from detector.training import page
from detector.vision.model import SHIPPED


@pytest.fixture
def card() -> dict[str, Any]:
    """The shipped card, without the detector's error on the validation fields."""
    content: dict[str, Any] = json.loads(SHIPPED.with_suffix(".json").read_text(encoding="utf-8"))
    return {key: value for key, value in content.items() if key not in ("val_sums", "val_precision_recall")}


def test_precision_recall_and_the_factor_stand_on_the_page(card: dict[str, Any]) -> None:
    sums = {"fields": 30, "true": 450, "false": 0, "missed": 50,
            "counted_squared": 6750, "truth_squared": 8400, "counted_truth": 7500}  # fmt: skip
    empty = {**dict.fromkeys(sums, 0), "fields": 30}
    share = {"value": 0.9, "low": 0.85, "high": 0.94}
    told = {
        "val_sums": {name: {"a": one, "b": one} for name, one in (("RBC", sums), ("WBC", sums), ("Platelets", empty))},
        "val_precision_recall": {
            **{name: {"precision": {"value": 1.0, "low": 0.99, "high": 1.0}, "recall": share} for name in ("RBC", "WBC")},
            "Platelets": {"precision": None, "recall": None},
        },
    }
    text = page.render({**card, **told})
    assert "on the same 60 validation fields" in text
    (row,) = (
        line for line in text.splitlines() if line.startswith("| RBC | 1.000 (0.990 to 1.000) | 0.900 (0.850 to 0.940) | 1.11 (")
    )
    assert row.endswith(") |")
    assert "| Platelets | undefined | undefined | not known: too few in the validation fields |" in text


def test_a_card_made_before_has_a_page_without_them(card: dict[str, Any]) -> None:
    text = page.render(card)
    assert "true cells per counted" not in text
    assert "## Training data" in text
