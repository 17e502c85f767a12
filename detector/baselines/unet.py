"""Counting by semantic segmentation: a small U-Net says of each pixel whether it lies in the middle of a cell of one of the classes.

Nobody draws outlines for it: the middle of a cell is an ellipse in its labelled box. Middles of touching cells do not touch, so that each
connected area is one cell.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from detector.baselines.methods import Classical, LabelledField, detections_of, spread
from detector.baselines.networks import pixels, seeded, stage, tinted, train, weights_bytes
from detector.vision import boxes
from detector.vision.cells import CLASSES, PLATELETS, RBC, WBC
from detector.vision.detections import Detections
from detector.vision.images import Rgb

STEPS = 300
"""Batches that it learns from."""
_BATCH, _PATCH_PX = 8, 64
"""Patches of a batch, and their side."""
_RATE = 0.01
_WIDTHS = (8, 16, 32, 48)
"""Channels of each level; one is half as large as the one above."""
_LEAK = 0.1
"""Slope of rectifiers below 0. Without one all channels may be 0 in the darkest nuclei, where nothing can then be learned."""
_MIDDLE = 0.6
"""Sides of a cell's middle, in those of its box."""
_IN_CELLS = 3.0
"""What a pixel in a labelled box weighs in the loss, beside one of the ground; more in cells smaller than red ones, which weigh as much."""
_MOST_GROWN = 12
"""Fields by which it learns how much larger cells are than what it sees of them."""
_LEAST = 0.25
"""Area of the smallest middle that is a cell, in that of the tenth smallest of a hundred."""
_IGNORED = -1

Box = tuple[float, float, float, float]
Labelled = NDArray[np.int64]
"""A class for each pixel of a field, of shape (h, w): 0 for none, 1 more than the label of a cell, `_IGNORED` where nobody knows."""


class UNet(Classical):
    """Learns from patches of the training fields, as many around cells of each class, turned and tinted."""

    name = "U-Net"
    source = (
        "after Ronneberger O et al., U-Net: convolutional networks for biomedical image segmentation, MICCAI 2015; 234-241, "
        "arXiv:1505.04597"
    )
    seeks = (RBC, WBC, PLATELETS)
    steps = STEPS
    widest_px = 24.0

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def learn(self, fields: Sequence[LabelledField], classes: Sequence[int]) -> None:
        """Learn from fields of the working size."""
        patches = _Patches(fields, classes, self.width_px, self.seed)
        self.least_px = {label: _least_area(fields, label) for label in classes}
        with seeded(self.seed):
            self.network = _Levels(len(CLASSES) + 1)
            optimizer = torch.optim.Adam(self.network.parameters(), _RATE)
            train(self.network, optimizer, lambda: self._loss(*patches.batch()), self.steps, self.advance)
        self.growth = self._learnt_growth(fields)

    def _loss(self, rgb: NDArray[np.uint8], label: Labelled, weight: NDArray[np.float32]) -> Tensor:
        """Of a batch of patches, each of shape (n, side, side), pixels with a last axis of 3."""
        outputs = self.network(tinted(pixels(rgb)))
        losses = functional.cross_entropy(outputs, torch.from_numpy(label), ignore_index=_IGNORED, reduction="none")
        return (losses * torch.from_numpy(weight)).mean()

    def probabilities(self, rgb: Rgb) -> NDArray[np.float32]:
        """Of ground and each class for each pixel of a field of the working size, of shape (classes + 1, h, w)."""
        h, w = rgb.shape[:2]
        deepest = 2 ** (len(_WIDTHS) - 1)
        padded = np.pad(rgb, ((0, -h % deepest), (0, -w % deepest), (0, 0)), mode="edge")
        with torch.inference_mode():
            return np.asarray(self.network(pixels(padded[None]))[0].softmax(dim=0).numpy()[:, :h, :w])

    def find(self, rgb: Rgb) -> Detections:
        """The cells of a field; a score is the mean probability in a cell's middle."""
        middles = list(self._middles(rgb))
        xyxy = [_grown(box, self.growth[label]) for label, box, _ in middles]
        return detections_of(
            xyxy, [score for *_, score in middles], [label for label, *_ in middles], (rgb.shape[1], rgb.shape[0])
        )

    def _middles(self, rgb: Rgb) -> Iterator[tuple[int, Box, float]]:
        """Label, box and score of each connected area that is large enough."""
        probability = self.probabilities(rgb)
        most = probability.argmax(axis=0)
        for label, least_px in self.least_px.items():
            _, areas, stats, _ = cv2.connectedComponentsWithStats((most == label + 1).astype(np.uint8), connectivity=4)
            sums = np.bincount(areas.ravel(), probability[label + 1].ravel(), minlength=len(stats))
            for (x, y, w, h, area), total in zip(stats[1:].tolist(), sums[1:].tolist(), strict=True):
                if area >= least_px:
                    yield label, (x, y, x + w, y + h), total / area

    def _learnt_growth(self, fields: Sequence[LabelledField]) -> dict[int, float]:
        """Side of a cell's box over that of what is seen of it, by label."""
        ratios: dict[int, list[float]] = {label: [] for label in self.least_px}
        for field in [fields[i] for i in spread(len(fields), _MOST_GROWN)]:
            for label, box, _ in self._middles(field.rgb):
                around = _around(box, field.record.xyxy[field.record.label == label])
                if len(around) == 1:
                    ratios[label].append(float(boxes.side(around)[0] / boxes.side(np.array([box], dtype=np.float32))[0]))
        return {label: float(np.median(of_label)) if of_label else 1 / _MIDDLE for label, of_label in ratios.items()}

    def size_bytes(self) -> int:
        """Size of the weights."""
        return weights_bytes(self.network)


