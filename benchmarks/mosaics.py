"""Real fields counted one by one, and put together and counted as a slide, against their labels.

    python -m benchmarks.mosaics datasets/bccd_complete datasets/txl_pbc

Takes validation fields of one size and puts as many together as make a square of about 1,900 px. Cells that a field's border cuts stay cut.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import tifffile

from detector.vision import finder, images, scan, tiles
from detector.vision.cells import CLASSES
from detector.vision.model import Model
from detector.vision.slides.tiff import TiffSlide

SIDE_PX = 1900


def main() -> None:
    """Print labelled cells, those counted in the fields, and those counted in the mosaic."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datasets", nargs="+", type=Path, help="datasets that detector.convert wrote")
    model = Model.load()
    totals = np.zeros((3, len(CLASSES)), dtype=int)
    for dataset in parser.parse_args().datasets:
        for fields in groups(dataset):
            counted = np.array([labelled(fields), one_by_one(model, fields), together(model, fields)])
            totals += counted
            show(f"{dataset.name}, {len(fields)} fields of {fields[0][0].shape[1]}x{fields[0][0].shape[0]} px", counted)
    show("all", totals)


Field = tuple[np.ndarray, list[int]]


def groups(dataset: Path) -> Iterator[list[Field]]:
    """Squares of fields of one size, with their labels."""
    by_size: dict[tuple[int, ...], list[Field]] = {}
    for path in sorted((dataset / "images" / "val").iterdir()):
        rgb = images.read(path)
        lines = (dataset / "labels" / "val" / f"{path.stem}.txt").read_text(encoding="utf-8").splitlines()
        by_size.setdefault(rgb.shape, []).append((rgb, [int(line.split()[0]) for line in lines if line.strip()]))
    for shape, fields in by_size.items():
        number = max(2, round(SIDE_PX / max(shape))) ** 2
        yield from (fields[i : i + number] for i in range(0, len(fields) - number + 1, number))


def labelled(fields: list[Field]) -> np.ndarray:
    """Labelled cells by class."""
    return np.bincount([label for _, labels in fields for label in labels], minlength=len(CLASSES))


def one_by_one(model: Model, fields: list[Field]) -> np.ndarray:
    """Cells counted in each field, summed."""
    return np.sum([list(finder.find(model, rgb).cells.counts().values()) for rgb, _ in fields], axis=0)


def together(model: Model, fields: list[Field]) -> np.ndarray:
    """Cells counted in the fields as one slide whose scale is not told."""
    across = round(len(fields) ** 0.5)
    rows = [np.concatenate([rgb for rgb, _ in fields[i : i + across]], axis=1) for i in range(0, len(fields), across)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mosaic.tif"
        tifffile.imwrite(path, np.concatenate(rows), photometric="rgb", tile=(256, 256))
        with TiffSlide(path) as slide:
            plan = scan.plan(model, slide, slide.overview(scan.OVERVIEW_PX)[0], None)
            looks = [scan.look(model, slide, plan, tile) for tile in plan.tiles]
            owned = scan.settle(model, slide.size_wh, plan, [look.detections for look in looks])
            return np.array(list(tiles.joined(owned, slide.size_wh).counts().values()))


def show(name: str, counted: np.ndarray) -> None:
    """Print one line."""
    shown = "   ".join(f"{name} {' / '.join(str(n) for n in counted[:, i])}" for i, name in enumerate(CLASSES))
    print(f"{name}: labelled / in fields / as a slide: {shown}")


if __name__ == "__main__":
    main()
