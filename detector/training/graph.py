"""The network as it is exported: what Ultralytics computes, with less work.

Boxes are computed only at the places where some class reaches its least score, about one in fourteen; levels that never answer are
left out; a photograph comes in as the bytes that it is; and convolutions are put where they cost least. Every number that comes out
is, but for rounding, the one that `ultralytics.nn.modules.Detect` gives at that place.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from types import MethodType
from typing import Any, cast

import numpy as np
import onnx
import onnxslim
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from ultralytics.nn.modules import C2PSA, C2f, C3k2, Concat, Detect

from detector.accuracy.thresholds import LEAST_SCORE
from detector.errors import ModelError
from detector.vision.backends import LEAST, PIXELS

SILENT = LEAST_SCORE
"""A level whose scores stay below this in every field has not learnt to answer: those that have reach 0.5 in some. No threshold is
lower."""

_OPSET = 17


def check(network: Any, name: str) -> None:
    """Refuse a network that could not be exported once it is trained.

    Args:
        network: an Ultralytics model of `torch.nn.Module`s.
        name: what the user knows it by.

    Raises:
        ModelError: it does not end in the head that is known here.
    """
    head = network.model[-1]
    if not isinstance(head, Detect) or not all(_is_known(part) for part in head.cv2 or head.one2one_cv2):
        raise ModelError(f"{name}: ends in another head than YOLO's for detection; yolo11n.yaml and yolov8n.yaml have that one")


def _is_known(boxes: Any) -> bool:
    """Whether what makes boxes at one level is two convolutions of 3 x 3 places and one of a single place."""
    made = [(getattr(block, "conv", block).kernel_size, getattr(block, "conv", block).groups) for block in boxes]
    return made == [((3, 3), 1), ((3, 3), 1), ((1, 1), 1)]


def answering(network: Any, crops: Iterable[NDArray[np.uint8]]) -> list[int]:
    """Levels at which some place of some crop reaches the score of `SILENT`; all of them where none does.

    Args:
        network: an Ultralytics model of `torch.nn.Module`s that passes `check`.
        crops: each of shape (h, w, 3), RGB, with sides that are multiples of the largest stride.
    """
    network = network.float().eval()
    levels: set[int] = set()
    head = network.model[-1]
    heads = head.one2one_cv3 if head.end2end else head.cv3

    def watch(level: int) -> Any:
        return lambda _head, _feature, logits: levels.add(level) if float(logits.sigmoid().max()) >= SILENT else None

    watches = [head.register_forward_hook(watch(level)) for level, head in enumerate(heads)]
    try:
        with torch.no_grad():
            for crop in crops:
                if len(levels) == len(heads):
                    break
                network(torch.from_numpy(crop).permute(2, 0, 1)[None].float() / 255)
    finally:
        for hook in watches:
            hook.remove()
    return sorted(levels) or list(range(len(heads)))


def before_head(network: Any, pixels: Tensor) -> list[Tensor]:
    """What the head of a network gets of pictures of shape (n, 3, h, w), float, in 0 to 1; by level."""
    head = network.model[-1]
    network.model[-1] = _in_place_of(head, nn.Identity())
    try:
        return list(network(pixels))
    finally:
        network.model[-1] = head


def write(graph: Graph, target: Path) -> None:
    """Write an ONNX file that takes crops of any size; the same weights give the same file."""
    pixels = torch.zeros((2 * graph.stride_px, 3 * graph.stride_px, 3), dtype=torch.uint8)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the exporter's own: it is the one that follows `Graph` as it is written
        torch.onnx.export(
            graph,
            (pixels, torch.zeros(graph.classes)),
            target,
            dynamo=False,
            opset_version=_OPSET,
            input_names=[PIXELS, LEAST],
            output_names=["found"],
            dynamic_axes={PIXELS: {0: "height", 1: "width"}, "found": {0: "places"}},
        )
    onnx.save(onnxslim.slim(str(target)), str(target))


class Graph(nn.Module):
    """A detector from pixels to boxes and scores, at the places where there may be a cell."""

    def __init__(self, network: Any, kept: Sequence[int]) -> None:
        """Take a detector to pieces.

        Args:
            network: an Ultralytics model of `torch.nn.Module`s that passes `check`; it cannot be used otherwise afterwards.
            kept: levels that look for cells, from the smallest places on.
        """
        super().__init__()
        network = network.float().eval().fuse(verbose=False).requires_grad_(False)
        _halve(network)
        head, first = network.model[-1], network.model[0].conv
        self.classes, self.stride_px = head.nc, int(max(head.stride))
        first.weight.data = first.weight.data / 255
        network.model[-1] = _in_place_of(head, nn.Identity())
        self.network = network
        self.levels = nn.ModuleList(_Level(head.cv3[level], head.cv2[level], float(head.stride[level])) for level in kept)
        self.kept = tuple(kept)
        self.register_buffer("bins", torch.arange(head.reg_max, dtype=torch.float32))

    def forward(self, pixels: Tensor, least: Tensor) -> Tensor:
        """Look at a crop.

        Args:
            pixels: of shape (h, w, 3), uint8, RGB; both sides are multiples of the largest stride.
            least: least score of each class, of shape (classes,).

        Returns:
            x1, y1, x2, y2 in pixels and the score of every class, at each place where a class reaches its least score, by level and
            line by line: of shape (k, 4 + classes).
        """
        features = self.network(pixels.permute(2, 0, 1)[None].float())
        outputs = [level(features[i], least) for i, level in zip(self.kept, self.levels, strict=True)]
        centre, sides, scores, stride = (torch.cat(parts) for parts in zip(*outputs, strict=True))
        bins = cast(Tensor, self.bins)
        if len(bins) > 1:  # each side is told as a distribution of its distance from the centre
            sides = (sides.reshape(-1, 4, len(bins)).softmax(2) * bins).sum(2)
        corners = torch.cat([centre - sides[:, :2], centre + sides[:, 2:]], dim=1) * stride
        return torch.cat([corners, scores], dim=1)


class _Level(nn.Module):
    """Places of one size: their scores, and the sides of the boxes at some of them."""

    def __init__(self, scores: nn.Module, boxes: Any, stride: float) -> None:
        super().__init__()
        self.scores = scores
        self.stride = stride
        self.first, self.second, self.last = _of_rows(boxes[0].conv), _of_rows(boxes[1].conv), _of_rows(boxes[2])
        self.act = boxes[0].act

    def forward(self, feature: Tensor, least: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Centre in strides, sides, scores, and the stride, at the chosen places of a feature of shape (1, c, h, w)."""
        width = feature.shape[3] + 2
        scores = self.scores(feature).sigmoid()
        here = (scores >= least[:, None, None]).any(dim=1, keepdim=True).float()
        # The second convolution asks for the first one's answer beside each place too.
        near = functional.max_pool2d(here, 3, 1, 1)
        # One place more on every side, where a convolution sees zeros.
        here, near = (functional.pad(mask, (1, 1, 1, 1)).flatten() for mask in (here, near))
        rows = functional.pad(feature, (1, 1, 1, 1)).permute(0, 2, 3, 1).flatten(0, 2)
        step = torch.arange(-1, 2)
        around = (step[:, None] * width + step).flatten()
        place = near.nonzero()
        answer = self.act(self.first(rows[place + around].flatten(1)))
        # Row 0 stands for the places without an answer: those that are asked for lie outside of the picture.
        answer = functional.pad(answer, (0, 0, 1, 0))
        row = (near.cumsum(0) * near).long()
        place = here.nonzero()
        sides = self.last(self.act(self.second(answer[row[place + around]].flatten(1))))
        line = place // width
        centre = torch.cat([place - line * width, line], dim=1).float() - 0.5
        kept = functional.pad(scores, (1, 1, 1, 1)).flatten(2)[0].t()[place[:, 0]]
        return centre, sides, kept, torch.full_like(kept[:, :1], self.stride)


