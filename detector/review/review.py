"""The state of a review: the model's cells and what readers made of them.

Everything that can change has a target: a cell of a field, the mark of a field as looked at, or the signature of a smear. A change sets
targets from one value to another, all of them or none. So undoing is setting them back, and the state after a restart is what the
journal's lines set one after the other.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from detector.counting import density
from detector.counting.fields import FieldCount, UnreadField
from detector.counting.intervals import Interval
from detector.counting.smears import SmearCount, aggregate
from detector.errors import UsageError
from detector.review.journal import ReviewJournal
from detector.review.opened import OpenedField, OpenedRun
from detector.vision import border
from detector.vision.cells import CLASSES
from detector.vision.detections import Detections

CELL, LOOKED, SIGNED = "cell", "looked", "signed"
SMALLEST_PX = 2.0
"""Shortest side of a box that a reader draws."""
MOST_CELLS = 100_000
"""Cells in one change."""
PROPOSED = 10
"""Fields that are proposed at a time to be corrected next."""
_LONGEST_NAME = 80
_REMEMBERED = 10_000
"""Changes whose repetition by a page that got no answer is known."""

Cell = tuple[float, float, float, float, int]
"""Box in pixels and label."""
Target = tuple[str, str, int]
"""Kind, name of the field or smear, and number of the cell; 0 without a cell."""
Value = Any
"""Of a cell, a `Cell` or None where there is none; of a mark, `{"by": ..., "at": ...}` or None."""
Sets = list[tuple[Target, Value, Value]]
"""Each target with its value before and after."""


class StaleError(UsageError):
    """A field was changed elsewhere since the page had it; `fields` are the numbers of such fields."""

    def __init__(self, fields: Sequence[int]) -> None:
        super().__init__("changed on another page meanwhile; it is shown anew, so please look again")
        self.fields = list(fields)


@dataclass
class FieldState:
    """What readers made of one field."""

    source: OpenedField
    model_cells: dict[int, Cell]
    """What the model found, by number."""
    cells: dict[int, Cell | None]
    """By number: the model's are 0 to n - 1, those that readers drew follow; None where one was removed."""
    removed: dict[int, Cell] = field(default_factory=dict)
    """By number, what those were that were removed."""
    looked: dict[str, str] | None = None
    """Who looked at it last and when."""
    revision: int = 0
    """Grows with each change of the field."""
    version: int = 0
    """The review's version at its last change."""
    counted: FieldCount | UnreadField = field(init=False)

    def __post_init__(self) -> None:
        self.counted = self._count()

    @property
    def name(self) -> str:
        """The field's name."""
        return self.source.result.field

    def as_it_is(self) -> FieldState:
        """A copy that no change touches."""
        same = copy(self)
        same.cells = dict(self.cells)
        return same

    def recount(self) -> None:
        """Count its cells anew."""
        self.counted = self._count()

    def present(self) -> Detections:
        """The cells that are there now; a cell of a reader has the score 1."""
        there = [(number, cell) for number, cell in self.cells.items() if cell is not None]
        scores = self.source.cells.score
        xyxy = np.array([cell[:4] for _, cell in there], dtype=np.float32).reshape(-1, 4)
        label = np.array([cell[4] for _, cell in there], dtype=np.int64)
        score = np.array([scores[number] if number < len(scores) else 1.0 for number, _ in there], dtype=np.float32)
        return Detections(xyxy, score, label, self.source.cells.size_wh, saturated=self.source.cells.saturated)

    def edits(self) -> dict[str, int]:
        """How many cells readers added, removed, gave another class and moved."""
        edits = dict.fromkeys(("added", "removed", "relabelled", "moved"), 0)
        for number, cell in self.cells.items():
            before = self.model_cells.get(number)
            if cell is before or cell == before:
                continue
            if before is None or cell is None:
                edits["added" if before is None else "removed"] += 1
            else:
                edits["relabelled"] += cell[4] != before[4]
                edits["moved"] += cell[:4] != before[:4]
        return edits

    def slivers(self) -> list[int]:
        """Numbers of the red cells as readers drew them that the border cuts so far that they do not count by the border rule."""
        seen = self.present()
        rbc_px = border.rbc_px(seen.xyxy, seen.label, seen.size_wh)
        if rbc_px is None:
            return []
        thin = border.slivers(seen.xyxy, seen.label, seen.size_wh, rbc_px)
        there = (number for number, cell in self.cells.items() if cell is not None)
        return [n for n, is_thin in zip(there, thin, strict=True) if is_thin and self.cells[n] != self.model_cells.get(n)]

    def _count(self) -> FieldCount | UnreadField:
        result = self.source.result
        counted = result.count()
        if isinstance(counted, FieldCount) and result.slide is None and self.revision:
            reviewed = FieldCount.of(self.present(), result.field, result.smear, result.known_um_per_px, result.quality)
            counted = replace(counted, raw=reviewed.raw, frame=reviewed.frame)
        return replace(counted, doubt=self.source.doubt) if isinstance(counted, FieldCount) else counted


