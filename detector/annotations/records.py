"""The one record that every annotation format is read into and written from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


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
