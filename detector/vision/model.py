"""The detector network: pixels of one crop in, cells out. Runs without torch."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from detector.arguments import called
from detector.errors import ModelError
from detector.texts import one_line
from detector.vision import backends, boxes, catalogue, cells
from detector.vision import card as cards
from detector.vision.detections import Detections

_PADDING = 114
_PATIENCE_S = 60.0
"""How long a network may take for the smallest crop, which takes ours some milliseconds."""
_MOST_CANDIDATES = 5000
_SAME_PLACE = 0.45
"""IoU from which on a red and a white cell's box are about one cell: no two labelled ones of 839 fields overlap by more than 0.3."""
_LOBE = 0.7
"""Share of a white cell's box within another's from which on it is a part: no labelled one of these fields lies so by 0.3."""
_UNSURE = 1 / 3
"""Share of its class's threshold from which on a cell that is not counted is listed as unsure."""
_APART = 0.3
"""Share of an unsure box that may lie in a counted one."""


_BLOCK_PX = 8
_LEAST_RANGE = 10
"""In grey levels. In 162 val fields of six datasets in even light, also pale, dim or grey, the least is 29, and 18 with all three; of
noise of 10 grey levels it is 9."""
_FEWEST_BLOCKS = 8
"""Blocks along each side from which on uneven light is known from cells."""
_STEEP = 4 * _LEAST_RANGE
"""Difference of neighbouring blocks that no smooth light makes: most fields with cells need no fit."""

