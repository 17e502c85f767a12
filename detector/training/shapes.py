"""Learning the shapes of red cells: a small network, cross-validated smear by smear, and its ONNX file.

The network sees a cell as circular harmonics: in each of `RINGS` rings around its middle, the mean of each channel, and how strongly
green light varies around the ring once, twice, up to `WAVES` times. A cell that is turned or mirrored has the same ones (after Zernike
moments: Khotanzad and Hong, IEEE Transactions on Pattern Analysis and Machine Intelligence 1990; 12:489-497). Behind them lies one hidden
layer of random weights; only the last layer is learned, by ridge regression, which has one solution (Rahimi and Recht, NIPS 2008;
Huang et al., Neurocomputing 2006; 70:489-501). So training takes a minute, every smear can be left out, and a cell takes microseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from detector.errors import NothingToDoError
from detector.training.shape_cells import TAUGHT, WIDER_PX, ShapeCells
from detector.vision import shapes

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

RINGS, WAVES = 16, 14
HIDDEN = 2000
"""Units of random weights."""
SPREAD = 1.0
"""Standard deviation of what goes into a unit, for a cell like others."""
RIDGE = 1e-3
"""Penalty of the last layer's weights, as a share of the mean square of a hidden unit."""
NUDGES = 1
"""Pictures of a cell in one light that are taken a pixel off its middle, for a box is not surer."""
_GROUND, _STEP = 220.0, 127.5
_GREEN = 1
_LEAST = 1e-6


