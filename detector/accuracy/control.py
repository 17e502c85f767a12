"""Daily control: the same reference fields photographed each day, what was measured in them, and rules that tell a drift.

A run's measurements are a line of a log, which is only ever appended to. Mean and standard deviation of each measure come from the first
days, or are given; then each run is judged by Westgard's rules (Westgard et al., Clinical Chemistry 1981; 27:493-501) on the chart of
Levey and Jennings. The rules look at one run after the other, with one reference slide.
"""

from __future__ import annotations

import csv
import io
import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import numpy as np

from detector import texts
from detector.counting.fields import FieldCount
from detector.errors import ManifestError, OutputError, writing
from detector.output import files
from detector.vision.cells import CLASSES

LEAST_DAYS = 10
"""Fewest days from which a mean and a standard deviation are learned."""
USUAL_DAYS = 20
"""Days that CLSI C24 asks for."""
OUT, WARNING = "out", "warning"
_ABOUT = ("time", "fields", "model")
_PICTURES = "pictures"
_DIGEST = re.compile(r"[0-9a-f]{16}")
_MOST_UTF8 = 3


@dataclass(frozen=True)
class ControlMeasure:
    """What is measured in the fields of each run."""

    name: str
    """Its column in the log."""
    title: str
    fineness: float
    """What is measured is no finer: no smaller standard deviation is believed, and values so near to the mean lie on it."""


MEASURES = (
    *(ControlMeasure(name, f"{name} per field", 0.1) for name in CLASSES),
    ControlMeasure("lightness", "lightness of the ground (CIELAB)", 0.3),
    ControlMeasure("green_red", "colour of the ground, green to red (CIELAB)", 0.3),
    ControlMeasure("blue_yellow", "colour of the ground, blue to yellow (CIELAB)", 0.3),
    ControlMeasure("sharpness", "sharpness (contrasts per cell diameter)", 0.03),
    ControlMeasure("unevenness", "unevenness of the light (share of its mean)", 0.003),
)
_OF_QUALITY = {
    "lightness": "background's lightness",
    "green_red": "background's green to red",
    "blue_yellow": "background's blue to yellow",
    "sharpness": "focus",
    "unevenness": "uneven",
}
"""Names in `Quality.numbers` of what is measured."""
COLUMNS = (*_ABOUT, *(measure.name for measure in MEASURES), _PICTURES)
RULES = {
    "1_3s": "one value beyond 3 SD",
    "2_2s": "two in a row beyond 2 SD on the same side",
    "R_4s": "two in a row beyond 2 SD on opposite sides",
    "4_1s": "four in a row beyond 1 SD on the same side",
    "10_x": "ten in a row on the same side of the mean",
    "1_2s": "one value beyond 2 SD: a warning, no rejection",
}
"""Westgard's rules by their names, with what breaks them."""


@dataclass(frozen=True)
class ControlRun:
    """One run of the control."""

    time: str
    """ISO 8601, with the offset from UTC."""
    fields: int
    """That were read."""
    model: str
    """The first digits of the model's SHA-256."""
    values: Mapping[str, float]
    """By name of the measure, without what could not be measured."""
    pictures: str
    """Digest of the pictures, to tell when the same ones are given again."""

    @property
    def day(self) -> str:
        """The date on the clock of the computer that it was run on."""
        return self.time[:10]


@dataclass(frozen=True)
class ControlLog:
    """The entries of a log, and what of it could not be used."""

    entries: Sequence[ControlRun]
    remarks: Sequence[str] = ()
    columns: Sequence[str] = COLUMNS
    """In the order of the file."""
    separator: str = ","


@dataclass(frozen=True)
class Target:
    """What a measure should be."""

    mean: float
    sd: float
    learned: int
    """Values that it comes from; 0 where it was given."""


@dataclass(frozen=True)
class ControlChart:
    """One measure over all runs of one model in which it could be measured."""

    measure: ControlMeasure
    days: Sequence[str]
    values: Sequence[float]
    target: Target | None
    """None while it is learned."""
    broken: Sequence[Sequence[str]]
    """Rules that each value breaks, worst first; of learned values none."""

    @property
    def marks(self) -> list[str]:
        """`OUT` where a rule rejects the value, `WARNING` where it warns, else nothing."""
        return [_mark(rules) for rules in self.broken]


