"""Shares of red cell shapes in a smear, with the range that the classifier's own errors leave of them.

Two errors are told apart. The interval of a share is from the scatter between fields (`intervals.share`). It says nothing of cells
that are called wrongly, so beside it stands the range of the true share, from the errors in smears that were left out of training:
of `called` cells, the true share is (called - false) / (found - false) (Rogan and Gladen, American Journal of Epidemiology 1978;
107:71-76), where `false` is the share of other cells that are called so, and `found` the share of cells of the shape that are. Both
differ from smear to smear, so the range is from the least to the greatest that any of these smears gives.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from detector.counting.intervals import Interval, share
from detector.vision.shapes import NORMAL, NOT_SURE, FieldShapes, ShapeCard, ShapeErrors, ShapeModel

ABOVE = "more than its errors explain"
WITHIN = "no more than its errors explain"
_MANY_UNLIKE = 0.25
"""Share of a smear's fields from which on fields unlike those of the training lead its results."""
_LEAST_FOUND = 0.8
"""Share of the cells of a shape that must be found in each smear for a share to be of use to a reader."""
_FEWEST_SMEARS = 3
"""Left out smears with the shape from which on it is known how surely it is found."""


@dataclass(frozen=True)
class ShapeShare:
    """One shape in one smear."""

    cells: int
    """Cells that were called so."""
    share: Interval | None
    """Their share of the red cells clear of the border, by the scatter between fields; None without such cells."""
    true: tuple[float, float] | None
    """Least and greatest share that is truly there, by the classifier's errors and the scatter; None where that is not known."""
    verdict: str
    """`ABOVE` or `WITHIN`; empty for discocytes and for cells that are not sure."""


@dataclass(frozen=True, repr=False)
class SmearShapes:
    """The red cells of one smear by shape."""

    smear: str
    fields: int
    """Fields whose cells were looked at."""
    unlike: int
    """Those that are unlike the fields that shapes were learned from."""
    cells: int
    """Red cells clear of the border."""
    shapes: Mapping[str, ShapeShare]
    """By name, in the order of the classifier, with `NOT_SURE` last."""
    strange: int
    """Cells that are unlike those that shapes were learned from."""
    strange_share: Interval | None
    """Their share of the red cells clear of the border; None without such cells."""
    unsure_most: float
    """Greatest share of `NOT_SURE` in the smears that were left out of training."""
    strange_most: float
    """Greatest share of cells unlike the others in these smears."""

    def __repr__(self) -> str:
        return f"SmearShapes({self.smear!r}: {self.cells} red cells in {self.fields} fields, {self.unlike} unlike)"

    @property
    def warning(self) -> str:
        """What is to be read before any of the shares; else empty."""
        if self.unlike and self.unlike >= _MANY_UNLIKE * self.fields:
            which = f"{self.unlike:,} of {self.fields:,} fields are" if self.fields > 1 else "the only field is"
            return f"{which} unlike those that shapes were learned from: do not use these shares"
        if _surely_above(self.strange_share, self.strange_most):
            return f"{self.strange:,} of {self.cells:,} red cells are unlike those that shapes were learned from: do not use these shares"
        if _surely_above(self.shapes[NOT_SURE].share, self.unsure_most):
            return "more cells are not sure than in any smear that shapes were tested on: do not use these shares"
        return ""


@dataclass(frozen=True)
class ShapeShares:
    """The red cells of all smears by shape, and what told them."""

    smears: tuple[SmearShapes, ...]
    card: ShapeCard
    sha256: str
    """Of the classifier."""


def of_smears(fields: Iterable[tuple[str, FieldShapes]], model: ShapeModel) -> ShapeShares:
    """Shares of each smear, in the order of their names, from the smear and the shapes of each field."""
    by_smear: dict[str, list[FieldShapes]] = {}
    for smear, looked in fields:
        by_smear.setdefault(smear, []).append(looked)
    smears = (_smear(smear, by_smear[smear], model.card) for smear in sorted(by_smear))
    return ShapeShares(tuple(smears), model.card, model.sha256)


def _smear(smear: str, fields: Sequence[FieldShapes], card: ShapeCard) -> SmearShapes:
    numbers = [sum(looked.cells.values()) for looked in fields]

    def of_all_cells(chosen: Sequence[int]) -> Interval | None:
        return share(chosen, [number - own for number, own in zip(numbers, chosen, strict=True)])

    shapes = {}
    for name in (*card.shapes, NOT_SURE):
        called = [looked.cells[name] for looked in fields]
        of_all = of_all_cells(called)
        errors = card.errors.get(name)
        shapes[name] = ShapeShare(sum(called), of_all, true_range(of_all, errors), _verdict(name, of_all, errors))
    strange = [looked.strange for looked in fields]
    return SmearShapes(
        smear,
        len(fields),
        sum(bool(looked.unlike) for looked in fields),
        sum(numbers),
        shapes,
        sum(strange),
        of_all_cells(strange),
        card.figures["not_sure_most"],
        card.figures["strange_most"],
    )


def _surely_above(share: Interval | None, limit: float) -> bool:
    return share is not None and share.low is not None and share.low > limit


def true_range(called: Interval | None, errors: ShapeErrors | None) -> tuple[float, float] | None:
    """Least and greatest true share behind a share that was called so; None where errors are not known."""
    if called is None or called.limits is None or errors is None or not errors.found or not errors.false:
        return None
    low, high = called.limits
    least = _rogan_gladen(low, max(errors.false), max(errors.found))
    greatest = _rogan_gladen(high, min(errors.false), min(errors.found))
    # Where more cells are called so than can be found of them, they say nothing of how many are there at least.
    return (least if low < max(errors.found) else low), greatest


def _rogan_gladen(called: float, false: float, found: float) -> float:
    if called <= false:
        return 0.0
    return 1.0 if found <= called else (called - false) / (found - false)


def _verdict(name: str, called: Interval | None, errors: ShapeErrors | None) -> str:
    if name == NORMAL or called is None or called.low is None or errors is None or not errors.false:
        return ""
    return ABOVE if called.low > max(errors.false) else WITHIN


def shortfall(name: str, errors: ShapeErrors) -> str:
    """Why a shape is told less surely than a reader needs, by its errors; empty where it is not, and for discocytes."""
    if name == NORMAL:
        return ""
    reasons = []
    if not errors.false or max(errors.false) >= errors.graded_from:
        reasons.append(
            f"up to {max(errors.false, default=1):.1%} of other cells are called so, and readers grade from {errors.graded_from:.0%} on"
        )
    if len(errors.found) < _FEWEST_SMEARS:
        reasons.append(f"only {len(errors.found)} left out smears show how many are found")
    elif min(errors.found) < _LEAST_FOUND:
        reasons.append(f"in one smear only {min(errors.found):.0%} of them are found")
    return "; ".join(reasons)