class _Halves(nn.Module):
    """A convolution of single places that makes two halves, as two: to take its answer apart would need copies of it.

    What comes in may be two pictures, the first of which is half as large, to be stretched and put before the other. Each of its places
    would then stand for four, so it is convolved before it is stretched.
    """

    def __init__(self, conv: Any, stretched: int) -> None:
        """Take a convolution to pieces.

        Args:
            stretched: channels that come in half as large; with 0 there is one picture.
        """
        super().__init__()
        self.act = conv.act
        weights, biases = conv.conv.weight.chunk(2), conv.conv.bias.chunk(2)
        self.before = nn.ModuleList(_of_places(weight[:, :stretched]) for weight in weights if stretched)
        self.halves = nn.ModuleList(_of_places(weight[:, stretched:], bias) for weight, bias in zip(weights, biases, strict=True))

    def forward(self, x: Tensor | list[Tensor]) -> list[Tensor]:
        if isinstance(x, Tensor):
            return [self.act(half(x)) for half in self.halves]
        small, large = x
        stretched = (functional.interpolate(before(small), scale_factor=2.0, mode="nearest") for before in self.before)
        return [self.act(half(large) + added) for half, added in zip(self.halves, stretched, strict=True)]


def _halve(network: Any) -> None:
    """Put `_Halves` in the blocks of a network that begin by taking an answer apart."""
    layers = network.model
    for i, block in enumerate(layers):
        if type(block) not in (C2f, C3k2, C2PSA):
            continue
        stretched = _stretched(network, i)
        if stretched:
            for above in (i - 2, i - 1):
                layers[above] = _in_place_of(layers[above], nn.Identity())
        block.cv1 = _Halves(block.cv1, stretched)
        block.forward = MethodType(_psa if isinstance(block, C2PSA) else _c2f, block)


