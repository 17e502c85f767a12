"""How right doubt itself is: of fields that are counted wrongly how many are doubtful, and of those counted rightly."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Doubted:
    """A field with labels, what makes it doubtful, and whether its count is wrong."""

    doubt: str
    """Empty where it is sound."""
    wrong: bool


@dataclass(frozen=True)
class Tally:
    """Fields by whether they are wrong and doubtful."""

    wrong: int
    wrong_doubtful: int
    right: int
    right_doubtful: int

    @classmethod
    def of(cls, fields: Sequence[Doubted], reason: str = "") -> Tally:
        """Count fields; with a reason, those are doubtful whose doubt holds it."""
        doubtful = [bool(one.doubt) and reason in one.doubt for one in fields]
        wrong = [one.wrong for one in fields]
        both = sum(a and b for a, b in zip(doubtful, wrong, strict=True))
        return cls(sum(wrong), both, len(fields) - sum(wrong), sum(doubtful) - both)

    @property
    def recall(self) -> float | None:
        """Share of the wrong fields that are doubtful; None without any."""
        return self.wrong_doubtful / self.wrong if self.wrong else None

    @property
    def precision(self) -> float | None:
        """Share of the doubtful fields that are wrong; None without any."""
        doubtful = self.wrong_doubtful + self.right_doubtful
        return self.wrong_doubtful / doubtful if doubtful else None

    @property
    def false_alarms(self) -> float | None:
        """Share of the right fields that are doubtful; None without any."""
        return self.right_doubtful / self.right if self.right else None
