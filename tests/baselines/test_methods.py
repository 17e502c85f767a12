"""The methods of finding cells, on rendered fields whose truth is known."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from detector.accuracy.matching import operating
from detector.baselines.candidates import Candidates
from detector.baselines.circles import HoughCircles, IterativeCircles
from detector.baselines.methods import LabelledField, Method, best_setting, least_value, red_width_px, spread
from detector.baselines.segmentation import CellThreshold
from detector.baselines.watershed import Watershed
from detector.baselines.white_cells import CmykMoments, HueSaturation, cmyk
from detector.errors import NothingToDoError
from detector.vision.cells import CLASSES, PLATELETS, RBC, WBC

METHODS: dict[type[Method], dict[int, float]] = {
    Watershed: {RBC: 0.85, WBC: 0.8, PLATELETS: 0.5},
    HoughCircles: {RBC: 0.75},
    IterativeCircles: {RBC: 0.75},
    HueSaturation: {WBC: 0.8},
    CmykMoments: {WBC: 0.8},
    Candidates: {RBC: 0.85, WBC: 0.8, PLATELETS: 0.5},
}
"""Each method with the least precision and recall of the classes that it looks for."""


@pytest.fixture(scope="module")
def fitted(train_fields: list[LabelledField]) -> dict[type[Method], Method]:
    methods = {kind: kind() for kind in METHODS}
    for method in methods.values():
        method.fit(train_fields)
    return methods


def without(fields: list[LabelledField], *labels: int) -> list[LabelledField]:
    """Fields in which no cell of these classes is labelled."""
    kept = [~np.isin(field.record.label, labels) for field in fields]
    return [
        LabelledField(replace(field.record, xyxy=field.record.xyxy[cells], label=field.record.label[cells]), field.rgb)
        for field, cells in zip(fields, kept, strict=True)
    ]


@pytest.mark.slow
@pytest.mark.parametrize("kind", METHODS)
def test_touching_cells_are_found(
    kind: type[Method], fitted: dict[type[Method], Method], test_fields: list[LabelledField]
) -> None:
    method = fitted[kind]
    detections = [method.detect(field.rgb) for field in test_fields]
    rates = operating([field.record for field in test_fields], detections)
    assert method.classes == tuple(METHODS[kind])
    for label, least in METHODS[kind].items():
        of_class = rates[CLASSES[label]]
        assert of_class.precision is not None
        assert of_class.recall is not None
        assert min(of_class.precision.value, of_class.recall.value) >= least, (CLASSES[label], of_class)
    for cells, field in zip(detections, test_fields, strict=True):
        assert set(cells.label.tolist()) <= set(METHODS[kind])
        assert cells.size_wh == field.record.size_wh
        assert (cells.xyxy >= 0).all()
        assert (cells.xyxy <= [*field.record.size_wh] * 2).all()


@pytest.mark.slow
@pytest.mark.parametrize("kind", METHODS)
def test_ground_without_cells_holds_none(
    kind: type[Method], fitted: dict[type[Method], Method], test_fields: list[LabelledField]
) -> None:
    bare = np.random.default_rng(0).normal(215, 3, (210, 280, 3)).clip(0, 255).astype(np.uint8)
    for rgb in (bare, np.full((60, 80, 3), 230, np.uint8), np.zeros((50, 50, 3), np.uint8)):
        assert len(fitted[kind].detect(rgb)) == 0


@pytest.mark.slow
def test_where_all_is_taken_for_cells_there_is_no_circle(
    fitted: dict[type[Method], Method], test_fields: list[LabelledField], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the dark surround of an eyepiece is, with all that it surrounds."""
    monkeypatch.setattr(CellThreshold, "cells", lambda _, rgb: np.ones(rgb.shape[:2], dtype=np.bool_))
    assert len(fitted[IterativeCircles].detect(test_fields[0].rgb)) == 0


@pytest.mark.slow
def test_a_class_that_is_not_labelled_is_not_looked_for(
    train_fields: list[LabelledField], test_fields: list[LabelledField]
) -> None:
    method = Watershed()
    method.fit(without(train_fields, PLATELETS))
    assert method.classes == (RBC, WBC)
    assert PLATELETS not in method.detect(test_fields[0].rgb).label


@pytest.mark.slow
def test_the_same_seed_finds_the_same(
    fitted: dict[type[Method], Method], train_fields: list[LabelledField], test_fields: list[LabelledField]
) -> None:
    again = Candidates(seed=0)
    again.fit(train_fields)
    for field in test_fields:
        first, second = fitted[Candidates].detect(field.rgb), again.detect(field.rgb)
        assert np.array_equal(first.xyxy, second.xyxy)
        assert np.array_equal(first.score, second.score)