class _Patches:
    """Squares of labelled fields, each with a cell of a class that is drawn first, so that rare classes are seen too."""

    def __init__(self, fields: Sequence[LabelledField], classes: Sequence[int], width_px: float, seed: int) -> None:
        # What lies beyond the border of a field that is smaller than a patch is ignored.
        short = [[(0, max(0, _PATCH_PX - side)) for side in field.rgb.shape[:2]] for field in fields]
        truth = [_truth(field, classes, width_px) for field in fields]
        self._rgb = [np.pad(field.rgb, (*pad, (0, 0)), mode="edge") for field, pad in zip(fields, short, strict=True)]
        self._label = [np.pad(label, pad, constant_values=_IGNORED) for (label, _), pad in zip(truth, short, strict=True)]
        self._weight = [np.pad(weight, pad) for (_, weight), pad in zip(truth, short, strict=True)]
        self._cells = [[(i, *centre) for i, field in enumerate(fields) for centre in _centres(field, label)] for label in classes]
        self._rng = np.random.default_rng(seed)

    def batch(self) -> tuple[NDArray[np.uint8], Labelled, NDArray[np.float32]]:
        """Pixels, classes and weights of some patches."""
        rgb, label, weight = (np.stack(parts) for parts in zip(*(self._drawn() for _ in range(_BATCH)), strict=True))
        return rgb, label, weight

    def _drawn(self) -> tuple[Rgb, Labelled, NDArray[np.float32]]:
        cells = self._cells[self._rng.integers(len(self._cells))]
        i, y, x = cells[self._rng.integers(len(cells))]
        corner = np.array([y, x]) - self._rng.integers(_PATCH_PX, size=2)
        top, left = np.clip(corner, 0, np.array(self._label[i].shape) - _PATCH_PX).tolist()
        part = np.s_[top : top + _PATCH_PX, left : left + _PATCH_PX]
        turns, mirrored = int(self._rng.integers(4)), self._rng.random() < 0.5

        def turned(plane: NDArray[Any]) -> NDArray[Any]:
            return np.rot90(plane[part][:, ::-1] if mirrored else plane[part], turns)

        return turned(self._rgb[i]), turned(self._label[i]), turned(self._weight[i])


def _centres(field: LabelledField, label: int) -> list[tuple[int, int]]:
    """Row and column of the middle of each cell of a class."""
    middles = boxes.centre(field.record.xyxy[field.record.label == label]).astype(int)
    return [(y, x) for x, y in middles.tolist()]


