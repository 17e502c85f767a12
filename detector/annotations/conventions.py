"""What the numbers of a label set mean, judged over the whole set, and what is refused because nothing else is certain.

Pixels stand where fractions belong, corners where sizes belong, rows where columns belong; boxes are of a picture as it is stored and not
as it is displayed, or of a larger copy of it. One box alone mostly shows none of this, and a whole set does: read rightly, its boxes lie
in their pictures, and on cells.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from detector.annotations import repair
from detector.annotations.labels import CENTRE_SIZE, CORNER_SIZE, CORNERS, Labels
from detector.errors import AnnotationError
from detector.vision import boxes as areas
from detector.vision.images import SWAPS_SIDES

_FORMS = (CORNERS, CORNER_SIZE, CENTRE_SIZE)
_SLACK_PX, _SLACK_SHARE = 1.5, 0.05
"""A box fits its picture if no edge lies further outside than this, in pixels or in shares of its own side."""
_FEW = 3
"""Boxes that have to misfit before another form is looked for."""
_LEAST_MISFIT, _MOST_MISFIT = 0.05, 0.01
"""Share of boxes that do not fit as the file's form has it, from which on a form is refused if fewer than the second misfit in another."""
_MOST_CHANGED = 0.5
_LEAST_JUDGED = 10
"""Boxes that a set needs to be refused for the share of them that would be changed."""
_SAME_SIZE, _SAME_SHAPE = 0.01, 0.02
_FAR = 2.0
"""Pictures' sides from the corner beyond which no box in fractions lies."""
_CLEARLY = 0.15
"""Difference of two correlations of boxes and dark places from which on one is believed."""
_LEAST_LOOKED_AT = 30
"""Boxes that it takes to tell cells from what is dark by chance."""
_MOST_LOOKED_AT = 60
"""Fields, spread over the set, by which mirrored boxes are found."""
_TURNS = {
    2: "they are mirrored left to right",
    3: "they are turned by 180°",
    4: "they are mirrored top to bottom, as if y were counted from the lower edge",
    5: "x and y are exchanged, as if rows stood before columns",
    6: "they are turned by 90° to the right",
    7: "they are mirrored and turned by 90°",
    8: "they are turned by 90° to the left",
}
"""Ways in which a set of boxes may be turned against its pictures, numbered as EXIF numbers orientations."""

Floats = NDArray[np.float64]
Size = tuple[int, int]


@dataclass(frozen=True, eq=False)
class JudgedField:
    """A field whose labels are to be judged."""

    place: str
    """The label file, as messages name it; and its image, where the file has several."""
    labels: Labels
    size_wh: Size | None = None
    """Width and height of the picture as displayed; None where there is none to be read."""
    orientation: int = 1
    """How the stored picture is turned for display, as EXIF numbers it."""
    grey: NDArray[np.float32] | None = None
    """Thumbnail of the displayed picture, squeezed into a square, or None."""


@dataclass(frozen=True, eq=False)
class SettledLabels:
    """The labels of a field, with boxes of the picture as it is displayed."""

    labels: Labels
    remark: str | None = None
    """What was converted, or taken for granted."""
    problem: str | None = None
    """Why the labels cannot be used."""


def settle(root: Path, fields: Sequence[JudgedField]) -> list[SettledLabels]:
    """What to take each field's labels for, in the order of the fields.

    Boxes that are surely of the picture as stored are turned, and boxes that are surely of a copy of another size are scaled.

    Raises:
        AnnotationError: the boxes of the set are not what its files should hold; the message says what they seem to be.
    """
    for kind in sorted({(field.labels.normalised, field.labels.form) for field in fields}):
        _refuse_other_form(root, [field for field in fields if (field.labels.normalised, field.labels.form) == kind])
    settled = [_upright(field) for field in fields]
    for frame in _Frame:
        those = [i for i, field in enumerate(fields) if _stated_frame(field) is frame]
        for i, outcome in zip(those, _framed([fields[i] for i in those], frame), strict=True):
            settled[i] = outcome
    _refuse_mirrored(
        root, [(field, outcome.labels) for field, outcome in zip(fields, settled, strict=True) if not outcome.problem]
    )
    return [_judged(field, outcome) for field, outcome in zip(fields, settled, strict=True)]


