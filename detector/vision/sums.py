"""What the counts of validation fields tell of a detector's error, as sums that a model file carries."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from detector.vision import checks


@dataclass(frozen=True, kw_only=True)
class FieldSums:
    """One class in the validation fields of one domain, at the model's own thresholds.

    Raises:
        ValueError: a sum is no whole number of 0 or more, or there are no fields.
    """

    fields: int
    true: int
    """Detections that are labelled cells."""
    false: int
    """Detections that are none."""
    missed: int
    """Labelled cells that were not found."""
    counted_squared: int
    """Sum over fields of the squared number of detections."""
    truth_squared: int
    """Sum over fields of the squared number of labelled cells."""
    counted_truth: int
    """Sum over fields of the number of detections times that of labelled cells."""

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            checks.whole(name, value, 1 if name == "fields" else 0)

    @property
    def counted(self) -> int:
        """Detections in all fields."""
        return self.true + self.false

    @property
    def truth(self) -> int:
        """Labelled cells in all fields."""
        return self.true + self.missed

    def squared_error(self) -> float:
        """Sum over fields of (truth - R counted)², where R is the ratio of the totals; 0 where nothing was counted."""
        if not self.counted:
            return 0.0
        ratio = self.truth / self.counted
        # Rounding may leave a little less than 0.
        return max(self.truth_squared - 2 * ratio * self.counted_truth + ratio**2 * self.counted_squared, 0.0)


ValSums = dict[str, dict[str, FieldSums]]
"""By class name and domain."""


def val_sums(content: Any) -> ValSums:
    """Sums as JSON holds them; keys that are not ours are ignored.

    Raises:
        ValueError: one is missing, or is none that can be.
    """
    by_class = checks.mapping("val_sums", content)
    return {
        name: {
            domain: _sums(f"val_sums.{name}.{domain}", fields)
            for domain, fields in checks.mapping(f"val_sums.{name}", domains).items()
        }
        for name, domains in by_class.items()
    }


def _sums(name: str, content: Any) -> FieldSums:
    try:
        return FieldSums(**checks.arguments(FieldSums, content))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
