"""A cell of the smear as the views that showed it tell of it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from detector.streams.sparse import Rect
from detector.vision import cells
from detector.vision.detections import Detections

Floats = NDArray[np.float64]

MEMORY = 20
"""Views over which a cell's box is averaged."""
EVERYWHERE: Rect = (-1e9, -1e9, 1e9, 1e9)

_MORE = 1.2
"""A sight of a cut cell shows more of it than another from this ratio of their areas on."""
_BUCKET_PX = 256


@dataclass(slots=True, eq=False)
class Cell:
    """A cell of the smear, as far as it is known."""

    number: int
    box: Floats
    """x1, y1, x2, y2 in px of its segment; of a cut one, the part that was seen."""
    within: Rect
    """The view of which `box` is a part; unbounded for a cell that was seen whole."""
    whole: bool
    lean: float
    """How far within what was seen its centre seems to lie, in shares of its size; negative outside."""
    votes: list[float] = field(default_factory=lambda: [0.0] * len(cells.CLASSES))
    """Sum of the scores by label."""
    parts: int = 1
    """Views over which `lean` was averaged."""
    hits: int = 0
    """Views in which it was found."""
    chances: int = 0
    """Views that were searched and show most of it."""
    counted: int = -1
    """Label under which it is counted; -1 while it is not."""
    owner: int = -1
    """What it was counted in first (a field); -1 before."""

    @property
    def label(self) -> int:
        """Class for which most speaks."""
        return max(range(len(self.votes)), key=self.votes.__getitem__)

    @property
    def score(self) -> float:
        """Mean score."""
        return sum(self.votes) / max(self.hits, 1)

    @property
    def centred(self) -> bool:
        """Whether its centre lies in what was seen."""
        return self.whole or self.lean >= 0

    @property
    def centre(self) -> tuple[float, float]:
        """x and y, in px of its segment."""
        return float(self.box[0] + self.box[2]) / 2, float(self.box[1] + self.box[3]) / 2


def see_part(cell: Cell, box: Floats, lean: float, view: Rect) -> None:
    """Work in another sight of a cell that was only seen cut: what shows most of it is believed, and such sights are averaged."""
    more = float(np.prod(box[2:] - box[:2]) / np.prod(cell.box[2:] - cell.box[:2]))
    if more > _MORE:
        cell.box, cell.within, cell.lean, cell.parts = box, view, lean, 1
    elif more > 1 / _MORE:
        # The best of many sights would lean inwards by their scatter.
        cell.parts = min(cell.parts + 1, MEMORY)
        cell.lean += (lean - cell.lean) / cell.parts
        cell.box, cell.within = cell.box + (box - cell.box) / cell.parts, view


def lean(found: Detections, cut: NDArray[np.bool_]) -> Floats:
    """How far within the view the centre of each box's cell seems to lie, of shape (n,); `cut` are the edges it reaches, (n, 4).

    A round cell that one edge cuts shows its centre where what is seen is at least half as wide as it is high. In a corner neither
    side is whole, and the typical size of the class in this view stands for it.
    """
    sides = (found.xyxy[:, 2:] - found.xyxy[:, :2]).astype(np.float64)
    cut_xy = np.stack([cut[:, 0] | cut[:, 2], cut[:, 1] | cut[:, 3]], axis=1)
    leaning = np.ones(len(found))
    for j in np.flatnonzero(cut_xy.any(axis=1)):
        if cut_xy[j].all():
            alike = sides[(found.label == found.label[j]) & ~cut_xy.any(axis=1)]
            whole = float(np.median(alike)) if len(alike) else float(sides[j].max())
            leaning[j] = 2 * sides[j].min() / whole - 1
        else:
            across, along = sides[j] if cut_xy[j, 0] else sides[j][::-1]
            leaning[j] = 2 * across / along - 1
    return leaning


def bucket_of(x: float, y: float) -> tuple[int, int]:
    """Column and row of the part of the smear that holds a point, for finding cells by place."""
    return int(x // _BUCKET_PX), int(y // _BUCKET_PX)
