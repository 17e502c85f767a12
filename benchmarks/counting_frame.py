"""Whether frame counts are unbiased: fields at random places of a rendered smear, and smears cut into adjoining fields.

    python -m benchmarks.counting_frame [--smears 6] [--number 60]

Each figure is the frame count of a class over all fields, over the number of cells of the class whose centre lies in them; 1 is without
bias. Fields are counted with a detector that knows the truth and shows each cell's visible part, and with the shipped model. What the
model misses or makes up of cells clear of the border is no fault of the frame: its figure is divided by that of these cells alone.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from detector.arguments import Number, Parser
from detector.commandline import run
from detector.counting.fields import FieldCount
from detector.synthetic.microscope import Microscope, Smear
from detector.vision import boxes, finder
from detector.vision.cells import CLASSES
from detector.vision.detections import Detections
from detector.vision.model import Model
from detector.vision.scale import Scale

SIZE_WH = (640, 480)
UM_PER_PX = 0.075
STAINS = ("bccd", "pbc", "raabin")
Corner = tuple[int, int]
Finding = Callable[[Smear, Corner, tuple[int, int]], Detections]


@dataclass
class Ratios:
    """Cells by class over a set of fields."""

    frame: NDArray[np.float64] = field(default_factory=lambda: np.zeros(len(CLASSES)))
    """Counted by the frame."""
    centres: NDArray[np.float64] = field(default_factory=lambda: np.zeros(len(CLASSES)))
    """Whose centre lies in the field."""
    inner: NDArray[np.float64] = field(default_factory=lambda: np.zeros(len(CLASSES)))
    """Detections clear of the border by the size of a cell."""
    inner_true: NDArray[np.float64] = field(default_factory=lambda: np.zeros(len(CLASSES)))
    """True cells there."""
    fields: int = 0

    @property
    def raw(self) -> NDArray[np.float64]:
        """Frame counts over true ones, of shape (classes,)."""
        return self.frame / np.maximum(self.centres, 1)

    @property
    def corrected(self) -> NDArray[np.float64]:
        """The same less the detector's error on cells clear of the border."""
        return self.raw / (self.inner / np.maximum(self.inner_true, 1))


def smear(seed: int, size_wh: tuple[int, int] = SIZE_WH, views: float = 3.2) -> Smear:
    """A rendered smear some views wide and high."""
    w, h = size_wh
    stain = STAINS[seed % len(STAINS)]
    address = (
        f"fake:pan?stain={stain}&seed={seed}&columns=1&width={round(w * views)}&height={round(h * views)}&um_per_px={UM_PER_PX}"
    )
    return Microscope(address).smear


def perfect(seen: Smear, corner: Corner, size_wh: tuple[int, int]) -> Detections:
    """All cells that reach into a field, by the box of the part that lies in it; each is the ellipse in its box."""
    parts = parts_of_ellipses(seen.xyxy - np.array([*corner, *corner], dtype=np.float32), size_wh)
    there = boxes.area(parts) > 0
    return Detections(parts[there], np.ones(int(there.sum()), np.float32), seen.label[there], size_wh)


def parts_of_ellipses(xyxy: boxes.Boxes, size_wh: tuple[int, int]) -> boxes.Boxes:
    """Boxes of the parts of ellipses that lie in a field, of shape (n, 4); without area where none does.

    Args:
        xyxy: boxes of the whole ellipses.
    """
    middle, half = (xyxy[:, :2] + xyxy[:, 2:]) / 2, (xyxy[:, 2:] - xyxy[:, :2]) / 2
    # Within the field an ellipse is widest as near to its middle as the field reaches.
    away = (np.clip(middle, 0, size_wh) - middle) / half
    reach = half * np.sqrt(np.maximum(1 - away[:, ::-1] ** 2, 0))
    return boxes.clip(np.concatenate([middle - reach, middle + reach], axis=1).astype(np.float32), size_wh)


