"""What contrast and noise preprocessing is worth: validation fields as they are and spoilt, shown plain and preprocessed."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from rich import box
from rich.table import Table

from detector.accuracy.counts import agreement
from detector.accuracy.precision import MIN_SCORE, average_precision
from detector.annotations import dataset
from detector.annotations.records import Record
from detector.arguments import Parser
from detector.commandline import console, progress_bar, run
from detector.errors import EXIT_DONE, NothingToDoError
from detector.vision import finder, images
from detector.vision.cells import CLASSES
from detector.vision.detections import Detections
from detector.vision.model import Model

Change = Callable[[images.Rgb], images.Rgb]


def clahe(rgb: images.Rgb) -> images.Rgb:
    """Contrast-limited adaptive histogram equalization of the lightness."""
    lab = cv2.cvtColor(rgb, cv2.COLOR_RGB2LAB)
    lab[:, :, 0] = cv2.createCLAHE(clipLimit=2.0, tileGridSize=(8, 8)).apply(lab[:, :, 0])
    return np.asarray(cv2.cvtColor(lab, cv2.COLOR_LAB2RGB))


def white_background(rgb: images.Rgb) -> images.Rgb:
    """Each channel scaled so that the background, its 95th percentile, has one brightness."""
    background = np.percentile(rgb.reshape(-1, 3), 95, axis=0)
    return np.clip(rgb * (230 / np.maximum(background, 1)), 0, 255).astype(np.uint8)


def _spoilt(name: str, rgb: images.Rgb, seed: int) -> images.Rgb:
    # The albumentations of training, at about the strongest that it draws, or beyond.
    import albumentations as A

    spoilers = {
        "defocus": A.Defocus(radius=(3, 3), alias_blur=(0.2, 0.2), p=1),
        "noise": A.GaussNoise(std_range=(0.06, 0.06), p=1),
        "JPEG 30": A.ImageCompression(quality_range=(30, 30), p=1),
        "half the light": A.RandomBrightnessContrast(brightness_limit=(-0.3, -0.3), contrast_limit=(-0.3, -0.3), p=1),
    }
    if name == "as it is":
        return rgb
    return np.asarray(A.Compose([spoilers[name]], seed=seed)(image=rgb)["image"])


SPOILT = ("as it is", "defocus", "noise", "JPEG 30", "half the light")
PREPROCESSED: dict[str, Change] = {
    "plain": lambda rgb: rgb,
    "CLAHE": clahe,
    "median 3x3": lambda rgb: np.asarray(cv2.medianBlur(rgb, 3)),
    "bilateral": lambda rgb: np.asarray(cv2.bilateralFilter(rgb, 5, 30, 3)),
    "white background": white_background,
}


def command(*, data: Sequence[Path], model: Path | None) -> int:
    """Print mAP50-95 and the mean absolute error of the counts for each way to spoil and to preprocess."""
    loaded = Model.load(model)
    records = [record for file in data for record in dataset.read(file, "val")]
    if not records:
        raise NothingToDoError(f"{', '.join(map(str, data))}: no val fields")
    table = Table(
        "field",
        "shown",
        "mAP50-95",
        *(f"{name} MAE" for name in CLASSES),
        title=f"{len(records)} val fields",
        box=box.SIMPLE_HEAD,
    )
    with progress_bar("showing", len(SPOILT) * len(PREPROCESSED)) as advance:
        for spoiler in SPOILT:
            for name, change in PREPROCESSED.items():
                table.add_row(spoiler, name, *_figures(loaded, records, spoiler, change))
                advance(1)
            table.add_section()
    console.print(table)
    return EXIT_DONE


def _figures(model: Model, records: Sequence[Record], spoiler: str, change: Change) -> list[str]:
    least = np.array(model.card.minimum())
    detections, counted = [], []
    for record in records:
        assert record.image is not None
        rgb = change(_spoilt(spoiler, images.read(record.image), zlib.crc32(record.name.encode())))
        every = finder.find(model, rgb, min_score=MIN_SCORE).cells
        detections.append(every)
        counted.append(_at(every, least))
    plain = [replace(record, image=None) for record in records]
    ap = average_precision(plain, detections).mean_ap50_95
    errors = [
        agreement([c.counts()[name] for c in counted], [int((r.label == k).sum()) for r in records]).mae
        for k, name in enumerate(CLASSES)
    ]
    return ["-" if ap is None else f"{ap.value:.3f}", *("-" if e is None else f"{e.value:.2f}" for e in errors)]


def _at(detections: Detections, least: np.ndarray) -> Detections:
    """Cells from the model's thresholds on."""
    return detections[detections.score >= least[detections.label]]


def parser() -> Parser:
    """What the command takes."""
    made = Parser("benchmarks.preprocessing", "[OPTION]... --data <path>", command.__doc__)
    made.add_argument(
        "--data", type=Path, action="append", required=True, help="data.yaml of datasets whose val fields are shown"
    )
    made.add_argument("--model", type=Path, help="an .onnx model of ours; default: the one shipped")
    return made


def main() -> None:
    """Entry point."""
    run(command, parser())


if __name__ == "__main__":
    main()
