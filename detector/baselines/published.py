"""Figures that papers give of their own methods, beside what the same kind of method reaches here.

Only figures that stand in a paper's own abstract are here, or those that `accuracy.yardsticks` holds. Each was measured on the paper's own
data, so none of them can be set against a figure of other data. What can be said is whether it was met here, too.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from detector.accuracy.yardsticks import PUBLISHED
from detector.counting.intervals import Interval

POOLED = "pooled_accuracy"


@dataclass(frozen=True)
class Claim:
    """One figure of a paper."""

    paper: str
    method: str | None
    """The method here that is like the paper's; None where any classifier of shapes may meet it."""
    class_name: str
    what: str
    """What the paper measured."""
    value: float
    """A share."""
    data: str
    figure: str | None
    """The name of the figure here that comes nearest; None where nothing here measures it."""
    at_least: bool = False
    """Whether the paper gives the value as the least one."""


_CRUZ = "Cruz D et al., IEEE HNICEM 2017"
_ALOMARI = "Alomari YM et al., Computational and Mathematical Methods in Medicine 2014; 979302"
_SHAPES = "Naruenatthanaset K et al., arXiv:2012.01321"
CLAIMS = (
    *(
        Claim(_CRUZ, "HSV and watershed", name, "agreement with an analyser's count", 0.90, "10 pictures of their own", POOLED, True)
        for name in ("RBC", "WBC", "Platelets")
    ),
    Claim(_ALOMARI, "iterative circles", "RBC", "mean accuracy of counts", 0.953, "pictures of their own", POOLED),
    Claim(_ALOMARI, "iterative circles", "WBC", "mean accuracy of counts", 0.984, "pictures of their own", None),
    Claim(
        "Mazalan SM et al., International Journal of Engineering and Technology 2019; 8",
        "Hough circles", "RBC", "accuracy of counts", 0.94, "60 pictures of their own", POOLED,
    ),
    Claim(
        "Tavakoli S et al., Scientific Reports 2021; 11:19428",
        "CMYK moments", "WBC", "Dice coefficient of nuclei", 0.9675, "Raabin-WBC, outlines of nuclei", None,
    ),
    *(
        Claim(published.source, "smearcount", published.class_name, "pooled accuracy of YOLO", published.value, published.data, POOLED)
        for published in PUBLISHED
    ),
    Claim(_SHAPES, None, "all", "accuracy of 12 shapes, EfficientNet-B1", 0.921, "Chula RBC-12, 20,875 cells", "accuracy"),
    Claim(_SHAPES, None, "all", "mean F1 of 12 shapes, EfficientNet-B1", 0.8679, "Chula RBC-12, 20,875 cells", "f1"),
)  # fmt: skip


@dataclass(frozen=True)
class Held:
    """A claim against what was measured here."""

    claim: Claim
    here: tuple[str, Interval] | None
    """On which data, and how much; None where nothing here measures it."""

    @property
    def verdict(self) -> str:
        """Whether the interval of what is measured here reaches the paper's figure, in words."""
        if self.here is None:
            return "not measured here"
        measured = self.here[1]
        high = measured.value if measured.limits is None else measured.limits[1]
        if measured.value >= self.claim.value:
            return "reached"
        return "within the interval" if high >= self.claim.value else "not reproduced"


def held(
    counting: Mapping[tuple[str, str, str], Interval | None], shapes: Sequence[tuple[str, Mapping[str, Interval | None]]]
) -> Iterator[Held]:
    """Each claim against each test set on which it is measured here, or once against none.

    Args:
        counting: pooled accuracy by test set, method and class.
        shapes: of each classifier of shapes its test set, and `accuracy` and `f1`.
    """
    for claim in CLAIMS:
        if claim.figure == POOLED:
            key = (claim.method, claim.class_name)
            measured = [(data, value) for (data, *rest), value in counting.items() if tuple(rest) == key and value is not None]
        elif claim.figure is not None:
            # The best of all is what the paper reports, too.
            of_all = [(data, value) for data, figures in shapes if (value := figures[claim.figure]) is not None]
            measured = sorted(of_all, key=lambda pair: -pair[1].value)[:1]
        else:
            measured = []
        yield from (Held(claim, pair) for pair in measured)
        if not measured:
            yield Held(claim, None)
