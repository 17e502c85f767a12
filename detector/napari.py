"""The plugin for napari: a reader of the cells of a count, and a widget that counts the picture of a layer (extra `napari`).

In napari a pixel's centre, and not its corner, has whole coordinates, so that edges lie half a pixel lower than in our files.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from detector.engines import inputs
from detector.errors import ImageError
from detector.output.exchange import run as runs
from detector.output.results import CELLS
from detector.vision import images
from detector.vision.detections import Detections
from detector.vision.drawing import COLOURS

if TYPE_CHECKING:
    import napari.layers
    import napari.types

LayerData = tuple[Any, dict[str, Any], str]
"""Content, settings and kind of a layer."""
_MOST_FIELDS = 50
"""Fields that are opened at a time; each picture stays in memory."""


def reader(path: str | Sequence[str]) -> Callable[[str | Sequence[str]], list[LayerData]] | None:
    """What reads `detections.json` of a folder of results; None for any other file, and for several."""
    return layers if isinstance(path, str) and Path(path).name == CELLS else None


def layers(path: str | Sequence[str]) -> list[LayerData]:
    """The picture, where it is found, and the cells of each field of a count; those of the first field are shown.

    Raises:
        UsageError: the file lies in no folder of results. OutputError: it cannot be read.
    """
    folder = Path(str(path)).parent
    counted, about = runs.fields_of(folder)
    settings = about.get("settings")
    run = runs.read(folder, inputs.places_of(counted, settings if isinstance(settings, dict) else {}))
    if len(run.fields) > _MOST_FIELDS:
        warnings.warn(f"{folder}: {len(run.fields)} fields, of which the first {_MOST_FIELDS} are opened", stacklevel=2)
    for remark in run.remarks:
        warnings.warn(remark, stacklevel=2)
    opened: list[LayerData] = []
    for number, field in enumerate(run.fields[:_MOST_FIELDS]):
        shown = {"visible": number == 0}
        picture = _picture(field)
        if picture is not None:
            opened.append((picture, {"name": field.name, "rgb": True, **shown}, "image"))
        opened.append(_cells(field.cells, f"{field.name}: cells", shown))
    return opened


def count(image: napari.layers.Image, um_per_px: float = 0.0) -> napari.types.LayerDataTuple:
    """The cells of a picture as a layer, whose name says how many of each class there are.

    Args:
        image: a layer of shape (h, w, 3), (h, w, 4) or (h, w), uint8 or uint16.
        um_per_px: micrometres per pixel; 0 where it is not known.

    Raises:
        ValueError: the layer has another shape or type.
    """
    from detector.api import Detector  # imports much, which only counting needs

    cells = Detector().detect(np.asarray(image.data), um_per_px or None)
    numbers = ", ".join(f"{number} {name}" for name, number in cells.counts().items())
    return _cells(cells, f"{image.name}: {numbers}", {})


def _picture(field: runs.RunField) -> NDArray[np.uint8] | None:
    """The upright picture; None of a slide, of one that is not found, and of one that cannot be read any more."""
    if field.picture is None or field.is_slide:
        return None
    try:
        return images.read(field.picture)
    except ImageError:
        return None


def _cells(cells: Detections, name: str, settings: dict[str, Any]) -> LayerData:
    """A layer of rectangles in the colours of their classes, with class and score as features."""
    x1, y1, x2, y2 = cells.xyxy.astype(np.float64).T - 0.5
    corners = np.stack([np.stack([y1, x1], 1), np.stack([y1, x2], 1), np.stack([y2, x2], 1), np.stack([y2, x1], 1)], axis=1)
    names = [cells.class_names[label] for label in cells.label.tolist()]
    colours = np.array([[*COLOURS[class_name], 255] for class_name in names], dtype=np.float64).reshape(-1, 4) / 255
    look = {"edge_color": colours, "face_color": "transparent", "edge_width": 2} if names else {"ndim": 2}
    features = {"class": names, "score": cells.score.tolist()}
    return list(corners), {"name": name, "shape_type": "rectangle", "features": features, **look, **settings}, "shapes"
