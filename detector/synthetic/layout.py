"""Plans: which cell lies where on a smear, before anything is drawn."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import product

import numpy as np
from numpy.typing import NDArray

from detector.errors import UsageError
from detector.synthetic import cells, debris, stain
from detector.vision.cells import CLASSES, PLATELETS, RBC, RBC_DIAMETER_UM, WBC

UM_PER_PX = 0.075
"""Scale at which a red cell is 100 px wide, as in BCCD's fields."""
_WBC_AREA_UM2 = 125.0
MARGIN_UM = 10.0
_CLUSTER = 0.15
"""Share of platelets that lie beside another one."""
_BIN_UM = 16.5
"""At least the sum of the two largest radii times their spacing, so that only neighbouring bins matter."""

APART: Mapping[tuple[int, int], float] = {
    (RBC, RBC): 1.04,
    (RBC, WBC): 0.98,
    (WBC, WBC): 1.03,
    (RBC, PLATELETS): 1.12,
    (WBC, PLATELETS): 1.08,
    (PLATELETS, PLATELETS): 1.15,
}
"""Least distance of two centres, by label, as a multiple of the sum of both radii."""
JOINED = 0.78
"""The same for a red cell laid over others: two equal discs so near share a sixth of their area."""


class Kind(IntEnum):
    """What lies on the glass, in the order in which it is drawn."""

    SPECK = 0
    STREAK = 1
    RED = 2
    BURR = 3
    ACANTHOCYTE = 4
    SICKLE = 5
    TARGET = 6
    TEARDROP = 7
    ELLIPTOCYTE = 8
    SPHEROCYTE = 9
    STOMATOCYTE = 10
    FOLDED = 11
    HYPOCHROMIC = 12
    FRAGMENT = 13
    POLYCHROMATIC = 14
    RINGED = 15
    PARASITISED = 16
    DOTTED = 17
    BUBBLED = 18
    NEUTROPHIL = 19
    LYMPHOCYTE = 20
    MONOCYTE = 21
    EOSINOPHIL = 22
    SEGMENTED = 23
    BAND = 24
    SMALL_LYMPHOCYTE = 25
    BASOPHIL = 26
    SMUDGE = 27
    CLUMP = 28
    PLATELET = 29
    OVERLYING = 30
    PRECIPITATE = 31
    BACTERIA = 32
    DIRT = 33
    FIBRE = 34

    @property
    def label(self) -> int | None:
        """Index into `cells.CLASSES`; None for debris and heaps."""
        if Kind.RED <= self <= Kind.BUBBLED:
            return RBC
        if Kind.NEUTROPHIL <= self <= Kind.BASOPHIL:
            return WBC
        return PLATELETS if self in (Kind.PLATELET, Kind.OVERLYING) else None

    @property
    def unsure(self) -> bool:
        """Whether no one can say what cells it is: an ignore region."""
        return self in (Kind.SMUDGE, Kind.CLUMP)


@dataclass(frozen=True)
class Density:
    """How much lies on the glass."""

    rbc_per_mm2: float = 9300.0
    wbc_per_mm2: float = 580.0
    platelets_per_mm2: float = 1150.0
    debris_per_mm2: float = 1700.0
    touching: float = 0.25
    """Share of red cells laid against or partly over another one, 0 to 1."""

    def checked(self) -> Density:
        """Itself.

        Raises:
            UsageError: a density is negative, `touching` is no share, or the cells would cover too much of the glass.
        """
        for name in ("rbc_per_mm2", "wbc_per_mm2", "platelets_per_mm2", "debris_per_mm2"):
            if not 0 <= getattr(self, name) < np.inf:
                raise UsageError(f"{name} must be 0 or more, got {getattr(self, name):g}")
        if not 0 <= self.touching <= 1:
            raise UsageError(f"touching must be a share from 0 to 1, got {self.touching:g}")
        covered = (self.rbc_per_mm2 * np.pi / 4 * RBC_DIAMETER_UM**2 + self.wbc_per_mm2 * _WBC_AREA_UM2) / 1e6
        most = most_covered(self.touching)
        if covered > most:
            raise UsageError(
                f"so many cells would cover {covered:.0%} of the glass; with {self.touching:.0%} of red cells touching at most "
                f"{most:.0%} can be laid out: ask for {most / covered:.0%} of the cells, or let more touch"
            )
        return self


