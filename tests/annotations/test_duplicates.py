"""The same cells photographed twice are found; fields that merely look alike are not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from detector.annotations.duplicates import Look, between, groups, look, within

SIZE = (480, 360)


@pytest.fixture
def scene(make: Any) -> np.ndarray:
    """A piece of smear larger than a field, of shape (600, 800, 3)."""
    canvas = np.full((600, 800, 3), (225, 215, 220), dtype=np.uint8)
    rng = np.random.default_rng(5)
    for x, y, r in zip(rng.integers(0, 800, 60), rng.integers(0, 600, 60), rng.integers(22, 34, 60), strict=True):
        cv2.circle(canvas, (int(x), int(y)), int(r), (150, 130, 200), -1, cv2.LINE_AA)
        cv2.circle(canvas, (int(x), int(y)), int(r) // 3, (190, 180, 215), -1, cv2.LINE_AA)
    return np.clip(canvas + rng.normal(0, 3, canvas.shape), 0, 255).astype(np.uint8)


def field(scene: np.ndarray, x: int, y: int) -> np.ndarray:
    return scene[y : y + SIZE[1], x : x + SIZE[0]]


def seen(make: Any, path: Path, pixels: np.ndarray) -> Look:
    return look(make.save(path, pixels))


@pytest.mark.parametrize(
    "again",
    [
        lambda scene: field(scene, 60, 40),
        lambda scene: field(scene, 78, 40),
        lambda scene: field(scene, 120, 100),
        lambda scene: cv2.GaussianBlur(field(scene, 62, 41), (0, 0), 2),
        lambda scene: np.clip(field(scene, 60, 40) * 0.8 + 20, 0, 255).astype(np.uint8),
        lambda scene: cv2.resize(field(scene, 60, 40), (240, 180), interpolation=cv2.INTER_AREA),
    ],
    ids=["saved again", "moved", "moved far", "refocused", "darker", "half the size"],
)
def test_the_same_cells_are_found(
    make: Any, scene: np.ndarray, tmp_path: Path, again: Callable[[np.ndarray], np.ndarray]
) -> None:
    pictures = [seen(make, tmp_path / "a.png", field(scene, 60, 40)), seen(make, tmp_path / "b.jpg", again(scene))]
    assert [(p.first, p.second, p.identical) for p in within(pictures)] == [(0, 1, False)]
    assert [(p.first, p.second) for p in between(pictures[:1], pictures[1:])] == [(0, 0)]


def test_other_fields_are_not(make: Any, scene: np.ndarray, tmp_path: Path) -> None:
    corners = [(0, 0), (319, 0), (0, 239), (319, 239)]
    fields = [cv2.flip(field(scene, x, y), k) for k, (x, y) in enumerate(corners, start=-1)]
    assert within([seen(make, tmp_path / f"{i}.png", pixels) for i, pixels in enumerate(fields)]) == []


def test_even_images_are_not_alike_but_the_same_file_is(make: Any, tmp_path: Path) -> None:
    shades = [seen(make, tmp_path / f"{v}.png", np.full((40, 40, 3), v, dtype=np.uint8)) for v in (0, 90, 255, 90)]
    assert [(p.first, p.second, p.identical, p.similarity) for p in within(shades)] == [(1, 3, True, 1.0)]


@pytest.mark.parametrize("count", [0, 1])
def test_too_few_images_for_a_pair(make: Any, tmp_path: Path, count: int) -> None:
    pictures = [seen(make, tmp_path / f"{i}.png", make.picture(i)) for i in range(count)]
    assert within(pictures) == []
    assert between(pictures, []) == []
    assert between([], pictures) == []


def test_groups_join_through_a_third(make: Any, scene: np.ndarray, tmp_path: Path) -> None:
    steps = [field(scene, x, 0) for x in (0, 110, 220)]
    pairs = within([seen(make, tmp_path / f"{i}.png", pixels) for i, pixels in enumerate(steps)])
    assert {(p.first, p.second) for p in pairs} >= {(0, 1), (1, 2)}
    assert groups(4, pairs) == [0, 0, 0, 3]


def test_bccd_holds_the_fields_that_were_looked_at(real: Callable[[str], Path]) -> None:
    folder = real("bccd/JPEGImages")
    ids = ["00019", "00020", "00037", "00038", "00386", "00391", "00365", "00366", "00171", "00372", "00191", "00305"]
    pairs = within([look(folder / f"BloodImage_{i}.jpg") for i in ids])
    assert [(ids[p.first], ids[p.second]) for p in pairs] == [("00019", "00020"), ("00037", "00038"), ("00386", "00391")]
