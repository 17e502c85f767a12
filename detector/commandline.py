"""What all commands share: one-line errors, exit codes, and a console for people."""

from __future__ import annotations

import functools
import io
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from detector.errors import SmearcountError

EXIT_DONE, EXIT_SOME_FAILED, EXIT_WRONG_USE, EXIT_NOTHING_DONE, EXIT_INTERRUPTED = 0, 1, 2, 3, 130

console = Console(highlight=False, width=None if sys.stdout.isatty() else 120)
"""For results, on standard output."""
errors = Console(stderr=True, highlight=False)
"""For progress, warnings and errors, on standard error."""


def run(command: Callable[..., int | None], prog: str) -> None:
    """Run one command function with its options from `sys.argv`, and leave the process with its exit code.

    The function returns its exit code (None means 0). A `SmearcountError` is printed as one line and ends with the
    code of its class; Ctrl-C ends with 130. Nobody sees a traceback for what a user can mend.
    """
    signal.signal(signal.SIGTERM, _interrupt)
    for stream in (sys.stdout, sys.stderr):
        # A name that the terminal's encoding lacks must not cost the result.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")
    app.command()(_interruptible(command))
    sys.exit(_exit_code(app, prog))


def _interruptible(command: Callable[..., int | None]) -> Callable[..., int | None]:
    """The same command, which says so where it was interrupted; typer by itself ends in silence."""

    @functools.wraps(command)
    def called(*arguments: Any, **options: Any) -> int | None:
        try:
            return command(*arguments, **options)
        except KeyboardInterrupt:
            errors.print("interrupted")
            return EXIT_INTERRUPTED

    return called


def _exit_code(app: typer.Typer, prog: str) -> int:
    try:
        code = app(prog_name=prog, standalone_mode=False)
    except SmearcountError as error:
        errors.print(f"[bold red]error:[/] {escape(str(error))}", soft_wrap=True)
        return error.exit_code
    except Exception as error:
        # Click's own errors of use know how to show themselves and which code they end with.
        if hasattr(error, "show") and hasattr(error, "exit_code"):
            error.show()
            return int(error.exit_code)
        raise
    return int(code or EXIT_DONE)


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
