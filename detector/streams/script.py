"""What the simulated microscope does: its path over the smear and what goes wrong on the way, as text that a person can write."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from itertools import pairwise
from typing import Literal
from urllib.parse import parse_qsl

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from detector import configuration
from detector.errors import UsageError
from detector.synthetic import stain

SCHEME = "fake:"
EXAMPLE = "fake:serpentine?seed=3&vibration=0.3"

Places = NDArray[np.float64]
"""Upper left corner of the view at each frame, x and y in px of the smear, of shape (n, 2)."""


class Script(BaseModel):
    """The settings of a simulated microscope; each is a key of its address."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: Literal["still", "pan", "serpentine", "revisit", "fields"] = "serpentine"
    """`still`; `pan` along one row; `serpentine` over rows; `revisit` a row forth, back and forth again; `fields` rests at each
    place of a serpentine and moves quickly between them."""
    seed: int = Field(0, ge=0)
    width: int = Field(640, ge=64, le=4096)
    height: int = Field(480, ge=64, le=4096)
    um_per_px: float = Field(0.075, ge=0.01, le=2)
    stain: Literal["bccd", "pbc", "raabin"] = "bccd"
    rows: int = Field(3, ge=1, le=50)
    columns: float = Field(3, ge=1, le=50)
    """Length of a row, in widths of the view."""
    overlap: float = Field(0.3, ge=0, lt=1)
    """Share of the view that rows have in common."""
    speed: float = Field(16, gt=0)
    """Pixels that the stage moves per frame."""
    rest: int = Field(6, ge=1)
    """Frames that it stays at the start and the end, and with `fields` at each place."""
    fps: float = Field(25, gt=0, le=1000)
    live: bool = False
    """Frames come at `fps` by the clock, as from a camera, instead of as fast as they are asked for."""
    noise: float = Field(1.6, ge=0, le=50)
    """Standard deviation of the sensor's noise, in grey levels."""
    vibration: float = Field(0, ge=0, le=50)
    """Standard deviation of the view's jitter, in px."""
    drift: float = Field(0, ge=0, le=0.9)
    """Share by which the light rises and falls."""
    defocus: float = Field(0, ge=0, le=0.9)
    """Share of the frames that are out of focus, in stretches."""
    frozen: int = Field(0, ge=0)
    """Frames that are the same one, in the middle."""
    lost: int = Field(0, ge=0)
    """Frames for which no picture comes, after half of the way; the stage moves on."""
    resized: float = Field(1, gt=0.1, le=1)
    """Size of the pictures after two thirds of the way, as a share of the size before."""


PRESETS: dict[str, dict[str, object]] = {
    "still": {"path": "still", "rest": 50},
    "pan": {"path": "pan"},
    "serpentine": {"path": "serpentine"},
    "revisit": {"path": "revisit"},
    "fields": {"path": "fields", "speed": 80, "rest": 12},
    "defocus": {"path": "serpentine", "defocus": 0.2},
    "vibration": {"path": "serpentine", "vibration": 0.3},
    "drift": {"path": "serpentine", "drift": 0.2},
    "rough": {"path": "serpentine", "vibration": 0.3, "drift": 0.2, "defocus": 0.15},
    "frozen": {"path": "serpentine", "frozen": 100},
    "lost": {"path": "serpentine", "lost": 60},
    "resized": {"path": "serpentine", "lost": 10, "resized": 0.75},
}
"""Scripts by name: `fake:NAME`."""


def parse(address: str) -> Script:
    """The script of an address such as `fake:serpentine?seed=3&vibration=0.3`.

    Raises:
        UsageError: an unknown preset or key, of which the nearest known one is named, or a value out of its range.
    """
    name, _, query = address.removeprefix(SCHEME).partition("?")
    name = name or "serpentine"
    if name not in PRESETS:
        near = difflib.get_close_matches(name, PRESETS, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(PRESETS)}."
        raise UsageError(f"{address}: unknown simulated microscope {name!r}; {hint} An example: {EXAMPLE}")
    try:
        given = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query))
    except ValueError:
        raise UsageError(f"{address}: after the question mark stand key=value pairs joined by &, for example {EXAMPLE}") from None
    return configuration.validate(Script, {**PRESETS[name], **dict(given)}, address)


def places(script: Script) -> Places:
    """Where the view is at each frame, without vibration, from (0, 0) on."""
    corners = _corners(script)
    rests = script.path == "fields"
    stops = [np.repeat(corners[:1], script.rest, axis=0)]
    for i, (a, b) in enumerate(pairwise(corners)):
        steps = max(1, round(float(np.hypot(*(b - a))) / script.speed))
        stops.append(a + (b - a) * (np.arange(1, steps + 1) / steps)[:, None])
        if rests or i == len(corners) - 2:
            stops.append(np.repeat(b[None], script.rest, axis=0))
    return np.concatenate(stops)


def _corners(script: Script) -> Places:
    w, h = script.width, script.height
    far = (script.columns - 1) * w
    aside = 0.1 * h
    if script.path == "still":
        return np.zeros((1, 2))
    if script.path == "pan":
        return np.array([(0, 0), (far, 0)], dtype=np.float64)
    if script.path == "revisit":
        return np.array([(0, 0), (far, 0), (far, aside), (0, aside), (0, 0), (far, 0)], dtype=np.float64)
    step_x, step_y = w * (1 - script.overlap), h * (1 - script.overlap)
    columns = [0.0, far] if script.path == "serpentine" else list(np.arange(0, far + 1e-6, step_x))
    return np.array(list(_serpentine(columns, [row * step_y for row in range(script.rows)])), dtype=np.float64)


def _serpentine(columns: Sequence[float], rows: Sequence[float]) -> list[tuple[float, float]]:
    return [(x, y) for i, y in enumerate(rows) for x in (columns if i % 2 == 0 else reversed(columns))]


def look(script: Script) -> stain.Stain:
    """The stain of the smear."""
    return stain.preset(script.stain)
