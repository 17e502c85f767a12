"""How right classified crops are: figures of each class and of all, with intervals by the scatter between fields or smears.

Crops of one field are alike, and so are fields of one smear, so what is drawn again is whole fields, or smears where two or more are known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from detector.accuracy.intervals import SHARE, Floats, bootstrap, divide, resamples, share
from detector.counting.intervals import Interval


@dataclass(frozen=True)
class ClassScores:
    """Of one class; None where there is nothing to be right or wrong about."""

    crops: int
    """Crops that are of it."""
    precision: Interval | None
    """Share of those taken for it that are of it."""
    recall: Interval | None
    """Share of those of it that were taken for it."""
    f1: Interval | None
    """Harmonic mean of the two."""


@dataclass(frozen=True)
class Scores:
    """Of all crops."""

    crops: int
    accuracy: Interval | None
    """Share of the crops that are classified rightly; common classes decide it."""
    balanced: Interval | None
    """Mean recall of the classes that there are crops of: balanced accuracy (Brodersen et al., ICPR 2010)."""
    precision: Interval | None
    """Mean precision of these classes, where one that nothing was taken for counts as 0."""
    f1: Interval | None
    """Mean F1 of these classes."""
    by_class: dict[str, ClassScores]
    confusion: tuple[tuple[int, ...], ...]
    """Crops by their class (a tuple a class) and what they were taken for."""


def score(classes: Sequence[str], truth: NDArray[np.int64], taken_for: NDArray[np.int64], units: Sequence[str]) -> Scores:
    """Compare labels of crops with what they were taken for, both of shape (n,).

    Args:
        classes: names by label.
        units: the field or the smear of each crop, which is drawn as a whole.

    Raises:
        ValueError: the arguments differ in length.
    """
    if not len(truth) == len(taken_for) == len(units):
        raise ValueError(f"need equal numbers of labels and units, got {len(truth)}, {len(taken_for)} and {len(units)}")
    names, unit = np.unique(np.asarray(units, dtype=str), return_inverse=True)
    confused = np.zeros((len(names), len(classes), len(classes)), dtype=np.int64)
    np.add.at(confused, (unit, truth, taken_for), 1)
    whole = confused.sum(axis=0)
    right = np.diagonal(confused, axis1=1, axis2=2)
    value = _means(whole[None].astype(np.float64))
    weights = resamples(len(names))
    drawn = _means(np.tensordot(weights, confused.astype(np.float64), axes=1))
    means = (
        {name: bootstrap(float(value[name][0]), drawn[name], len(names), SHARE) for name in value}
        if len(truth)
        else dict.fromkeys(value)
    )
    correct = right.sum(axis=1)
    return Scores(
        crops=len(truth),
        accuracy=share(correct, confused.sum(axis=(1, 2)) - correct),
        by_class={name: _of_class(confused, right[:, label], label) for label, name in enumerate(classes)},
        confusion=tuple(map(tuple, whole.tolist())),
        **means,
    )


def _of_class(confused: NDArray[np.int64], right: NDArray[np.int64], label: int) -> ClassScores:
    of_it, taken = confused[:, label].sum(axis=1), confused[:, :, label].sum(axis=1)
    jaccard = share(right, of_it + taken - 2 * right)
    # F1 rises with the Jaccard index, and is told by it alone.
    f1 = jaccard and jaccard.mapped(lambda value: 2 * value / (1 + value))
    return ClassScores(int(of_it.sum()), share(right, taken - right), share(right, of_it - right), f1)


def _means(confused: Floats) -> dict[str, Floats]:
    """Means over the classes that there are crops of, each of shape (samples,), from numbers of shape (samples, classes, classes)."""
    right = np.diagonal(confused, axis1=1, axis2=2)
    of_it, taken = confused.sum(axis=2), confused.sum(axis=1)
    there = of_it > 0
    number = there.sum(axis=1)
    figures = {"balanced": divide(right, of_it), "precision": divide(right, taken), "f1": divide(2 * right, of_it + taken)}
    return {name: divide(np.where(there, np.nan_to_num(values), 0).sum(axis=1), number) for name, values in figures.items()}