def refuse_mostly_broken(root: Path, reasons: Sequence[str], label_files: int) -> None:
    """Refuse a set of which more label files cannot be understood than can.

    Raises:
        AnnotationError: more than half of the `label_files` label files have one of the `reasons`.
    """
    if len(reasons) > _MOST_CHANGED * label_files:
        raise AnnotationError(
            f"{root}: the labels of {len(reasons)} of {label_files} fields cannot be understood, first {reasons[0]}"
        )


def refuse_mostly_changed(root: Path, fields: Iterable[tuple[str, Labels, repair.Mended]]) -> None:
    """Refuse a set of which more boxes were dropped or much changed than fit; each field by its place.

    Raises:
        AnnotationError: more than half of the boxes do not fit their pictures.
    """
    changed, total = [], 0
    for place, labels, mended in fields:
        total += len(labels.names)
        # A box can be changed in two ways.
        large = {(change.name, change.xyxy): change for change in mended.changes if _is_large(change, mended.size_wh)}
        changed += [(place, change) for change in large.values()]
    if total >= _LEAST_JUDGED and len(changed) > _MOST_CHANGED * total:
        place, first = changed[0]
        corners = ", ".join(f"{value:g}" for value in np.round(first.xyxy, 2))
        raise AnnotationError(
            f"{root}: {len(changed)} of {total} boxes do not fit their pictures, so the labels are hardly of these pictures, or in another "
            f"form; the first is {first.name} [{corners}] px in {place}: {first.reason}"
        )


def _is_large(change: repair.Change, size_wh: Size) -> bool:
    """Whether a change is of a box that does not fit, and not of one that reaches out a little."""
    of_place = (repair.INVERTED, repair.OUTSIDE, repair.THIN, repair.CLIPPED)
    return change.reason in of_place and bool(_misfits(np.array([change.xyxy]), size_wh)[0])


# --- pixels or fractions, corners or sizes


def _refuse_other_form(root: Path, fields: Sequence[JudgedField]) -> None:
    """Refuse boxes that do not fit as their files should hold them, and all fit in another form."""
    if not fields:
        return
    stated = (fields[0].labels.normalised, fields[0].labels.form)
    total = sum(len(field.labels.names) for field in fields)
    misfits = [_misfits_as(field, *stated) for field in fields]
    misfit = sum(int(array.sum()) for array in misfits)
    if not misfit:
        return
    for other in ((normalised, form) for normalised in (stated[0], not stated[0]) for form in (stated[1], *_FORMS)):
        # Pixels and fractions cannot be taken for each other by chance, but one form for another by a few boxes.
        enough = misfit > _MOST_CHANGED * total if other[0] != stated[0] else misfit >= max(_FEW, _LEAST_MISFIT * total)
        if other != stated and enough and sum(int(_misfits_as(field, *other).sum()) for field in fields) <= _MOST_MISFIT * total:
            raise AnnotationError(f"{root}: {_told(fields, misfits, misfit, total)} {_remedy(stated, other)}")


def _told(fields: Sequence[JudgedField], misfits: Sequence[NDArray[np.bool_]], misfit: int, total: int) -> str:
    k, first = next((k, field) for k, field in enumerate(fields) if misfits[k].any())
    at = int(misfits[k].argmax())
    many = f"{misfit} of {total} boxes do" if total > 1 else "the only box does"
    return f"{many} not fit the picture{'s' * (len(fields) > 1)}, first {first.place}, {_where(first, at)};"


def _where(field: JudgedField, at: int) -> str:
    """Box `at` of a field, with its numbers as they are in the file."""
    lines, numbers = field.labels.lines, " ".join(f"{value:g}" for value in _numbers(field.labels)[at].round(6))
    return f"line {lines[at]} ({numbers})" if at < len(lines) else f"box {at + 1} ({numbers})"


