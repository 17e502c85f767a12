"""A camera on the simulated microscope, so that anybody can try a stream without one: `fake:serpentine?seed=3&vibration=0.3`."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from detector.streams.sources.source import Fault, Frame, Source
from detector.synthetic.microscope import Microscope, Smear


class SimulatedCamera(Source):
    """A source whose frames show a known place of a known smear."""

    ends = True

    def __init__(self, address: str, smear: Smear | None = None) -> None:
        """Prepare one; arguments and errors as of `Microscope`."""
        self.name = address
        self.microscope = Microscope(address, smear)
        self.live = self.microscope.script.live
        self.nominal_fps: float | None = self.microscope.script.fps
        self._next = 0
        self._began: float | None = None
        self.step_of: list[int] = []
        """Step of the script that each frame given so far shows, by the frame's index."""

    def view(self, index: int) -> tuple[float, float, int, int]:
        """Of a frame given: left, top, width and height of what it shows, in px of the smear."""
        return self.microscope.view(self.step_of[index])

    def in_view(self, index: int) -> NDArray[np.bool_]:
        """Which cells of the smear have their centre in a frame given, of shape (n,)."""
        return self.microscope.in_view(self.step_of[index])

    def __iter__(self) -> Iterator[Frame | Fault]:
        """Frames and faults from where the last iteration stopped."""
        steps, script = len(self.microscope.places), self.microscope.script
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
            held = self.microscope.photograph(step) if held is None or not frozen else held
            self.step_of.append(self.step_of[-1] if frozen and step > frozen_at else step)
            if script.live:
                time.sleep(max(0.0, self._began + time_s - time.monotonic()))
            yield Frame(len(self.step_of) - 1, time_s, held)
            held = held if frozen else None
