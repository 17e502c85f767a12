"""Looking for cells in the views of a stream, at one scale: what a red cell's size is does not change from view to view."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from detector.streams.frames import Frame
from detector.vision import cells, finder
from detector.vision.detections import Detections
from detector.vision.model import Model
from detector.vision.scale import Scale, estimate, of_smear

_ENOUGH_CELLS = 5
"""Red cells in a view that settle the scale."""
_AGAIN = 25
"""Views after which the scale is looked for again, where there were too few."""


class Search:
    """Finds the cells of views; the scale is found once for each size of view."""

    def __init__(self, model: Model, um_per_px: float | None = None) -> None:
        self._model, self._um_per_px = model, um_per_px
        self._zoom: dict[tuple[int, int], float | None] = {}
        self._poor: dict[tuple[int, int], int] = {}

    def __call__(self, frame: Frame) -> Detections:
        """Cells of a view, as `detector.count` finds them in a field."""
        size_wh = (frame.rgb.shape[1], frame.rgb.shape[0])
        if size_wh in self._zoom:
            return finder.find_at(self._model, frame.rgb, self._zoom[size_wh])
        views = self._poor.get(size_wh, 0)
        self._poor[size_wh] = views + 1
        if views % _AGAIN:
            return finder.find_at(self._model, frame.rgb, None)
        return self._first(frame.rgb, size_wh)

    def _first(self, rgb: NDArray[np.uint8], size_wh: tuple[int, int]) -> Detections:
        given = self._um_per_px
        scale = of_smear([estimate(self._model, rgb)]) if given is None else Scale.given(given)
        zoom = finder.zoom_of(self._model, scale)
        found = finder.find_at(self._model, rgb, zoom)
        if self._um_per_px is not None or int((found.label == cells.RBC).sum()) >= _ENOUGH_CELLS:
            self._zoom[size_wh] = zoom
        return found
