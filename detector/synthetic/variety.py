"""Varied fields: each draws its own stain, light, scale and mixture of cells and of what is mistaken for them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from string import ascii_lowercase

import cv2
import numpy as np
from numpy.typing import NDArray

from detector.errors import UsageError
from detector.synthetic import cells, debris, render, stain
from detector.synthetic.camera import Camera
from detector.synthetic.forms import FORMS
from detector.synthetic.layout import APART, Kind, Layer, Plan, check_scale, most_covered, place
from detector.synthetic.render import RenderedField
from detector.vision.cells import PLATELETS, RBC

WIDTHS_PX = (12.0, 120.0)
"""Narrowest and widest red cells that can be asked for."""
_RED_UM = 2 * cells.RED_UM[0]
_FORMS = [Kind[name.upper()] for name in FORMS]
_WHITES = [kind for kind in Kind if Kind.NEUTROPHIL <= kind <= Kind.BASOPHIL]
_SHARES = (0.16, 0.12, 0.1, 0.1, 0.22, 0.08, 0.16, 0.06)
"""Of the kinds of white cells in the order of `Kind`: far more of the rare ones than in blood, for they are to be learnt."""
_ON_RED = {**APART, (RBC, PLATELETS): 0.0}
_LARGE_PLATELET_UM = (1.9, 3.4)
_HEAPS: dict[Kind, tuple[float, float, float]] = {Kind.SMUDGE: (0.10, 4.5, 7.5), Kind.CLUMP: (0.12, 2.6, 6.0)}
_DEBRIS: dict[Kind, tuple[float, float, float]] = {
    Kind.PRECIPITATE: (0.25, 2.0, 9.0),
    Kind.BACTERIA: (0.08, 2.0, 7.0),
    Kind.DIRT: (0.25, 0.5, 3.0),
    Kind.FIBRE: (0.06, 6.0, 18.0),
}
"""Share of the fields in which some lie, and smallest and largest radius in µm."""
_RADII_UM = (1.4, 5.6)
"""Smallest and largest mean radius of a red cell of any form."""
_CHAINED = 0.2
"""Share of the fields with red cells in rows (rouleaux)."""
_MARKED = 0.12
"""Share of the fields with a scale bar, letters or an arrow."""


@dataclass(frozen=True)
class Variety:
    """What to render; the same settings give the same pixels and the same truth.

    Raises:
        UsageError: a number is out of its range.
    """

    fields: int = 5
    """Of each smear; here a smear is no more than a folder, and every field is another slide."""
    smears: int = 1
    size_wh: tuple[int, int] = (416, 416)
    """Width and height of a field in pixels."""
    seed: int = 0
    rbc_px: tuple[float, float] = (20.0, 60.0)
    """Least and greatest width of a field's red cells in pixels."""

    def __post_init__(self) -> None:
        if self.fields < 1 or not 1 <= self.smears <= len(ascii_lowercase) or self.seed < 0:
            raise UsageError(f"fields must be 1 or more, smears 1 to {len(ascii_lowercase)}, and the seed 0 or more")
        low, high = self.rbc_px
        if not WIDTHS_PX[0] <= low <= high <= WIDTHS_PX[1]:
            raise UsageError(f"red cells must be from {WIDTHS_PX[0]:g} to {WIDTHS_PX[1]:g} px wide, got {low:g}-{high:g}")
        check_scale(self.size_wh, _RED_UM / high)

    def render(self) -> Iterator[tuple[str, RenderedField]]:
        """Every field with its name: `smear_a/field_01.jpg`."""
        digits = max(2, len(str(self.fields)))
        for smear in range(self.smears):
            for i in range(self.fields):
                yield f"smear_{ascii_lowercase[smear]}/field_{i + 1:0{digits}}.jpg", self._field([self.seed, smear, i])

    def _field(self, seed: Sequence[int]) -> RenderedField:
        rng = np.random.default_rng(seed)
        um_per_px = _RED_UM / float(np.exp(rng.uniform(*np.log(self.rbc_px))))
        plan = laid(rng, self.size_wh, um_per_px)
        field = render.window(plan, 0, 0, *self.size_wh, Camera.at_random(um_per_px, rng))
        if rng.random() < _MARKED:
            mark(field.image, um_per_px, rng)
        return field


