"""Counts of a large rendered region against its truth, at the seams between tiles and elsewhere, and what a large file costs.

    python -m benchmarks.large_region                         # 12,000 x 12,000 px, every cell known
    python -m benchmarks.large_region --side 30000 --filled 0.1 --pyramid

With `--filled`, cells lie in that share of the region and the rest is bare glass. Prints a table and the peak memory of this process,
and writes `runs/benchmarks/large_region.json`. The region is written to a file first and searched by windows, in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import math
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile

from detector.engines import inputs, job
from detector.engines.local import Work
from detector.output.files import write_text
from detector.output.journal import Journal
from detector.synthetic import layout, render, stain
from detector.vision import boxes, scan, tiles
from detector.vision.cells import CLASSES
from detector.vision.detections import Detections
from detector.vision.model import Model, processors
from detector.vision.slides import formats

FOLDER = Path("runs/benchmarks")
BLOCK_PX = 2048
REACH_PX = 256
MATCH = 0.3
"""Boxes of a true and a found cell overlap by this much at least; of platelets, a few pixels wide, no more can be asked."""


def main() -> None:
    """Render a region, search it, and print how they agree."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--side", type=int, default=12_000)
    parser.add_argument("--filled", type=float, default=1.0)
    parser.add_argument("--um-per-px", type=float, default=layout.UM_PER_PX)
    parser.add_argument("--stain", default="bccd", choices=list(stain.PRESETS))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--pyramid", action="store_true", help="write all sizes down to 1,000 px, as JPEG tiles")
    parser.add_argument("--search", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.search:
        print(json.dumps(search(options.search)))
        return
    FOLDER.mkdir(parents=True, exist_ok=True)
    name = f"region_{options.side}_{options.filled:g}_{options.um_per_px:g}_{options.stain}_{options.seed}{'_pyramid' * options.pyramid}"
    path, truth_path = FOLDER / f"{name}.tif", FOLDER / f"{name}.npz"
    if not truth_path.exists():
        region = Region(options.side, options.filled, options.stain, options.seed, options.um_per_px)
        write(path, region, options.pyramid)
        np.savez(truth_path, xyxy=np.concatenate(region.xyxy), label=np.concatenate(region.label))
    command = [sys.executable, "-m", "benchmarks.large_region", "--search", str(path)]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)  # noqa: S603
    measured = json.loads(done.stdout.splitlines()[-1])
    truth = np.load(truth_path)
    result = {
        "side_px": options.side,
        "file_bytes": path.stat().st_size,
        **compare(path, truth["xyxy"], truth["label"], measured),
    }
    result["machine"] = {"processor": platform.processor() or platform.machine(), "processors": processors()}
    show(result)
    write_text(FOLDER / f"{name}.json", json.dumps(result, indent=2) + "\n")


class Region:
    """A rendered smear that is made block by block; blocks show the same cells where they meet."""

    def __init__(self, side: int, filled: float, look: str, seed: int, um_per_px: float) -> None:
        self.side, self.filled = side, max(1, round(side * math.sqrt(filled)))
        self.plan = layout.plan((self.filled, self.filled), stain.preset(look), seed, um_per_px=um_per_px)
        self.glass = np.percentile(render.window(self.plan, 0, 0, 512, 512).image, 95, axis=(0, 1)).astype(np.uint8)
        self.xyxy: list[np.ndarray] = []
        self.label: list[np.ndarray] = []

    def row(self, y1: int, y2: int) -> np.ndarray:
        """Pixels of rows `y1` to `y2`, and their cells into the truth: each cell is of the block that holds its centre."""
        rgb = np.broadcast_to(self.glass, (y2 - y1, self.side, 3)).copy()
        low = min(y2, self.filled)
        for x1 in range(0, self.filled if low > y1 else 0, BLOCK_PX):
            x2 = min(x1 + BLOCK_PX, self.filled)
            ax, ay = max(x1 - REACH_PX, 0), max(y1 - REACH_PX, 0)
            bx, by = min(x2 + REACH_PX, self.filled), min(low + REACH_PX, self.filled)
            seen = render.window(self.plan, ax, ay, bx - ax, by - ay)
            rgb[: low - y1, x1:x2] = seen.image[y1 - ay : low - ay, x1 - ax : x2 - ax]
            xyxy = seen.xyxy + np.array([ax, ay, ax, ay], np.float32)
            centre = boxes.centre(xyxy)
            mine = ((centre >= (x1, y1)) & (centre < (x2, low))).all(axis=1)
            self.xyxy.append(xyxy[mine])
            self.label.append(seen.label[mine])
        return rgb


