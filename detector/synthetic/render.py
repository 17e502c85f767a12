"""Drawing a window of a planned smear, with the boxes of what was drawn."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from detector.errors import UsageError
from detector.synthetic import cells, debris, forms, noise
from detector.synthetic.camera import Camera, photograph
from detector.synthetic.layout import Kind, Plan
from detector.synthetic.shapes import Drawing
from detector.vision.cells import CLASSES, RBC, WBC

LEAST_VISIBLE = 0.2
"""Share of its area that a cell must show within the window; one that shows less is neither drawn nor labelled."""
LEAST_SIDE_PX = 3
"""A cell whose visible part is narrower or lower than this is neither drawn nor labelled either."""
_BLOTCH_UM = (9.0, 2.2)
_FILM = (0.012, 0.005)
"""Size and density of the blotches of dried plasma on the glass."""
_REACH = 2.5
"""No outline goes farther from its centre than this many mean radii."""


@dataclass(frozen=True, eq=False)
class RenderedField:
    """One photographed field and what is truly in it."""

    image: NDArray[np.uint8]
    """RGB, of shape (h, w, 3)."""
    xyxy: NDArray[np.float32]
    """Extent of each cell's pixels within the field, in pixels with half-open edges, of shape (n, 4)."""
    label: NDArray[np.int64]
    """Index into `cells.CLASSES`, of shape (n,)."""
    um_per_px: float
    ignore: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 4), dtype=np.float32))
    """Extent of each heap whose cells cannot be told apart, as of cells, of shape (k, 4)."""

    def counts(self) -> dict[str, int]:
        """Number of cells of every class, zeros included."""
        totals = np.bincount(self.label, minlength=len(CLASSES))
        return {name: int(n) for name, n in zip(CLASSES, totals, strict=True)}


def window(
    plan: Plan, x_px: int, y_px: int, width_px: int, height_px: int, camera: Camera | None = None, exposure: int = 0
) -> RenderedField:
    """The field of that size whose upper left corner is at (x_px, y_px) of the smear.

    Two windows show the same cells and textures where they overlap, but for slivers of cells along the edges of either,
    which are left out. `camera` sees them (a perfect one unless told), and `exposure` seeds its noise.

    Raises:
        UsageError: the window is empty or reaches beyond the smear.
    """
    wide, high = plan.size_wh
    if width_px < 1 or height_px < 1 or x_px < 0 or y_px < 0 or x_px + width_px > wide or y_px + height_px > high:
        raise UsageError(f"window {width_px}x{height_px} at ({x_px}, {y_px}) does not lie within the smear of {wide}x{high} px")
    camera = camera or Camera()
    canvas = _Canvas(plan, (x_px, y_px), camera.seen((width_px, height_px)))
    for i in _within(plan, (x_px, y_px), (width_px, height_px)):
        canvas.lay(i)
    rng = np.random.default_rng([exposure, plan.ground_seed])
    image = photograph(canvas.density, plan.stain.glass, camera, plan.um_per_px, rng)
    xyxy, ignore = (np.array(rows, dtype=np.float32).reshape(-1, 4) for rows in (canvas.boxes, canvas.ignore))
    return RenderedField(image, xyxy, np.array(canvas.labels, dtype=np.int64), plan.um_per_px, ignore)


def _within(plan: Plan, origin_px: tuple[int, int], size_wh: tuple[int, int]) -> NDArray[np.int64]:
    """Things whose pixels may reach the window, in drawing order."""
    low = np.array(origin_px) * plan.um_per_px
    high = (np.array(origin_px) + size_wh) * plan.um_per_px
    reach = (plan.radius_um * _REACH + 0.5 + 2 * plan.um_per_px)[:, None]
    return np.flatnonzero(((plan.xy_um + reach > low) & (plan.xy_um - reach < high)).all(axis=1))


class _Canvas:
    """The window's optical density, of shape (h, w, 3), and the truth so far."""

    def __init__(self, plan: Plan, origin_px: tuple[int, int], seen: NDArray[np.bool_]) -> None:
        size_wh = seen.shape[1], seen.shape[0]
        self.plan, self.origin_px, self.size_wh, self.seen = plan, origin_px, size_wh, seen
        film = sum(
            strength * noise.ground(plan.ground_seed + i, origin_px, size_wh, blotch / plan.um_per_px)
            for i, (blotch, strength) in enumerate(zip(_BLOTCH_UM, _FILM, strict=True))
        )
        self.density = np.repeat(np.asarray(film, dtype=np.float32)[:, :, None], 3, axis=2)
        self.boxes: list[tuple[int, int, int, int]] = []
        self.labels: list[int] = []
        self.ignore: list[tuple[int, int, int, int]] = []

    def lay(self, i: int) -> None:
        """Draw thing `i` of the plan, and note its box where it is a cell or a heap; leave a sliver out."""
        drawing = _drawn(self.plan, i)
        left, top = drawing.grid.left_px - self.origin_px[0], drawing.grid.top_px - self.origin_px[1]
        rows, columns = drawing.grid.shape_hw
        x1, y1, x2, y2 = max(left, 0), max(top, 0), min(left + columns, self.size_wh[0]), min(top + rows, self.size_wh[1])
        if x1 >= x2 or y1 >= y2:
            return
        cut = (slice(y1 - top, y2 - top), slice(x1 - left, x2 - left))
        kind = Kind(int(self.plan.kind[i]))
        if kind.label is not None or kind.unsure:
            box = _box(drawing.inside, drawing.inside[cut] & self.seen[y1:y2, x1:x2])
            if box is None:
                return
            self._note(kind, (box[0] + x1, box[1] + y1, box[2] + x1, box[3] + y1))
        place = self.density[y1:y2, x1:x2]
        if drawing.cover is not None:
            place *= 1 - drawing.cover[cut][:, :, None]
        place += drawing.density[cut]

    def _note(self, kind: Kind, box: tuple[int, int, int, int]) -> None:
        if kind.label is None:
            self.ignore.append(box)
        else:
            self.boxes.append(box)
            self.labels.append(kind.label)


def _box(whole: NDArray[np.bool_], visible: NDArray[np.bool_]) -> tuple[int, int, int, int] | None:
    """Extent of the visible pixels within their cut, half-open; None for a sliver."""
    if visible.sum() < LEAST_VISIBLE * whole.sum():
        return None
    xs, ys = np.flatnonzero(visible.any(axis=0)), np.flatnonzero(visible.any(axis=1))
    if len(xs) == 0 or min(xs[-1] - xs[0], ys[-1] - ys[0]) + 1 < LEAST_SIDE_PX:
        return None
    return int(xs[0]), int(ys[0]), int(xs[-1]) + 1, int(ys[-1]) + 1


def _drawn(plan: Plan, i: int) -> Drawing:
    kind, radius_um, seed = Kind(int(plan.kind[i])), float(plan.radius_um[i]), int(plan.seed[i])
    centre_um = (float(plan.xy_um[i, 0]), float(plan.xy_um[i, 1]))
    if kind in _SIMPLE:
        return _SIMPLE[kind](centre_um, radius_um, seed, plan.stain, plan.um_per_px)
    draw = debris.draw if kind.label is None else {RBC: forms.draw, WBC: cells.white}[kind.label]
    return draw(centre_um, radius_um, kind.name.lower(), seed, plan.stain, plan.um_per_px)


_SIMPLE = {
    Kind.RED: cells.red,
    Kind.PLATELET: cells.platelet,
    Kind.OVERLYING: cells.overlying,
    Kind.SPECK: debris.speck,
    Kind.STREAK: debris.streak,
}