def most_covered(touching: float) -> float:
    """Largest share of the glass that cells can be asked to cover, by the share of red cells that may touch.

    Beyond it there is no room to keep them apart; at it, about an eighth of the red cells at most find no place (measured).
    """
    return min(0.49 + 0.45 * touching, 0.65)


@dataclass(frozen=True, eq=False)
class Plan:
    """A whole smear in its own coordinates, to be looked at through windows: parallel arrays in drawing order."""

    kind: NDArray[np.int64]
    """`Kind` of each thing, of shape (n,)."""
    xy_um: NDArray[np.float64]
    """Centres, of shape (n, 2)."""
    radius_um: NDArray[np.float64]
    """Mean radius, of shape (n,)."""
    seed: NDArray[np.int64]
    """What each one's own look is drawn from, of shape (n,)."""
    size_um: tuple[float, float]
    """Width and height; cells lie beyond all four edges too."""
    um_per_px: float
    stain: stain.Stain
    ground_seed: int
    """What the texture of the background is drawn from."""

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return round(self.size_um[0] / self.um_per_px), round(self.size_um[1] / self.um_per_px)


def plan(
    size_wh: tuple[int, int],
    look: stain.Stain,
    seed: int | Sequence[int],
    density: Density | None = None,
    um_per_px: float = UM_PER_PX,
) -> Plan:
    """Lay out a smear of so many pixels.

    The number of each kind is Poisson; white cells are laid first and platelets last, each where there is room, so a
    crowded smear holds a few cells fewer than were asked for.

    Raises:
        UsageError: the size or the scale is not positive, or the density cannot be laid out.
    """
    density = (density or Density()).checked()
    check_scale(size_wh, um_per_px)
    rng = np.random.default_rng(seed)
    size_um = (size_wh[0] * um_per_px, size_wh[1] * um_per_px)
    layer = Layer(rng, size_um)
    _whites(layer, layer.number(density.wbc_per_mm2))
    _reds(layer, layer.number(density.rbc_per_mm2), density.touching)
    _platelets(layer, layer.number(density.platelets_per_mm2))
    _debris(layer, layer.number(density.debris_per_mm2))
    return layer.plan(look.varied(rng), um_per_px)


def check_scale(size_wh: tuple[int, int], um_per_px: float) -> None:
    """Raise UsageError unless the size in pixels and the scale are ones that can be drawn."""
    if min(size_wh) < 1:
        raise UsageError(f"the size must be 1x1 px or larger, got {size_wh[0]}x{size_wh[1]}")
    if not 0.01 <= um_per_px <= 2:
        raise UsageError(f"um_per_px must be from 0.01 to 2, got {um_per_px:g}; {UM_PER_PX} shows a red cell 100 px wide")


