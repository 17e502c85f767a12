"""Applying corrections to labels, before these are mended.

A row speaks of a box as a dataset folder shows it: upright, inside the image, exact repetitions counted as one. A row that does
not fit its labels is told and never guessed at, and fields to test on are not corrected.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from detector.annotations import labels, repair
from detector.annotations.corrections import (
    ACTIONS,
    ADD,
    REMOVE,
    Applied,
    Correction,
    CorrectionOutcome,
    CorrectionSheet,
    Refused,
)
from detector.annotations.labels import Labels
from detector.vision import boxes, cells

FIT_IOU = 0.9
"""Two boxes that overlap by at least this are about the same thing."""
_SLACK_PX = 0.1
"""A box written with one decimal may leave the image by this much."""
_NO_CLASS = -1


@dataclass(frozen=True, eq=False)
class CorrectableField:
    """A field that can be corrected."""

    name: str
    """Image name without its extension."""
    labels: Labels
    size_wh: tuple[int, int]
    splits: tuple[str, ...]


def apply(sheet: CorrectionSheet, fields: Sequence[CorrectableField]) -> tuple[list[Labels], CorrectionOutcome]:
    """Labels of each field, in the order of the fields, with the rows about it applied; and what became of every row.

    Rows of an action apply in the order of the file: removals first, additions last, so that a removed box can be added anew.
    """
    at: dict[str, list[int]] = {}
    for i, field in enumerate(fields):
        at.setdefault(field.name, []).append(i)
    by_image: dict[str, list[Correction]] = {}
    for row in sheet.rows:
        by_image.setdefault(row.image, []).append(row)
    corrected = [field.labels for field in fields]
    faults: dict[int, str] = {}
    absent: dict[str, int] = {}
    for image, rows in by_image.items():
        matches = at.get(image, [])
        if fault := _unusable(image, [fields[i] for i in matches], at):
            faults |= {row.line: fault for row in rows}
        elif not matches:
            absent[image] = len(rows)
        else:
            corrected[matches[0]], field_faults = _corrected(fields[matches[0]], rows)
            faults |= field_faults
    return corrected, _outcome(sheet, faults, absent)


def _outcome(sheet: CorrectionSheet, faults: Mapping[int, str], absent: dict[str, int]) -> CorrectionOutcome:
    done = [row for row in sheet.rows if row.line not in faults and row.image not in absent]
    kinds = Counter((ACTIONS.index(row.action), row.label, row.new_label) for row in done)
    applied = (
        Applied(ACTIONS[action], cells.CLASSES[label], None if new is None else cells.CLASSES[new], count)
        for (action, label, new), count in sorted(kinds.items())
    )
    refused = (
        Refused(row.line, row.image, row.action, cells.CLASSES[row.label], row.xyxy, faults[row.line])
        for row in sheet.rows
        if row.line in faults
    )
    return CorrectionOutcome(sheet.path.as_posix(), sheet.sha256, tuple(applied), tuple(refused), absent)


def _unusable(image: str, fields: Sequence[CorrectableField], names: Mapping[str, object]) -> str | None:
    """Why no row about an image can be applied, where that is so."""
    stem = labels.name_of(image)
    if not fields and stem in names:
        return f"image names stand without their extension: {stem}"
    if len(fields) > 1:
        return f"{len(fields)} fields have this name"
    if any("test" in field.splits for field in fields):
        return "the field is in split test, whose labels stay as published"
    return None


def _corrected(field: CorrectableField, rows: Sequence[Correction]) -> tuple[Labels, dict[int, str]]:
    """Labels after the rows, and by line why a row could not be applied."""
    faults = {row.line: fault for row in rows if (fault := _misplaced(row, field.size_wh))}
    sound = [row for row in rows if row.line not in faults]
    draft = _Draft(field)
    chosen, unfit = draft.fits([row for row in sound if row.action != ADD])
    faults |= unfit
    for row in sound:
        if row.action == REMOVE and row.line in chosen:
            draft.remove(chosen[row.line])
    for row in sound:
        if row.new_label is not None and row.line in chosen:
            if draft.has(row.new_label, draft.xyxy[chosen[row.line]]):
                faults[row.line] = f"a box of class {cells.CLASSES[row.new_label]} is there already; {REMOVE} this one instead"
            else:
                draft.relabel(chosen[row.line], row.new_label)
    for row in sound:
        if row.action == ADD:
            if draft.has(row.label, np.array(row.xyxy, dtype=np.float32)):
                faults[row.line] = f"a box of class {cells.CLASSES[row.label]} is there already"
            else:
                draft.add(row)
    return draft.labels(), faults


def _misplaced(row: Correction, size_wh: tuple[int, int]) -> str | None:
    (w, h), (x1, y1, x2, y2) = size_wh, row.xyxy
    if min(x1, y1) < -_SLACK_PX or x2 > w + _SLACK_PX or y2 > h + _SLACK_PX:
        return f"the box reaches outside the image, which is {w}x{h}"
    if row.action == ADD and min(x2 - x1, y2 - y1) < repair.SMALLEST_PX:
        return f"the box has a side under {repair.SMALLEST_PX:g} px"
    return None


class _Draft:
    """The boxes of one field while they are being corrected."""

    def __init__(self, field: CorrectableField) -> None:
        self._was = field.labels
        self._raw = field.labels.pixels(field.size_wh)
        upright = np.concatenate(
            [np.minimum(self._raw[:, :2], self._raw[:, 2:]), np.maximum(self._raw[:, :2], self._raw[:, 2:])], axis=1
        )
        self.xyxy = boxes.clip(upright.astype(np.float32), field.size_wh)
        self._names = list(field.labels.names)
        class_labels = (cells.label_of(name) if repair.is_cell(name) else _NO_CLASS for name in self._names)
        self._label = np.array(list(class_labels), dtype=np.int64)
        self._first = repair.firsts(self.xyxy, self._label)
        self._stays = np.ones(len(self._label), dtype=np.bool_)

    def fits(self, rows: Sequence[Correction]) -> tuple[dict[int, int], dict[int, str]]:
        """Index of each row's box by line, best fits dealt first and each box once; and by line why a row has none."""
        row_boxes = np.array([row.xyxy for row in rows], dtype=np.float32).reshape(-1, 4)
        same = np.array([row.label for row in rows], dtype=np.int64)[:, None] == self._label[None, :]
        overlap = boxes.iou(row_boxes, self.xyxy) * (same & (self._first == np.arange(len(self._first))))  # (rows, n)
        free, chosen = overlap.copy(), dict[int, int]()
        while free.size and free.max() >= FIT_IOU:
            i, k = (int(index) for index in np.unravel_index(free.argmax(), free.shape))
            chosen[rows[i].line] = k
            free[i], free[:, k] = 0, 0
        best = overlap.max(axis=1, initial=0).tolist()
        return chosen, {row.line: _unfit(row, iou) for row, iou in zip(rows, best, strict=True) if row.line not in chosen}

    def has(self, label: int, box: NDArray[np.float32]) -> bool:
        """Whether a box of that class stands where `box`, of shape (4,), is."""
        return bool(((boxes.iou(box[None], self.xyxy)[0] >= FIT_IOU) & (self._label == label)).any())

    def remove(self, k: int) -> None:
        """Take box k away, and what repeats it."""
        same = self._first == k
        self._stays[same], self._label[same] = False, _NO_CLASS

    def relabel(self, k: int, label: int) -> None:
        """Give box k another class, and what repeats it."""
        for i in np.flatnonzero(self._first == k):
            self._label[i], self._names[i] = label, cells.CLASSES[label]

    def add(self, row: Correction) -> None:
        """Append a box."""
        added = labels.boxes([row.xyxy])
        self._raw = np.concatenate([self._raw, added])
        self.xyxy = np.concatenate([self.xyxy, added.astype(np.float32)])
        self._label, self._stays = np.append(self._label, row.label), np.append(self._stays, True)
        self._names.append(cells.CLASSES[row.label])

    def labels(self) -> Labels:
        """The boxes that stay, with their edges as the file had them."""
        names = tuple(name for name, stays in zip(self._names, self._stays, strict=True) if stays)
        return replace(self._was, names=names, xyxy=self._raw[self._stays], normalised=False, lines=())


def _unfit(row: Correction, best: float) -> str:
    name = cells.CLASSES[row.label]
    if best >= FIT_IOU:
        return f"the {name} box that it fits is another row's"
    nearest = f"; the nearest has {best:.2f}" if best else ""
    return f"fits no labelled {name} box with an IoU of at least {FIT_IOU:g}{nearest}"
