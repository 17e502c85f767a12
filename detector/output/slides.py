"""What a count leaves of slides: `tiles.csv`, a row per tile, and a picture of where the cells lie."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from detector.counting.result import FieldResult
from detector.counting.slides import SlideCount, TileCount
from detector.output import overlay
from detector.output.figures import short
from detector.output.files import write_bytes, write_csv
from detector.vision import scan
from detector.vision.cells import CLASSES, RBC_DIAMETER_UM
from detector.vision.detections import Unread
from detector.vision.images import Rgb

TILES = "tiles.csv"
DENSITY = "density"
COLUMNS = (
    "slide", "x_px", "y_px", "width_px", "height_px", "status", "reason", *CLASSES, "covered", "overlap", "focus", "monolayer",
)  # fmt: skip

_PANEL_PX = 900
_GAP_PX = 24
_TITLE_PX = 34
_BAR_PX = 22
_LABEL_PX = 110
_DIAMETERS = 10
_INK = (40, 40, 40)
_STRENGTH = 0.65
_BAR_SHARE = 0.25
_FONT, _TEXT = cv2.FONT_HERSHEY_SIMPLEX, 0.55


def write(folder: Path, results: Iterable[FieldResult]) -> Iterator[FieldResult]:
    """Pass results on, and write the tiles and a picture of each slide among them; `tiles.csv` is written at the end.

    Raises:
        OSError: something cannot be written.
    """
    rows: list[list[object]] = []
    for result in results:
        if result.slide is not None:
            rows.extend(rows_of(result))
            target = picture_path(folder, result.field)
            target.parent.mkdir(parents=True, exist_ok=True)
            write_bytes(target, picture_of(result))
        yield result
    if rows:
        write_csv(folder / TILES, COLUMNS, rows)


def picture_path(folder: Path, field: str) -> Path:
    """Where the picture of a slide's density goes."""
    return overlay.path_of(folder / DENSITY, field).with_suffix(".png")


def rows_of(result: FieldResult) -> list[list[object]]:
    """The rows of a slide's tiles in `tiles.csv`."""
    assert result.slide is not None
    return [_row(result.field, tile) for tile in result.slide.tiles]


def picture_of(result: FieldResult) -> bytes:
    """`density_map` as PNG."""
    return cv2.imencode(".png", density_map(result)[:, :, ::-1])[1].tobytes()


def _row(slide: str, tile: TileCount) -> list[object]:
    x1, y1, x2, y2 = tile.owned
    counts: Sequence[object] = (
        tile.raw if tile.status == scan.COUNTED else [0 if tile.status == scan.EMPTY else None] * len(CLASSES)
    )
    seen = tile.quality
    quality = [None] * 3 if seen is None else [seen.covered, seen.overlap, seen.focus]
    return [slide, x1, y1, x2 - x1, y2 - y1, tile.status, tile.reason, *counts, *quality, tile.monolayer]


def density_map(result: FieldResult) -> Rgb:
    """A slide and the density of each cell class over it, with scale bars of length and colour, of shape (h, w, 3), RGB.

    Colours are those of cividis, which look alike to nearly all kinds of colour vision (Nuñez et al., PLoS ONE 13:e0199239, 2018).
    """
    assert result.slide is not None
    base = _base(result)
    bare = [_titled(_with_length(base.copy(), result), "slide", None)]
    panels = bare + [_class_panel(base, result, label) for label in range(len(CLASSES))]
    wide = base.shape[1] > 1.5 * base.shape[0]
    rows = [panels[i : i + (1 if wide else 2)] for i in range(0, len(panels), 1 if wide else 2)]
    picture = np.concatenate([np.concatenate(row, axis=1) for row in rows])
    return np.concatenate([picture, _legend(picture.shape[1])])


def _base(result: FieldResult) -> Rgb:
    """The slide in grey, with a long side of `_PANEL_PX`."""
    assert not isinstance(result.cells, Unread)
    w, h = result.cells.size_wh
    factor = _PANEL_PX / max(w, h)
    wh = (max(1, round(w * factor)), max(1, round(h * factor)))
    jpeg = np.frombuffer(result.picture, np.uint8)
    grey = cv2.imdecode(jpeg, cv2.IMREAD_GRAYSCALE) if len(jpeg) else None
    if grey is None:
        grey = np.full((1, 1), 230, np.uint8)
    grey = cv2.resize(grey, wh, interpolation=cv2.INTER_AREA if grey.shape[1] > wh[0] else cv2.INTER_LINEAR)
    return np.ascontiguousarray(np.repeat(np.asarray(grey, dtype=np.uint8)[:, :, None], 3, axis=2))


