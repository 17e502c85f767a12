"""Learning the shapes of red cells: a small network, cross-validated smear by smear, and its ONNX file.

The network sees a cell as a picture, by depthwise-separable convolutions (Howard et al., arXiv:1704.04861), and as circular harmonics: in
each of `RINGS` rings around its middle, the mean of each channel, and how strongly green light varies around the ring once, twice, up to
`WAVES` times. A cell that is turned or mirrored has the same harmonics (after Zernike moments: Khotanzad and Hong, IEEE Transactions on
Pattern Analysis and Machine Intelligence 1990; 12:489-497). One layer behind both tells the shapes, and all is learned together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from detector.errors import NothingToDoError
from detector.training.shape_cells import TAUGHT, WIDER_PX, ShapeCells
from detector.vision import shapes

Floats = NDArray[np.float32]
Pictures = NDArray[np.uint8]

RINGS, WAVES = 16, 14
CHANNELS = (16, 48, 64, 64, 96)
"""Channels of the convolutions."""
UNITS = 128
"""Units of the layer behind the harmonics."""
STEPS, BATCH = 1000, 64
"""Batches that a network learns from, and the cells in each."""
_SPREAD = 0.01
"""Share of the variance of a mean of a ring by which it is taken to vary by itself."""
RATE = 0.01
"""Highest learning rate."""
_DECAY, _SMOOTHING = 0.01, 0.05
_DROPPED, _DROPPED_HARMONICS = 0.3, 0.2
"""Shares of the last features, and of the harmonics, that are left out at random while learning."""
_SIZE, _SHIFT_PX, _CONTRAST = 0.07, 1.5, 0.1
"""Cells are seen so much larger or smaller, so far off their middle, and with contrast that has this standard deviation."""
_GROUND, _STEP = 220.0, 64.0
_GREEN = 1
_AT_ONCE = 512
_LEAST = 1e-6


class ShapeNetwork(nn.Module):
    """Convolutions over a cell's picture and a hidden layer over its harmonics, and one layer behind both."""

    means: Tensor
    waves: Tensor

    def __init__(self) -> None:
        super().__init__()
        means, turns = basis()
        self.register_buffer("means", torch.from_numpy(means), persistent=False)
        self.register_buffer("waves", torch.from_numpy(_waves(means, turns)), persistent=False)
        first, second, third, fourth, last = CHANNELS
        self.of_picture = nn.Sequential(
            *_stage(3, first, 5, 2),
            *_separable(first, second, 2),
            *_separable(second, third),
            *_separable(third, fourth),
            *_separable(fourth, last, 2),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
        harmonics = RINGS * (3 + WAVES)
        self.of_harmonics = nn.Sequential(
            nn.BatchNorm1d(harmonics),
            nn.Dropout(_DROPPED_HARMONICS),
            nn.Linear(harmonics, UNITS, bias=False),
            nn.BatchNorm1d(UNITS),
            nn.ReLU(),
            nn.Dropout(_DROPPED),
        )
        self.joined = nn.Sequential(nn.Dropout(_DROPPED), nn.Linear(last + UNITS, len(TAUGHT)))

    def forward(self, levels: Tensor) -> Tensor:
        """How much cells look like each taught shape, of shape (n, len(TAUGHT)); of pictures as `_levels` gives them."""
        seen = self.of_picture(levels), self.of_harmonics(self.harmonics(levels))
        return torch.as_tensor(self.joined(torch.cat(seen, dim=1)))

    def harmonics(self, levels: Tensor) -> Tensor:
        """Circular harmonics of pictures as `_levels` gives them, of shape (n, RINGS * (3 + WAVES))."""
        flat = levels.flatten(2)
        around = (flat[:, _GREEN] @ self.waves).view(len(flat), 2, -1)
        return torch.cat([(flat @ self.means).flatten(1), (around.square().sum(dim=1) + _LEAST).sqrt()], dim=1)

    def answers(self, pictures: Pictures) -> Floats:
        """How much cells look like each taught shape, of shape (n, len(TAUGHT)).

        Args:
            pictures: of shape (n, SIDE_PX, SIDE_PX, 3).
        """
        answers = [np.zeros((0, len(TAUGHT)), np.float32)]
        with torch.inference_mode():
            for first in range(0, len(pictures), _AT_ONCE):
                answers.append(self(_levels(torch.from_numpy(pictures[first : first + _AT_ONCE]))).numpy())
        return np.concatenate(answers)


@dataclass(frozen=True, eq=False)
class Appearance:
    """What cells look like, by the means of their rings; with the distance of others from them.

    It is the distance of Mahalanobis (Proceedings of the National Institute of Sciences of India 1936; 2:49-55), over the root of the
    number of means: about 1 for a cell like the others, whatever the colours that go together in them.
    """

    mean: Floats
    """Of shape (3 * RINGS,)."""
    turned: Floats
    """What differences from it are multiplied by, so that each varies by 1 and by itself, of shape (3 * RINGS, 3 * RINGS)."""

    @classmethod
    def of(cls, pictures: Pictures) -> Self:
        """Those of pictures of shape (n, SIDE_PX, SIDE_PX, 3), n at least 2."""
        rings = _ring_means(pictures).astype(np.float64)
        covariance = np.cov(rings, rowvar=False)
        covariance += np.diag(_SPREAD * np.diag(covariance) + _LEAST)
        turned = np.linalg.cholesky(np.linalg.inv(covariance)) / np.sqrt(len(covariance))
        return cls(rings.mean(axis=0).astype(np.float32), turned.astype(np.float32))

    def distance(self, pictures: Pictures) -> Floats:
        """How far each picture is from these cells, of shape (n,)."""
        return np.asarray(np.linalg.norm((_ring_means(pictures) - self.mean) @ self.turned, axis=1))


@dataclass(frozen=True, eq=False)
class Learned:
    """What was learned, and what it is worth."""

    held_out: Floats
    """What the networks that did not see a cell's smear answer, of shape (n, len(TAUGHT))."""
    held_out_distance: Floats
    """How far each cell is from those of the other smears, of shape (n,)."""
    network: ShapeNetwork
    """The one that saw all cells."""
    appearance: Appearance
    """What all cells look like."""


def learn(cells: ShapeCells, seed: int = 0, advance: Callable[[float], None] = lambda _: None) -> Learned:
    """Leave out each smear in turn, then train on all cells; the same cells and seed give the same network on one kind of processor.

    Args:
        advance: is called with 1 after each batch.

    Raises:
        NothingToDoError: all cells are of one smear.
    """
    smear = np.asarray(cells.smears)
    names = sorted(set(cells.smears))
    if len(names) < 2:
        raise NothingToDoError("the labelled cells are of one smear; to cross-validate, cells of two smears or more are needed")
    held_out, distance = np.zeros((len(cells), len(TAUGHT)), dtype=np.float32), np.zeros(len(cells), dtype=np.float32)
    pictures = middles(cells.pictures[:, 0])
    with _alike():
        for own in (smear == name for name in names):
            held_out[own] = _fitted(cells, ~own, seed, advance).answers(pictures[own])
            distance[own] = Appearance.of(pictures[~own]).distance(pictures[own])
        network = _fitted(cells, np.ones(len(cells), dtype=bool), seed, advance)
    return Learned(held_out, distance, network, Appearance.of(pictures))


def middles(pictures: Pictures) -> Pictures:
    """What a count is shown of pictures of shape (n, WIDER_PX, WIDER_PX, 3), of shape (n, SIDE_PX, SIDE_PX, 3)."""
    margin = (WIDER_PX - shapes.SIDE_PX) // 2
    return pictures[:, margin : margin + shapes.SIDE_PX, margin : margin + shapes.SIDE_PX]


@contextmanager
def _alike() -> Iterator[None]:
    """Let torch compute alike on any number of processors, and leave its generator and threads as they were."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.random.fork_rng(devices=[]):
            yield
    finally:
        torch.set_num_threads(threads)


def _fitted(cells: ShapeCells, chosen: NDArray[np.bool_], seed: int, advance: Callable[[float], None]) -> ShapeNetwork:
    """A network that learned from some of the cells, with a rate that rises and falls to nothing (Smith and Topin, arXiv:1708.07120)."""
    torch.manual_seed(seed)
    network = ShapeNetwork().to(memory_format=torch.channels_last)
    pictures, label = torch.from_numpy(cells.pictures[chosen]), torch.from_numpy(cells.shape[chosen])
    numbers = torch.bincount(label, minlength=len(TAUGHT)).clamp(min=1)
    # Between drawing each cell alike, where rare shapes are never learned, and each shape alike, where ten cells make the law.
    weight = numbers.rsqrt()[label]
    optimizer = torch.optim.AdamW(network.parameters(), RATE, weight_decay=_DECAY)
    rates = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=STEPS, pct_start=0.2, cycle_momentum=False)
    network.train()
    for _ in range(STEPS):
        drawn = torch.multinomial(weight, BATCH, replacement=True)
        levels = _changed(_levels(pictures[drawn, torch.randint(pictures.shape[1], (BATCH,))]))
        optimizer.zero_grad()
        functional.cross_entropy(network(levels), label[drawn], label_smoothing=_SMOOTHING).backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        rates.step()
        advance(1)
    return network.eval()


def _levels(pictures: Tensor) -> Tensor:
    """Pictures of shape (n, h, w, 3), uint8, as the network takes them: of shape (n, 3, h, w), with the ground at 0."""
    return (pictures.permute(0, 3, 1, 2).float() - _GROUND) / _STEP


def _changed(levels: Tensor) -> Tensor:
    """Cells turned, mirrored, shifted, enlarged and in other contrast at random, of shape (n, 3, SIDE_PX, SIDE_PX)."""
    number = len(levels)
    angle, mirrored = 2 * torch.pi * torch.rand(number), 1 - 2 * torch.randint(2, (number,))
    factor = (1 + _SIZE * _even(number)) * shapes.SIDE_PX / WIDER_PX
    x, y = (_SHIFT_PX / (WIDER_PX / 2) * _even(2, number)).unbind()
    cosine, sine = factor * angle.cos(), factor * angle.sin()
    places = torch.stack([mirrored * cosine, -sine, x, mirrored * sine, cosine, y], dim=1).view(number, 2, 3)
    grid = functional.affine_grid(places, [number, 3, shapes.SIDE_PX, shapes.SIDE_PX], align_corners=False)
    seen = functional.grid_sample(levels, grid, padding_mode="border", align_corners=False)
    channels = (1 + _CONTRAST * torch.randn(number, 1, 1, 1)) * (1 + _CONTRAST * torch.randn(number, 3, 1, 1))
    seen = seen * channels + _CONTRAST / 2 * torch.randn(number, 3, 1, 1)
    return seen.contiguous(memory_format=torch.channels_last)


def _even(*shape: int) -> Tensor:
    """Random numbers, as often of any size from -1 to 1."""
    return 2 * torch.rand(shape) - 1


def _stage(before: int, after: int, side: int = 3, stride: int = 1, groups: int = 1) -> Iterator[nn.Module]:
    """A convolution, normalized and rectified."""
    yield nn.Conv2d(before, after, side, stride, side // 2, groups=groups, bias=False)
    yield nn.BatchNorm2d(after)
    yield nn.ReLU()


def _separable(before: int, after: int, stride: int = 1) -> Iterator[nn.Module]:
    """Each channel by itself, then all of them point by point."""
    yield from _stage(before, before, 3, stride, groups=before)
    yield from _stage(before, after, 1)


def basis() -> tuple[Floats, Floats]:
    """What pixels are multiplied by: for the mean of each ring, of shape (pixels, RINGS); and cosines and sines of their angles, of shape
    (pixels, 2, WAVES).
    """
    middle = (shapes.SIDE_PX - 1) / 2
    y, x = (np.mgrid[: shapes.SIDE_PX, : shapes.SIDE_PX] - middle).reshape(2, -1)
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    step = shapes.SIDE_PX / 2 / RINGS
    rings = np.maximum(1 - np.abs(radius[:, None] / step - (np.arange(RINGS) + 0.5)), 0)
    turns = angle[:, None] * np.arange(1, WAVES + 1)
    return (rings / rings.sum(axis=0)).astype(np.float32), np.stack([np.cos(turns), np.sin(turns)], axis=1).astype(np.float32)


def _waves(rings: Floats, turns: Floats) -> Floats:
    """What green light is multiplied by for the waves of all rings, cosines before sines, of shape (pixels, 2 * RINGS * WAVES)."""
    return (rings[:, None, :, None] * turns[:, :, None, :]).reshape(len(rings), -1)


def _ring_means(pictures: Pictures) -> Floats:
    """Means of the rings of each picture, of shape (n, 3 * RINGS)."""
    means = torch.from_numpy(basis()[0])
    parts = (_levels(torch.from_numpy(pictures[first : first + _AT_ONCE])) for first in range(0, len(pictures), _AT_ONCE))
    return torch.cat([torch.zeros(0, 3 * RINGS), *((levels.flatten(2) @ means).flatten(1) for levels in parts)]).numpy()


def write(learned: Learned, target: Path, temperature: float, grouped: Floats, metadata: str) -> None:
    """Write the ONNX file of what was learned: pictures of cells in, calibrated probabilities of shapes and distances out.

    Args:
        temperature: what answers are divided by.
        grouped: which taught shape belongs to which reported one, of shape (len(TAUGHT), shapes).
        metadata: the card as JSON.
    """
    import onnx
    from onnx import TensorProto, helper

    graph, network = _Graph(), learned.network
    means, turns = basis()
    # Waves are products of what is far smaller.
    waves = graph.add("Mul", graph.held(means[:, None, :, None]), graph.held(turns[:, :, None, :]))
    waves = graph.add("Reshape", waves, graph.held(np.array([len(means), -1])))
    seen = graph.add("Cast", shapes.PICTURES, to=TensorProto.FLOAT)
    seen = graph.add("Mul", graph.add("Sub", seen, graph.held(np.float32(_GROUND))), graph.held(np.float32(1 / _STEP)))
    levels = graph.add("Transpose", seen, perm=[0, 3, 1, 2])
    flat = graph.add("Reshape", levels, graph.held(np.array([0, 3, len(means)])))
    rings = graph.add("Flatten", graph.add("MatMul", flat, graph.held(means)))
    around = graph.add("MatMul", graph.add("Gather", flat, graph.held(np.array(_GREEN)), axis=1), waves)
    around = graph.add("Reshape", around, graph.held(np.array([0, 2, RINGS * WAVES])))
    power = graph.add("ReduceSum", graph.add("Mul", around, around), graph.held(np.array([1])), keepdims=0)
    strength = graph.add("Sqrt", graph.add("Add", power, graph.held(np.float32(_LEAST))))
    seen_as = [graph.layers(network.of_picture, levels)]
    seen_as.append(graph.layers(network.of_harmonics, graph.add("Concat", rings, strength, axis=1)))
    answers = graph.layers(network.joined, graph.add("Concat", *seen_as, axis=1))
    answers = graph.add("Mul", answers, graph.held(np.float32(1 / temperature)))
    graph.add("MatMul", graph.add("Softmax", answers, axis=1), graph.held(grouped), gives=shapes.PROBABILITY)
    away = graph.add(
        "MatMul", graph.add("Sub", rings, graph.held(learned.appearance.mean)), graph.held(learned.appearance.turned)
    )
    graph.add("ReduceL2", away, axes=[1], keepdims=0, gives=shapes.DISTANCE)
    side = shapes.SIDE_PX
    given = helper.make_tensor_value_info(shapes.PICTURES, TensorProto.UINT8, ["n", side, side, 3])
    answer = helper.make_tensor_value_info(shapes.PROBABILITY, TensorProto.FLOAT, ["n", grouped.shape[1]])
    distance = helper.make_tensor_value_info(shapes.DISTANCE, TensorProto.FLOAT, ["n"])
    made = helper.make_model(
        helper.make_graph(graph.nodes, "shapes", [given], [answer, distance], graph.weights),
        producer_name="smearcount", opset_imports=[helper.make_opsetid("", 17)], ir_version=8,
    )  # fmt: skip
    made.metadata_props.add(key=shapes.METADATA_KEY, value=metadata)
    onnx.checker.check_model(made)
    onnx.save(made, str(target))


class _Graph:
    """Nodes of an ONNX graph, each named by what it gives."""

    def __init__(self) -> None:
        self.nodes: list[Any] = []
        self.weights: list[Any] = []

    def held(self, value: NDArray[Any] | np.generic) -> str:
        """A constant; gives its name."""
        from onnx import numpy_helper

        name = f"held {len(self.weights)}"
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(value).reshape(np.shape(value)), name))
        return name

    def add(self, kind: str, *given: str, gives: str = "", **how: Any) -> str:
        """A node; gives the name of its output."""
        from onnx import helper

        name = gives or f"{kind} {len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, given, [name], **how))
        return name

    def layers(self, sequence: nn.Sequential, given: str) -> str:
        """The layers of a network that has learned, one after the other; gives the name of the last output."""
        for layer in sequence:
            given = self._layer(layer, given)
        return given

    def _layer(self, layer: nn.Module, given: str) -> str:
        weights = [self.held(value.numpy()) for value in layer.state_dict().values() if value.ndim]
        match layer:
            case nn.Conv2d(stride=stride, padding=padding, groups=groups):
                return self.add("Conv", given, *weights, strides=stride, pads=padding * 2, group=groups)
            case nn.BatchNorm1d(eps=least) | nn.BatchNorm2d(eps=least):
                return self.add("BatchNormalization", given, *weights, epsilon=least)
            case nn.Linear():
                return self.add("Gemm", given, *weights, transB=1)
            case nn.ReLU():
                return self.add("Relu", given)
            case nn.AdaptiveAvgPool2d():
                return self.add("GlobalAveragePool", given)
            case nn.Flatten():
                return self.add("Flatten", given)
            case nn.Dropout():
                return given
        raise TypeError(f"no ONNX node stands for {layer}")
