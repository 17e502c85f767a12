"""The page of a model card, with and without what newer exports know."""

from __future__ import annotations

import json
from typing import Any

import pytest

from detector.training import page
from detector.vision.catalogue import SHIPPED


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
    document = {
        "val_sums": {name: {"a": one, "b": one} for name, one in (("RBC", sums), ("WBC", sums), ("Platelets", empty))},
        "val_precision_recall": {
            **{name: {"precision": {"value": 1.0, "low": 0.99, "high": 1.0}, "recall": share} for name in ("RBC", "WBC")},
            "Platelets": {"precision": None, "recall": None},
        },
    }
    text = page.render({**card, **document})
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


ONE = {
    "title": "Mine",
    "homepage": "https://example.org",
    "licence": "CC0",
    "credits": ["Photographs by M. E.", "Labels by N. N"],
    "fields": {"train": 8, "val": 2},
    "same_cells_across_splits": {"train and val": 3},
    "boxes_dropped": {"the same box twice": 2},
    "corrections": {"file": "mine.csv", "sha256": "ab" * 32, "remove": 5, "relabel": 0, "add": 1, "not_applied": 2},
}


@pytest.fixture
def whole_card() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(SHIPPED.with_suffix(".json").read_text(encoding="utf-8"))
    return content


def _data(**changes: Any) -> str:
    card = {"data": ["mine: 8 fields with 9 RBC", "other: 1 fields"], "datasets": {"mine": {**ONE, **changes}, "other": {}}}
    return "\n".join(page.training_data(card))


def test_data_has_its_licence_credits_and_audit() -> None:
    text = _data()
    for expected in (
        "**mine**: Mine. <https://example.org>. Licence: CC0. Credits: Photographs by M. E.; Labels by N. N.",
        "- Trained on 8 fields with 9 RBC.",
        "- Splits: train 8 fields, val 2 fields.",
        "in two splits: 3 between train and val.",
        "- Boxes dropped: 2 (the same box twice).",
        "- Labels corrected by `mine.csv` (SHA-256 `abababababab`): 5 boxes removed, 0 given another class, 1 added, 2 changes",
        "**other**: Licence and credits are not known",
        "- Not converted by this program, so not audited.",
    ):
        assert expected in text


def test_nothing_found_is_said_so() -> None:
    text = _data(same_cells_across_splits={}, corrections=None, boxes_dropped={})
    assert "in two splits: none." in text
    assert "- Labels as published, not corrected." in text
    assert "Boxes dropped" not in text


def test_failures_are_told_by_kind_and_field() -> None:
    worst = {"field": "f_1", "counted": 3, "truth": 5, "missed": {"by itself": 2}, "false": {}}
    at = {"missed": {"at the border": 4, "by itself": 2}, "false": {"at the border": 0}, "worst": [worst]}
    card = {"figures": [{"data": "d", "split": "test", "failures": {"RBC": at}}, {"data": "earlier.yaml", "split": "test"}]}
    lines = page.known_failures(card)
    assert "- RBC: 6 missed (4 at the border, 2 by itself), 0 false." in lines
    assert "    - `f_1`: counted 3, labelled 5; 2 missed (2 by itself), 0 false" in lines
    assert not any("earlier" in line for line in lines)
    assert page.known_failures({}) == []


def test_thresholds_are_told_with_their_price_in_each_domain(whole_card: dict[str, Any]) -> None:
    at = {"fields": 9, "error": 0.63, "own_threshold": 0.7, "own_error": 0.5}
    tuning = {name: {"low": 0.4, "high": 0.6, "domains": {"a": at, "b": at}} for name in whole_card["class_names"]}
    text = page.render({**whole_card, "name": "own", "threshold_tuning": tuning})
    value = whole_card["thresholds"]["RBC"]
    cell = "0.63 (0.50 at its best threshold, 0.70)"
    assert f"| RBC | {value:.2f} (0.40 to 0.60) | {cell} | {cell} |" in text
    assert "](own.thresholds.png)" in text


def test_a_card_without_any_of_it_has_a_page(whole_card: dict[str, Any]) -> None:
    for key in ("datasets", "threshold_tuning", "figures"):
        whole_card.pop(key, None)
    text = page.render(whole_card)
    assert all(f"- {line}" in text for line in whole_card["data"])
    assert "Known failures" not in text
    assert "thresholds.png" not in text
