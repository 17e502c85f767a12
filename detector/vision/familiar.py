"""Whether a field is like those of a model's training, by a few measurements and their ranges, which the model's card holds.

A field's distance is how far its measurements lie outside the training ranges: the root of the sum of squares, each in widths of its
range. Fields with known errors decide which measurements are used, and from which distance on a field is strange.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from detector.vision import checks
from detector.vision.images import Rgb

FEWEST_WRONG = 10
"""Least number of wrong fields that decide which measurements are used."""
MOST_RIGHT = 0.02
"""Share of the right fields that may be strange."""
TAIL = 0.01
"""Share of the training fields that lie outside of a range, on either side."""

Numbers = Mapping[str, float]
"""What was measured in a field, by name; what could not be measured is not in it."""

PLAIN = "plain"
_LAMP_RGB = (0.75, 0.9, 1.1)
_GROUND_RGB = (0.6, 0.75, 1.0)
_BLUR_CELLS = 0.07
"""Standard deviation of the blur, in red cells."""
LIGHTS: Mapping[str, Callable[[Rgb, float], Rgb]] = {
    PLAIN: lambda rgb, _px: rgb,
    "bluish lamp": lambda rgb, _px: _times(rgb, _LAMP_RGB),
    "blue ground": lambda rgb, _px: _times(rgb, _GROUND_RGB),
    "grey": lambda rgb, _px: _grey(rgb),
    "blur": lambda rgb, px: np.asarray(cv2.GaussianBlur(rgb, (0, 0), _BLUR_CELLS * px), dtype=np.uint8),
}
"""From a picture of shape (h, w, 3), RGB, and the width of its red cells in pixels to the picture as another lamp, stain or camera would
show it: what a count and its doubt are tried on."""


@dataclass(frozen=True)
class Familiar:
    """What the numbers of fields are like that the model can count.

    Raises:
        ValueError: a range is empty, or no number.
    """

    ranges: dict[str, tuple[float, float]]
    """Least and most of each number in the training fields, but for their tails."""
    limit: float
    """Distance from which on a field is strange."""

    def __post_init__(self) -> None:
        for name, (low, high) in checks.mapping("familiar.ranges", self.ranges).items():
            checks.number(f"familiar.ranges.{name}", low)
            checks.number(f"familiar.ranges.{name}", high, above=low)
        checks.number("familiar.limit", self.limit, above=0)

    def distance(self, seen: Numbers) -> float:
        """How far a field lies outside of the training's ranges."""
        return math.hypot(*(self._outside(name, seen) for name in self.ranges))

    def strangest(self, seen: Numbers) -> str:
        """The number that lies farthest outside of its range."""
        return max(self.ranges, key=lambda name: self._outside(name, seen))

    def widened(self, fields: Sequence[Numbers]) -> Familiar:
        """The same with ranges that hold these fields too."""
        return Familiar(
            {
                name: (
                    min([low, *(seen[name] for seen in fields if name in seen)]),
                    max([high, *(seen[name] for seen in fields if name in seen)]),
                )
                for name, (low, high) in self.ranges.items()
            },
            self.limit,
        )

    def _outside(self, name: str, seen: Numbers) -> float:
        low, high = self.ranges[name]
        value = seen.get(name)
        return 0.0 if value is None else max(low - value, value - high, 0.0) / (high - low)


def of_json(content: Any) -> Familiar:
    """What a card holds; keys that are not ours are ignored.

    Raises:
        ValueError: something is missing, or cannot be.
    """
    given = checks.arguments(Familiar, content)
    ranges = checks.mapping("familiar.ranges", given["ranges"])
    for name, pair in ranges.items():
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise ValueError(f"familiar.ranges.{name} must be two numbers")
    return Familiar({name: (pair[0], pair[1]) for name, pair in ranges.items()}, given["limit"])


def calibrate(
    training: Sequence[Numbers], judged: Sequence[tuple[Numbers, bool]], most_right: float = MOST_RIGHT
) -> Familiar | None:
    """Ranges of the training fields, and the limit that fields with known errors tell.

    With enough wrong fields, numbers are left out that lie outside of their range in right fields as often as in wrong ones: what a
    model is not disturbed by, such as the lamp's colour, is no reason for doubt. They should be of other laboratories, or in other light.

    Args:
        judged: fields that were not trained on, and whether their count was wrong.
        most_right: share of the right ones that may be strange.

    Returns:
        None where nothing tells it.
    """
    right, wrong = ([numbers for numbers, is_wrong in judged if is_wrong is which] for which in (False, True))
    ranges = {
        name: span for name in sorted({name for numbers in training for name in numbers}) if (span := _range(name, training))
    }
    if not ranges or not right:
        return None
    if len(wrong) >= FEWEST_WRONG:
        alone = {name: Familiar({name: span}, 1.0) for name, span in ranges.items()}
        ranges = {name: span for name, span in ranges.items() if _often(alone[name], wrong) > 2 * _often(alone[name], right)}
    if not ranges:
        return None
    distances = [Familiar(ranges, 1.0).distance(numbers) for numbers in right]
    # Half a range outside is strange at the least: that of few training fields is too narrow.
    return Familiar(ranges, max(float(np.quantile(distances, 1 - most_right, method="higher")) * 1.001, 0.5))


def _often(alone: Familiar, fields: Sequence[Numbers]) -> float:
    return sum(alone.distance(numbers) > 0 for numbers in fields) / len(fields)


def _range(name: str, fields: Sequence[Numbers]) -> tuple[float, float] | None:
    values = [numbers[name] for numbers in fields if name in numbers]
    if not values:
        return None
    low, high = np.quantile(values, [TAIL, 1 - TAIL]).tolist()
    return (low, high) if high > low else None


def _times(rgb: Rgb, factors: tuple[float, float, float]) -> Rgb:
    return np.asarray((rgb * np.array(factors)).clip(0, 255), dtype=np.uint8)


def _grey(rgb: Rgb) -> Rgb:
    return np.repeat(np.asarray(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), dtype=np.uint8)[:, :, None], 3, axis=2)