class Review:
    """A review that goes on; every method may be called from any thread."""

    def __init__(self, run: OpenedRun, journal: ReviewJournal) -> None:
        """Take up a review where its journal ends."""
        self.run = run
        self.fields = [FieldState(source, cells := _model_cells(source), dict(cells)) for source in run.fields]
        self.smears: dict[str, list[int]] = {}
        """Numbers of the fields of each smear."""
        for number, state in enumerate(self.fields):
            self.smears.setdefault(state.source.result.smear, []).append(number)
        self.remarks = list(run.remarks)
        """What a reader must know of the journal."""
        self._version = 0
        self._numbers = {state.name: number for number, state in enumerate(self.fields)}
        self._signed: dict[str, dict[str, str] | None] = dict.fromkeys(self.smears)
        self._counts: dict[str, SmearCount] = {}
        self._lock = threading.RLock()
        self._journal = journal
        self._changes: list[Sets] = []
        """Of each line of the journal."""
        self._done: dict[str, list[int]] = {}
        """By reader, the changes that can be undone, the last one last."""
        self._undone: dict[str, list[int]] = {}
        self._answered: dict[str, int] = {}
        self._replay()

    # What there is

    @property
    def version(self) -> int:
        """Grows with each change, when all of it is made."""
        with self._lock:
            return self._version

    def state(self, since: int = -1) -> dict[str, Any]:
        """What a page shows of the whole review: of fields, those that changed after the version `since`."""
        with self._lock:
            changed = [number for number, state in enumerate(self.fields) if state.version > since]
            smears = dict.fromkeys(self.fields[number].source.result.smear for number in changed)
            return {
                "version": self._version,
                "fields": [self._summary(number) for number in changed],
                "smears": [self._smear_summary(name) for name in smears],
                "remarks": self.remarks,
            }

    def cells_of(self, number: int) -> dict[str, Any]:
        """The cells of one field, and of those that readers changed what the model found.

        Returns:
            `cells`: number, x1, y1, x2, y2, label and score of each; `model`: number, box and label of each that is another now;
            `slivers`: numbers, as `FieldState.slivers` gives them.
        """
        with self._lock:
            state = self.fields[number]
            scores = state.source.cells.score
            return {
                "field": number,
                "revision": state.revision,
                "size_wh": state.source.cells.size_wh,
                "cells": [
                    (n, *cell, round(float(scores[n]), 4) if n < len(scores) else 1)
                    for n, cell in state.cells.items()
                    if cell is not None
                ],
                "model": [(n, *cell) for n, cell in state.model_cells.items() if state.cells[n] != cell],
                "slivers": state.slivers(),
            }

    def cell(self, field_number: int, number: int) -> Cell:
        """Box and label of a cell as it is now, or as it was where it was removed.

        Raises:
            KeyError: there never was such a cell.
        """
        with self._lock:
            state = self.fields[field_number]
            return state.cells[number] or state.removed[number]

    def snapshot(self) -> tuple[list[FieldState], dict[str, dict[str, str] | None]]:
        """The fields and the signatures of smears as they are now, which no change touches."""
        with self._lock:
            return [state.as_it_is() for state in self.fields], dict(self._signed)

    def smear(self, name: str) -> SmearCount:
        """A smear with what readers made of its fields."""
        with self._lock:
            if name not in self._counts:
                self._counts[name] = smear_count([self.fields[number] for number in self.smears[name]], self.run)
            return self._counts[name]

    def readers(self) -> list[str]:
        """Everybody who changed or marked something."""
        with self._lock:
            return list(dict.fromkeys([*self._done, *self._undone]))

    # Changes

    def change(self, request: Mapping[str, Any]) -> int:
        """Make a change, and return the review's version when it is on disk.

        Args:
            request: `id` of the change, `by` whom, and `fields` (each `field`, `revision`, `cells`, `looked`) and `smears` (each `smear`,
                `signed`). In `cells`, `cell` is a number, absent for a new one; `label`, `box` and `removed` are what it becomes.

        Raises:
            UsageError: it cannot be made; nothing was changed.
            StaleError: a field was changed elsewhere meanwhile.
            OutputError: it cannot be written; nothing was changed.
        """
        with self._lock:
            identity, reader = _identity(request), reader_name(request.get("by"))
            if identity in self._answered:
                return self.version
            stamp = {"by": reader, "at": datetime.now(UTC).isoformat(timespec="seconds")}
            sets = self._sets(request, stamp)
            if not sets:
                return self.version
            self._commit(sets, {"id": identity, **stamp})
            self._done.setdefault(reader, []).append(len(self._changes) - 1)
            self._undone[reader] = []
            return self.version

    def undo(self, request: Mapping[str, Any], again: bool = False) -> int:
        """Take a reader's last change back, or make the one that was taken back again.

        Args:
            request: `id` and `by`.
            again: redo.

        Returns:
            The first field that it is about; -1 where it is about none.

        Raises:
            UsageError: there is none, or what it set was changed by another since.
            OutputError: it cannot be written; nothing was changed.
        """
        with self._lock:
            identity, reader = _identity(request), reader_name(request.get("by"))
            if identity in self._answered:
                return -1
            source, target = (self._undone, self._done) if again else (self._done, self._undone)
            if not source.get(reader):
                raise UsageError(f"there is nothing to {'redo' if again else 'undo'} of {reader}")
            number = source[reader][-1]
            sets = (
                self._changes[number]
                if again
                else [(key, after, before) for key, before, after in reversed(self._changes[number])]
            )
            if any(self._value(key) != before for key, before, _ in sets):
                source[reader].pop()  # so that earlier ones can still be reached
                raise UsageError("another reader has changed the same since, so this one stays; correct it by hand")
            stamp = {"by": reader, "at": datetime.now(UTC).isoformat(timespec="seconds")}
            named = {key for key, _, _ in sets}
            more = [drop for drop in self._dropped(sets, reader) if drop[0] not in named]
            self._commit([*sets, *more], {"id": identity, **stamp, "redo" if again else "undo": number})
            target.setdefault(reader, []).append(source[reader].pop())
            return next((self._numbers[name] for (kind, name, _), _, _ in sets if kind != SIGNED), -1)

    def _sets(self, request: Mapping[str, Any], stamp: dict[str, str]) -> Sets:
        sets: Sets = []
        stale = []
        try:
            for change in request.get("fields", ()):
                number = int(change["field"])
                state = self.fields[number] if 0 <= number < len(self.fields) else None
                if state is None:
                    raise UsageError(f"there is no field {number}")
                if int(change["revision"]) != state.revision:
                    stale.append(number)
                else:
                    sets += _field_sets(state, change, stamp)
            for change in request.get("smears", ()):
                sets += self._signature(str(change["smear"]), bool(change["signed"]), stamp)
        except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
            raise UsageError(f"the change is not understood: {error!r}") from None
        if stale:
            raise StaleError(stale)
        if len(sets) > MOST_CELLS:
            raise UsageError(f"a change of {len(sets):,} cells at once is too large; choose up to {MOST_CELLS:,}")
        if len({key for key, _, _ in sets}) < len(sets):
            raise UsageError("the change names a cell twice")
        named = {key for key, _, _ in sets}
        return [*sets, *(drop for drop in self._dropped(sets, stamp["by"]) if drop[0] not in named)]

    def _signature(self, smear: str, signed: bool, stamp: dict[str, str]) -> Sets:
        if smear not in self.smears:
            raise UsageError(f"there is no smear {smear}")
        before, after = self._signed[smear], stamp if signed else None
        if signed:
            open_fields = [
                self.fields[n].name for n in self.smears[smear] if self.fields[n].source.is_read and not self.fields[n].looked
            ]
            if open_fields:
                raise UsageError(f"{smear} cannot be signed: {open_fields[0]} is not marked as looked at")
        return [] if (before is None) == (after is None) else [((SIGNED, smear, 0), before, after)]

    def _dropped(self, sets: Sets, reader: str) -> Sets:
        """Marks that a change takes away: the signature of its smear, and the mark of a field that another reader looked at."""
        fields = {name: self.fields[self._numbers[name]] for (kind, name, _), _, _ in sets if kind != SIGNED}
        touched = dict.fromkeys(name for (kind, name, _), _, _ in sets if kind == CELL)
        drops: Sets = []
        for name in touched:
            looked = fields[name].looked
            if looked is not None and looked["by"] != reader:
                drops.append(((LOOKED, name, 0), looked, None))
        for smear in dict.fromkeys(state.source.result.smear for state in fields.values()):
            if self._signed[smear] is not None:
                drops.append(((SIGNED, smear, 0), self._signed[smear], None))
        return drops

    def _commit(self, sets: Sets, about: Mapping[str, Any]) -> None:
        number = len(self._changes)
        written = [[*key, before, after] for key, before, after in sets]
        self._journal.append({"n": number, **about, "sets": written})
        self._changes.append(sets)
        self._remember(about["id"], number)
        self._make(sets)

    def _make(self, sets: Sets) -> None:
        self._version += 1
        fields: dict[str, None] = {}
        for (kind, name, number), before, after in sets:
            if kind == SIGNED:
                self._signed[name] = after
                self._touch(self.smears[name][0])
                continue
            state = self.fields[self._numbers[name]]
            if kind == CELL:
                state.cells[number] = after
                if after is None:
                    state.removed[number] = before
            else:
                state.looked = after
            fields[name] = None
        for name in fields:
            state = self.fields[self._numbers[name]]
            state.revision += 1
            state.recount()
            self._touch(self._numbers[name])

    def _touch(self, number: int) -> None:
        """Note that something of a field, or of its smear, is other than it was."""
        state = self.fields[number]
        state.version = self._version
        self._counts.pop(state.source.result.smear, None)

    def _value(self, target: Target) -> Value:
        kind, name, number = target
        if kind == SIGNED:
            return self._signed[name]
        state = self.fields[self._numbers[name]]
        return state.cells.get(number) if kind == CELL else state.looked

    def _remember(self, identity: str, number: int) -> None:
        self._answered[identity] = number
        if len(self._answered) > _REMEMBERED:
            del self._answered[next(iter(self._answered))]

    # After a restart

    def _replay(self) -> None:
        unfit = 0
        for line in self._journal.lines:
            try:
                self._take_up(line)
            except (KeyError, TypeError, ValueError, IndexError, AttributeError):
                unfit += 1
        damaged = len(self._journal.damaged) + unfit
        known = max((line["damaged"] for line in self._journal.lines if isinstance(line.get("damaged"), int)), default=0)
        if damaged > known:
            self._journal.append({"damaged": damaged})
            self._clear_marks()
        if damaged:
            self.remarks.append(
                f"{self._journal.path}: {damaged} of its changes cannot be read any more, so they are lost; "
                "all marks from before were taken away: look at the fields again"
            )

    def _take_up(self, line: Mapping[str, Any]) -> None:
        if "damaged" in line:
            self._clear_marks()
            return
        sets: Sets = [
            ((kind, name, number), _value(kind, before), _value(kind, after))
            for kind, name, number, before, after in line["sets"]
        ]
        if any(self._value(key) != before for key, before, _ in sets):
            raise ValueError("does not follow from the line before")
        # A line that is lost leaves its number, for later ones name changes by it.
        self._changes += [[] for _ in range(line["n"] - len(self._changes))]
        self._changes.append(sets)
        self._remember(line["id"], line["n"])
        self._make(sets)
        done, undone = self._done.setdefault(line["by"], []), self._undone.setdefault(line["by"], [])
        if "undo" in line or "redo" in line:
            number = line.get("undo", line.get("redo"))
            source, target = (done, undone) if "undo" in line else (undone, done)
            source.remove(number)
            target.append(number)
        else:
            done.append(line["n"])
            undone.clear()

    def _clear_marks(self) -> None:
        for state in self.fields:
            state.looked = None
        self._signed = dict.fromkeys(self.smears)
        self._counts.clear()

    # Summaries

    def _summary(self, number: int) -> dict[str, Any]:
        state = self.fields[number]
        read = isinstance(state.counted, FieldCount)
        return {
            "field": number,
            "name": state.name,
            "smear": state.source.result.smear,
            "counts": list(state.counted.raw.values()) if isinstance(state.counted, FieldCount) else None,
            "read": read,
            "problem": state.source.problem,
            "doubt": "; ".join(filter(None, ("saturated" * state.source.cells.saturated, state.source.doubt))),
            "looked": state.looked,
            "edits": sum(state.edits().values()),
            "revision": state.revision,
            "size_wh": state.source.cells.size_wh,
        }

    def _smear_summary(self, name: str) -> dict[str, Any]:
        smear = self.smear(name)
        states = [self.fields[number] for number in self.smears[name]]
        read = [state for state in states if state.source.is_read]
        return {
            "smear": name,
            "fields": smear.fields,
            "unread": smear.unread,
            "looked": sum(state.looked is not None for state in read),
            "doubtful": smear.doubtful,
            "signed": self._signed[name],
            "classes": {
                c: {
                    "total": count.total,
                    "mean": _three(count.mean),
                    "per_1000_rbc": _three(count.per_1000_rbc),
                    "per_ul": _three(count.per_ul),
                }
                for c, count in smear.classes.items()
            },
        }


