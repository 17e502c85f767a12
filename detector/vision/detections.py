"""What was found in one field, and what could not be read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detector.vision.cells import CLASSES


@dataclass(frozen=True, eq=False)
class Detections:
    """Cells of one field: parallel, read-only arrays in displayed (EXIF-upright) coordinates.

    Indexing with a mask, a slice or indices gives the `Detections` of those cells.

    Raises:
        ValueError: the arrays disagree in length, have another shape, or hold labels that are no cell class.
    """

    xyxy: NDArray[np.float32]
    """Boxes in pixels with half-open edges, of shape (n, 4)."""
    score: NDArray[np.float32]
    """Confidence in 0 to 1, of shape (n,)."""
    label: NDArray[np.int64]
    """Index into `class_names`, of shape (n,)."""
    size_wh: tuple[int, int]
    """Width and height of the field in pixels."""
    class_names: tuple[str, ...] = CLASSES
    saturated: bool = False
    """The most cells that the model may report was reached: the true count may be higher."""
    unsure: Detections | None = None
    """What scored too little to be counted and lies on no counted cell; None where nobody looked for it. It goes along with any choice
    of the cells, as `saturated` does."""

    def __post_init__(self) -> None:
        xyxy = np.array(self.xyxy, dtype=np.float32)
        score = np.array(self.score, dtype=np.float32)
        label = np.array(self.label, dtype=np.int64)
        if xyxy.ndim != 2 or xyxy.shape[1] != 4:
            raise ValueError(f"xyxy must have shape (n, 4), got {xyxy.shape}")
        for name, array in (("score", score), ("label", label)):
            if array.shape != (len(xyxy),):
                raise ValueError(f"{name} must have shape ({len(xyxy)},) to match xyxy, got {array.shape}")
        if len(label) and (label.min() < 0 or label.max() >= len(self.class_names)):
            raise ValueError(f"labels must be 0 to {len(self.class_names) - 1}, got {label.min()} to {label.max()}")
        for name, array in (("xyxy", xyxy), ("score", score), ("label", label)):
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    @classmethod
    def none(cls, size_wh: tuple[int, int]) -> Detections:
        """A field that was read and holds no cell."""
        return cls(np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros(0, np.int64), size_wh)

    def __len__(self) -> int:
        return len(self.label)

    def __getitem__(self, chosen: Any) -> Detections:
        if isinstance(chosen, (int, np.integer)):
            chosen = [int(chosen)]
        return Detections(
            self.xyxy[chosen],
            self.score[chosen],
            self.label[chosen],
            self.size_wh,
            self.class_names,
            self.saturated,
            self.unsure,
        )

    def counts(self, among: NDArray[np.bool_] | None = None) -> dict[str, int]:
        """Number of cells of every class, zeros included; with a mask of shape (n,), of those that it chooses."""
        totals = np.bincount(self.label if among is None else self.label[among], minlength=len(self.class_names))
        return dict(zip(self.class_names, totals.tolist(), strict=True))


@dataclass(frozen=True)
class Unread:
    """An input that could not be read: never the same thing as a field without cells."""

    source: str
    reason: str
