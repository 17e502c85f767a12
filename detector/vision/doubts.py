"""What makes a field doubtful, in words, by what `quality` measured in it and in the other fields of its smear."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detector.vision import cells, nuclei, quality
from detector.vision.familiar import Familiar
from detector.vision.quality import Quality

LEAST_FOCUS = 4.5
"""Nearly all fields of BCCD, PBC and Raabin-WBC have 5 to 12. Blurred by 8 % of a cell's diameter they have about 4.7, by 10 % about
4.2; a model trained at 320 px then found 4 to 18 % and 8 to 31 % fewer cells."""
MOST_COVERED = 0.8
"""In 223 of these fields, all with completely labelled cells, 0.34 to 0.77."""
MOST_OVERLAP = 0.15
"""There 0.11 at the most."""
MOST_UNCLAIMED = 0.09
"""There 0.085 at the most."""
LEAST_CONTRAST = 0.08
"""There 0.18 at the least."""
LEAST_BRIGHTNESS = 80
"""Of 255, in green light between the cells; there 165 at the least."""
MOST_UNEVEN = 0.4
"""There 0.26 at the most."""

MOST_UNSURE = 0.25
"""Share of red cells that nearly were counted, of these and the counted ones; in 135 rightly counted val fields at the most so many."""
FEWEST_UNSURE = 2
"""Red cells that nearly were counted, below which a field is not doubtful by them."""
UNSURE_WHITES = 0.1
"""Share of the white cells, counted and nearly counted, that may be uncertain or without a nucleus; of the few of a field, none."""
FEWEST_UNSURE_PLATELETS = 3
"""Platelets that nearly were counted from which on, where they are more than `PLATELETS_TIMES` as many as the counted ones, a field is
doubtful."""
PLATELETS_TIMES = 2
MOST_STRAY = 0.55
"""Greatest width of an object as dark as a nucleus in no white cell's box, in red cells; platelets and overlaps are smaller."""

FEWEST_TO_COMPARE = 5
"""Fields of a smear from which on each is compared with the others."""
LESS_SHARP = 0.7
"""Share of the smear's median focus below which a field is doubtful, where the smear's own scatter does not explain it."""
OTHER_COLOUR = 10.0
"""Distance of the background's colour from the smear's median, in CIELAB units, from which on the same holds."""
_SCATTERS = 3.5
"""Standard deviations, estimated robustly from the median deviation, that a smear's own scatter explains."""

_WHITE_LEVEL = 250
_NUMBERS = {
    "focus": "focus",
    "covered": "share of the field under cells",
    "contrast": "contrast",
    "uneven": "unevenness of the light",
    "score": "scores of the red cells",
    "red_share": "size of the red cells",
    "sizes": "scatter of the red cells' sizes",
    "background's lightness": "brightness of the background",
    "background's green to red": "colour of the background",
    "background's blue to yellow": "colour of the background",
    "density": "density of the red cells",
    "density in red": "colour of the red cells",
    "density in blue": "colour of the red cells",
}
"""What each of `Quality.numbers` is called."""


def of_fields(fields: Sequence[Quality], familiar: Familiar | None = None) -> list[str]:
    """What makes each of a smear's fields doubtful, in words and parted by semicolons; empty for a field that is sound.

    Some rules judge a field by itself; from `FEWEST_TO_COMPARE` fields on each is also compared with the others.

    Args:
        familiar: what the fields of the model's training are like; None where that is not known.
    """
    alone = [[*_alone(field), *_cells(field), *_strange(field, familiar)] for field in fields]
    if len(fields) < FEWEST_TO_COMPARE:
        return ["; ".join(reasons) for reasons in alone]
    compared = zip(alone, _less_sharp(fields), _other_stain(fields), _fainter(fields), strict=True)
    return ["; ".join([*reasons, *filter(None, others)]) for reasons, *others in compared]


def of_pictures(fields: Mapping[str, Quality]) -> dict[str, str]:
    """The doubt of each field of a smear that shows the same picture as an earlier one, by the names of the fields.

    Figures that are all the same, to the last digit, come of the same pixels. Fields without red cells measure too little to tell.
    """
    first: dict[Quality, str] = {}
    again = {}
    for name, field in fields.items():
        if field.focus is not None and first.setdefault(field, name) != name:
            again[name] = f"the same picture as {first[field]}: its cells are counted again"
    return again


def rules() -> list[str]:
    """The rules of `of`, for people."""
    return [
        f"out of focus: the edges of red cells rise by less than {LEAST_FOCUS:g} contrasts per cell diameter",
        "no red cell: none was counted, so the focus is not known either",
        f"crowded: cells cover more than {100 * MOST_COVERED:.0f} % of the field, or more than {100 * MOST_OVERLAP:.0f} % of their area "
        "lies on another cell",
        f"uncounted matter: more than {100 * MOST_UNCLAIMED:.0f} % of the field is as dark as cells but lies in no counted cell",
        f"dark: between the cells, brightness in green light is below {LEAST_BRIGHTNESS} of 255",
        f"faint or overexposed: cells are darker than the background by less than {100 * LEAST_CONTRAST:.0f} %",
        f"unevenly lit: brightness between the cells varies across the field by more than {100 * MOST_UNEVEN:.0f} %",
        f"uncertain cells: cells were nearly counted, that is, scored between a third of the threshold and the threshold. Red cells: "
        f"{FEWEST_UNSURE} or more, and more than {100 * MOST_UNSURE:.0f} % of these and the counted ones; white cells: one or more, and "
        f"{100 * UNSURE_WHITES:.0f} % of them or more; platelets: {FEWEST_UNSURE_PLATELETS} or more, and more than {PLATELETS_TIMES} "
        "times the counted ones",
        f"white cells without a nucleus: the part that is clearly denser than red cells is smaller than {nuclei.LEAST_NUCLEUS:g} of a red "
        "cell's area",
        f"dark as a nucleus but in no white cell: an object at least {nuclei.DENSER:g} times as dense as red cells and wider than "
        f"{100 * MOST_STRAY:.0f} % of a red cell",
        "the same picture as another field of the smear: its cells are counted twice",
        "unlike the fields that the model was trained on, if its card holds their ranges",
        f"unlike the smear's other fields, if there are {FEWEST_TO_COMPARE} or more and their scatter does not explain it: focus "
        f"below {100 * LESS_SHARP:.0f} % of their median; contrast below half of their median; background colour off by more than "
        f"{OTHER_COLOUR:g} units of CIELAB",
    ]


