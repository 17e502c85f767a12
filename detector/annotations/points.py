"""Red cells labelled by a point and a shape, as Chula RBC-12 has them: `images/N.jpg`, and `points/N.txt` with lines `x y type`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from detector import texts
from detector.errors import AnnotationError

SHAPES = (
    "normal", "macrocyte", "microcyte", "spherocyte", "target cell", "stomatocyte", "ovalocyte", "tear-drop", "burr cell", "schistocyte",
    "uncategorised", "hypochromia", "elliptocyte",
)  # fmt: skip
"""Shapes of red cells by the numbers that Chula RBC-12 gives them."""
NO_SHAPE = 10
"""Cells that nobody could name a shape of."""
_SAME_SMEAR = 10
"""Numbers of two fields of one smear are at most so far apart."""
_TOGETHER = (("466", "491"), ("467", "491"))
"""Fields of one smear in spite of their numbers, each with the first of the others."""
_MOST_BYTES = 4 * texts.MEBIBYTE


def read(path: Path) -> tuple[list[tuple[int, int, int]], list[int]]:
    """Points `x, y, type`, and the numbers of the lines that hold none.

    Raises:
        AnnotationError: the file cannot be read.
    """
    try:
        lines = texts.content(path, _MOST_BYTES).decode("utf-8", "replace").splitlines()
    except OSError as error:
        raise AnnotationError(f"its points cannot be read ({error.strerror or error})") from None
    points, damaged = [], []
    for number, line in enumerate(lines, 1):
        words = line.split()
        if len(words) == 3 and all(word.isascii() and word.isdigit() for word in words) and int(words[2]) < len(SHAPES):
            points.append((int(words[0]), int(words[1]), int(words[2])))
        elif words:
            damaged.append(number)
    return points, damaged


def number(name: str) -> tuple[int, str]:
    """What sorts names of fields by their numbers."""
    return (int(name) if name.isascii() and name.isdigit() else -1, name)


def smears(names: Sequence[str]) -> dict[str, str]:
    """The smear of each field, called by its first; `names` in the order of their numbers."""
    smear_of: dict[str, str] = {}
    before = None
    for name in names:
        own = number(name)[0]
        near = before is not None and own >= 0 and own - number(before)[0] <= _SAME_SMEAR
        smear_of[name] = smear_of[before] if near and before is not None else name
        before = name
    for name, first in _TOGETHER:
        if name in smear_of and first in smear_of and smear_of[name] in (name, "466"):
            smear_of[name] = smear_of[first]
    return smear_of
