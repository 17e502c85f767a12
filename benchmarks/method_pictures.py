"""The pictures of `docs/methods.md`: what each method of `detector.baselines` sees of a rendered field, and the cells that it finds."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from detector.annotations.records import Record
from detector.arguments import Number, Parser
from detector.baselines import crops, features
from detector.baselines.candidates import Candidates
from detector.baselines.circles import HoughCircles, IterativeCircles
from detector.baselines.methods import Classical, LabelledField, red_width_px
from detector.baselines.rcnn import RegionNetwork
from detector.baselines.unet import UNet
from detector.baselines.watershed import Watershed
from detector.baselines.white_cells import CmykMoments, HueSaturation, cmyk
from detector.commandline import console, run, tracked
from detector.errors import EXIT_DONE, writing
from detector.output.files import write_bytes
from detector.synthetic.series import Series
from detector.vision.cells import CLASSES, PLATELETS, RBC, WBC
from detector.vision.images import Rgb

TRAIN_FIELDS = 8
SIZE_WH = (280, 210)
"""Width and height of a field, with red cells 38 px wide."""
COLOURS = {RBC: (200, 40, 40), WBC: (20, 90, 200), PLATELETS: (20, 140, 60)}
_GAP_PX, _CROP_PX, _CROPS = 6, 56, 9
_QUALITY = 82
_GREY = (90, 90, 90)


def _ground(method: Any, rgb: Rgb) -> Rgb:
    """Cells white, and what has the colour of a nucleus in blue."""
    picture = _grey(method.ground.cells(rgb) * 255.0)
    picture[method.colour.nuclei(rgb)] = COLOURS[WBC]
    return picture


def _edges(_: Any, rgb: Rgb) -> Rgb:
    """The edges that point to circles."""
    return _grey(255 - cv2.Canny(cv2.medianBlur(rgb[:, :, 1], 5), 30, 60))


def _depth(method: IterativeCircles, rgb: Rgb) -> Rgb:
    """How far each pixel of a cell is from the ground."""
    depth = method.depth(rgb)
    return _grey(255 * depth / max(1.0, float(depth.max())))


def _nuclei(method: HueSaturation, rgb: Rgb) -> Rgb:
    return _grey(method.nuclei(rgb) * 255.0)


def _ink(method: CmykMoments, rgb: Rgb) -> Rgb:
    """The ink by which it knows nuclei."""
    return _grey(255 - cmyk(rgb)[:, :, method.ink])


def _segments(method: Candidates, rgb: Rgb) -> Rgb:
    """Every segment that the forest judges."""
    segments = method.watershed.segments(rgb)
    return _boxed(rgb, segments, [_GREY] * len(segments))


def _weighed(method: RegionNetwork, rgb: Rgb) -> Rgb:
    """Every box that may be a cell by the second stage, whatever its score."""
    xyxy = method.find(rgb).xyxy
    return _boxed(rgb, xyxy, [_GREY] * len(xyxy))


def _middles(method: UNet, rgb: Rgb) -> Rgb:
    """The middles of cells, by class."""
    most = method.probabilities(rgb).argmax(axis=0)
    picture = np.full((*most.shape, 3), 255, dtype=np.uint8)
    for label, colour in COLOURS.items():
        picture[most == label + 1] = colour
    return picture


SEEN: dict[type[Classical], Callable[[Any, Rgb], Rgb]] = {
    Watershed: _ground,
    HoughCircles: _edges,
    IterativeCircles: _depth,
    HueSaturation: _nuclei,
    CmykMoments: _ink,
    Candidates: _segments,
    UNet: _middles,
    RegionNetwork: _weighed,
}
"""What a method sees of a field of its working size."""


def command(out: Path, seed: int) -> int:
    """Fit each method on rendered fields and draw what it sees of another one, and crops as classifiers get them."""
    *train, test = _rendered(seed)
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        with tracked("drawing", list(SEEN)) as kinds:
            for kind in kinds:
                method = kind()
                method.fit(train)
                small = test.shrunk(min(1.0, method.widest_px / red_width_px(train)))
                seen = cv2.resize(SEEN[kind](method, small.rgb), SIZE_WH, interpolation=cv2.INTER_NEAREST)
                detections = method.detect(test.rgb)
                boxed = _boxed(test.rgb, detections.xyxy, [COLOURS[label] for label in detections.label.tolist()])
                _write(out / f"{method.name.lower().replace(' ', '_')}.jpg", _beside([seen, boxed]))
        _write(out / "crops.jpg", _crops(test))
    console.print(f"pictures: {out}", markup=False, soft_wrap=True)
    return EXIT_DONE


def _rendered(seed: int) -> list[LabelledField]:
    series = Series(TRAIN_FIELDS + 1, size_wh=SIZE_WH, um_per_px=0.2, seed=seed, rbc=22, wbc=2, platelets=4, touching=0.4)
    return [
        LabelledField(Record(f"field{i}", None, SIZE_WH, field.xyxy, field.label, ignore=field.ignore), field.image)
        for i, (_, field) in enumerate(series.render())
    ]


def _crops(field: LabelledField) -> Rgb:
    """Rows of the same cells: as they are, preprocessed, and with their outlines."""
    cut = crops.of_boxes([field])
    rare = [i for label in range(len(CLASSES)) for i in np.flatnonzero(cut.label == label)[: _CROPS // 3].tolist()]
    rows: tuple[list[Rgb], ...] = ([], [], [])
    for rgb in (cut.pictures[i] for i in rare):
        outline = _grey(features.outline(rgb) * 255.0)
        for row, picture in zip(rows, (rgb, features.enhance(rgb), outline), strict=True):
            row.append(np.asarray(cv2.resize(picture, (_CROP_PX, _CROP_PX), interpolation=cv2.INTER_AREA), dtype=np.uint8))
    return np.concatenate([_beside(row) for row in rows])


def _grey(plane: NDArray[Any]) -> Rgb:
    return np.repeat(plane.astype(np.uint8)[:, :, None], 3, axis=2)


def _boxed(rgb: Rgb, xyxy: NDArray[np.float32], colours: Sequence[tuple[int, int, int]]) -> Rgb:
    picture = rgb.copy()
    for (x1, y1, x2, y2), colour in zip(np.rint(xyxy).astype(int).tolist(), colours, strict=True):
        cv2.rectangle(picture, (x1, y1), (x2 - 1, y2 - 1), colour, 1)
    return picture


def _beside(pictures: Sequence[Rgb]) -> Rgb:
    """Pictures of one height in a row, with white between them and below."""
    padded = [np.pad(picture, ((0, _GAP_PX), (0, _GAP_PX), (0, 0)), constant_values=255) for picture in pictures]
    return np.concatenate(padded, axis=1)


def _write(path: Path, rgb: Rgb) -> None:
    _, encoded = cv2.imencode(".jpg", rgb[:, :, ::-1], (cv2.IMWRITE_JPEG_QUALITY, _QUALITY))
    write_bytes(path, encoded.tobytes())


def parser() -> Parser:
    """What the command takes."""
    made = Parser("benchmarks.method_pictures", "[OPTION]...", command.__doc__)
    made.add_argument("--out", type=Path, default=Path("docs/methods"), help="folder for the pictures")
    made.add_argument("--seed", type=Number(int, 0), default=5, help="random seed of the fields")
    return made


def main() -> None:
    """Entry point."""
    run(command, parser())


if __name__ == "__main__":
    main()