def _mark(rules: Sequence[str]) -> str:
    return "" if not rules else WARNING if tuple(rules) == ("1_2s",) else OUT


def measured(fields: Sequence[FieldCount], time: str, model: str, pictures: str) -> ControlRun:
    """A run's entry from its fields, at least one; arguments as of `ControlRun`."""
    values: dict[str, float] = {name: sum(field.raw[name] for field in fields) / len(fields) for name in CLASSES}
    numbers = [field.quality.numbers() for field in fields if field.quality is not None]
    for name, key in _OF_QUALITY.items():
        known = [seen[key] for seen in numbers if key in seen]
        if known:
            values[name] = float(np.mean(known))
    return ControlRun(time, len(fields), model, {name: float(f"{value:.6g}") for name, value in values.items()}, pictures)


def read(path: Path) -> ControlLog:
    """The entries of a log; none where there is no file. Lines that a crash cut off are left out and named.

    Raises:
        ManifestError: it cannot be read, or is no log of a control, or a value is no number; the message names the line.
    """
    if not texts.is_there(path):
        return ControlLog(())
    expected = "give a log that smearcount control wrote, or the name of a new file"
    table = texts.table(path, expected)
    if not table.written and not table.rows:
        return ControlLog(())
    if sorted(table.columns) != sorted(name.casefold() for name in COLUMNS):
        raise ManifestError(f"{path}, line 1: is no log of a control; {expected}")
    names = {name.casefold(): name for name in COLUMNS}
    columns = [names[name] for name in table.columns]
    entries, torn = [], []
    for line, row in table.rows:
        cells = dict(zip(columns, row, strict=False))
        if _DIGEST.fullmatch(cells[_PICTURES]):
            entries.append(_entry(path, line, cells))
        else:
            torn.append(line)
    remarks = [f"not whole, and left out: line {', '.join(map(str, torn))}"] if torn else []
    return ControlLog(entries, [*table.remarks, *remarks], columns, table.separator)


def _entry(path: Path, line: int, cells: Mapping[str, str]) -> ControlRun:
    try:
        datetime.fromisoformat(cells["time"])
    except ValueError:
        raise ManifestError(
            f"{path}, line {line}: time is {cells['time'][:60]!r}; it must be as written, for example 2026-01-31T08:00:00+01:00; "
            "a spreadsheet may have changed it: restore the file"
        ) from None
    values = {measure.name: _number(path, line, measure.name, cells[measure.name]) for measure in MEASURES if cells[measure.name]}
    fields = _number(path, line, "fields", cells["fields"])
    return ControlRun(cells["time"], int(fields), cells["model"], values, cells[_PICTURES])


def _number(path: Path, line: int, name: str, text: str) -> float:
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ManifestError(
            f"{path}, line {line}, column {name!r}: needs a number, found {text[:60]!r}; correct it, or remove the line"
        )
    return value


def append(path: Path, entry: ControlRun) -> ControlLog:
    """Add an entry to a log, and give the whole of it; what stands there is not changed.

    Raises:
        ManifestError: the log is not valid. OutputError: it cannot be written, or another process is writing it.
    """
    with writing(path, "free space, or name another --log"), path.open("a+b") as file:
        if not files.lock(file):
            raise OutputError(f"{path}: another process is writing it; try again when it is done")
        log = read(path)
        file.seek(0)
        there = file.read()
        if there[: _MOST_UTF8 - 1] in (b"\xff\xfe", b"\xfe\xff"):
            raise OutputError(f"{path}: was saved as UTF-16; save it as CSV in UTF-8")
        text = io.StringIO()
        writer = csv.writer(text, delimiter=log.separator, lineterminator="\n")
        if not there.strip():
            writer.writerow(COLUMNS)
        elif not there.endswith(b"\n"):
            text.write("\n")
        cells = {"time": entry.time, "fields": entry.fields, "model": entry.model, _PICTURES: entry.pictures}
        writer.writerow([cells.get(name, entry.values.get(name, "")) for name in log.columns])
        file.write(text.getvalue().encode())
        file.flush()
        os.fsync(file.fileno())
    return replace(log, entries=[*log.entries, entry])


