"""Which backend is the faster one on this computer: timed once, and kept in the user's cache."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Run = Callable[[NDArray[np.uint8], NDArray[np.float32]], object]
"""A network, as `backends.Network.run`."""

_SIZE_WH = (416, 320)
_LEAST = np.full(3, 0.5, dtype=np.float32)
_ROUNDS = 5
_GAIN = 1.03


def of(runs: Sequence[Run]) -> int:
    """Index of the network that takes least time on a picture of cells; a later one must gain 3 % to be chosen."""
    pixels = _cells()
    for run in runs:
        run(pixels, _LEAST)
    # In turn, and the best of each, so that what else the computer does weighs little.
    times = np.array([[_seconds(run, pixels) for run in runs] for _ in range(_ROUNDS)]).min(axis=0)
    best = int(times.argmin())
    return best if times[0] > _GAIN * times[best] else 0


def kept(file: Path, key: str) -> str | None:
    """What was found for this key before; None where nothing was, or where the file cannot be understood."""
    found = _content(file).get(key)
    return found if isinstance(found, str) else None


def keep(file: Path, key: str, name: str) -> None:
    """Keep what was found; a cache that cannot be written costs no more than to find it out again."""
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps({**_content(file), key: name}, indent=2) + "\n", encoding="utf-8")
    except OSError:
        return


def _content(file: Path) -> dict[str, object]:
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _seconds(run: Run, pixels: NDArray[np.uint8]) -> float:
    began = time.perf_counter()
    run(pixels, _LEAST)
    return time.perf_counter() - began


def _cells() -> NDArray[np.uint8]:
    """A field of discs: where there is nothing to be found, a network has less to do."""
    w, h = _SIZE_WH
    pixels = np.full((h, w, 3), (225, 220, 215), dtype=np.uint8)
    for x in range(50, w, 105):
        for y in range(55, h, 105):
            cv2.circle(pixels, (x, y), 44, (200, 135, 145), -1, cv2.LINE_AA)
    return pixels