@dataclass(frozen=True, eq=False)
class ShapeNetwork:
    """A hidden layer of random weights over harmonics that are brought to one scale, and a last layer that is learned."""

    first: Floats
    """Weights of the hidden layer, of shape (harmonics, HIDDEN), with the scale of the harmonics in them."""
    offset: Floats
    """Of shape (HIDDEN,)."""
    last: Floats
    """Of shape (HIDDEN + 1, len(TAUGHT)); its last row is added."""

    def answers(self, seen: Floats) -> Floats:
        """How much a cell looks like each taught shape, about 0 to 1, of shape (n, len(TAUGHT)); of harmonics, of shape (n, harmonics)."""
        return np.asarray(_hidden(seen, self.first, self.offset) @ self.last, dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Learned:
    """What was learned, and what it is worth."""

    held_out: Floats
    """What the networks that did not see a cell's smear answer, of shape (n, len(TAUGHT))."""
    network: ShapeNetwork
    """The one that saw all cells."""


def learn(cells: ShapeCells, seed: int = 0) -> Learned:
    """Leave out each smear in turn, then train on all cells; the same cells and seed give the same network on one kind of processor.

    Raises:
        NothingToDoError: all cells are of one smear.
    """
    names = sorted(set(cells.smears))
    if len(names) < 2:
        raise NothingToDoError("the labelled cells are of one smear; to cross-validate, cells of two smears or more are needed")
    return learn_views(views(cells.pictures, seed), cells.shape, cells.smears, seed)


def learn_views(seen: Floats, label: NDArray[np.int64], smears: Sequence[str], seed: int) -> Learned:
    """The same from harmonics of each cell in several views, of shape (n, views, harmonics), first of each as it is."""
    smear = np.asarray(smears)
    first, offset = _random_layer(seen, seed)
    numbers = np.bincount(label, minlength=len(TAUGHT))
    # Between weighing each cell alike, where rare shapes are never learned, and each shape alike, where ten cells make the law.
    weight = np.sqrt(numbers.max() / np.maximum(numbers, 1)).astype(np.float32)[label]
    sums = {}
    for name in sorted(set(smears)):
        own = smear == name
        sums[name] = _products(seen[own], label[own], weight[own], (first, offset))
    held_out = np.zeros((len(label), len(TAUGHT)), dtype=np.float32)
    for name in sums:
        own = smear == name
        held_out[own] = ShapeNetwork(first, offset, _solved([of for other, of in sums.items() if other != name])).answers(
            seen[own, 0]
        )
    return Learned(held_out, ShapeNetwork(first, offset, _solved(list(sums.values()))))


def _random_layer(seen: Floats, seed: int) -> tuple[Floats, Floats]:
    """Random weights and offsets, on the scale of the harmonics, whatever their labels."""
    rng = np.random.default_rng(seed)
    mean, deviation = seen.mean(axis=(0, 1)), np.maximum(seen.std(axis=(0, 1)), _LEAST)
    first = rng.normal(0, SPREAD / np.sqrt(len(mean)), (len(mean), HIDDEN)) / deviation[:, None]
    return first.astype(np.float32), (rng.uniform(-SPREAD, SPREAD, HIDDEN) - mean @ first).astype(np.float32)


def _hidden(seen: Floats, first: Floats, offset: Floats) -> Floats:
    hidden = np.maximum(seen @ first + offset, 0)
    return np.concatenate([hidden, np.ones((len(hidden), 1), np.float32)], axis=1)


def _products(seen: Floats, label: NDArray[np.int64], weight: Floats, layer: tuple[Floats, Floats]) -> tuple[Doubles, Doubles]:
    """What the last layer is solved from, summed over the views of some cells: products of hidden units, of shape (HIDDEN + 1,
    HIDDEN + 1), and of them with what they should answer, of shape (HIDDEN + 1, len(TAUGHT)).
    """
    units, wanted = np.zeros((HIDDEN + 1, HIDDEN + 1)), np.zeros((HIDDEN + 1, len(TAUGHT)))
    answer = np.eye(len(TAUGHT), dtype=np.float32)[label] * weight[:, None]
    for view in range(seen.shape[1]):
        hidden = _hidden(seen[:, view], *layer)
        units += (hidden * weight[:, None]).T @ hidden
        wanted += hidden.T @ answer
    return units, wanted


def _solved(sums: Sequence[tuple[Doubles, Doubles]]) -> Floats:
    """The last layer by ridge regression."""
    units, wanted = sums[0]
    for more_units, more_wanted in sums[1:]:
        units, wanted = units + more_units, wanted + more_wanted
    penalty = RIDGE * np.trace(units) / len(units)
    return np.asarray(linalg.solve(units + penalty * np.eye(len(units)), wanted, assume_a="pos"), dtype=np.float32)


def views(pictures: NDArray[np.uint8], seed: int) -> Floats:
    """Harmonics of pictures of shape (n, lights, WIDER_PX, WIDER_PX, 3), of shape (n, views, harmonics): first each as it is.

    With more than one light, each is also seen a pixel off.
    """
    rng = np.random.default_rng(seed)
    lights = pictures.shape[1]
    margin = (WIDER_PX - shapes.SIDE_PX) // 2
    steps = [(0, 0, light) for light in range(lights)]
    steps += [(*rng.integers(-1, 2, 2).tolist(), light) for light in range(lights) for _ in range(NUDGES)] if lights > 1 else []
    made = []
    for y, x, light in steps:
        rows, columns = (slice(margin + off, margin + off + shapes.SIDE_PX) for off in (y, x))
        made.append(harmonics(pictures[:, light, rows, columns]))
    return np.stack(made, axis=1)


def harmonics(pictures: NDArray[np.uint8]) -> Floats:
    """Circular harmonics of pictures of shape (n, SIDE_PX, SIDE_PX, 3), of shape (n, RINGS * (3 + WAVES))."""
    means, waves = basis()
    parts = []
    for first in range(0, len(pictures), 1024):
        levels = (pictures[first : first + 1024].reshape(-1, len(means), 3).astype(np.float32) - _GROUND) / _STEP
        flat = (levels.transpose(0, 2, 1) @ means).reshape(len(levels), -1)
        around = (np.ascontiguousarray(levels[:, :, _GREEN]) @ waves).reshape(len(levels), 2, -1)
        parts.append(np.concatenate([flat, np.sqrt((around**2).sum(axis=1) + _LEAST)], axis=1))
    return np.concatenate(parts) if parts else np.zeros((0, RINGS * (3 + WAVES)), np.float32)


def basis() -> tuple[Floats, Floats]:
    """What pixels are multiplied by: for the mean of each ring, of shape (pixels, RINGS); and for its waves, cosines before sines, of
    shape (pixels, 2 * RINGS * WAVES).
    """
    middle = (shapes.SIDE_PX - 1) / 2
    y, x = (np.mgrid[: shapes.SIDE_PX, : shapes.SIDE_PX] - middle).reshape(2, -1)
    radius, angle = np.hypot(x, y), np.arctan2(y, x)
    step = shapes.SIDE_PX / 2 / RINGS
    rings = np.maximum(1 - np.abs(radius[:, None] / step - (np.arange(RINGS) + 0.5)), 0)
    rings /= rings.sum(axis=0)
    turns = angle[:, None] * np.arange(1, WAVES + 1)
    waves = [(rings[:, :, None] * wave(turns)[:, None, :]).reshape(len(rings), -1) for wave in (np.cos, np.sin)]
    return rings.astype(np.float32), np.concatenate(waves, axis=1).astype(np.float32)


def write(network: ShapeNetwork, target: Path, temperature: float, grouped: Floats, metadata: str) -> None:
    """Write the ONNX file of a network: pictures of cells in, calibrated probabilities of shapes out.

    Args:
        temperature: what answers are divided by.
        grouped: which taught shape belongs to which reported one, of shape (len(TAUGHT), shapes).
        metadata: the card as JSON.
    """
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    means, waves = basis()
    weights: dict[str, NDArray[np.float32] | NDArray[np.int64]] = {
        "ground": np.array(_GROUND, np.float32), "step": np.array(1 / _STEP, np.float32), "least": np.array(_LEAST, np.float32),
        "means": means, "waves": waves, "grouped": grouped, "first": network.first, "offset": network.offset,
        "as_pixels": np.array([-1, len(means), 3]), "as_flat": np.array([-1, 3 * RINGS]), "as_pairs": np.array([-1, 2, RINGS * WAVES]),
        "green": np.array(_GREEN), "pair": np.array([1]),
    }  # fmt: skip
    steps: list[tuple[str, list[str], str, dict[str, Any]]] = [
        ("Cast", [shapes.PICTURES], "bytes", {"to": TensorProto.FLOAT}),
        ("Sub", ["bytes", "ground"], "below", {}),
        ("Mul", ["below", "step"], "levels", {}),
        ("Reshape", ["levels", "as_pixels"], "pixels", {}),
        ("Transpose", ["pixels"], "channels", {"perm": [0, 2, 1]}),
        ("MatMul", ["channels", "means"], "rings", {}),
        ("Reshape", ["rings", "as_flat"], "flat", {}),
        ("Gather", ["channels", "green"], "light", {"axis": 1}),
        ("MatMul", ["light", "waves"], "around", {}),
        ("Reshape", ["around", "as_pairs"], "pairs", {}),
        ("Mul", ["pairs", "pairs"], "squares", {}),
        ("ReduceSum", ["squares", "pair"], "power", {"keepdims": 0}),
        ("Add", ["power", "least"], "some", {}),
        ("Sqrt", ["some"], "strength", {}),
        ("Concat", ["flat", "strength"], "seen", {"axis": 1}),
    ]
    weights |= {"last": network.last[:-1] / temperature, "added": network.last[-1] / temperature}
    steps += [
        ("Gemm", ["seen", "first", "offset"], "inner", {}),
        ("Relu", ["inner"], "hidden", {}),
        ("Gemm", ["hidden", "last", "added"], "answers", {}),
        ("Softmax", ["answers"], "taught", {"axis": 1}),
    ]
    steps.append(("MatMul", ["taught", "grouped"], shapes.PROBABILITY, {}))
    nodes = [helper.make_node(kind, given, [gives], **how) for kind, given, gives, how in steps]
    side = shapes.SIDE_PX
    given = helper.make_tensor_value_info(shapes.PICTURES, TensorProto.UINT8, ["n", side, side, 3])
    answer = helper.make_tensor_value_info(shapes.PROBABILITY, TensorProto.FLOAT, ["n", grouped.shape[1]])
    held = [numpy_helper.from_array(np.ascontiguousarray(_as_held(value)), name) for name, value in weights.items()]
    graph = helper.make_graph(nodes, "shapes", [given], [answer], held)
    made = helper.make_model(graph, producer_name="smearcount", opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    made.metadata_props.add(key=shapes.METADATA_KEY, value=metadata)
    onnx.checker.check_model(made)
    onnx.save(made, str(target))


def _as_held(value: NDArray[np.float32] | NDArray[np.int64]) -> NDArray[np.float32] | NDArray[np.int64]:
    return value.astype(np.int64) if value.dtype.kind == "i" else value.astype(np.float32)
