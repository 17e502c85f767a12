"""Cells counted once in simulated streams, against the truth and against the model's own count of the same area at rest.

    python -m benchmarks.stream_accuracy [--seeds 3] [--fields datasets/bccd_complete/images/val]

Merging is judged with a detector that knows the truth (boxes jittered by 1.5 px), so that its error is none of the detector's. The
shipped model is then compared with the truth and with what it finds in the whole area at once: the difference to the latter is what
the stream adds. The truth is the cells whose centre was in a view that was used. With `--fields`, the pan goes over labelled fields
laid side by side, of which the seams cut cells, as labels and model see them.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from detector.arguments import Number, Parser
from detector.commandline import run
from detector.errors import UsageError
from detector.streams.modes import CONFIRMATIONS, FieldsMode, ScanMode, Search
from detector.streams.sources.simulated import SimulatedCamera
from detector.streams.sources.source import Frame
from detector.streams.survey import Searching, Survey
from detector.synthetic.microscope import Smear
from detector.vision import boxes, finder, images
from detector.vision.cells import CLASSES
from detector.vision.detections import Detections
from detector.vision.model import Model

STREAMS = (
    ("serpentine, 30 % overlap", "scan", "fake:serpentine?rows=4&columns=4"),
    ("the same path twice over itself", "scan", "fake:revisit?columns=5"),
    ("vibration of 0.3 px", "scan", "fake:vibration?rows=4&columns=4"),
    ("light drifts by 20 %", "scan", "fake:drift?rows=4&columns=4"),
    ("out of focus in stretches", "scan", "fake:defocus?rows=4&columns=4"),
    ("all of it, PBC's stain", "scan", "fake:rough?rows=4&columns=4&stain=pbc"),
    ("stop and go", "fields", "fake:fields?rows=4&columns=4&vibration=0.3&drift=0.2"),
)
JITTER_PX = 1.5


@dataclass(frozen=True)
class Run:
    """What came of one stream."""

    truth: NDArray[np.int64]
    """Cells by label whose centre was seen."""
    counted: NDArray[np.int64]
    seen: NDArray[np.bool_]
    """Pixels of the smear that were seen, of shape (h, w)."""
    segments: int
    frames: int
    used: int


class Perfect:
    """A detector that knows what is there; boxes jitter and are cut by the view's border."""

    def __init__(self, fake: SimulatedCamera, jitter_px: float = JITTER_PX, least_seen: float = 0.15) -> None:
        self.fake, self.jitter_px, self.least_seen = fake, jitter_px, least_seen
        self.views = 0
        self._rng = np.random.default_rng(1)

    def __call__(self, frame: Frame) -> Detections:
        """Cells of a frame of which enough is seen."""
        self.views += 1
        x, y, w, h = self.fake.view(frame.index)
        whole = self.fake.microscope.smear.xyxy - np.array([x, y, x, y], dtype=np.float32)
        cut = boxes.clip(whole, (w, h))
        there = np.flatnonzero(boxes.area(cut) > self.least_seen * boxes.area(whole))
        cut = cut[there]
        moved = cut + self._rng.normal(0, self.jitter_px, cut.shape).astype(np.float32)
        border = (cut == 0) | (cut == np.array([w, h, w, h]))
        xyxy = boxes.clip(np.where(border, cut, moved).astype(np.float32), (w, h))
        real = boxes.area(xyxy) > 0
        score = np.full(int(real.sum()), 0.9, dtype=np.float32)
        return Detections(xyxy[real], score, self.fake.microscope.smear.label[there][real], (w, h))


def follow(fake: SimulatedCamera, mode: str, search: Searching) -> Run:
    """Count one stream."""
    counting = ScanMode(Survey(search, CONFIRMATIONS)) if mode == "scan" else FieldsMode(Survey(search, 1))
    centred = np.zeros(len(fake.microscope.smear.label), dtype=bool)
    seen = np.zeros(fake.microscope.smear.rgb.shape[:2], dtype=bool)
    frames = used = 0
    for item in fake:
        if not isinstance(item, Frame):
            counting.fault(item)
            continue
        frames += 1
        if counting.take(item).status == "used":
            used += 1
            centred |= fake.in_view(item.index)
            x, y, w, h = fake.view(item.index)
            seen[round(y) : round(y) + h, round(x) : round(x) + w] = True
    finished = counting.finish()
    counted = np.array([total.count for total in finished.totals.classes.values()])
    return Run(_by_label(fake.microscope.smear.label[centred]), counted, seen, len(finished.segments), frames, used)