def _class_panel(base: Rgb, result: FieldResult, label: int) -> Rgb:
    slide = result.slide
    assert slide is not None
    factor = base.shape[1] / slide.tiles[-1].owned[2]
    per_px, unit = _unit(slide)
    counted = [tile for tile in slide.tiles if tile.status == scan.COUNTED]
    values = np.array([tile.raw[label] * per_px / _area(tile) for tile in counted])
    # One odd tile at the border must not make all others look alike.
    most = float(np.percentile(values, 99)) if len(values) else 0.0
    most = most or (float(values.max()) if len(values) else 0.0)
    panel = base.copy()
    levels = np.zeros(len(values), np.uint8) if not most else np.clip(values / most * 255, 0, 255).astype(np.uint8)
    for tile, colour in zip(counted, _colours(levels), strict=True):
        x1, y1, x2, y2 = (round(v * factor) for v in tile.owned)
        part = panel[y1:y2, x1:x2]
        part[:] = np.rint((1 - _STRENGTH) * part + _STRENGTH * colour)
    for tile in slide.tiles:
        _mark(panel, tile, factor)
    return _titled(panel, f"{CLASSES[label]} {unit}", most)


def _unit(slide: SlideCount) -> tuple[float, str]:
    """What makes cells per px² cells per unit, and the unit's name."""
    if slide.um_per_px is not None:
        return (1000 / slide.um_per_px) ** 2, "per mm2"
    return (_DIAMETERS * slide.rbc_px) ** 2, f"in {_DIAMETERS} x {_DIAMETERS} red cell diameters"


def _area(tile: TileCount) -> int:
    x1, y1, x2, y2 = tile.owned
    return (x2 - x1) * (y2 - y1)


def _colours(levels: NDArray[np.uint8]) -> NDArray[np.float64]:
    bgr = cv2.applyColorMap(levels.reshape(-1, 1), cv2.COLORMAP_CIVIDIS) if len(levels) else np.zeros((0, 1, 3))
    return np.asarray(bgr.reshape(-1, 3)[:, ::-1], dtype=np.float64)


def _mark(panel: Rgb, tile: TileCount, factor: float) -> None:
    """One stroke through a tile out of focus, two through one that could not be read."""
    x1, y1, x2, y2 = (round(v * factor) for v in tile.owned)
    if tile.status in (scan.UNFOCUSED, scan.UNREADABLE):
        cv2.line(panel, (x1, y2 - 1), (x2 - 1, y1), _INK, 1, cv2.LINE_AA)
    if tile.status == scan.UNREADABLE:
        cv2.line(panel, (x1, y1), (x2 - 1, y2 - 1), _INK, 1, cv2.LINE_AA)


def _with_length(panel: Rgb, result: FieldResult) -> Rgb:
    """The panel with a bar of known length in its corner."""
    slide = result.slide
    assert slide is not None
    um_per_px = slide.um_per_px or RBC_DIAMETER_UM / slide.rbc_px
    um_per_pixel = um_per_px * slide.tiles[-1].owned[2] / panel.shape[1]
    most_um = _BAR_SHARE * panel.shape[1] * um_per_pixel
    power = 10.0 ** math.floor(math.log10(most_um))
    um = next(step * power for step in (5, 2, 1) if step * power <= most_um)
    long = round(um / um_per_pixel)
    y = panel.shape[0] - 14
    text = f"{'' if slide.um_per_px else 'about '}{um:g} um"
    cv2.rectangle(panel, (8, y - 28), (8 + max(long, 10 * len(text)) + 12, y + 8), (255, 255, 255), -1)
    cv2.rectangle(panel, (14, y - 2), (14 + long, y + 2), _INK, -1)
    _write(panel, text, (14, y - 10))
    return panel


def _titled(panel: Rgb, title: str, most: float | None) -> Rgb:
    """A panel with its name above and, where it has one, its scale of colours beside it."""
    h, w = panel.shape[:2]
    framed = np.full((h + _TITLE_PX + _GAP_PX, w + _GAP_PX + _BAR_PX + _LABEL_PX, 3), 255, dtype=np.uint8)
    framed[_TITLE_PX : _TITLE_PX + h, :w] = panel
    _write(framed, title, (4, _TITLE_PX - 11))
    if most is not None:
        ramp = _colours(np.linspace(255, 0, h).astype(np.uint8))[:, None].repeat(_BAR_PX, axis=1)
        framed[_TITLE_PX : _TITLE_PX + h, w + 12 : w + 12 + _BAR_PX] = np.rint((1 - _STRENGTH) * 200 + _STRENGTH * ramp)
        for share, y in ((1.0, _TITLE_PX + 12), (0.5, _TITLE_PX + h // 2), (0.0, _TITLE_PX + h)):
            _write(framed, short(share * most), (w + 18 + _BAR_PX, y))
    return framed


def _legend(width: int) -> Rgb:
    strip = np.full((_TITLE_PX, width, 3), 255, dtype=np.uint8)
    _write(strip, "grey: empty; one stroke: out of focus; crossed: could not be read", (4, 20))
    return strip


def _write(picture: Rgb, text: str, xy: tuple[int, int]) -> None:
    cv2.putText(picture, text, xy, _FONT, _TEXT, _INK, 1, cv2.LINE_AA)