@pytest.mark.slow
def test_candidates_count_as_labels_that_leave_cells_out(
    train_fields: list[LabelledField], test_fields: list[LabelledField]
) -> None:
    """Where two of three red cells have no label, none is a cell by its likeliest class."""

    def thinned(field: LabelledField) -> LabelledField:
        kept = (field.record.label != RBC) | (np.arange(len(field.record.label)) % 3 == 0)
        return LabelledField(replace(field.record, xyxy=field.record.xyxy[kept], label=field.record.label[kept]), field.rgb)

    method = Candidates(seed=0)
    method.fit([thinned(field) for field in train_fields])
    labelled = sum(int((thinned(field).record.label == RBC).sum()) for field in test_fields)
    counted = sum(int((method.detect(field.rgb).label == RBC).sum()) for field in test_fields)
    likeliest = sum(int((method._judged(field.rgb)[1][:, RBC] > 0.5).sum()) for field in test_fields)
    assert abs(counted - labelled) < abs(likeliest - labelled)
    assert 0.4 * labelled < counted < 1.6 * labelled


@pytest.mark.parametrize("kind", METHODS)
def test_two_fields_are_too_few(kind: type[Method], train_fields: list[LabelledField]) -> None:
    with pytest.raises(NothingToDoError, match="learns from 3 labelled fields or more, got 2"):
        kind().fit(train_fields[:2])


@pytest.mark.parametrize("kind", [HueSaturation, CmykMoments])
def test_fields_without_the_class_that_is_sought(kind: type[Method], train_fields: list[LabelledField]) -> None:
    with pytest.raises(NothingToDoError, match=r"needs 5 labelled cells of WBC; the training fields hold .* 0 WBC"):
        kind().fit(without(train_fields, WBC))


def test_fields_without_red_cells_tell_no_width(train_fields: list[LabelledField]) -> None:
    with pytest.raises(NothingToDoError, match="no labelled red cells"):
        HueSaturation().fit(without(train_fields, RBC))


def test_large_cells_are_found_in_a_smaller_copy(train_fields: list[LabelledField], test_fields: list[LabelledField]) -> None:
    def enlarged(field: LabelledField) -> LabelledField:
        size_wh = (2 * field.record.size_wh[0], 2 * field.record.size_wh[1])
        rgb = np.asarray(cv2.resize(field.rgb, size_wh, interpolation=cv2.INTER_CUBIC), dtype=np.uint8)
        return LabelledField(replace(field.record, size_wh=size_wh, xyxy=2 * field.record.xyxy), rgb)

    method = HueSaturation()
    method.fit([enlarged(field) for field in train_fields])
    assert method.width_px == pytest.approx(40, abs=0.5)
    large = enlarged(test_fields[0])
    rates = operating([large.record], [method.detect(large.rgb)])["WBC"]
    assert (rates.false, rates.missed) == (0, 0)


def test_width_is_that_of_whole_cells(train_fields: list[LabelledField]) -> None:
    assert red_width_px(train_fields) == pytest.approx(38, abs=3)


def test_saturated_nuclei_do_not_hide_red_cells() -> None:
    rgb = np.full((120, 120, 3), 225, np.uint8)
    cv2.circle(rgb, (35, 60), 18, (215, 165, 175), cv2.FILLED)
    cv2.circle(rgb, (85, 60), 22, (60, 0, 140), cv2.FILLED)
    cells = CellThreshold(channel=1, contrast=45.0).cells(rgb)
    assert cells[60, 35]
    assert cells[60, 85]
    assert not cells[10, 10]


@pytest.mark.parametrize(
    ("positive", "negative", "low", "high"), [([5, 6], [1, 2], 2, 5), ([5, 6, 7], [1, 6.5], 1, 5), ([1], [5, 6], 6, 8)]
)
def test_the_limit_leaves_fewest_wrong(positive: list[float], negative: list[float], low: float, high: float) -> None:
    limit = least_value(positive, negative)
    wrong = sum(value < limit for value in positive) + sum(value >= limit for value in negative)
    levels = [*positive, *negative, 100.0]
    assert wrong == min(sum(v < level for v in positive) + sum(v >= level for v in negative) for level in levels)
    assert low < limit <= high


def test_the_setting_that_counts_best_is_taken(train_fields: list[LabelledField]) -> None:
    truth = {id(field.rgb): int((field.record.label == RBC).sum()) for field in train_fields}
    assert best_setting((1.0, 2.0, 3.0), train_fields, lambda rgb, setting: truth[id(rgb)] + round(setting) - 2) == 2.0


def test_fields_are_spread_evenly() -> None:
    assert spread(10, 3) == [0, 4, 9]
    assert spread(2, 5) == [0, 1]
    assert spread(0, 5) == []


def test_inks_of_pure_colours() -> None:
    colours = np.array([[255, 255, 255], [0, 0, 0], [0, 255, 255], [255, 0, 0]], np.uint8)
    inks = [cmyk(np.full((5, 5, 3), colour, np.uint8))[2, 2].tolist() for colour in colours]
    assert inks == [[0, 0, 0, 0], [0, 0, 0, 255], [255, 0, 0, 0], [0, 255, 255, 0]]