def _alone(field: Quality) -> list[str]:
    reasons = []
    if field.focus is None:
        reasons.append("no red cell")
    elif field.focus < LEAST_FOCUS:
        reasons.append("out of focus")
    if field.covered > MOST_COVERED:
        reasons.append(f"crowded: cells cover {100 * field.covered:.0f} %")
    if field.overlap > MOST_OVERLAP:
        reasons.append(f"crowded: {100 * field.overlap:.0f} % of the cells' area lies on another cell")
    if field.unclaimed > MOST_UNCLAIMED:
        reasons.append(f"uncounted matter: {100 * field.unclaimed:.0f} % of the field is dark but in no counted cell")
    if field.background[1] < LEAST_BRIGHTNESS:
        reasons.append(f"dark: background {field.background[1]} of 255")
    if field.contrast < LEAST_CONTRAST:
        reasons.append(
            "overexposed" if min(field.background) >= _WHITE_LEVEL else "faint: little contrast of cells to background"
        )
    if field.uneven > MOST_UNEVEN:
        reasons.append(f"unevenly lit: brightness varies by {100 * field.uneven:.0f} %")
    return reasons


def _cells(field: Quality) -> list[str]:
    """What makes the cells themselves doubtful."""
    red, white, platelets = field.unsure
    whites, plain = field.counted[cells.WBC], field.plain_whites
    reasons = []
    if red >= FEWEST_UNSURE and red > MOST_UNSURE * (red + field.counted[cells.RBC]):
        reasons.append(f"uncertain cells: {red:,} red cells nearly counted, {field.counted[cells.RBC]:,} counted")
    if white and white >= UNSURE_WHITES * (white + whites):
        reasons.append(f"uncertain cells: {_cells_named(white, 'white cell')} nearly counted, {whites:,} counted")
    if platelets >= FEWEST_UNSURE_PLATELETS and platelets > PLATELETS_TIMES * field.counted[cells.PLATELETS]:
        reasons.append(f"uncertain cells: {platelets:,} platelets nearly counted, {field.counted[cells.PLATELETS]:,} counted")
    if plain and plain >= UNSURE_WHITES * whites:
        reasons.append(f"{_cells_named(plain, 'white cell')} without a nucleus darker than the red cells")
    if field.stray > MOST_STRAY:
        wide = f"{field.stray:.1f}" if field.stray < 10 else f"{field.stray:.0f}"
        reasons.append(f"dark as a nucleus but in no white cell: an object {wide} red cells wide")
    return reasons


def _strange(field: Quality, familiar: Familiar | None) -> list[str]:
    if familiar is None or familiar.distance(field.numbers()) <= familiar.limit:
        return []
    strangest = familiar.strangest(field.numbers())
    return [f"unlike the fields that the model was trained on: {_NUMBERS.get(strangest, strangest)}"]


def _cells_named(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _less_sharp(fields: Sequence[Quality]) -> list[str]:
    focus = np.array([math.nan if field.focus is None else field.focus for field in fields])
    measured = focus[np.isfinite(focus)]
    if len(measured) < FEWEST_TO_COMPARE:
        return [""] * len(fields)
    middle, scatter = _robust(measured)
    off = (focus < LESS_SHARP * middle) & (middle - focus > _SCATTERS * scatter) & (focus >= LEAST_FOCUS)
    return ["less sharp than the smear's other fields" if is_off else "" for is_off in off]


def _other_stain(fields: Sequence[Quality]) -> list[str]:
    lab = quality.cielab(np.array([field.background for field in fields]))
    away = np.linalg.norm(lab - np.median(lab, axis=0), axis=1)
    scatter = _robust(away)[1] + float(np.median(away))
    off = (away > OTHER_COLOUR) & (away > _SCATTERS * scatter)
    return ["stain or light unlike the smear's other fields" if is_off else "" for is_off in off]


def _fainter(fields: Sequence[Quality]) -> list[str]:
    contrast = np.array([field.contrast for field in fields])
    middle, scatter = _robust(contrast)
    off = (contrast < middle / 2) & (middle - contrast > _SCATTERS * scatter) & (contrast >= LEAST_CONTRAST)
    return ["fainter than the smear's other fields" if is_off else "" for is_off in off]


def _robust(values: NDArray[np.floating[Any]]) -> tuple[float, float]:
    """Median, and standard deviation as the median deviation of a normal distribution tells it."""
    middle = float(np.median(values))
    return middle, 1.4826 * float(np.median(np.abs(values - middle)))