def smear_count(states: Sequence[FieldState], run: OpenedRun) -> SmearCount:
    """A smear with what readers made of its fields.

    Where they looked at each field that was read, its cells are the true ones: the expected counts are the counts, and their intervals
    hold no error of the detector. Else expected counts are not given. A field that was looked at is not doubtful any more.

    Args:
        run: says what is known of cells per µL.
    """
    read = [state for state in states if isinstance(state.counted, FieldCount)]
    counted = [replace(s.counted, doubt="") if s.looked else s.counted for s in read if isinstance(s.counted, FieldCount)]
    unread = [state.counted for state in states if isinstance(state.counted, UnreadField)]
    (smear,) = aggregate(counted, unread)
    if read and all(state.looked for state in read):
        classes = {
            name: replace(count, expected_total=Interval(count.total, count.total, count.total), expected_mean=count.mean)
            for name, count in smear.classes.items()
        }
        smear = replace(smear, classes=classes)
    return density.per_ul(smear, run.rbc_per_ul.get(smear.smear), run.document["settings"].get("ul_factor"))


def doubts_of_cells(states: Sequence[FieldState], thresholds: Mapping[str, float]) -> list[NDArray[np.float64]]:
    """How doubtful each cell of each field is as the model found it, in 0 to 1, of shape (n,) for a field of n cells.

    It is the larger of two: how near the score is to the class's threshold, and by how many octaves the cell's size differs from the
    median of its class in these fields.
    """
    least = np.array([thresholds[name] for name in CLASSES])
    sides = [np.sqrt(np.maximum(np.prod(s.source.cells.xyxy[:, 2:] - s.source.cells.xyxy[:, :2], axis=1), 1e-6)) for s in states]
    labels = [state.source.cells.label for state in states]
    whole_sides, whole_labels = np.concatenate([*sides, np.ones(0)]), np.concatenate([*labels, np.zeros(0, np.int64)])
    medians = np.array(
        [np.median(own) if len(own := whole_sides[whole_labels == label]) else 1.0 for label in range(len(CLASSES))]
    )
    doubts = []
    for state, side, label in zip(states, sides, labels, strict=True):
        unsure = 1 - (state.source.cells.score - least[label]) / np.maximum(1 - least[label], 1e-6)
        odd = np.abs(np.log2(side / medians[label]))
        doubts.append(np.clip(np.maximum(unsure, odd), 0, 1).astype(np.float64))
    return doubts