def _remedy(stated: tuple[bool, str], other: tuple[bool, str]) -> str:
    unit, seen = ("fractions of the picture" if normalised else "pixels" for normalised, _ in (stated, other))
    if stated[0] != other[0]:
        to_do = "divide" if stated[0] else "multiply"
        form = "" if stated[1] == other[1] else f", and in the form '{other[1]}'"
        return f"they seem to be in {seen}{form}; {to_do} them by the picture's width and height, for '{stated[1]}' is expected in {unit}"
    return f"they all fit as '{other[1]}'; write them as '{stated[1]}' in {unit}, as this layout has it"


def _numbers(labels: Labels) -> Floats:
    """The four numbers of each box as the file has them, of shape (n, 4)."""
    low, high = labels.xyxy[:, :2], labels.xyxy[:, 2:]
    if labels.form == CORNERS:
        return labels.xyxy
    return np.concatenate([(low + high) / 2 if labels.form == CENTRE_SIZE else low, high - low], axis=1)


def _misfits_as(field: JudgedField, normalised: bool, form: str) -> NDArray[np.bool_]:
    """Which boxes would not fit the picture if their numbers were meant so, of shape (n,)."""
    numbers = _numbers(field.labels)
    first, second = numbers[:, :2], numbers[:, 2:]
    low = first - second / 2 if form == CENTRE_SIZE else first
    xyxy = np.concatenate([low, second if form == CORNERS else low + second], axis=1)
    sizes = [size for size in (field.size_wh, field.labels.declared_wh) if size]
    if normalised:
        # Without a picture, a side of a thousand pixels stands for one.
        w, h = sizes[0] if sizes else (1000, 1000)
        return _misfits(xyxy * np.array([w, h, w, h]), (w, h))
    if not sizes:
        return np.asarray((xyxy[:, :2] < -_SLACK_PX).any(axis=1) | (xyxy[:, 2:] - xyxy[:, :2] < repair.SMALLEST_PX).any(axis=1))
    # Whether they are of the displayed, the stored or a resized picture is judged later.
    sizes += [(h, w) for w, h in sizes if field.orientation in SWAPS_SIDES]
    return min((_misfits(xyxy, size) for size in sizes), key=lambda misfit: int(misfit.sum()))


def _misfits(xyxy: Floats, size_wh: Size) -> NDArray[np.bool_]:
    """Which boxes are inverted, too thin for a cell, or reach outside a picture by more than the slack; of shape (n,)."""
    sides = xyxy[:, 2:] - xyxy[:, :2]
    slack = np.maximum(_SLACK_PX, _SLACK_SHARE * sides)
    out = (xyxy[:, :2] < -slack) | (xyxy[:, 2:] > np.array(size_wh) + slack) | (sides < repair.SMALLEST_PX)
    return np.asarray(out.any(axis=1))


# --- rows for columns, and mirrored pictures