def write(path: Path, region: Region, pyramid: bool) -> None:
    """Write the region as a TIFF of 512 px tiles; a pyramid also holds every half, made as the rows come."""
    side = region.side
    steps = [2**i for i in range(1, 8) if side / 2**i >= 1000] if pyramid else []
    smaller = [np.zeros((math.ceil(side / step), math.ceil(side / step), 3), np.uint8) for step in steps]
    options: dict[str, Any] = {"tile": (512, 512), "photometric": "rgb", "resolutionunit": "centimeter", "metadata": None}
    if pyramid:
        options |= {"compression": "jpeg", "compressionargs": {"level": 90}}

    def pieces() -> Iterator[np.ndarray]:
        for y1 in range(0, side, BLOCK_PX):
            rows = region.row(y1, min(y1 + BLOCK_PX, side))
            print(f"\rrendered {min(y1 + BLOCK_PX, side)} of {side} rows", end="", file=sys.stderr)
            for step, small in zip(steps, smaller, strict=True):
                part = small[y1 // step : min(y1 + BLOCK_PX, side) // step]
                part[:] = cv2.resize(rows, (small.shape[1], len(part)), interpolation=cv2.INTER_AREA)
            for top in range(0, len(rows), 512):
                for left in range(0, side, 512):
                    yield padded(rows[top : top + 512, left : left + 512])

    with tifffile.TiffWriter(path, bigtiff=True) as file:
        resolution = (1e4 / region.plan.um_per_px,) * 2
        file.write(pieces(), shape=(side, side, 3), dtype=np.uint8, subifds=len(steps), resolution=resolution, **options)
        for step, small in zip(steps, smaller, strict=True):
            file.write(small, subfiletype=1, resolution=(1e4 / region.plan.um_per_px / step,) * 2, **options)
    print(file=sys.stderr)


def padded(tile: np.ndarray) -> np.ndarray:
    """A tile at the border, filled up."""
    return (
        np.pad(tile, [(0, 512 - tile.shape[0]), (0, 512 - tile.shape[1]), (0, 0)], mode="edge")
        if tile.shape[:2] != (512, 512)
        else tile
    )


def search(path: Path) -> dict[str, Any]:
    """Count a file as the command does, and say what it took."""
    formats.WINDOWED_PX = 0  # a small region is searched in the same way
    fields = inputs.search([str(path)]).fields
    journal_path = path.with_suffix(".jsonl")
    journal_path.unlink(missing_ok=True)
    model = Model.load()
    before = peak_mb()
    began = time.perf_counter()
    with Journal(journal_path, {}, resume=False) as journal:
        outcome = job.count_fields(fields, Work(model, processors(), journal))
        seconds = time.perf_counter() - began
        result = journal.read(fields[0].field)
    assert result.slide is not None, outcome.unread
    assert isinstance(result.cells, Detections)
    np.savez(path.with_suffix(".found.npz"), xyxy=result.cells.xyxy, label=result.cells.label)
    kinds = {kind: result.slide.number(kind) for kind in (scan.COUNTED, scan.EMPTY, scan.UNFOCUSED, scan.UNREADABLE)}
    seams = sorted({v for tile in result.slide.tiles for v in tile.owned[:2] if v})
    note = result.note
    took = {"seconds": seconds, "peak_mb": peak_mb(), "peak_before_mb": before}
    return {**took, "tiles": kinds, "note": note, "seams": seams, "rbc_px": result.slide.rbc_px}


def peak_mb() -> float:
    """Most memory that this process held at any time; what `getrusage` says counts its parent's too."""
    status = Path("/proc/self/status")
    if status.exists():
        return (
            next(int(line.split()[1]) for line in status.read_text(encoding="ascii").splitlines() if line.startswith("VmHWM"))
            / 1024
        )
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def compare(path: Path, xyxy: np.ndarray, label: np.ndarray, measured: dict[str, Any]) -> dict[str, Any]:
    """Found and true cells, within a cell's width of the seams and elsewhere."""
    cells = np.load(path.with_suffix(".found.npz"))
    seams = np.array(measured.pop("seams"), dtype=np.float32)

    def at_seam(boxes_px: np.ndarray) -> np.ndarray:
        centre = boxes.centre(boxes_px)
        order = np.clip(np.searchsorted(seams, centre), 1, max(len(seams) - 1, 1))
        off = np.stack([centre - seams[order - 1], centre - seams[np.minimum(order, len(seams) - 1)]])
        # Half-open, for true centres lie on whole and half pixels, also on the band's very edges.
        return np.asarray(((off >= -measured["rbc_px"]) & (off < measured["rbc_px"])).any(axis=(0, 2)))

    near, true_near = at_seam(cells["xyxy"]), at_seam(xyxy)
    missed, extra = unmatched(xyxy, label, cells["xyxy"], cells["label"])
    table = {}
    for i, name in enumerate(CLASSES):
        mine, theirs = cells["label"] == i, label == i
        table[name] = {
            place: {
                "true": int((theirs & true_here).sum()),
                "found": int((mine & here).sum()),
                "missed": int((theirs & true_here & missed).sum()),
                "extra": int((mine & here & extra).sum()),
            }
            for place, here, true_here in (("at seams", near, true_near), ("elsewhere", ~near, ~true_near))
        }
    return {**measured, "cells": table, "pairs_that_are_one_cell": pairs(cells["xyxy"], cells["label"])}


def unmatched(
    xyxy: np.ndarray, label: np.ndarray, counted: np.ndarray, counted_label: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Which true cells no found one of their class lies on (IoU `MATCH`, best pairs first), and which found ones lie on no true cell."""
    missed, extra = np.ones(len(label), bool), np.ones(len(counted_label), bool)
    for chunk, others in near_each_other(xyxy, counted):
        overlap = boxes.iou(xyxy[chunk], counted[others]) * (label[chunk][:, None] == counted_label[others])
        for i, j in sorted(zip(*np.nonzero(overlap >= MATCH), strict=True), key=lambda pair: -overlap[pair]):
            if missed[chunk[i]] and extra[others[j]]:
                missed[chunk[i]] = extra[others[j]] = False
    return missed, extra


def pairs(xyxy: np.ndarray, label: np.ndarray) -> int:
    """Pairs of boxes that overlap as only one cell seen twice does."""
    same = 0
    for chunk, others in near_each_other(xyxy, xyxy):
        same += int(
            ((boxes.iou(xyxy[chunk], xyxy[others]) > tiles.SEAM_OVERLAP) & (label[chunk][:, None] == label[others])).sum()
        )
    return (same - len(xyxy)) // 2


def near_each_other(a: np.ndarray, b: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Indices of some of the first boxes, and of those of the second that may touch them."""
    order = np.argsort(a[:, 0], kind="stable")
    for chunk in np.array_split(order, max(1, len(order) // 300)):
        yield chunk, np.flatnonzero((b[:, 0] < a[chunk, 2].max()) & (b[:, 2] > a[chunk, 0].min()))


def show(result: dict[str, Any]) -> None:
    """Print the figures."""
    print(f"{result['side_px']} x {result['side_px']} px, file of {result['file_bytes'] / 1e6:,.0f} MB; {result['note']}")
    print(
        f"{result['seconds']:.0f} s, peak memory {result['peak_mb']:,.0f} MB ({result['peak_before_mb']:,.0f} MB with the model loaded)"
    )
    print(f"{'':10} {'':10} {'true':>7} {'found':>7} {'error':>8} {'missed':>8} {'extra':>8}")
    for name, by_place in result["cells"].items():
        whole = {key: sum(numbers[key] for numbers in by_place.values()) for key in ("true", "found", "missed", "extra")}
        for place, numbers in {"all": whole, **by_place}.items():
            shares = [(numbers["found"] - numbers["true"], "+"), (numbers["missed"], ""), (numbers["extra"], "")]
            shown = " ".join(f"{part / max(numbers['true'], 1):{sign}8.2%}" for part, sign in shares)
            print(f"{name:10} {place:10} {numbers['true']:7d} {numbers['found']:7d} {shown}")
    print(f"pairs of boxes that are one cell: {result['pairs_that_are_one_cell']}")


if __name__ == "__main__":
    main()
