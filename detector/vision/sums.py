"""What the counts of validation fields tell of a detector's error, as sums that a model file carries."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class FieldSums(BaseModel):
    """One class in the validation fields of one domain, at the model's own thresholds."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    fields: int = Field(ge=1)
    true: int = Field(ge=0)
    """Detections that are labelled cells."""
    false: int = Field(ge=0)
    """Detections that are none."""
    missed: int = Field(ge=0)
    """Labelled cells that were not found."""
    counted_squared: int = Field(ge=0)
    """Sum over fields of the squared number of detections."""
    truth_squared: int = Field(ge=0)
    """Sum over fields of the squared number of labelled cells."""
    counted_truth: int = Field(ge=0)
    """Sum over fields of the number of detections times that of labelled cells."""

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
