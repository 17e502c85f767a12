"""Small networks that classify cropped cells, how all networks here are trained, and nothing that takes a GPU.

All batches are drawn with as many crops of each class, and every crop is turned, mirrored and tinted at random. The same seed, number of
threads and version of PyTorch give the same network.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor, nn
from torch.nn import functional

STEPS = 250
"""Batches that a network of crops learns from."""
_BATCH, _SEEN_AT_ONCE = 48, 256
_WIDTHS = (16, 32, 64)
"""Channels of the stages, each of half the side of the one before."""
_DIMENSIONS = 32
"""Of an embedding."""
_MARGIN = 0.2
_NEIGHBOURS = 5
_TINT = 0.08
"""Standard deviation of the factor by which a channel is made brighter."""

Squares = NDArray[np.uint8]
"""Cropped cells, of shape (n, side, side, 3), RGB."""
Labels = NDArray[np.int64]


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Let all that torch draws depend on a seed, and leave the generator of others as it was."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def train(
    network: nn.Module,
    optimizer: torch.optim.Optimizer,
    loss_of_batch: Callable[[], Tensor],
    steps: int,
    advance: Callable[[float], None] = lambda _: None,
) -> None:
    """Take steps, with a rate that rises to the optimizer's and falls to nothing (Smith and Topin, arXiv:1708.07120).

    Args:
        loss_of_batch: draws a batch and gives its loss.
        advance: is called with 1 after each step.
    """
    rates = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, optimizer.param_groups[0]["lr"], total_steps=steps, pct_start=0.2, cycle_momentum=False
    )
    network.train()
    for _ in range(steps):
        optimizer.zero_grad()
        loss_of_batch().backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(network.parameters(), 5.0)
        optimizer.step()
        rates.step()
        advance(1)
    network.eval()


def weights_bytes(network: nn.Module) -> int:
    """How much the weights of a network take on disk."""
    return sum(weights.numel() * weights.element_size() for weights in network.state_dict().values())


def pixels(rgb: NDArray[np.uint8]) -> Tensor:
    """Pictures of shape (n, h, w, 3), uint8, as a network takes them: of shape (n, 3, h, w), around 0."""
    return torch.from_numpy(np.ascontiguousarray(rgb.transpose(0, 3, 1, 2))).float() / 64 - 2


def tinted(batch: Tensor) -> Tensor:
    """Pictures of shape (n, 3, h, w), each channel of each brighter or darker at random, as other lamps and stains make it."""
    return (batch + 2) * (1 + _TINT * torch.randn(len(batch), 3, 1, 1)) - 2


def stage(before: int, after: int, separable: bool = False, leak: float = 0.0) -> nn.Sequential:
    """A convolution of 3 by 3 pixels, normalized and rectified.

    Args:
        separable: each channel by itself, then all of them point by point; that takes about a ninth of the sums.
        leak: slope of the rectifier below 0.
    """
    if not separable:
        return nn.Sequential(nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.LeakyReLU(leak))
    each = [nn.Conv2d(before, before, 3, padding=1, groups=before, bias=False), nn.BatchNorm2d(before), nn.LeakyReLU(leak)]
    return nn.Sequential(*each, nn.Conv2d(before, after, 1, bias=False), nn.BatchNorm2d(after), nn.LeakyReLU(leak))


def _trunk(outputs: int, separable: bool = False) -> nn.Sequential:
    """From pictures of shape (n, 3, side, side) to (n, outputs)."""
    first, second, third = _WIDTHS
    stages = [stage(3, first), nn.MaxPool2d(2), stage(first, second, separable), nn.MaxPool2d(2)]
    stages += [stage(second, third, separable), nn.MaxPool2d(2), stage(third, third, separable)]
    return nn.Sequential(*stages, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(third, outputs))


class CropNetwork:
    """A classifier in the manner of scikit-learn that sees pictures of cells."""

    _rate = 0.003

    def __init__(self, seed: int = 0) -> None:
        self.seed = seed

    def fit(self, squares: Squares, labels: Labels) -> Self:
        """Learn from crops and their labels, of shape (n,), of two classes or more."""
        self.classes_, known = np.unique(labels, return_inverse=True)
        rng = np.random.default_rng(self.seed)
        of_class = [np.flatnonzero(known == label) for label in range(len(self.classes_))]
        batch, truth = pixels(squares), torch.from_numpy(known.astype(np.int64))

        def loss() -> Tensor:
            classes = rng.integers(len(of_class), size=_BATCH)
            chosen = torch.from_numpy(np.array([rng.choice(of_class[label]) for label in classes]))
            return self.loss(self.network(tinted(_turned(batch[chosen], rng))), truth[chosen])

        with seeded(self.seed):
            self.network = self.made(len(self.classes_))
            train(self.network, self.optimizer(), loss, STEPS)
        return self

    def made(self, classes: int) -> nn.Module:
        """The network, untrained."""
        return _trunk(classes)

    def optimizer(self) -> torch.optim.Optimizer:
        """What takes the steps."""
        return torch.optim.Adam(self.network.parameters(), self._rate)

    def loss(self, outputs: Tensor, truth: Tensor) -> Tensor:
        """Of a batch with outputs of shape (n, outputs) and classes of shape (n,)."""
        return functional.cross_entropy(outputs, truth, label_smoothing=0.05)

    def outputs(self, squares: Squares) -> NDArray[np.float32]:
        """What the network says of crops, of shape (n, outputs)."""
        with torch.inference_mode():
            parts = [self.network(pixels(squares[i : i + _SEEN_AT_ONCE])) for i in range(0, len(squares), _SEEN_AT_ONCE)]
        return torch.cat(parts).numpy()

    def predict_proba(self, squares: Squares) -> NDArray[np.float64]:
        """Probabilities of the classes in `classes_`, of shape (n, classes)."""
        outputs = self.outputs(squares).astype(np.float64)
        exponential = np.exp(outputs - outputs.max(axis=1, keepdims=True))
        return np.asarray(exponential / exponential.sum(axis=1, keepdims=True))


class AdamCnn(CropNetwork):
    """Four convolutions (LeCun et al., Proceedings of the IEEE 1998; 86:2278-2324) by Adam (Kingma and Ba, arXiv:1412.6980)."""


class StochasticDescentCnn(CropNetwork):
    """The same network by stochastic gradient descent with momentum (Robbins and Monro, 1951; Sutskever et al., ICML 2013)."""

    _rate = 0.05

    def optimizer(self) -> torch.optim.Optimizer:
        """What takes the steps."""
        return torch.optim.SGD(self.network.parameters(), self._rate, momentum=0.9, nesterov=True, weight_decay=5e-4)


class SeparableCnn(CropNetwork):
    """Depthwise-separable convolutions, as MobileNet has them (Howard et al., arXiv:1704.04861), from random weights."""

    _rate = 0.01

    def made(self, classes: int) -> nn.Module:
        """The network, untrained."""
        return _trunk(classes, separable=True)


class TripletEmbedding(CropNetwork):
    """Points on a sphere of which those of a class lie near each other; the nearest learned crops name the class.

    The loss is that of FaceNet (Schroff et al., CVPR 2015, arXiv:1503.03832): for an anchor a, another crop p of its class and one n of
    another class, with the embedding f of length 1 and the margin m = 0.2,

        L = sum over triplets (a, p, n) of max(0, |f(a) - f(p)|^2 - |f(a) - f(n)|^2 + m).

    It is taken over all triplets of a batch and divided by the number of those above 0 (Hermans et al., arXiv:1703.07737).
    """

    def made(self, _classes: int) -> nn.Module:
        """The network, untrained."""
        return nn.Sequential(_trunk(_DIMENSIONS), _Unit())

    def loss(self, outputs: Tensor, truth: Tensor) -> Tensor:
        """The mean over triplets that are not yet apart."""
        return triplet_loss(outputs, truth)

    def fit(self, squares: Squares, labels: Labels) -> Self:
        """Learn the embedding, and keep where it lays each crop."""
        super().fit(squares, labels)
        self.neighbours = KNeighborsClassifier(min(_NEIGHBOURS, len(labels))).fit(self.outputs(squares), labels)
        return self

    def predict_proba(self, squares: Squares) -> NDArray[np.float64]:
        """Shares of the classes among the nearest crops."""
        return np.asarray(self.neighbours.predict_proba(self.outputs(squares)))


class _Unit(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        """Vectors of length 1."""
        return functional.normalize(x)


def triplet_loss(embedded: Tensor, truth: Tensor, margin: float = _MARGIN) -> Tensor:
    """Loss of `TripletEmbedding` for points of shape (n, dimensions) and their classes of shape (n,); 0 without a triplet."""
    apart = (embedded[:, None] - embedded[None]).square().sum(dim=2)
    alike = truth[:, None] == truth[None]
    itself = torch.eye(len(truth), dtype=torch.bool)
    triplets = (alike & ~itself)[:, :, None] & ~alike[:, None, :]
    losses = functional.relu(apart[:, :, None] - apart[:, None, :] + margin) * triplets
    return losses.sum() / (losses > 0).sum().clamp(min=1)


def _turned(batch: Tensor, rng: np.random.Generator) -> Tensor:
    """A batch of squares, turned or mirrored all alike: a cell looks the same from each side."""
    if rng.random() < 0.5:
        batch = batch.flip(3)
    return batch.rot90(int(rng.integers(4)), (2, 3))