def of_model(model: Model) -> Finding:
    """The shipped model at the known scale, as `detector.count --um-per-px` has it."""

    def cells(seen: Smear, corner: Corner, size_wh: tuple[int, int]) -> Detections:
        x, y = corner
        rgb = np.ascontiguousarray(seen.rgb[y : y + size_wh[1], x : x + size_wh[0]])
        return finder.find(model, rgb, Scale.given(UM_PER_PX)).cells

    return cells


def add(ratios: Ratios, seen: Smear, corner: Corner, size_wh: tuple[int, int], finding: Finding) -> None:
    """Count one field."""
    detections = finding(seen, corner, size_wh)
    count = FieldCount.of(detections, "field", "smear", UM_PER_PX)
    share = count.parts[0].area_px / (size_wh[0] * size_wh[1])
    ratios.frame += np.array([count.frame[name] for name in CLASSES]) / share
    ratios.centres += _by_label(seen, boxes.centre(seen.xyxy), corner, size_wh, 0)
    ratios.inner_true += _by_label(seen, boxes.centre(seen.xyxy), corner, size_wh, 100)
    middle = boxes.centre(detections.xyxy)
    clear = ((middle >= 100) & (middle < np.array(size_wh) - 100)).all(axis=1)
    ratios.inner += np.bincount(detections.label[clear], minlength=len(CLASSES))
    ratios.fields += 1


def _by_label(
    seen: Smear, middle: NDArray[np.float32], corner: Corner, size_wh: tuple[int, int], margin: int
) -> NDArray[np.int64]:
    low, high = np.array(corner) + margin, np.array(corner) + np.array(size_wh) - margin
    return np.bincount(seen.label[((middle >= low) & (middle < high)).all(axis=1)], minlength=len(CLASSES))


def placements(seen: Smear, size_wh: tuple[int, int], number: int, seed: int) -> Iterator[Corner]:
    """Random places of a field in a smear, clear of its outer edge, of which the truth lacks slivers."""
    rng, margin = np.random.default_rng(seed), 60
    h, w = seen.rgb.shape[:2]
    for _ in range(number):
        yield int(rng.integers(margin, w - size_wh[0] - margin)), int(rng.integers(margin, h - size_wh[1] - margin))


def tessellation(seen: Smear, size_wh: tuple[int, int], seed: int) -> Iterator[Corner]:
    """Adjoining fields from a random corner."""
    rng, margin = np.random.default_rng(seed), 60
    h, w = seen.rgb.shape[:2]
    room = (w - 2 * margin) % size_wh[0], (h - 2 * margin) % size_wh[1]
    left, top = (margin + int(rng.integers(0, space + 1)) for space in room)
    for y in range(top, h - margin - size_wh[1] + 1, size_wh[1]):
        for x in range(left, w - margin - size_wh[0] + 1, size_wh[0]):
            yield x, y


def report(*, smears: int, number: int) -> None:
    """Print the bias of frame counts by class, at random places and over adjoining fields."""
    findings: dict[str, Finding] = {"perfect": perfect, "shipped model": of_model(Model.load())}
    for name, finding in findings.items():
        for way in ("random places", "adjoining"):
            ratios = Ratios()
            for seed in range(smears):
                seen = smear(seed)
                corners = placements(seen, SIZE_WH, number, seed) if way == "random places" else tessellation(seen, SIZE_WH, seed)
                for corner in corners:
                    add(ratios, seen, corner, SIZE_WH, finding)
            shown = ", ".join(
                f"{cls} {raw:.3f} ({clean:.3f})" for cls, raw, clean in zip(CLASSES, ratios.raw, ratios.corrected, strict=True)
            )
            print(f"{name}, {way}, {ratios.fields} fields of {ratios.centres.astype(int).tolist()} cells: {shown}", flush=True)


def parser() -> Parser:
    """What the command takes."""
    made = Parser("benchmarks.counting_frame", "[OPTION]...", report.__doc__)
    made.add_argument("--smears", type=Number(int), default=6, help="rendered smears, of the three stains in turn")
    made.add_argument("--number", type=Number(int), default=60, help="random places in each")
    return made


if __name__ == "__main__":
    run(report, parser())