class Ground:
    """The cells laid so far, found by place."""

    def __init__(self) -> None:
        self.placed: list[list[tuple[float, float, float]]] = [[] for _ in CLASSES]
        """Centre and radius in µm of every cell, by label, in the order of laying."""
        self._bins: dict[tuple[int, int], list[tuple[int, float, float, float]]] = defaultdict(list)

    def add(self, label: int, x_um: float, y_um: float, radius_um: float) -> None:
        """Lay a cell."""
        self.placed[label].append((x_um, y_um, radius_um))
        self._bins[int(x_um // _BIN_UM), int(y_um // _BIN_UM)].append((label, x_um, y_um, radius_um))

    def free(
        self, label: int, x_um: float, y_um: float, radius_um: float, apart: Mapping[tuple[int, int], float] = APART
    ) -> bool:
        """Whether a cell has room there."""
        bx, by = int(x_um // _BIN_UM), int(y_um // _BIN_UM)
        for i, j in product((bx - 1, bx, bx + 1), (by - 1, by, by + 1)):
            for other, x, y, r in self._bins.get((i, j), ()):
                spacing = apart[min(label, other), max(label, other)]
                if (x - x_um) ** 2 + (y - y_um) ** 2 < (spacing * (r + radius_um)) ** 2:
                    return False
        return True


class Layer:
    """The things laid so far on a smear of `size_um`, width and height."""

    def __init__(self, rng: np.random.Generator, size_um: tuple[float, float]) -> None:
        self.rng, self.size_um = rng, size_um
        self.ground = Ground()
        self.things: list[tuple[Kind, float, float, float]] = []

    def number(self, per_mm2: float) -> int:
        """How many of that density are to be laid, those beyond the edges included."""
        area_mm2 = (self.size_um[0] + 2 * MARGIN_UM) * (self.size_um[1] + 2 * MARGIN_UM) / 1e6
        return int(self.rng.poisson(per_mm2 * area_mm2))

    def anywhere(self) -> tuple[float, float]:
        """A place on the smear or just beyond its edges."""
        u, v = self.rng.random(2)
        w, h = self.size_um
        return float(u * (w + 2 * MARGIN_UM) - MARGIN_UM), float(v * (h + 2 * MARGIN_UM) - MARGIN_UM)

    def beside(self, label: int, radius_um: float, nearest: float, farthest: float) -> tuple[float, float] | None:
        """A place beside a random earlier cell of that class, at so many times the sum of both radii; None if off the smear."""
        others = self.ground.placed[label]
        x, y, r = others[int(self.rng.integers(len(others)))]
        turn, gap = self.rng.uniform(0, 2 * np.pi), self.rng.uniform(nearest, farthest) * (r + radius_um)
        x, y = x + float(gap * np.cos(turn)), y + float(gap * np.sin(turn))
        inside = all(-MARGIN_UM <= v <= side + MARGIN_UM for v, side in zip((x, y), self.size_um, strict=True))
        return (x, y) if inside else None

    def lay(self, kind: Kind, x: float, y: float, radius_um: float) -> None:
        """Lay a thing there, whatever lies there already; heaps keep others as far away as white cells do."""
        self.things.append((kind, x, y, radius_um))
        label = WBC if kind.unsure else kind.label
        if label is not None:
            self.ground.add(label, x, y, radius_um)

    def plan(self, look: stain.Stain, um_per_px: float) -> Plan:
        """The smear as it was laid."""
        things = sorted(self.things, key=lambda thing: thing[0])
        rows = np.array(things, dtype=np.float64).reshape(-1, 4)
        seeds = self.rng.integers(0, 2**62, size=len(things))
        kind = rows[:, 0].astype(np.int64)
        return Plan(kind, rows[:, 1:3], rows[:, 3], seeds, self.size_um, um_per_px, look, int(self.rng.integers(0, 2**62)))


def _whites(layer: Layer, number: int) -> None:
    names = list(cells.WHITE_KINDS)
    shares = np.array([cells.WHITE_KINDS[name].share for name in names])
    for choice in layer.rng.choice(len(names), size=number, p=shares / shares.sum()):
        radius = float(layer.rng.uniform(*cells.WHITE_KINDS[names[choice]].radius_um))
        place(layer, Kind(Kind.NEUTROPHIL + int(choice)), radius)


def _reds(layer: Layer, number: int, touching: float) -> None:
    # The cells that stand apart are laid first: they need the room.
    apart = max(1, number - int(layer.rng.binomial(number, touching)))
    for i in range(number):
        place(layer, Kind.RED, cells.red_radius_um(layer.rng), join=i >= apart)


def _platelets(layer: Layer, number: int) -> None:
    for _ in range(number):
        join = bool(layer.ground.placed[PLATELETS]) and layer.rng.random() < _CLUSTER
        place(layer, Kind.PLATELET, float(layer.rng.uniform(*cells.PLATELET_UM)), join)


_TRIES = 120
_JOINED = {**APART, (RBC, RBC): JOINED}
_BESIDE = {RBC: (JOINED, 1.0), PLATELETS: (1.2, 1.6)}
"""How near, as a multiple of both radii, a cell is laid to one that it joins."""


def place(layer: Layer, kind: Kind, radius_um: float, join: bool = False) -> tuple[float, float] | None:
    """Lay one cell or heap where the ground lets it, beside one of its class where it is to join them, or leave it out.

    Gives its centre in µm, or None.
    """
    label = WBC if kind.label is None else kind.label
    for _ in range(_TRIES):
        spot = layer.beside(label, radius_um, *_BESIDE[label]) if join else layer.anywhere()
        if spot and layer.ground.free(label, *spot, radius_um, _JOINED if join else APART):
            layer.lay(kind, *spot, radius_um)
            return spot
    return None


def _debris(layer: Layer, number: int) -> None:
    for _ in range(number):
        if layer.rng.random() < 0.03:
            layer.lay(Kind.STREAK, *layer.anywhere(), float(layer.rng.uniform(*debris.STREAK_UM)))
        else:
            low, high = debris.SPECK_UM
            layer.lay(Kind.SPECK, *layer.anywhere(), low + (high - low) * float(layer.rng.random()) ** 2)
