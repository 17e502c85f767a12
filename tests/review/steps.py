"""What tests do with a review."""

from __future__ import annotations

import itertools
from typing import Any

from detector.review.review import Review

_NUMBERS = itertools.count()


def change(review: Review, field: int = 0, by: str = "Ann", **what: Any) -> int:
    """Change one field as it is now."""
    fields = [{"field": field, "revision": review.fields[field].revision, **what}]
    return review.change({"id": f"change-{next(_NUMBERS):04}", "by": by, "fields": fields})


def undo(review: Review, by: str = "Ann", again: bool = False) -> int:
    return review.undo({"id": f"undo-{next(_NUMBERS):06}", "by": by}, again)


def counts(review: Review, field: int = 0) -> list[int]:
    return review.state()["fields"][field]["counts"]


def looked_at_all(review: Review, by: str = "Ann") -> None:
    for number, state in enumerate(review.fields):
        if state.source.is_read:
            change(review, number, by, looked=True)
