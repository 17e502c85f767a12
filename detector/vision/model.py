"""The detector network: pixels of one crop in, cells out. Runs without torch."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from detector.errors import ModelError
from detector.vision import backends, boxes
from detector.vision import card as cards
from detector.vision.detections import Detections

SHIPPED = Path(__file__).parents[1] / "models" / "smearcount.onnx"
"""The model that is used where none is named."""

_PADDING = 114
_MOST_CANDIDATES = 5000


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
            path: an ONNX file of ours; None is the shipped one.
            backend: what runs it, one of `backends.NAMES`.
            workers: crops that are looked at at a time.
            threads: of the CPU that work on one crop; with one, several crops are best worked on in parallel.

        Raises:
            ModelError: no such file, no ONNX model, not one of ours, or not the one that its card describes.
            UsageError: the backend is not known or not there.
        """
        chosen = SHIPPED if path is None else path
        if not chosen.is_file():
            raise ModelError(
                f"{chosen}: no such model file; give the path of an .onnx file made by detector.train or detector.export"
            )
        if chosen.suffix == ".pt":
            raise ModelError(f"{chosen}: weights are for training; make a model of them with python -m detector.export {chosen}")
        digest = cards.check_hash(chosen)
        network = backends.open_network(chosen, backend, workers, threads)
        return cls(network, cards.from_metadata(network.metadata, chosen), chosen, digest)

    def detect(self, rgb: NDArray[np.uint8], min_score: float | None = None, zoom: float | None = None) -> Detections:
        """Cells of one crop.

        Args:
            rgb: pixels of shape (h, w, 3), uint8.
            min_score: least score of a reported cell; None takes the card's threshold of each class.
            zoom: input pixels per crop pixel; None scales the long side to the card's `image_px`.
        """
        size_wh = (rgb.shape[1], rgb.shape[0])
        tensor, scale, offset = self.tensor(rgb, zoom)
        output = self.network.run(tensor)[0]
        least = self.card.minimum() if min_score is None else (min_score,) * len(self.card.class_names)
        return self._decode(output, np.array(least, dtype=np.float32), scale, offset, size_wh)

    def tensor(
        self, rgb: NDArray[np.uint8], zoom: float | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
        """What the network is shown of one crop; arguments as in `detect`.

        Gives pixels in 0 to 1, of shape (1, 3, h, w) with sides that are multiples of the card's `stride_px`, and for x1, y1, x2, y2,
        each of shape (4,): its pixels per crop pixel, and the padding before the crop in its pixels.
        """
        h, w = rgb.shape[:2]
        factor = self.card.image_px / max(h, w) if zoom is None else zoom
        new_wh = (max(1, round(w * factor)), max(1, round(h * factor)))
        resized = rgb if new_wh == (w, h) else cv2.resize(rgb, new_wh, interpolation=cv2.INTER_LINEAR)
        stride = self.card.stride_px
        full_w, full_h = (-(-side // stride) * stride for side in new_wh)
        left, top = (full_w - new_wh[0]) // 2, (full_h - new_wh[1]) // 2
        canvas = np.full((full_h, full_w, 3), _PADDING, dtype=np.uint8)
        canvas[top : top + new_wh[1], left : left + new_wh[0]] = resized
        tensor = np.divide(canvas.transpose(2, 0, 1)[None], np.float32(255), order="C", dtype=np.float32)
        scale = np.array([new_wh[0] / w, new_wh[1] / h] * 2, dtype=np.float32)
        return tensor, scale, np.array([left, top] * 2, dtype=np.float32)

    def _decode(
        self,
        output: NDArray[np.float32],
        least: NDArray[np.float32],
        scale: NDArray[np.float32],
        offset: NDArray[np.float32],
        size_wh: tuple[int, int],
    ) -> Detections:
        """Detections in an output of shape (4 + classes, n): centre x, y, width, height in input px, then class scores."""
        scores = output[4:]
        label = scores.argmax(axis=0)
        score = scores[label, np.arange(scores.shape[1])]
        chosen = np.flatnonzero(score >= least[label])
        overflown = len(chosen) > _MOST_CANDIDATES
        chosen = chosen[np.argsort(-score[chosen], kind="stable")][:_MOST_CANDIDATES]
        centre, half = output[:2, chosen].T, output[2:4, chosen].T / 2
        xyxy = boxes.clip((np.concatenate([centre - half, centre + half], axis=1) - offset) / scale, size_wh)
        # A box that lies in the padding is left with no area.
        real = boxes.area(xyxy) > 0
        xyxy, chosen = xyxy[real], chosen[real]
        kept = boxes.suppress(xyxy, score[chosen], label[chosen], self.card.nms_iou)
        most = self.card.max_cells
        saturated = overflown or len(kept) > most
        kept = kept[:most]
        return Detections(xyxy[kept], score[chosen][kept], label[chosen][kept], size_wh, self.card.class_names, saturated)


def processors() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