def laid(rng: np.random.Generator, size_wh: tuple[int, int], um_per_px: float) -> Plan:
    """A smear of a mixture drawn at random."""
    layer = Layer(rng, (size_wh[0] * um_per_px, size_wh[1] * um_per_px))
    _whites(layer)
    _heaps(layer)
    if rng.random() > 0.05:
        _reds(layer)
    _platelets(layer)
    _debris(layer)
    look = stain.preset(str(rng.choice(list(stain.PRESETS)))).varied(rng) if rng.random() < 0.2 else stain.drawn(rng)
    return layer.plan(look, um_per_px)


def _several(layer: Layer, mean: float) -> int:
    """How many to lay, so many in the mean having their centre in the field."""
    return layer.number(mean / (layer.size_um[0] * layer.size_um[1] / 1e6))


def _whites(layer: Layer) -> None:
    """Several in one field of three, hardly any in the others."""
    number = _several(layer, layer.rng.uniform(2.5, 7) if layer.rng.random() < 1 / 3 else 0.15)
    for choice in layer.rng.choice(len(_WHITES), number, p=_SHARES):
        kind = _WHITES[choice]
        place(layer, kind, float(layer.rng.uniform(*cells.WHITE_KINDS[kind.name.lower()].radius_um)))


def _heaps(layer: Layer) -> None:
    for kind, (share, low, high) in _HEAPS.items():
        for _ in range(layer.rng.integers(1, 4) if layer.rng.random() < share else 0):
            radius = float(layer.rng.uniform(low, high))
            spot = place(layer, kind, radius)
            if spot and kind == Kind.CLUMP:
                _around(layer, spot, radius)


def _around(layer: Layer, centre_um: tuple[float, float], radius_um: float) -> None:
    """Lay platelets that can be told apart around a heap of them."""
    for turn in layer.rng.uniform(0, 2 * np.pi, layer.rng.integers(0, 9)):
        radius = float(layer.rng.uniform(*cells.PLATELET_UM))
        away_um = (radius_um + radius) * layer.rng.uniform(1.08, 1.5)
        x, y = centre_um[0] + away_um * math.cos(turn), centre_um[1] + away_um * math.sin(turn)
        if layer.ground.free(PLATELETS, x, y, radius):
            layer.lay(Kind.PLATELET, x, y, radius)


