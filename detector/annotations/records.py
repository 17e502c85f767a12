"""The one record that every annotation format is read into and written from."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from detector.vision import boxes
from detector.vision.cells import RBC, WBC
from detector.vision.detections import Detections

MOST_OFF = 0.2
"""Share of a field's red cells by which its count may be off and still be right."""
FEWEST_OFF = 2
"""Red cells by which a count is off at least to be wrong."""
LEAST_IGNORED = 0.5
"""Share of a box from which on it counts as lying in an ignore region."""
_SAME_CELL = 0.5


@dataclass(frozen=True, eq=False)
class Record:
    """The labelled cells of one field."""

    name: str
    """Image name without its extension, the key by which label sets are joined."""
    image: Path | None
    """The image file, or None where only labels are known."""
    size_wh: tuple[int, int]
    """Width and height of the image in pixels, as displayed."""
    xyxy: NDArray[np.float32]
    """Boxes in pixels with half-open edges, of shape (n, 4)."""
    label: NDArray[np.int64]
    """Index into `cells.CLASSES`, of shape (n,)."""
    split: str | None = None
    """`train`, `val` or `test` where the source says so."""
    ignore: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 4), np.float32))
    """Regions that could not be labelled surely, of shape (k, 4); a labelled box that lies in one is a cell all the same."""

    def judged(self, detections: Detections) -> Detections:
        """What can be told right from wrong: all but what was found in an ignore region where no such cell is labelled."""
        if not len(self.ignore):
            return detections
        same = detections.label[:, None] == self.label[None, :]
        labelled = ((boxes.iou(detections.xyxy, self.xyxy) >= _SAME_CELL) & same).any(axis=1)
        return detections[labelled | (boxes.inside(detections.xyxy, self.ignore) < LEAST_IGNORED)]

    def miscounted(self, detections: Detections) -> bool:
        """Whether a count is wrong: off by more than `MOST_OFF` of the red cells and `FEWEST_OFF` or more, or by a white cell."""
        judged = self.judged(detections).label
        red, white = (abs(int((judged == label).sum()) - int((self.label == label).sum())) for label in (RBC, WBC))
        return (red >= FEWEST_OFF and red > MOST_OFF * int((self.label == RBC).sum())) or white > 0
