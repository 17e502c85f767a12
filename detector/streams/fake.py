"""A simulated microscope: a camera that looks at a rendered smear, of which every cell is known.

Part of the product, so that anybody can try a stream without a camera: `fake:serpentine?seed=3&vibration=0.3`. What an address may
say stands in `script`.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from types import TracebackType
from typing import Self

import cv2
import numpy as np
from numpy.typing import NDArray

from detector.errors import UsageError
from detector.streams import script as scripts
from detector.streams.frames import Fault, Frame
from detector.streams.script import Places, Script
from detector.synthetic import layout, render
from detector.synthetic.camera import Camera
from detector.vision import boxes
from detector.vision.cells import RBC_DIAMETER_UM

_MOST_PX = 40_000_000
_MARGIN_CELLS = 2.5
"""Red cells' diameters of smear around what is looked at: at its outer edge, the truth lacks slivers."""
_DEFOCUS_CELLS = 0.12
"""Largest blur as a share of a red cell's diameter: at a tenth, a field is doubtful."""
_STRETCH = 12
"""Frames of a stretch out of focus."""
_DRIFT_FRAMES = 160
"""Frames in which the light goes up, down and back."""
_VIGNETTING = 0.06


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
def _smear(size_wh: tuple[int, int], seed: int, stain: str, um_per_px: float) -> Smear:
    plan = layout.plan(size_wh, scripts.look(Script(stain=stain)), [seed, 77], None, um_per_px)
    blur, halo = plan.stain.defocus_um[0], plan.stain.halo
    field = render.window(plan, 0, 0, *size_wh, Camera(defocus_um=blur, halo=halo))
    return Smear(field.image, field.xyxy, field.label)


class Fake:
    """A source whose frames show a known place of a known smear."""

    ends = True

    def __init__(self, address: str, smear: Smear | None = None) -> None:
        """Prepare one; the smear is rendered when it is first looked at, which takes some seconds.

        Args:
            smear: what it looks at instead of a rendered one.

        Raises:
            UsageError: the address holds what is not known, or asks for a larger smear than there is or can be.
        """
        self.name = address
        self.script = scripts.parse(address)
        self.live = self.script.live
        self.ends = True
        self.nominal_fps: float | None = self.script.fps
        rng = np.random.default_rng([self.script.seed, 5])
        path = scripts.places(self.script)
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
        self._next = 0
        self._began: float | None = None
        self.step_of: list[int] = []
        """Step of the script that each frame given so far shows, by the frame's index."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        """Nothing to close."""

    @property
    def smear(self) -> Smear:
        """What it looks at."""
        return self._given or _smear(self._size_wh, self.script.seed, self.script.stain, self.script.um_per_px)

    def view(self, index: int) -> tuple[float, float, int, int]:
        """Of a frame given: left, top, width and height of what it shows, in px of the smear."""
        step = self.step_of[index]
        x, y = self.places[step].tolist()
        return x, y, *self._size_at(step)

    def in_view(self, index: int) -> NDArray[np.bool_]:
        """Which cells of the smear have their centre in a frame given, of shape (n,)."""
        x, y, w, h = self.view(index)
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

    def __iter__(self) -> Iterator[Frame | Fault]:
        """Frames and faults from where the last iteration stopped."""
        steps, script = len(self.places), self.script
        self._began = time.monotonic() if self._began is None else self._began
        lost_at, frozen_at = steps // 2, steps // 3
        held: NDArray[np.uint8] | None = None
        while self._next < steps:
            step, self._next = self._next, self._next + 1
            time_s = step / script.fps
            if script.lost and step == lost_at:
                self._next = min(lost_at + script.lost, steps)
                yield Fault(time_s, "lost", "the simulated camera gave no picture; it comes back by itself")
                continue
            frozen = bool(script.frozen) and frozen_at <= step < frozen_at + script.frozen
            held = self._picture(step) if held is None or not frozen else held
            self.step_of.append(self.step_of[-1] if frozen and step > frozen_at else step)
            if script.live:
                time.sleep(max(0.0, self._began + time_s - time.monotonic()))
            yield Frame(len(self.step_of) - 1, time_s, held)
            held = held if frozen else None

    def _size_at(self, step: int) -> tuple[int, int]:
        share = self.script.resized if step >= 2 * len(self.places) // 3 else 1.0
        return round(self.script.width * share), round(self.script.height * share)

    def _picture(self, step: int) -> NDArray[np.uint8]:
        x, y = self.places[step].tolist()
        w, h = self._size_at(step)
        left, top = int(x) - 1, int(y) - 1
        around = self.smear.rgb[top : top + h + 4, left : left + w + 4]
        shift = np.array([[1, 0, left - x], [0, 1, top - y]], dtype=np.float64)
        seen = cv2.warpAffine(around, shift, (w, h), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        if (blur := self.blur_px(step)) > 0.1:
            seen = cv2.GaussianBlur(seen, (0, 0), blur)
        gain = 1 + self.script.drift * float(np.sin(2 * np.pi * step / _DRIFT_FRAMES))
        u, v = self._rng.integers(0, _ROLL, 2).tolist()
        noise = _noise((w, h), self.script.noise)[v : v + h, u : u + w]
        seen = cv2.addWeighted(cv2.multiply(seen, _light((w, h)), scale=1 / 255), gain, noise, 1, -_ZERO)
        picture = np.asarray(seen, dtype=np.uint8)
        picture.setflags(write=False)
        return picture


_ROLL = 61
_ZERO = 128


@lru_cache(maxsize=4)
def _light(size_wh: tuple[int, int]) -> NDArray[np.uint8]:
    """Light of the lamp over the view in 255ths, of shape (h, w, 3): it does not move with the stage."""
    w, h = size_wh
    x, y = np.linspace(-1, 1, w)[None, :], np.linspace(-1, 1, h)[:, None]
    light = np.rint(255 * (1 - _VIGNETTING / 2 * (x * x + y * y))).astype(np.uint8)
    return np.repeat(light[:, :, None], 3, axis=2)


@lru_cache(maxsize=4)
def _noise(size_wh: tuple[int, int], level: float) -> NDArray[np.uint8]:
    """Noise about `_ZERO`, larger than a view, of which each frame takes another part."""
    rng = np.random.default_rng(17)
    noise = rng.normal(_ZERO, level, (size_wh[1] + _ROLL, size_wh[0] + _ROLL, 3))
    return np.rint(noise).clip(0, 255).astype(np.uint8)