def at_rest(fake: SimulatedCamera, model: Model, seen: NDArray[np.bool_]) -> NDArray[np.int64]:
    """What the model finds in the whole smear at once, at the scale of a view, of the cells whose centre was seen, by label."""
    script = fake.microscope.script
    cells = finder.find_at(model, fake.microscope.smear.rgb, model.card.image_px / max(script.width, script.height))
    x, y = np.floor(boxes.centre(cells.xyxy)).astype(int).T
    return _by_label(cells.label[seen[y, x]])


def real_field(folder: Path, columns: int = 4, rows: int = 4) -> Smear:
    """Labelled fields of a dataset folder's `images/SPLIT`, laid side by side."""
    chosen = [path for path in sorted(folder.glob("*.jpg")) if images.read(path).shape == (480, 640, 3)][: columns * rows]
    if len(chosen) < columns * rows:
        raise UsageError(f"{folder}: holds {len(chosen)} fields of 640x480 px, {columns * rows} are needed")
    rgb = np.zeros((rows * 480, columns * 640, 3), dtype=np.uint8)
    xyxy, label = [np.zeros((0, 4), np.float32)], [np.zeros(0, np.int64)]
    for number, path in enumerate(chosen):
        x, y = number % columns * 640, number // columns * 480
        rgb[y : y + 480, x : x + 640] = images.read(path)
        lines = (folder.parents[1] / "labels" / folder.name / f"{path.stem}.txt").read_text(encoding="utf-8")
        labelled = np.array([line.split() for line in lines.splitlines()], dtype=np.float64).reshape(-1, 5)
        middle, half = labelled[:, 1:3] * (640, 480) + np.array([x, y]), labelled[:, 3:5] * (320, 240)
        xyxy.append(np.concatenate([middle - half, middle + half], axis=1).astype(np.float32))
        label.append(labelled[:, 0].astype(np.int64))
    return Smear(rgb, np.concatenate(xyxy), np.concatenate(label))


def _by_label(label: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.bincount(label, minlength=len(CLASSES))


def report(*, seeds: int, fields: Path | None) -> None:
    """Print what was counted in each stream beside the truth and the count at rest."""
    model = Model.load()
    columns = ("stream", "detector", "truth", "counted", "at rest")
    print("{:34} {:9} {:>14} {:>14} {:>14}  all cells: to truth, to rest; segments, used of frames".format(*columns))
    for name, mode, address in STREAMS:
        sums: dict[str, list[NDArray[np.int64]]] = {}
        for seed in range(seeds):
            _one(sums, mode, f"{address}&seed={seed}", model, None)
        for detector, rows in sums.items():
            _line(name, detector, np.sum(rows, axis=0))
    if fields is not None:
        sums = {}
        _one(sums, "scan", "fake:drift?vibration=0.3&rows=4&columns=3.5&noise=0&um_per_px=0.14", model, real_field(fields))
        for detector, rows in sums.items():
            _line("real fields side by side", detector, np.sum(rows, axis=0))


def _one(sums: dict[str, list[NDArray[np.int64]]], mode: str, address: str, model: Model, smear: Smear | None) -> None:
    for detector in ("perfect", "shipped"):
        fake = SimulatedCamera(address, smear)
        um_per_px = None if smear else fake.microscope.script.um_per_px
        run = follow(fake, mode, Perfect(fake) if detector == "perfect" else Search(model, um_per_px))
        rest = run.truth if detector == "perfect" else at_rest(fake, model, run.seen)
        sums.setdefault(detector, []).append(np.array([*run.truth, *run.counted, *rest, run.segments, run.used, run.frames]))


def _line(name: str, detector: str, row: NDArray[np.int64]) -> None:
    truth, counted, rest = row[0:3], row[3:6], row[6:9]
    to_truth, to_rest = (100 * (counted.sum() / counts.sum() - 1) for counts in (truth, rest))
    shown = " ".join(f"{'/'.join(map(str, counts)):>14}" for counts in (truth, counted, rest))
    print(f"{name:34} {detector:9} {shown}  {to_truth:+.2f} %, {to_rest:+.2f} %; {row[9]}, {row[10]} of {row[11]}")


def parser() -> Parser:
    """What the command takes."""
    made = Parser("benchmarks.stream_accuracy", "[OPTION]...", report.__doc__)
    made.add_argument("--seeds", type=Number(int), default=3, help="smears for each kind of stream")
    made.add_argument("--fields", type=Path, help="images/SPLIT of a dataset folder, to pan over real fields")
    return made


if __name__ == "__main__":
    run(report, parser())