class _Reds:
    """The mixture of red cells of one field."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng
        self.plain = rng.uniform(0.1, 0.9)
        self.share = rng.dirichlet(np.full(len(_FORMS), 0.25))
        self.spread = rng.uniform(0, 0.14)

    def drawn(self) -> tuple[Kind, float]:
        """A kind of red cell and a mean radius in µm."""
        radius = cells.red_radius_um(self.rng) * float(np.exp(self.rng.normal(0, self.spread)))
        if self.rng.random() < self.plain:
            return Kind.RED, float(np.clip(radius, *_RADII_UM))
        kind = _FORMS[self.rng.choice(len(_FORMS), p=self.share)]
        return kind, float(np.clip(radius * self.rng.uniform(*FORMS[kind.name.lower()].size), *_RADII_UM))


def _reds(layer: Layer) -> None:
    rng, mixture = layer.rng, _Reds(layer.rng)
    touching = rng.uniform(0, 0.7)
    number = layer.number((most_covered(touching) - 0.03) * rng.uniform(0.15, 1) * 1e6 / (math.pi / 4 * _RED_UM**2))
    chained = number * rng.uniform(0.2, 0.8) if rng.random() < _CHAINED else 0
    while chained > 0:
        chained -= _chain(layer, mixture, int(rng.integers(2, 9)))
        number -= 1
    for _ in range(number - len(layer.ground.placed[RBC])):
        place(layer, *mixture.drawn(), join=bool(layer.ground.placed[RBC]) and rng.random() < touching)


def _chain(layer: Layer, mixture: _Reds, number: int) -> int:
    """Lay red cells in a row, each partly over the one before it; gives `number`, however many found a place."""
    rng, near, (kind, radius) = layer.rng, layer.rng.uniform(0.35, 0.85), mixture.drawn()
    turn, bow = rng.uniform(0, 2 * np.pi), rng.normal(0, 0.15)
    spot = place(layer, kind, radius)
    if spot is None:
        return number
    (x, y), apart = spot, {**APART, (RBC, RBC): 0.95 * near}
    for i in range(1, number):
        x += 2 * radius * near * math.cos(turn + i * bow)
        y += 2 * radius * near * math.sin(turn + i * bow)
        if not layer.ground.free(RBC, x, y, radius, apart):
            break
        layer.lay(kind if rng.random() < 0.3 else Kind.RED, x, y, radius)
    return number


def _platelets(layer: Layer) -> None:
    """Alone, beside others, on red cells; in some fields many are large."""
    rng = layer.rng
    beside, on_red, large = rng.uniform(0, 0.6), rng.uniform(0, 0.3), rng.uniform(0, 0.5) if rng.random() < 0.25 else 0.0
    for _ in range(_several(layer, float(np.exp(rng.uniform(np.log(0.4), np.log(14)))))):
        radius = float(rng.uniform(*(_LARGE_PLATELET_UM if rng.random() < large else cells.PLATELET_UM)))
        if layer.ground.placed[RBC] and rng.random() < on_red:
            _over_red(layer, radius)
        else:
            place(layer, Kind.PLATELET, radius, bool(layer.ground.placed[PLATELETS]) and rng.random() < beside)


def _over_red(layer: Layer, radius_um: float) -> None:
    """Lay a platelet on a red cell, unless a platelet or a white cell lies there."""
    x, y, r = layer.ground.placed[RBC][layer.rng.integers(len(layer.ground.placed[RBC]))]
    turn, away_um = layer.rng.uniform(0, 2 * np.pi), r * layer.rng.uniform(0, 0.9)
    spot = x + away_um * math.cos(turn), y + away_um * math.sin(turn)
    if layer.ground.free(PLATELETS, *spot, radius_um, _ON_RED):
        layer.lay(Kind.OVERLYING, *spot, radius_um)


def _debris(layer: Layer) -> None:
    rng = layer.rng
    for kind, (share, low, high) in _DEBRIS.items():
        for _ in range(rng.integers(1, 6) if rng.random() < share else 0):
            spot, radius = layer.anywhere(), float(rng.uniform(low, high))
            # Dirt hides what it lies on: red cells show around it, platelets would not.
            if kind != Kind.DIRT or layer.ground.free(PLATELETS, *spot, radius, _ON_RED):
                layer.lay(kind, *spot, radius)
    for _ in range(layer.number(rng.uniform(0, 2500))):
        layer.lay(Kind.SPECK, *layer.anywhere(), float(rng.uniform(*debris.SPECK_UM)))


_INKS = ((0, 0, 0), (20, 120, 20), (40, 40, 200), (200, 30, 30), (240, 220, 30), (255, 255, 255))


def mark(image: NDArray[np.uint8], um_per_px: float, rng: np.random.Generator) -> None:
    """Write a scale bar, letters or an arrow into an RGB field, as a camera's program does."""
    (height, width), ink = image.shape[:2], _INKS[rng.integers(len(_INKS))]
    thick = int(rng.integers(1, 3))
    x, y = int(rng.uniform(0.05, 0.75) * width), int(rng.choice((0.06, 0.94)) * height)
    font, scale = cv2.FONT_HERSHEY_SIMPLEX, rng.uniform(0.35, 0.6)
    what = rng.integers(3)
    if what == 0:
        um = 10 if 10 / um_per_px > 0.06 * width else 20
        end = (x + round(um / um_per_px), y)
        cv2.line(image, (x, y), end, ink, thick)
        cv2.putText(image, f"{um} um", (end[0] + 4, y + 4), font, scale, ink, 1, cv2.LINE_AA)
    elif what == 1:
        text = "".join(rng.choice(list("ABCDEHIKNRSTXZ0123456789.-"), rng.integers(1, 10)))
        cv2.putText(image, text, (x, y + 4), font, scale, ink, thick, cv2.LINE_AA)
    else:
        tip = (rng.uniform(0.1, 0.9, 2) * (width, height)).astype(int)
        tail = (tip + rng.uniform(18, 40) * np.array([math.cos(turn := rng.uniform(0, 6.3)), math.sin(turn)])).astype(int)
        cv2.arrowedLine(image, tail.tolist(), tip.tolist(), ink, thick + 1, cv2.LINE_AA, tipLength=0.35)