def _stretched(network: Any, i: int) -> int:
    """Channels that come to layer `i` stretched to twice their size, before those of another layer; 0 where none do."""
    if i < 3:
        return 0
    source, stretch, joined, block = network.model[i - 3 : i + 1]
    if type(joined) is not Concat or len(joined.f) != 2 or {i - 2, i - 1} & set(network.save):
        return 0
    if (stretch.f, joined.f[0], block.f) != (-1, -1, -1) or not hasattr(source, "cv2"):
        return 0
    doubles = type(stretch) is nn.Upsample and (stretch.mode, stretch.scale_factor) == ("nearest", 2.0)
    return int(source.cv2.conv.out_channels) if doubles else 0


def _c2f(self: Any, x: Tensor | list[Tensor]) -> Tensor:
    """What `C2f.forward` gives, with halves that stand apart already."""
    held = self.cv1(x)
    for block in self.m:
        held.append(block(held[-1]))
    return cast(Tensor, self.cv2(torch.cat(held, 1)))


def _psa(self: Any, x: Tensor) -> Tensor:
    """What `C2PSA.forward` gives, with halves that stand apart already."""
    kept, seen = self.cv1(x)
    return cast(Tensor, self.cv2(torch.cat([kept, self.m(seen)], 1)))


def _of_places(weight: Tensor, bias: Tensor | None = None) -> nn.Conv2d:
    """The convolution of single places with these weights."""
    made = nn.Conv2d(weight.shape[1], weight.shape[0], 1, bias=bias is not None)
    state = {"weight": weight} if bias is None else {"weight": weight, "bias": bias}
    made.load_state_dict(state)
    return made.requires_grad_(False)


def _of_rows(conv: nn.Conv2d) -> nn.Linear:
    """A convolution as a product with rows that hold what stands around a place: line by line, channels last."""
    rows = conv.weight.permute(0, 2, 3, 1).flatten(1)
    made = nn.Linear(rows.shape[1], rows.shape[0])
    made.load_state_dict({"weight": rows, "bias": cast(Tensor, conv.bias)})
    return made.requires_grad_(False)


def _in_place_of(layer: Any, other: Any) -> Any:
    """A layer with the place that another had, as Ultralytics keeps it."""
    other.f, other.i, other.type, other.np = layer.f, layer.i, layer.type, 0
    return other