def proposed(states: Sequence[FieldState], thresholds: Mapping[str, float]) -> list[int]:
    """Numbers of the fields to correct next, the best one first, at most `PROPOSED` of those that nobody looked at.

    One by one, the field is taken whose ranks sum to most: by doubt, which is the share of its cells that were counted or left out by a
    narrow margin, and by how unlike it is to the fields that were looked at or taken before. Unlike is the distance to the nearest of
    them in what was measured of focus, light, stain and cells, each in standard deviations over all fields.
    """
    left = [i for i, state in enumerate(states) if state.source.is_read and not state.source.problem and state.looked is None]
    taken = [i for i, state in enumerate(states) if state.looked is not None]
    doubt = np.array([_field_doubt(states[i], thresholds) for i in left])
    measured = _measured(states)
    chosen: list[int] = []
    nearest = np.full(len(left), np.inf)
    for number in taken:
        nearest = np.minimum(nearest, _distances(measured, left, number))
    while left and len(chosen) < min(PROPOSED, len(left)):
        score = _rank(doubt) + (_rank(nearest) if taken or chosen else 0.0)
        score[[left.index(number) for number in chosen]] = -1
        chosen.append(left[int(np.argmax(score))])
        nearest = np.minimum(nearest, _distances(measured, left, chosen[-1]))
    return chosen


