"""A simulated microscope: a stage that moves over a rendered smear, of which every cell is known, and what is seen there.

What it does stands in an address that a person can write: `fake:serpentine?seed=3&vibration=0.3`.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Literal
from urllib.parse import parse_qsl

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from detector import configuration
from detector.errors import UsageError
from detector.synthetic import layout, render, stain
from detector.synthetic.camera import Camera
from detector.vision import boxes
from detector.vision.cells import RBC_DIAMETER_UM

SCHEME = "fake:"
EXAMPLE = "fake:serpentine?seed=3&vibration=0.3"

Places = NDArray[np.float64]
"""Upper left corner of the view at each step, x and y in px of the smear, of shape (n, 2)."""

_MOST_PX = 40_000_000
_MARGIN_CELLS = 2.5
"""Red cells' diameters of smear around what is looked at: at its outer edge, the truth lacks slivers."""
_DEFOCUS_CELLS = 0.12
"""Largest blur as a share of a red cell's diameter: at a tenth, a field is doubtful."""
_STRETCH = 12
"""Steps of a stretch out of focus."""
_DRIFT_STEPS = 160
"""Steps in which the light goes up, down and back."""
_VIGNETTING = 0.06
_NOISE_ROOM_PX = 61
"""By so much the noise is larger than a view, on each side."""
_NOISE_ZERO = 128


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
    """Where the view is at each step, without vibration, from (0, 0) on."""
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


@dataclass(frozen=True, eq=False)
class Smear:
    """The rendered smear and all that lies on it."""

    rgb: NDArray[np.uint8]
    """Shape (h, w, 3), in focus and without noise."""
    xyxy: NDArray[np.float32]
    """Box of each cell in px of the smear, of shape (n, 4)."""
    label: NDArray[np.int64]
    """Index into `cells.CLASSES`, of shape (n,)."""


@lru_cache(maxsize=2)
def _rendered(size_wh: tuple[int, int], seed: int, stain_name: str, um_per_px: float) -> Smear:
    plan = layout.plan(size_wh, stain.preset(stain_name), [seed, 77], None, um_per_px)
    blur, halo = plan.stain.defocus_um[0], plan.stain.halo
    field = render.window(plan, 0, 0, *size_wh, Camera(defocus_um=blur, halo=halo))
    return Smear(field.image, field.xyxy, field.label)


class Microscope:
    """Views of a known smear at the steps of a script."""

    def __init__(self, address: str, smear: Smear | None = None) -> None:
        """Prepare one; the smear is rendered when it is first looked at, which takes some seconds.

        Args:
            smear: what it looks at instead of a rendered one.

        Raises:
            UsageError: the address holds what is not known, or asks for a larger smear than there is or can be.
        """
        self.script = parse(address)
        rng = np.random.default_rng([self.script.seed, 5])
        path = places(self.script)
        margin = _MARGIN_CELLS * RBC_DIAMETER_UM / self.script.um_per_px + 4 * self.script.vibration
        self.places: Places = path + margin + rng.normal(0, 1, path.shape) * self.script.vibration
        """Upper left corner of the view at each step of the script, in px of the smear, of shape (n, 2)."""
        w, h = np.ceil(path.max(axis=0) + 2 * margin + (self.script.width, self.script.height)).astype(int).tolist()
        self._size_wh = (int(w), int(h))
        self._given = smear
        if smear is not None and (w > smear.rgb.shape[1] or h > smear.rgb.shape[0]):
            raise UsageError(f"{address}: needs a smear of {w}x{h} px, got {smear.rgb.shape[1]}x{smear.rgb.shape[0]}")
        if smear is None and w * h > _MOST_PX:
            raise UsageError(
                f"{address}: would need a smear of {w}x{h} px; with fewer rows, columns or pixels it must come below "
                f"{_MOST_PX // 10**6} million pixels"
            )
        self._rng = np.random.default_rng([self.script.seed, 6])

    @property
    def smear(self) -> Smear:
        """What it looks at."""
        return self._given or _rendered(self._size_wh, self.script.seed, self.script.stain, self.script.um_per_px)

    def view(self, step: int) -> tuple[float, float, int, int]:
        """Left, top, width and height of what a step shows, in px of the smear."""
        x, y = self.places[step].tolist()
        share = self.script.resized if step >= 2 * len(self.places) // 3 else 1.0
        return x, y, round(self.script.width * share), round(self.script.height * share)

    def in_view(self, step: int) -> NDArray[np.bool_]:
        """Which cells of the smear have their centre in the view of a step, of shape (n,)."""
        x, y, w, h = self.view(step)
        centre = boxes.centre(self.smear.xyxy)
        return np.asarray(((centre >= (x, y)) & (centre < (x + w, y + h))).all(axis=1))

    def blur_px(self, step: int) -> float:
        """How far out of focus a step is, as the standard deviation in px."""
        if not self.script.defocus:
            return 0.0
        period = _STRETCH / self.script.defocus
        # The first stretch comes after a whole sharp one, so that it can be told from what was sharp.
        into = (step + _STRETCH) % period - (period - _STRETCH)
        if step < period - _STRETCH or into < 0:
            return 0.0
        return float(
            _DEFOCUS_CELLS * RBC_DIAMETER_UM / self.script.um_per_px * min(1.0, 2 * np.sin(np.pi * (into + 1) / (_STRETCH + 1)))
        )

    def photograph(self, step: int) -> NDArray[np.uint8]:
        """The view of a step, RGB of shape (h, w, 3), read-only; its noise is another each time."""
        x, y, w, h = self.view(step)
        left, top = int(x) - 1, int(y) - 1
        around = self.smear.rgb[top : top + h + 4, left : left + w + 4]
        shift = np.array([[1, 0, left - x], [0, 1, top - y]], dtype=np.float64)
        seen = cv2.warpAffine(around, shift, (w, h), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        if (blur := self.blur_px(step)) > 0.1:
            seen = cv2.GaussianBlur(seen, (0, 0), blur)
        gain = 1 + self.script.drift * float(np.sin(2 * np.pi * step / _DRIFT_STEPS))
        u, v = self._rng.integers(0, _NOISE_ROOM_PX, 2).tolist()
        noise = _noise((w, h), self.script.noise)[v : v + h, u : u + w]
        seen = cv2.addWeighted(cv2.multiply(seen, _light((w, h)), scale=1 / 255), gain, noise, 1, -_NOISE_ZERO)
        picture = np.asarray(seen, dtype=np.uint8)
        picture.setflags(write=False)
        return picture


@lru_cache(maxsize=4)
def _light(size_wh: tuple[int, int]) -> NDArray[np.uint8]:
    """Light of the lamp over the view in 255ths, of shape (h, w, 3): it does not move with the stage."""
    w, h = size_wh
    x, y = np.linspace(-1, 1, w)[None, :], np.linspace(-1, 1, h)[:, None]
    light = np.rint(255 * (1 - _VIGNETTING / 2 * (x * x + y * y))).astype(np.uint8)
    return np.repeat(light[:, :, None], 3, axis=2)


@lru_cache(maxsize=4)
def _noise(size_wh: tuple[int, int], level: float) -> NDArray[np.uint8]:
    """Noise about `_NOISE_ZERO`, larger than a view, of which each picture takes another part."""
    rng = np.random.default_rng(17)
    noise = rng.normal(_NOISE_ZERO, level, (size_wh[1] + _NOISE_ROOM_PX, size_wh[0] + _NOISE_ROOM_PX, 3))
    return np.rint(noise).clip(0, 255).astype(np.uint8)