Candidates = tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64]]
"""Boxes of shape (n, 4) in the network's pixels, their scores and labels, of shape (n,)."""
_Placing = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""From boxes in the network's pixels to the crop's."""


class Model:
    """A loaded model; safe to share between threads."""

    def __init__(self, network: backends.Network, card: cards.Card, path: Path, sha256: str) -> None:
        self.card = card
        self.path = path
        self.sha256 = sha256
        self.network = network

    @classmethod
    def load(cls, path: Path | None = None, backend: str = backends.AUTO, workers: int = 1, threads: int = 1) -> Model:
        """Open a model file.

        Args:
            path: an ONNX file of ours, or the name of a model of the catalogue; None is the shipped one.
            backend: what runs it, one of `backends.NAMES`.
            workers: crops that are looked at at a time.
            threads: of the CPU that work on one crop; with one, several crops are best worked on in parallel.

        Raises:
            ModelError: no such file, no ONNX model, not one of ours, or not the one that its card describes.
            UsageError: the backend is not known or not there.
        """
        chosen = catalogue.find(path)
        if chosen.suffix == ".pt":
            raise ModelError(f"{chosen}: weights are for training; make a model of them with {called('export')} {chosen}")
        digest = cards.check_hash(chosen)
        network = backends.open_network(chosen, backend, workers, threads)
        card = cards.from_metadata(network.metadata, chosen)
        _check_answer(network, card, chosen)
        return cls(network, card, chosen, digest)

    def detect(self, rgb: NDArray[np.uint8], min_score: float | None = None, zoom: float | None = None) -> Detections:
        """Cells of one crop.

        Args:
            rgb: pixels of shape (h, w, 3), uint8.
            min_score: least score of a reported cell; None takes the card's threshold of each class.
            zoom: input pixels per crop pixel; None scales the long side to the card's `image_px`.
        """
        size_wh = (rgb.shape[1], rgb.shape[0])
        if is_blank(rgb):
            nothing = Detections.none(size_wh)
            return nothing if min_score is not None else replace(nothing, unsure=nothing)
        pixels, scale, offset = canvas(rgb, self.card, zoom)

        def place(xyxy: NDArray[np.float32]) -> NDArray[np.float32]:
            return boxes.clip((xyxy - offset) / scale, size_wh)

        if min_score is not None:
            least = np.full(len(self.card.class_names), min_score, dtype=np.float32)
            return self._cells(_candidates(self.network.run(pixels, least)), least, place, size_wh)
        least = np.array(self.card.minimum(), dtype=np.float32)
        candidates = _candidates(self.network.run(pixels, least * np.float32(_UNSURE)))
        detections = self._cells(candidates, least, place, size_wh)
        return replace(detections, unsure=self._unsure(candidates, least, place, detections))

    def _cells(self, candidates: Candidates, least: NDArray[np.float32], place: _Placing, size_wh: tuple[int, int]) -> Detections:
        """The cells among the candidates: those that reach the least score of their class, each once."""
        xyxy, score, label = candidates
        chosen = np.flatnonzero(score >= least[label])
        overflown = len(chosen) > _MOST_CANDIDATES
        chosen = chosen[np.argsort(-score[chosen], kind="stable")][:_MOST_CANDIDATES]
        xyxy = place(xyxy[chosen])
        # A box that lies in the padding is left with no area.
        real = boxes.area(xyxy) > 0
        xyxy, chosen = xyxy[real], chosen[real]
        kept = boxes.suppress(xyxy, score[chosen], label[chosen], self.card.nms_iou)
        sure = score[chosen] / np.array(self.card.minimum())[label[chosen]]
        kept = kept[one_each(xyxy[kept], label[chosen][kept], sure[kept])]
        most = self.card.max_cells
        saturated = overflown or len(kept) > most
        kept = kept[:most]
        return Detections(xyxy[kept], score[chosen][kept], label[chosen][kept], size_wh, self.card.class_names, saturated)

    def _unsure(self, candidates: Candidates, least: NDArray[np.float32], place: _Placing, detections: Detections) -> Detections:
        """Candidates below the least score of their class that lie on no cell that was found, each once."""
        xyxy, score, label = candidates
        chosen = np.flatnonzero((score < least[label]) & (score >= _UNSURE * least[label]))
        xyxy = place(xyxy[chosen])
        alone = (boxes.area(xyxy) > 0) & (boxes.inside(xyxy, detections.xyxy) < _APART)
        if not alone.any():
            return Detections.none(detections.size_wh)
        xyxy, score, label = xyxy[alone], score[chosen[alone]], label[chosen[alone]]
        kept = boxes.suppress(xyxy, score, label, self.card.nms_iou)[: self.card.max_cells]
        return Detections(xyxy[kept], score[kept], label[kept], detections.size_wh, detections.class_names)


def is_blank(rgb: NDArray[np.uint8]) -> bool:
    """Whether a crop of shape (h, w, 3) shows nothing but noise in smooth light, in which a network would find what it was trained to find.

    That is so where the means of its blocks of 8 x 8 pixels differ by less than `_LEAST_RANGE`, or would in even light.
    """
    h, w = rgb.shape[:2]
    wh = (max(w // _BLOCK_PX, 1), max(h // _BLOCK_PX, 1))
    blocks = np.asarray(cv2.resize(rgb, wh, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    if _range(blocks.reshape(-1, 3)) < _LEAST_RANGE:
        return True
    if min(blocks.shape[:2]) < _FEWEST_BLOCKS or cv2.absdiff(blocks[:, 1:], blocks[:, :-1]).max() >= _STEEP:
        return False
    return _range(_evenly_lit(blocks)) < _LEAST_RANGE


def _range(levels: NDArray[Any]) -> float:
    """Of the channel in which levels of shape (n, 3) differ most."""
    return float(np.ptp(levels, axis=0).max())


def _evenly_lit(blocks: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Levels of shape (rows * columns, 3) without the surface of second degree that fits them best, as vignetting and tilt are."""
    basis = _surfaces(blocks.shape[0], blocks.shape[1])
    levels = blocks.reshape(-1, 3).astype(np.float32)
    return np.asarray(levels - basis @ (basis.T @ levels))


@lru_cache(8)
def _surfaces(rows: int, columns: int) -> NDArray[np.float32]:
    """An orthonormal basis of surfaces of second degree, of shape (rows * columns, 6)."""
    y, x = (place.ravel() for place in np.mgrid[-1 : 1 : rows * 1j, -1 : 1 : columns * 1j])
    return np.asarray(np.linalg.qr(np.stack([np.ones_like(x), x, y, x * x, x * y, y * y], axis=1))[0], dtype=np.float32)