def _field_doubt(state: FieldState, thresholds: Mapping[str, float]) -> float:
    """Share of a field's cells that are in doubt; a field that is doubtful as a whole comes before all others."""
    (of_cells,) = doubts_of_cells([state], thresholds)
    quality = state.source.result.quality
    nearly = 0 if quality is None else sum(quality.unsure)
    share = (float(of_cells.sum()) + nearly) / max(len(of_cells) + nearly, 1)
    return share + bool(state.source.doubt)


def _measured(states: Sequence[FieldState]) -> NDArray[np.float64]:
    """What was measured of each field, in standard deviations from the mean, 0 where it was not; of shape (fields, numbers)."""
    numbers = [{} if (seen := state.source.result.quality) is None else seen.numbers() for state in states]
    names = sorted({name for of_field in numbers for name in of_field})
    table = np.array([[of_field.get(name, np.nan) for name in names] for of_field in numbers]).reshape(len(states), len(names))
    known = np.isfinite(table)
    count = np.maximum(known.sum(axis=0), 1)
    centred = np.where(known, table - np.where(known, table, 0).sum(axis=0) / count, 0.0)
    spread = np.sqrt((centred**2).sum(axis=0) / count)
    return np.asarray(centred / np.where(spread > 0, spread, 1.0))


def _distances(measured: NDArray[np.float64], fields: Sequence[int], number: int) -> NDArray[np.float64]:
    return np.asarray(np.sqrt(((measured[list(fields)] - measured[number]) ** 2).sum(axis=1)))


