"""What was found in one field, and what could not be read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from detector.errors import ImageError, UsageError
from detector.vision.cells import CLASSES

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, eq=False, repr=False)
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
    pixels: Callable[[], NDArray[np.uint8]] | None = None
    """Gives the field, of shape (h, w, 3), RGB, to draw on: read again, so that no picture is kept. None in counts of many fields."""

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
            self.pixels,
        )

    def __repr__(self) -> str:
        cells = ", ".join(f"{n} {name}" for name, n in self.counts().items())
        w, h = self.size_wh
        return f"Detections({cells} in {w} x {h} px{', saturated' * self.saturated})"

    def _repr_html_(self) -> str | None:
        from detector.vision import drawing

        try:
            return None if self.pixels is None else drawing.as_html(self.draw(), repr(self))
        except ImageError:
            return None  # a file that is no longer there

    def counts(self, among: NDArray[np.bool_] | None = None) -> dict[str, int]:
        """Number of cells of every class, zeros included; with a mask of shape (n,), of those that it chooses."""
        totals = np.bincount(self.label if among is None else self.label[among], minlength=len(self.class_names))
        return dict(zip(self.class_names, totals.tolist(), strict=True))

    def draw(self, rgb: NDArray[np.uint8] | None = None) -> NDArray[np.uint8]:
        """The field with a box around each cell, below a strip with the counts.

        Args:
            rgb: the field, of shape (h, w, 3), uint8, RGB; None takes it from where `Detector.detect` had it.

        Returns:
            A new array of shape (h + strip, w, 3), uint8, RGB.

        Raises:
            UsageError: where the field is from is not known, or the pixels are of another size than the field.
            ImageError: its file can no longer be read.
        """
        from detector.vision import drawing

        if rgb is None and self.pixels is None:
            raise UsageError("these detections do not know their field; give its pixels: draw(rgb)")
        field = self.pixels() if rgb is None and self.pixels is not None else np.asarray(rgb)
        w, h = self.size_wh
        if field.shape != (h, w, 3):
            raise UsageError(f"the field must have shape {(h, w, 3)}, got {field.shape}")
        return drawing.draw(field, self)

    def to_pandas(self) -> pd.DataFrame:
        """A row per cell: `class`, `score`, and the box `x1`, `y1`, `x2`, `y2` in pixels with half-open edges."""
        import pandas as pd

        names = [self.class_names[label] for label in self.label.tolist()]
        boxes = dict(zip(("x1", "y1", "x2", "y2"), self.xyxy.T, strict=True))
        return pd.DataFrame({"class": names, "score": self.score, **boxes})

    def to_supervision(self) -> Any:
        """As `supervision.Detections`, with the class names under `data["class_name"]`.

        Raises:
            UsageError: supervision is not installed.
        """
        try:
            import supervision
        except ImportError:
            raise UsageError("to_supervision needs supervision, which is not installed: pip install supervision") from None
        names = np.array(self.class_names)[self.label]
        return supervision.Detections(
            xyxy=self.xyxy.copy(), confidence=self.score.copy(), class_id=self.label.copy(), data={"class_name": names}
        )


@dataclass(frozen=True)
class Unread:
    """An input that could not be read: never the same thing as a field without cells."""

    source: str
    reason: str
