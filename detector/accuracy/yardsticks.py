"""What others reached, what laboratories allow, and what chance alone does: figures to hold counts against, each with its source."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from detector.accuracy.counts import Agreement

_ALAM = (
    "Alam MM, Islam MT. Machine learning approach of automatic identification and counting of blood cells. "
    "Healthcare Technology Letters 2019; 6(4):103-108. doi:10.1049/htl.2018.5098"
)
_CLIA = (
    "United States, Code of Federal Regulations, title 42, section 493.941 (c)(2), criteria for acceptable performance in "
    "proficiency testing, as amended by 87 FR 41194 (11 July 2022), in force since 1 January 2025"
)
_STUDENT = "Student. On the error of counting with a haemacytometer. Biometrika 1907; 5(3):351-360. doi:10.1093/biomet/5.3.351"


@dataclass(frozen=True)
class Yardstick:
    """One figure of others, of one class."""

    class_name: str
    what: str
    """What is measured."""
    value: float
    """A share: 0.04 stands for 4 %."""
    data: str
    """On which data, or of what."""
    source: str
    remark: str
    """What must be known before the two are compared."""


def _pooled(class_name: str, value: float) -> Yardstick:
    return Yardstick(
        class_name,
        "pooled accuracy, 1 - |counted - labelled| / labelled over all fields",
        value,
        "CBC test, 60 fields, official labels",
        _ALAM,
        "errors of single fields cancel in it: a constant baseline of 12 red cells, 1 white cell and 1 platelet a field scores "
        "90.9, 98.4 and 90.9 % there",
    )


def _allowed(class_name: str, value: float) -> Yardstick:
    return Yardstick(
        class_name,
        "allowable total error, either way",
        value,
        "a laboratory's count of a whole blood sample, in cells per volume",
        _CLIA,
        "an analogy: it holds for a sample of blood, not for the cells in a photograph, and no count of fields of a smear can be "
        "tested by it",
    )


PUBLISHED = (_pooled("RBC", 0.9609), _pooled("WBC", 0.8689), _pooled("Platelets", 0.9636))
"""Of the YOLO counter whose idea this project follows."""
YARDSTICKS = (
    *PUBLISHED,
    _allowed("RBC", 0.04),
    _allowed("WBC", 0.10),
    _allowed("Platelets", 0.25),
)


def counting_error(cells: float) -> float | None:
    """Coefficient of variation of a count without any fault, by chance alone: 1 / √cells; None without cells.

    Cells lie at random, so equal areas of one well-made smear hold numbers of cells that scatter by Poisson's law (Student 1907). Of 100
    cells it is 10 %, whoever counts. Where cells cluster it is more.
    """
    return 1 / math.sqrt(cells) if cells > 0 else None


def of_counting(agreements: Mapping[str, Agreement]) -> list[Yardstick]:
    """The counting error of as many cells as the truth of each class has, in all fields together."""
    errors = {name: counting_error(agreement.truth) for name, agreement in agreements.items()}
    return [
        Yardstick(
            name,
            "counting error by chance alone, coefficient of variation",
            error,
            f"{agreements[name].truth} cells, as many as the truth has here, counted in another part of the same smear",
            _STUDENT,
            "Poisson's law, for cells that lie at random; it limits what fields tell of a smear however well they are counted, and is "
            "no error of a count against the truth of the same fields",
        )
        for name, error in errors.items()
        if error is not None
    ]


def constant_baseline(train_counts: Sequence[Sequence[int]]) -> tuple[int, ...]:
    """The constant baseline: the median count of each class over training fields, in whole cells.

    A model should beat it. `train_counts` is one row of counts a field.

    Raises:
        ValueError: there is no field.
    """
    if not len(train_counts):
        raise ValueError("a constant baseline needs the counts of at least one field")
    return tuple(round(float(m)) for m in np.median(np.asarray(train_counts), axis=0))
