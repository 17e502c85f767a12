"""Series of fields: a few smears, each photographed at a few places."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from string import ascii_lowercase

import numpy as np

from detector.errors import UsageError
from detector.synthetic import render, stain
from detector.synthetic.camera import Camera
from detector.synthetic.layout import UM_PER_PX, Density, Plan, check_scale, plan
from detector.synthetic.render import RenderedField

MIXED = "mixed"
"""The stain that takes the presets in turn, one a smear."""
_GAP_UM = 20.0
"""Room between two fields of a smear: wider than any cell, so that none is seen in both."""


@dataclass(frozen=True)
class Series:
    """What to render; the same settings give the same pixels and the same truth.

    Raises:
        UsageError: a number is out of its range, or the stain is unknown.
    """

    fields: int = 5
    """Of each smear."""
    smears: int = 1
    size_wh: tuple[int, int] = (640, 480)
    """Width and height of a field in pixels."""
    seed: int = 0
    um_per_px: float = UM_PER_PX
    stain: str = "bccd"
    """A preset's name, or `mixed`."""
    rbc: float | None = None
    """Mean number of cell centres in a field; None for that of a normal smear's monolayer."""
    wbc: float | None = None
    """The same of white cells."""
    platelets: float | None = None
    """The same of platelets."""
    touching: float = Density.touching
    """Share of red cells laid against or partly over another one."""

    def __post_init__(self) -> None:
        if self.fields < 1 or not 1 <= self.smears <= len(ascii_lowercase) or self.seed < 0:
            raise UsageError(f"fields must be 1 or more, smears 1 to {len(ascii_lowercase)}, and the seed 0 or more")
        if self.stain != MIXED and self.stain not in stain.PRESETS:
            raise UsageError(f"unknown stain {self.stain!r}; known: {', '.join((*stain.PRESETS, MIXED))}")
        for name in ("rbc", "wbc", "platelets"):
            if not 0 <= (getattr(self, name) or 0) < np.inf:
                raise UsageError(f"{name} must be a mean count of 0 or more, got {getattr(self, name):g}")
        check_scale(self.size_wh, self.um_per_px)
        self.density().checked()

    def density(self) -> Density:
        """The cells per area that give so many a field."""
        mm2 = self.size_wh[0] * self.size_wh[1] * (self.um_per_px / 1000) ** 2
        per_field = {"rbc_per_mm2": self.rbc, "wbc_per_mm2": self.wbc, "platelets_per_mm2": self.platelets}
        return Density(**{name: n / mm2 for name, n in per_field.items() if n is not None}, touching=self.touching)

    def plan(self, smear: int) -> Plan:
        """The smear of that number, large enough for its fields side by side."""
        names = list(stain.PRESETS) if self.stain == MIXED else [self.stain]
        width = (self.fields - 1) * self._step_px() + self.size_wh[0]
        look = stain.preset(names[smear % len(names)])
        return plan((width, self.size_wh[1]), look, [self.seed, smear], self.density(), self.um_per_px)

    def render(self) -> Iterator[tuple[str, RenderedField]]:
        """Every field, smear by smear, with its name: `smear_a/field_01.jpg`."""
        digits = max(2, len(str(self.fields)))
        for smear in range(self.smears):
            laid = self.plan(smear)
            camera = Camera.drawn(laid.stain, np.random.default_rng([self.seed, smear, 1]))
            for i in range(self.fields):
                name = f"smear_{ascii_lowercase[smear]}/field_{i + 1:0{digits}}.jpg"
                yield name, render.window(laid, i * self._step_px(), 0, *self.size_wh, camera, i)

    def _step_px(self) -> int:
        return self.size_wh[0] + round(_GAP_UM / self.um_per_px)
