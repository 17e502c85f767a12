"""Validated settings from YAML files: every key is known, and an unknown one is refused with its nearest neighbour."""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from detector import texts
from detector.errors import ConfigError

T = TypeVar("T", bound=BaseModel)

_SHOWN = 80
"""Most letters of a stranger's text in a message."""


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file that holds a mapping.

    Raises:
        ConfigError: the file is missing, is not YAML, or holds something else.
    """
    try:
        content = yaml.safe_load(texts.content(path, texts.MEBIBYTE).decode("utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror}); give the path of a YAML file") from None
    # A date or number that is none and a key that is a list raise something else than YAML's own errors.
    except (yaml.YAMLError, ArithmeticError, LookupError, RecursionError, TypeError, ValueError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else texts.one_line(error, 300)
        raise ConfigError(f"{path}: is not valid YAML ({reason})") from None
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: must hold `key: value` lines, holds {type(content).__name__}")
    return content


def validate(kind: type[T], values: Mapping[str, Any], source: str) -> T:
    """Values as an instance of `kind`.

    Args:
        source: where the values came from, for messages.

    Raises:
        ConfigError: unknown keys (the nearest known one is named), missing keys or values out of range, all in one line.
    """
    names = list(kind.model_fields)
    for key in values:
        if key not in names:
            near = difflib.get_close_matches(str(key)[:_SHOWN], names, n=1, cutoff=0.5)
            hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(names)}"
            raise ConfigError(f"{source}: unknown key {repr(key)[:_SHOWN]}; {hint}")
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors()]
        raise ConfigError(f"{source}: {'; '.join(faults)}") from None
