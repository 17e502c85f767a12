"""Labelled fields and an imperfect detector, made by chance from a seed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from detector.annotations.records import Record
from detector.vision.detections import Detections

SIZE_WH = (200, 160)

Made = tuple[list[Record], list[Detections]]


def _field(rng: np.random.Generator, name: str, per_class: tuple[float, ...]) -> tuple[Record, Detections]:
    label = np.repeat(np.arange(3), [rng.poisson(m) for m in per_class]).astype(np.int64)
    corner = rng.uniform(0, np.array(SIZE_WH) - 30, (len(label), 2))
    xyxy = np.concatenate([corner, corner + rng.uniform(8, 30, (len(label), 2))], axis=1).astype(np.float32)
    kept = rng.random(len(label)) < 0.8
    noise = rng.normal(0, 1.2, (int(kept.sum()), 4))
    extra = rng.uniform(0, 100, (rng.poisson(2), 2))
    boxes = np.concatenate([xyxy[kept] + noise, np.concatenate([extra, extra + 20], axis=1)])
    found_label = np.concatenate([label[kept], rng.integers(0, 3, len(extra))])
    # Coarse scores, so that some are equal.
    score = np.round(np.concatenate([rng.uniform(0.4, 1, int(kept.sum())), rng.uniform(0.1, 0.7, len(extra))]), 2)
    return Record(name, Path(f"{name}.png"), SIZE_WH, xyxy, label), Detections(boxes, score, found_label, SIZE_WH)


@pytest.fixture(scope="session")
def make() -> Callable[..., Made]:
    """`make(seed, fields, per_class)`: records and what a detector found in them."""

    def made(seed: int = 0, fields: int = 12, per_class: tuple[float, ...] = (10, 1, 2)) -> Made:
        rng = np.random.default_rng(seed)
        pairs = [_field(rng, f"field{i}", per_class) for i in range(fields)]
        return [r for r, _ in pairs], [d for _, d in pairs]

    return made