def _rank(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Share of the values that are lower, of shape (n,)."""
    return np.asarray(np.searchsorted(np.sort(values), values) / max(len(values), 1))


def reader_name(name: object) -> str:
    """Who makes a change.

    Raises:
        UsageError: it is no name.
    """
    text = " ".join(str(name).split()) if isinstance(name, str) else ""
    if not text or len(text) > _LONGEST_NAME or not text.isprintable():
        raise UsageError(f"a change needs its reader's name, of 1 to {_LONGEST_NAME} letters")
    return text


def _model_cells(source: OpenedField) -> dict[int, Cell]:
    if source.result.slide is not None:
        return {}
    xyxy = source.cells.xyxy.astype(np.float64).round(2).tolist()
    return {number: (*box, label) for number, (box, label) in enumerate(zip(xyxy, source.cells.label.tolist(), strict=True))}


def _field_sets(state: FieldState, change: Mapping[str, Any], stamp: dict[str, str]) -> Sets:
    if state.source.problem:
        raise UsageError(f"{state.name} cannot be changed: {state.source.problem}")
    sets: Sets = []
    new = max(state.cells, default=-1) + 1
    for wanted in change.get("cells", ()):
        if "cell" in wanted:
            number = int(wanted["cell"])
            before = state.cells[number]
            after = None if wanted.get("removed") else _changed(before, wanted, state)
        else:
            number, before, after = new, None, (*_box(wanted["box"], state), _label(wanted["label"]))
            new += 1
        if before != after:
            sets.append(((CELL, state.name, number), before, after))
    if "looked" in change and bool(change["looked"]) != (state.looked is not None):
        sets.append(((LOOKED, state.name, 0), state.looked, stamp if change["looked"] else None))
    return sets


def _changed(before: Cell | None, wanted: Mapping[str, Any], state: FieldState) -> Cell:
    if before is None:
        raise UsageError(f"{state.name}: a cell that was removed cannot be changed; undo its removal first")
    box = _box(wanted["box"], state) if "box" in wanted else before[:4]
    return (*box, _label(wanted["label"]) if "label" in wanted else before[4])


def _box(given: Iterable[float], state: FieldState) -> tuple[float, float, float, float]:
    x1, y1, x2, y2 = (float(edge) for edge in given)
    if not all(map(math.isfinite, (x1, y1, x2, y2))):
        raise UsageError("a box has an edge that is no number")
    w, h = state.source.cells.size_wh
    left, right = sorted((min(max(x1, 0.0), w), min(max(x2, 0.0), w)))
    top, bottom = sorted((min(max(y1, 0.0), h), min(max(y2, 0.0), h)))
    if min(right - left, bottom - top) < SMALLEST_PX:
        raise UsageError(f"a box needs sides of {SMALLEST_PX:g} px or more within the field")
    return round(left, 2), round(top, 2), round(right, 2), round(bottom, 2)


def _label(given: object) -> int:
    if isinstance(given, bool) or given not in range(len(CLASSES)):
        raise UsageError(f"a class must be 0 to {len(CLASSES) - 1} ({', '.join(CLASSES)})")
    return int(str(given))


def _identity(request: Mapping[str, Any]) -> str:
    identity = request.get("id")
    if not isinstance(identity, str) or not 8 <= len(identity) <= 64:
        raise UsageError("a change needs an id of 8 to 64 letters, other than those of earlier changes")
    return identity


def _value(kind: str, written: Any) -> Value:
    """A value as it was before JSON, which knows no tuples."""
    if kind != CELL or written is None:
        return written
    x1, y1, x2, y2, label = written
    return x1, y1, x2, y2, label


def _three(interval: Interval | None) -> list[float | None] | None:
    return None if interval is None else [interval.value, interval.low, interval.high]