def _check_answer(network: backends.Network, card: cards.Card, path: Path) -> None:
    """Refuse a network that answers a small grey crop with no numbers, or not at all: it would find no cell in any field.

    Raises:
        ModelError: it does.
    """
    crop = np.full((card.stride_px, card.stride_px, 3), _PADDING, dtype=np.uint8)
    # No score is so low, so every place answers.
    least = np.full(len(card.class_names), -1, dtype=np.float32)
    again = f"make it again from its weights with {called('export')}"
    try:
        answer = network.run_within(crop, least, _PATIENCE_S)
    # Neither program's exceptions share a base class but Exception.
    except Exception as error:
        reason = one_line(error)
        late = isinstance(error, TimeoutError) or "terminate flag" in reason
        what = f"does not answer within {_PATIENCE_S:g} s" if late else f"cannot be run ({reason})"
        raise ModelError(f"{path}: {what}; {again}") from None
    if answer.ndim != 2 or answer.shape[1] != 4 + len(card.class_names):
        raise ModelError(f"{path}: does not give a box and {len(card.class_names)} scores for each place; {again}")
    if not len(answer) or not np.isfinite(answer).all():
        raise ModelError(f"{path}: answers with no numbers (NaN), so its weights are damaged; {again}")


def _candidates(output: NDArray[np.float32]) -> Candidates:
    """What a network gives, of shape (n, 4 + classes), with the best class of each box and its score.

    Raises:
        ArithmeticError: some of it is no number.
    """
    if not np.isfinite(output).all():
        raise ArithmeticError("the model answered with no numbers (NaN)")
    label = output[:, 4:].argmax(axis=1)
    return output[:, :4], output[np.arange(len(output)), 4 + label], label


def one_each(xyxy: boxes.Boxes, label: NDArray[np.int64], sure: NDArray[np.floating[Any]]) -> NDArray[np.bool_]:
    """Which boxes stay so that each cell has one box and one class; of shape (n,).

    Of a red and a white cell's box in one place the less sure one goes; of a white cell's box within another's, which is one of its
    lobes, the smaller. What is not sure enough to be counted never takes the place of what is.

    Args:
        sure: score as a multiple of the least score of a counted cell of that class, of shape (n,).
    """
    stays = np.ones(len(label), dtype=bool)
    white = np.flatnonzero(label == cells.WBC)
    if not len(white):
        return stays
    red = np.flatnonzero(label == cells.RBC)
    overlap = boxes.iou(xyxy[red], xyxy[white])
    for i, k in np.argwhere(overlap >= _SAME_PLACE):
        stays[red[i] if sure[red[i]] < sure[white[k]] else white[k]] = False
    area = boxes.area(xyxy[white])
    within = boxes.intersection(xyxy[white], xyxy[white]) / np.maximum(area[:, None], 1e-6)
    for i, k in np.argwhere(within >= _LOBE):
        if (area[i], -i) < (area[k], -k):
            outer_counts = sure[white[k]] >= min(1.0, sure[white[i]])
            stays[white[i] if outer_counts else white[k]] = False
    return stays


def canvas(
    rgb: NDArray[np.uint8], card: cards.Card, zoom: float | None = None
) -> tuple[NDArray[np.uint8], NDArray[np.float32], NDArray[np.float32]]:
    """What a network is shown of one crop; arguments as in `Model.detect`.

    Gives pixels of shape (h, w, 3) with sides that are multiples of the card's `stride_px`, and for x1, y1, x2, y2,
    each of shape (4,): its pixels per crop pixel, and the padding before the crop in its pixels.
    """
    h, w = rgb.shape[:2]
    factor = card.image_px / max(h, w) if zoom is None else zoom
    new_wh = (max(1, round(w * factor)), max(1, round(h * factor)))
    full_w, full_h = (-(-side // card.stride_px) * card.stride_px for side in new_wh)
    left, top = (full_w - new_wh[0]) // 2, (full_h - new_wh[1]) // 2
    pixels = np.full((full_h, full_w, 3), _PADDING, dtype=np.uint8)
    inside = pixels[top : top + new_wh[1], left : left + new_wh[0]]
    if new_wh == (w, h):
        inside[:] = rgb
    else:
        cv2.resize(rgb, new_wh, dst=inside, interpolation=cv2.INTER_LINEAR)
    scale = np.array([new_wh[0] / w, new_wh[1] / h] * 2, dtype=np.float32)
    return pixels, scale, np.array([left, top] * 2, dtype=np.float32)


def processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
