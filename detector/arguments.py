"""How a command is called in a shell, and what it is given."""

from __future__ import annotations

import argparse
import math
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from detector.errors import UsageError

_ELSEWHERE = {
    "--imgsz": ("--image-px",),
    "--img": ("--image-px",),
    "--img-size": ("--image-px",),
    "--weights": ("--model", "WEIGHTS", "MODEL"),
    "--source": ("INPUT", "SOURCE"),
    "--input": ("INPUT", "SOURCE"),
    "--batch-size": ("--batch",),
    "--lr": ("--learning-rate",),
    "--lr0": ("--learning-rate",),
    "--lrf": ("--final-learning-rate-share",),
    "--cos-lr": ("--cosine",),
    "--close-mosaic": ("--close-mosaic-epochs",),
    "--hsv-h": ("--hue",),
    "--hsv-s": ("--saturation",),
    "--hsv-v": ("--brightness",),
    "--device": ("--backend",),
    "--workers": ("--threads",),
    "--project": ("--out", "--name"),
    "--output": ("--out", "--name"),
    "--save": ("--overlays",),
    "--view-img": ("--show",),
    "--verbose": ("--quiet",),
}
"""What others, Ultralytics first, call our options, and which of ours are meant: the first that the command has."""
_OF_THE_MODEL = {
    **dict.fromkeys(
        ("--conf", "--conf-thres", "--confidence", "--threshold", "--iou", "--iou-thres"),
        "thresholds are tuned, not given; they are on the model's card",
    ),
    **dict.fromkeys(
        ("--imgsz", "--img", "--img-size"), "pictures may have any size: they are scaled by the width of their red cells"
    ),
}
"""What others call options, of which commands that take a model leave the choice to it, and why."""


def called(command: str) -> str:
    """How a command is called in the way that this program was: `smearcount count` or `python -m detector.count`."""
    if command.startswith("benchmarks."):
        return f"python -m {command}"
    program = Path((sys.argv or [""])[0])
    if program.stem == "smearcount":
        return f"smearcount {command}"
    whole = program.parts[-2:] == ("detector", "__main__.py")
    return f"python -m detector {command}" if whole else f"python -m detector.{command}"


def option(name: str) -> str:
    """How a shell spells the option of a parameter's name: `um_per_px` is `--um-per-px`."""
    return f"--{name.replace('_', '-')}"


class Parser(argparse.ArgumentParser):
    """The arguments of one command: `add_argument` for each, as of the standard library; `%` in help texts is a plain sign."""

    def __init__(self, command: str, usage: str, about: str | None) -> None:
        """For the command of that name, with `usage` behind it; `about` says what it does."""
        prog = called(command)
        super().__init__(prog, f"{prog} {usage}", about, formatter_class=_Help, allow_abbrev=False)
        self.register("type", Path, _path)

    def add_json(self) -> None:
        """Add the option that gives programs the results, and people the rest."""
        about = "print the results as one JSON document; all other text goes to standard error"
        self.add_argument("--json", action="store_true", help=about)

    def given(self, words: list[str]) -> dict[str, Any]:
        """Values by the names of the command's parameters; options and other words come in any order.

        Raises:
            UsageError: an option is unknown, is missing, or has a value that it cannot have.
        """
        if "--" in words:
            # What argparse makes of `--` among mixed words depends on where it stands. ./-name is the same file.
            end = words.index("--")
            words = words[:end] + [f"./{word}" if word.startswith("-") else word for word in words[end + 1 :]]
        values, unknown = self.parse_known_intermixed_args(words)
        if unknown:
            self._refuse(unknown)
        return vars(values)

    def _refuse(self, words: list[str]) -> NoReturn:
        option = next((word.partition("=")[0] for word in words if word.startswith("-")), None)
        if option is None:
            self.error(f"unknown: {' '.join(words)}")
        from difflib import get_close_matches  # few need it

        taken = {**self._option_string_actions, **{str(action.metavar): action for action in self._get_positional_actions()}}
        elsewhere = [name for name in _ELSEWHERE.get(option, ()) if name in taken]
        near = elsewhere or get_close_matches(option, self._option_string_actions, 1, 0.7)
        reason = _OF_THE_MODEL.get(option, "") if "--model" in taken else ""
        hint = f"did you mean {near[0]}? " if near else reason and f"{reason}; "
        raise UsageError(f"unknown option {option}; {hint}{self.prog} --help lists the options")

    def error(self, message: str) -> NoReturn:
        """Refuse what was given, as a `UsageError`."""
        raise UsageError(f"{message.removeprefix('argument ')}; {self.prog} --help lists the options")


@dataclass(frozen=True)
class Number:
    """The `type` of an argument that is a number from `least` to `most`."""

    kind: type[int] | type[float]
    least: float = -math.inf
    most: float = math.inf

    def __call__(self, text: str) -> float:
        """The number that a text is."""
        try:
            value = self.kind(text)
        except ValueError:
            value = math.nan
        if not self.least <= value <= self.most:
            kind = "whole number" if self.kind is int else "number"
            raise argparse.ArgumentTypeError(f"must be a {kind} {self.bounds}".rstrip() + f", got {text!r}")
        return value

    @property
    def bounds(self) -> str:
        """In words; empty where there are none."""
        upwards = f"from {self.least:g} " + (f"to {self.most:g}" if self.most < math.inf else "up")
        return upwards if self.least > -math.inf else ""


def _path(text: str) -> Path:
    if not text.strip():  # it would be the folder that a shell stands in
        raise argparse.ArgumentTypeError("is empty; give a path, for example of a folder")
    return Path(text)


class _Help(argparse.HelpFormatter):
    """Help with paragraphs, kinds of values, bounds and defaults."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28, width=min(shutil.get_terminal_size().columns, 120) - 2)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n\n".join(super(_Help, self)._fill_text(paragraph, width, indent) for paragraph in text.split("\n\n"))

    def _get_default_metavar_for_optional(self, action: argparse.Action) -> str:
        return f"<{getattr(getattr(action.type, 'kind', action.type), '__name__', 'str').lower()}>"

    def _get_help_string(self, action: argparse.Action) -> str:
        notes = ["required"] if action.required and action.option_strings else []
        notes += [action.type.bounds] if isinstance(action.type, Number) and action.type.bounds else []
        untold = action.default is False or action.default in (None, argparse.SUPPRESS, [], "")
        notes += [] if untold else [f"default: {action.default}"]
        return ((action.help or "") + (f" ({'; '.join(notes)})" if notes else "")).replace("%", "%%")