def _refuse_mirrored(root: Path, fields: Sequence[tuple[JudgedField, Labels]]) -> None:
    """Refuse boxes that lie on cells only if they are mirrored or turned, all of the set in the same way."""
    seen = ((labels, field.grey, field.size_wh) for field, labels in fields if len(labels.names))
    looked = [(labels, grey, size) for labels, grey, size in seen if grey is not None and size is not None]
    looked = looked[:: max(1, len(looked) // _MOST_LOOKED_AT)]
    if sum(len(labels.names) for labels, _, _ in looked) < _LEAST_LOOKED_AT:
        return
    gains = {
        turn: np.mean([_gain(grey, labels, _turned(labels, turn, size)) for labels, grey, size in looked]) for turn in _TURNS
    }
    turn = max(gains, key=lambda turn: gains[turn])
    if gains[turn] > _CLEARLY:
        raise AnnotationError(f"{root}: the boxes lie on cells only if {_TURNS[turn]}; write them so that they lie on the cells")


# --- the picture as displayed, as stored, or of another size


class _Frame(Enum):
    """The picture whose size a label file states, where that is not the displayed one."""

    STORED = "the picture as stored, which is displayed turned"
    RESIZED = "a copy in another size"
    OTHER = "a picture of another shape"


def _stated_frame(field: JudgedField) -> _Frame | None:
    size, declared = field.size_wh, field.labels.declared_wh
    if size is None or declared is None or field.labels.normalised:
        return None
    if field.orientation in SWAPS_SIDES and declared == size[::-1] != size:
        return _Frame.STORED
    x, y = (actual / stated for actual, stated in zip(size, declared, strict=True))
    if max(abs(x - 1), abs(y - 1)) <= _SAME_SIZE:
        return None
    return _Frame.RESIZED if abs(x / y - 1) <= _SAME_SHAPE else _Frame.OTHER


def _framed(fields: Sequence[JudgedField], frame: _Frame) -> list[SettledLabels]:
    """Fields whose files state the size of one other frame: all are of it or none is, and those decide whose boxes fit one way only."""
    votes = [_vote(field) for field in fields]
    against, in_favour = min(votes, default=0) < 0, max(votes, default=0) > 0
    common = None if against and in_favour else in_favour if against or in_favour else _by_default(fields, frame)
    return [_in_frame(field, frame, vote > 0 if vote else common) for field, vote in zip(fields, votes, strict=True)]


def _vote(field: JudgedField) -> int:
    """How many boxes more fit the stated frame than fit the displayed picture."""
    assert field.size_wh is not None
    assert field.labels.declared_wh is not None
    xyxy = field.labels.xyxy
    return int(_misfits(xyxy, field.size_wh).sum()) - int(_misfits(xyxy, field.labels.declared_wh).sum())


def _by_default(fields: Sequence[JudgedField], frame: _Frame) -> bool | None:
    """Whether boxes are of the stated frame where all fit both; None where that cannot be told."""
    if frame is _Frame.OTHER:
        return False
    gains = [_gain(field.grey, field.labels, _converted(field, frame)) for field in fields if field.grey is not None]
    if gains and abs(gain := float(np.mean(gains))) > _CLEARLY:
        return gain > 0
    if frame is _Frame.STORED:
        return True
    if sum(len(field.labels.names) for field in fields) < _LEAST_JUDGED:
        return None
    # Boxes of the larger picture would not all lie in the corner that the smaller one covers.
    sizes = [(field.labels.declared_wh, field.size_wh) for field in fields]
    return sum(stated[0] for stated, _ in sizes if stated) < sum(actual[0] for _, actual in sizes if actual)


def _in_frame(field: JudgedField, frame: _Frame, of_frame: bool | None) -> SettledLabels:
    stated, actual = (f"{size[0]}x{size[1]}" for size in (field.labels.declared_wh or (0, 0), field.size_wh or (0, 0)))
    if of_frame is None:
        why = f"states a picture of {stated}, the picture has {actual}, and its boxes fit both; state the size that they are of"
        return SettledLabels(field.labels, problem=why)
    if not of_frame:
        return SettledLabels(field.labels)
    if frame is _Frame.OTHER:
        return SettledLabels(field.labels, problem=f"its boxes are of a picture of {stated}, and the picture has {actual}")
    how = (
        f"its boxes are of the picture as stored: turned as EXIF orientation {field.orientation} turns it"
        if frame is _Frame.STORED
        else f"its boxes are of a copy of {stated}: scaled to {actual}"
    )
    return SettledLabels(_converted(field, frame), remark=how)


def _converted(field: JudgedField, frame: _Frame) -> Labels:
    """Labels of the stored or the resized picture as those of the displayed one."""
    assert field.size_wh is not None
    if frame is _Frame.STORED:
        return _turned(field.labels, field.orientation, field.size_wh)
    assert field.labels.declared_wh is not None
    scale = np.array(field.size_wh) / np.array(field.labels.declared_wh)
    return replace(field.labels, xyxy=field.labels.xyxy * np.tile(scale, 2), declared_wh=field.size_wh)


def _upright(field: JudgedField) -> SettledLabels:
    """A field whose picture is displayed turned, though no stated size tells of which picture its boxes are: by what they lie on."""
    size = field.size_wh
    if field.labels.stored:
        return _of_stored(field)
    frame_known = field.labels.declared_wh == size and field.orientation in SWAPS_SIDES and size != (size or (0, 0))[::-1]
    if field.orientation == 1 or size is None or field.grey is None or frame_known or not len(field.labels.names):
        return SettledLabels(field.labels)
    gain = _gain(field.grey, field.labels, _turned(field.labels, field.orientation, size))
    if gain > _CLEARLY:
        return SettledLabels(
            field.labels,
            problem=f"its boxes lie on cells of the picture as stored, which is displayed turned (EXIF orientation {field.orientation}); "
            "take the orientation out of a copy of the picture, or turn the boxes",
        )
    taken = f"is displayed turned (EXIF orientation {field.orientation}); its boxes were taken for those of the displayed picture"
    return SettledLabels(field.labels, remark=taken if gain > -_CLEARLY else None)


def _of_stored(field: JudgedField) -> SettledLabels:
    """A field of a tool that shows pictures as they are stored, unless its boxes clearly lie on the cells of the displayed one."""
    labels, size = replace(field.labels, stored=False), field.size_wh
    if field.orientation == 1 or size is None or not len(labels.names):
        return SettledLabels(labels)
    turned = _turned(labels, field.orientation, size)
    if field.grey is not None and _gain(field.grey, labels, turned) < -_CLEARLY:
        return SettledLabels(labels, remark="its boxes lie on cells of the displayed picture, and were taken for those of it")
    how = f"its boxes are of the picture as stored: turned as EXIF orientation {field.orientation} turns it"
    return SettledLabels(turned, remark=how)


def _turned(labels: Labels, orientation: int, size_wh: Size) -> Labels:
    """Boxes of a stored picture as those of the displayed one, of `size_wh`."""
    stored = size_wh[::-1] if orientation in SWAPS_SIDES else size_wh
    xyxy = areas.turned(labels.pixels(stored), orientation, stored)
    return replace(labels, xyxy=xyxy, normalised=False, declared_wh=size_wh, stored=False)


def _gain(grey: NDArray[np.float32], labels: Labels, other: Labels) -> float:
    """By how much more dark places lie in the boxes of `other` than in those of `labels`, as a difference of correlations."""
    size = other.declared_wh or (1, 1)
    return _darkness(grey, other.pixels(size), size) - _darkness(grey, labels.pixels(size), size)


def _darkness(grey: NDArray[np.float32], xyxy: Floats, size_wh: Size) -> float:
    """Correlation, over a thumbnail's pixels, of being dark and of lying in a box; cells are darker than what is around them."""
    side = len(grey)
    inside = areas.mask((xyxy * side / np.tile(size_wh, 2)).astype(np.float32).clip(0, side), (side, side))
    if not inside.any() or inside.all() or not grey.std():
        return 0.0
    return float(-np.corrcoef(inside.ravel(), grey.ravel())[0, 1])


# --- one field


def _judged(field: JudgedField, settled: SettledLabels) -> SettledLabels:
    """The same, with a problem where most of the field's boxes would be dropped, so that it would lose its cells in silence."""
    labels, n = settled.labels, len(settled.labels.names)
    size = field.size_wh or labels.declared_wh or ((1, 1) if labels.normalised else None)
    if settled.problem or size is None or not n:
        return settled
    xyxy = labels.pixels(size)
    edges = np.clip(np.sort(xyxy.reshape(-1, 2, 2), axis=1), 0, size)
    least = repair.SMALLEST_PX if field.size_wh or labels.declared_wh else 1e-9
    lost = (edges[:, 1] - edges[:, 0] < least).any(axis=1)
    # One box may be a slip; in fractions, one that is pictures away is none.
    far = labels.normalised and bool((np.abs(labels.xyxy[lost]) > _FAR).any())
    if lost.sum() <= _MOST_CHANGED * n or (n == 1 and not far):
        return settled
    where = _where(field, int(lost.argmax()))
    many = f"{lost.sum()} of {n} boxes lie" if n > 1 else "its box lies"
    return SettledLabels(
        labels, problem=f"{many} outside the picture or {'are' if n > 1 else 'is'} thinner than a pixel, first {where}"
    )