class _Levels(nn.Module):
    """Down to small pictures of many channels, and up again, with what each level saw on the way down."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        before = (3, *_WIDTHS)
        self.down = nn.ModuleList(_twice(a, b) for a, b in pairwise(before))
        self.up = nn.ModuleList(_twice(a + b, a) for a, b in pairwise(_WIDTHS))
        self.last = nn.Conv2d(_WIDTHS[0], outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """From shape (n, 3, h, w) to (n, outputs, h, w), sides divisible by the deepest level's step."""
        seen: list[Tensor] = []
        for down in self.down:
            x = down(functional.max_pool2d(x, 2) if seen else x)
            seen.append(x)
        for up, beside in zip(reversed(self.up), reversed(seen[:-1]), strict=True):
            x = up(torch.cat([beside, functional.interpolate(x, scale_factor=2.0)], dim=1))
        return torch.as_tensor(self.last(x))


def _twice(before: int, after: int) -> nn.Sequential:
    return nn.Sequential(stage(before, after, leak=_LEAK), stage(after, after, leak=_LEAK))


def _truth(field: LabelledField, classes: Sequence[int], width_px: float) -> tuple[Labelled, NDArray[np.float32]]:
    """What each pixel is, and what it weighs; a pixel in the middles of two cells belongs to neither.

    Args:
        width_px: of red cells.
    """
    record = field.record
    chosen = np.isin(record.label, classes)
    label = np.zeros(field.rgb.shape[:2], dtype=np.int64)
    times = np.zeros(label.shape, dtype=np.uint8)
    weight = np.ones(label.shape, dtype=np.float32)
    for xyxy, of_cell in zip(record.xyxy[chosen], record.label[chosen].tolist(), strict=True):
        middle = _ellipse(label.shape, xyxy)
        label[middle] = of_cell + 1
        times += middle
        smaller = max(1.0, width_px**2 / max(float(boxes.area(xyxy[None])[0]), 1.0))
        inside = boxes.mask(xyxy[None], record.size_wh)
        weight[inside] = np.maximum(weight[inside], _IN_CELLS * smaller)
    label[times > 1] = 0
    label[boxes.mask(record.ignore, record.size_wh) & (times == 0)] = _IGNORED
    return label, weight


def _ellipse(shape: tuple[int, ...], xyxy: NDArray[np.float32]) -> NDArray[np.bool_]:
    """The middle of a box; at least the pixel at its centre."""
    (x, y), (w, h) = ((xyxy[:2] + xyxy[2:]) / 2).tolist(), ((xyxy[2:] - xyxy[:2]) * _MIDDLE).tolist()
    # Sixteenths of a pixel, of which OpenCV takes 0 for the middle of one.
    drawn = cv2.ellipse(
        np.zeros(shape[:2], dtype=np.uint8),
        (round((x - 0.5) * 16), round((y - 0.5) * 16)),
        (max(1, round((w - 1) * 8)), max(1, round((h - 1) * 8))),
        0, 0, 360, 1, cv2.FILLED, cv2.LINE_8, 4,
    )  # fmt: skip
    return np.asarray(drawn) > 0


def _least_area(fields: Sequence[LabelledField], label: int) -> float:
    """Area from which on a middle is a cell of a class, in pixels."""
    areas = np.concatenate([boxes.area(field.record.xyxy[field.record.label == label]) for field in fields])
    return max(2.0, _LEAST * float(np.percentile(areas, 10)) * _MIDDLE**2 * np.pi / 4)


def _around(box: Box, xyxy: boxes.Boxes) -> boxes.Boxes:
    """Those of some boxes that hold the centre of this one."""
    x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
    return xyxy[(xyxy[:, 0] <= x) & (x < xyxy[:, 2]) & (xyxy[:, 1] <= y) & (y < xyxy[:, 3])]


def _grown(box: Box, growth: float) -> Box:
    """A box of the same centre with sides so many times as long."""
    more_w, more_h = (box[2] - box[0]) * (growth - 1) / 2, (box[3] - box[1]) * (growth - 1) / 2
    return box[0] - more_w, box[1] - more_h, box[2] + more_w, box[3] + more_h
