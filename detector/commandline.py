"""What all commands share: options from the shell, one-line errors, exit codes, and a console for people."""

from __future__ import annotations

import argparse
import io
import math
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any, NoReturn

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from detector.errors import SmearcountError, UsageError

EXIT_DONE, EXIT_SOME_FAILED, EXIT_WRONG_USE, EXIT_NOTHING_DONE, EXIT_INTERRUPTED = 0, 1, 2, 3, 130

console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
"""For results, on standard output."""
errors = Console(stderr=True, highlight=False)
"""For progress, warnings and errors, on standard error."""


def run(command: Callable[..., int | None], parser: Parser) -> None:
    """Run one command function with what `parser` finds in `sys.argv`, and leave the process with its exit code.

    The function returns its exit code (None means 0). A `SmearcountError` is printed as one line and ends with the
    code of its class; Ctrl-C ends with 130. Nobody sees a traceback for what a user can mend.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    for stream in (sys.stdout, sys.stderr):
        # A name that the terminal's encoding lacks must not cost the result.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    try:
        code = command(**parser.given(sys.argv[1:])) or EXIT_DONE
    except SmearcountError as error:
        errors.print(f"[bold red]error:[/] {escape(str(error))}", soft_wrap=True)
        code = error.exit_code
    except KeyboardInterrupt:
        errors.print("interrupted")
        code = EXIT_INTERRUPTED
    sys.exit(code)


class Parser(argparse.ArgumentParser):
    """The arguments of one command: `add_argument` for each, as of the standard library; `%` in help texts is a plain sign."""

    def __init__(self, module: str, usage: str, about: str | None) -> None:
        """For `python -m module`, with `usage` behind it; `about` says what it does."""
        prog = f"python -m {module}"
        super().__init__(prog, f"{prog} {usage}", about, formatter_class=_Help, allow_abbrev=False)

    def given(self, words: list[str]) -> dict[str, Any]:
        """Values by the names of the command's parameters; options and other words come in any order.

        Raises:
            UsageError: an option is unknown, is missing, or has a value that it cannot have.
        """
        if "--" in words:
            # What argparse makes of `--` among mixed words depends on where it stands. ./-name is the same file.
            end = words.index("--")
            words = words[:end] + [f"./{one}" if one.startswith("-") else one for one in words[end + 1 :]]
        found, unknown = self.parse_known_intermixed_args(words)
        if unknown:
            from difflib import get_close_matches  # few need it

            options = self._option_string_actions
            near = [one for word in unknown for one in get_close_matches(word.partition("=")[0], options, 1, 0.7)]
            self.error(f"unknown: {' '.join(unknown)}" + (f" (did you mean {near[0]}?)" if near else ""))
        return vars(found)

    def error(self, message: str) -> NoReturn:
        """Refuse what was given, as a `UsageError`."""
        raise UsageError(f"{message.removeprefix('argument ')}; {self.prog} --help tells what can be given")


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


class _Help(argparse.HelpFormatter):
    """Help with paragraphs, kinds of values, bounds and defaults."""

    def __init__(self, prog: str) -> None:
        super().__init__(prog, max_help_position=28, width=min(shutil.get_terminal_size().columns, 120) - 2)

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n\n".join(super(_Help, self)._fill_text(one, width, indent) for one in text.split("\n\n"))

    def _get_default_metavar_for_optional(self, action: argparse.Action) -> str:
        return f"<{getattr(getattr(action.type, 'kind', action.type), '__name__', 'str').lower()}>"

    def _get_help_string(self, action: argparse.Action) -> str:
        notes = ["required"] if action.required and action.option_strings else []
        notes += [action.type.bounds] if isinstance(action.type, Number) and action.type.bounds else []
        untold = action.default is False or action.default in (None, argparse.SUPPRESS, [])
        notes += [] if untold else [f"default: {action.default}"]
        return ((action.help or "") + (f" ({'; '.join(notes)})" if notes else "")).replace("%", "%%")


@contextmanager
def progress_bar(what: str, total: int) -> Iterator[Callable[[float], None]]:
    """Show progress with rate and time left on standard error; gives a function that takes what was done since its last call."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), _Rate(), TimeRemainingColumn())
    with Progress(*columns, console=errors, transient=True, refresh_per_second=4) as progress:
        task = progress.add_task(what, total=total)
        yield lambda done: progress.advance(task, done)


class _Rate(ProgressColumn):
    def render(self, task: Task) -> Text:
        """Things done per second."""
        return Text(f"{task.speed:.1f}/s" if task.speed else "")


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    # Ended by a service manager, a command keeps what it has, as with Ctrl-C.
    raise KeyboardInterrupt
