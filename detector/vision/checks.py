"""Checks of values that come out of files: each gives the value, or raises a `ValueError` that names it and what it must be."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, fields
from typing import Any, NoReturn

MOST = 2**53
"""No number of ours is larger, and up to here a float holds every whole one."""


def whole(name: str, value: Any, least: int, most: int = MOST) -> int:
    """A whole number from `least` to `most`."""
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        _refuse(name, value, f"a whole number from {least} " + ("up" if most == MOST else f"to {most}"))
    return value


def number(name: str, value: Any, above: float = -math.inf, below: float = math.inf) -> float:
    """A number between two others, which it must not reach."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not above < value < below or abs(value) > MOST:
        limits = [f"{word} {limit:g}" for word, limit in (("above", above), ("below", below)) if math.isfinite(limit)]
        _refuse(name, value, " ".join(["a number", " and ".join(limits)]).strip())
    return float(value)


def text(name: str, value: Any) -> str:
    """Text that can be written as UTF-8."""
    if not isinstance(value, str) or any("\ud800" <= sign <= "\udfff" for sign in value):
        _refuse(name, value, "text")
    return value


def texts(name: str, value: Any) -> tuple[str, ...]:
    """Several texts."""
    if not isinstance(value, list | tuple):
        _refuse(name, value, "a list of texts")
    return tuple(text(f"{name}.{at}", item) for at, item in enumerate(value))


def mapping(name: str, value: Any) -> dict[str, Any]:
    """Values by text."""
    if not isinstance(value, Mapping):
        _refuse(name, value, "names with values")
    return {text(f"a key of {name}", key): item for key, item in value.items()}


def arguments(kind: Any, value: Any) -> dict[str, Any]:
    """Arguments for a dataclass out of a mapping, without what the class does not know; none is missing."""
    given = mapping("it", value)
    missing = [field.name for field in fields(kind) if field.default is MISSING and field.name not in given]
    if missing:
        raise ValueError(f"{_listed(missing)} missing")
    return {field.name: given[field.name] for field in fields(kind) if field.name in given}


def _listed(names: Iterable[str]) -> str:
    *first, last = names
    return f"{', '.join(first)} and {last} are" if first else f"{last} is"


def _refuse(name: str, value: Any, expected: str) -> NoReturn:
    # Others may be as large and as deep as a file can be.
    shown = repr(value)[:60] if value is None or isinstance(value, str | int | float) else f"a {type(value).__name__}"
    raise ValueError(f"{name} must be {expected}, is {shown}")
