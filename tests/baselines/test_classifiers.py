"""Classifiers measured beside another one: whole smears are left out, and each sees what it classifies by."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from detector.baselines import classifiers, networks
from detector.errors import UsageError

SIDE_PX, EACH = 44, 30
CLASSES = 4


def discs() -> tuple[NDArray[np.uint8], NDArray[np.int64], list[str]]:
    """Small discs of class 0 and large ones of class 3, in three smears of which the last has the names swapped."""
    rng = np.random.default_rng(0)
    large = np.tile(np.arange(2), 3 * EACH // 2)
    pictures = np.full((len(large), SIDE_PX, SIDE_PX, 3), 220, np.uint8)
    for picture, own in zip(pictures, large, strict=True):
        cv2.circle(picture, (SIDE_PX // 2, SIDE_PX // 2), 17 if own else 10, (150, 90, 110), cv2.FILLED)
    pictures += rng.integers(0, 20, pictures.shape, dtype=np.uint8)
    smears = [str(i // EACH) for i in range(len(large))]
    return pictures, 3 * np.where(np.array(smears) == "2", 1 - large, large), smears


def test_each_smear_is_judged_without_having_been_learned() -> None:
    pictures, label, smears = discs()
    ((name, probability),) = classifiers.left_out_by_smear(pictures, label, smears, ["k nearest neighbours"], CLASSES, 0)
    assert name == "k nearest neighbours"
    assert probability.shape == (len(label), CLASSES)
    assert probability.sum(axis=1) == pytest.approx(1)
    right = probability.argmax(axis=1) == label
    # Learned from the other two smears only, the last one is told by names that it does not use.
    assert right[np.array(smears) == "2"].mean() == 0


@pytest.mark.slow
def test_networks_see_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch", reason="needs the train extra: pip install -e '.[train]'")
    seen: list[tuple[int, ...]] = []

    def fit(self: networks.CropNetwork, squares: NDArray[np.uint8], labels: NDArray[np.int64]) -> networks.CropNetwork:
        seen.append(squares.shape)
        monkeypatch.setattr(networks, "STEPS", 1)
        return plain(self, squares, labels)

    plain = networks.CropNetwork.fit
    monkeypatch.setattr(networks.CropNetwork, "fit", fit)
    answers = dict(classifiers.left_out_by_smear(*discs(), ["naive Bayes", "depthwise-separable CNN"], CLASSES, 0))
    assert list(answers) == ["naive Bayes", "depthwise-separable CNN"]
    assert seen == [(2 * EACH, SIDE_PX, SIDE_PX, 3)] * 3
    assert answers["depthwise-separable CNN"].sum(axis=1) == pytest.approx(1)


def test_an_unknown_classifier_is_refused() -> None:
    with pytest.raises(UsageError, match="unknown classifier 'oracle'; known: decision tree"):
        next(classifiers.left_out_by_smear(*discs(), ["oracle"], CLASSES, 0))