def targets(path: Path) -> dict[str, Target]:
    """Given means and standard deviations from a CSV file with the columns `measure,mean,sd`.

    Raises:
        ManifestError: it cannot be read, names an unknown measure, or a standard deviation is not above 0; the message names the line.
    """
    known = {measure.name.casefold(): measure.name for measure in MEASURES}
    expected = f"give a CSV file with the columns measure,mean,sd; measures are {', '.join(known.values())}"
    table = texts.table(path, expected)
    if sorted(table.columns) != ["mean", "measure", "sd"]:
        raise ManifestError(f"{path}, line 1: has columns {', '.join(table.written) or 'none'}; {expected}")
    by_class: dict[str, Target] = {}
    for line, row in table.rows:
        cells = dict(zip(table.columns, row, strict=False))
        name = known.get(cells["measure"].casefold())
        if name is None or name in by_class:
            raise ManifestError(f"{path}, line {line}: measure {cells['measure'][:60]!r} is unknown, or comes twice; {expected}")
        mean, sd = (_number(path, line, column, cells[column]) for column in ("mean", "sd"))
        if sd <= 0:
            raise ManifestError(f"{path}, line {line}: sd is {sd:g}; give a standard deviation above 0")
        by_class[name] = Target(mean, sd, 0)
    return by_class


def charts(
    entries: Sequence[ControlRun], days: int = USUAL_DAYS, given: Mapping[str, Target] | None = None
) -> list[ControlChart]:
    """Each measure over the runs with the last run's model; measures that no run has are left out.

    Args:
        entries: in the order of the log, at least one.
        days: days from whose runs means and standard deviations are learned.
        given: targets that are not to be learned, by name of the measure.
    """
    own = [entry for entry in entries if entry.model == entries[-1].model]
    last = sorted({entry.day for entry in own})[:days][-1]
    learning = len({entry.day for entry in own}) <= days
    made = []
    for measure in MEASURES:
        seen = [entry for entry in own if measure.name in entry.values]
        values = [entry.values[measure.name] for entry in seen]
        if not values:
            continue
        target = (given or {}).get(measure.name)
        if target is None and not learning:
            target = _learned(measure, [entry.values[measure.name] for entry in seen if entry.day <= last])
        made.append(ControlChart(measure, [entry.day for entry in seen], values, target, _broken(measure, values, target)))
    return made


def _learned(measure: ControlMeasure, values: Sequence[float]) -> Target | None:
    if len(values) < LEAST_DAYS:
        return None
    return Target(float(np.mean(values)), max(float(np.std(values, ddof=1)), measure.fineness), len(values))


def _broken(measure: ControlMeasure, values: Sequence[float], target: Target | None) -> list[list[str]]:
    """Rules that each value breaks, by the values up to it."""
    if target is None:
        return [[] for _ in values]
    off = [value - target.mean for value in values[target.learned :]]
    z = [0.0 if abs(apart) < measure.fineness else apart / target.sd for apart in off]
    return [[] for _ in values[: target.learned]] + [westgard(z[: i + 1]) for i in range(len(z))]


def westgard(z: Sequence[float]) -> list[str]:
    """Names of the rules that the last of these values breaks, in standard deviations from the mean, in their order."""
    last = np.asarray(z, np.float64)

    def on_one_side(number: int, beyond: float) -> bool:
        some = last[-number:]
        return len(some) == number and bool((some > beyond).all() or (some < -beyond).all())

    pair = last[-2:]
    broken = {
        "1_3s": abs(last[-1]) > 3,
        "2_2s": on_one_side(2, 2),
        "R_4s": len(pair) == 2 and pair.max() > 2 and pair.min() < -2,
        "4_1s": on_one_side(4, 1),
        "10_x": on_one_side(10, 0),
        "1_2s": abs(last[-1]) > 2,
    }
    rejecting = [name for name, holds in broken.items() if holds and name != "1_2s"]
    return rejecting or ["1_2s"] * bool(broken["1_2s"])
