"""What all commands share: one-line errors, how they end, and a console for people."""

from __future__ import annotations

import errno
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from detector import process
from detector.arguments import Parser
from detector.errors import EXIT_DONE, EXIT_INTERRUPTED, EXIT_SOME_FAILED, SmearcountError, UsageError
from detector.texts import harmless

T = TypeVar("T")

if TYPE_CHECKING:
    from rich.console import Console

    console: Console
    """For results, on standard output."""
    errors: Console
    """For progress, warnings and errors, on standard error."""


def __getattr__(name: str) -> Any:
    # Made when asked for: rich takes as long to import as a field to count, and a model can be opened meanwhile.
    if name not in ("console", "errors"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from rich.console import Console
    from rich.text import Text

    class Harmless(Console):
        def print(self, *objects: Any, soft_wrap: bool | None = None, **how: Any) -> None:
            """Print as rich does. What is not to be wrapped is one line, also where a name in it holds a line break."""
            if soft_wrap:
                objects = tuple(thing.replace("\n", r"\n") if isinstance(thing, str) else thing for thing in objects)
            super().print(*objects, soft_wrap=soft_wrap, **how)

        def render_str(self, text: str, **how: Any) -> Text:
            """Text as rich makes it, with nothing in it that commands the terminal."""
            return super().render_str(harmless(text), **how)

    on_error = (
        {"stderr": True} if name == "errors" else {"width": None if sys.stdout.isatty() or os.environ.get("COLUMNS") else 120}
    )
    made = globals()[name] = Harmless(highlight=False, **on_error)
    return made


def run(command: Callable[..., int | None], parser: Parser, options: Callable[..., Any] | None = None) -> None:
    """Run one command function with what `parser` finds in `sys.argv`, and leave the process with its exit code.

    The function takes an object of the class `options`, or without one each option by its name. It returns its exit code
    (None means 0). A `SmearcountError` is printed as one line and ends with the code of its class; Ctrl-C, SIGTERM and SIGHUP end with 130.
    Nobody sees a traceback for what a user can mend.
    """
    process.catch()
    process.guard_output()
    try:
        with process.answering("raise"):
            given = parser.given(sys.argv[1:])
            code = (command(**given) if options is None else command(options(**given))) or EXIT_DONE
    except SmearcountError as error:
        _say("error: ", str(error), style="bold red")
        code = error.exit_code
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        _say("error: ", f"{str(error.filename)[:60]}...: the name is longer than the system takes", style="bold red")
        code = UsageError.exit_code
    except KeyboardInterrupt:
        _say("", "interrupted")
        code = EXIT_INTERRUPTED
    if process.asked() and code != EXIT_INTERRUPTED:
        _say("", "interrupted when it was done")
        code = EXIT_INTERRUPTED
    lost = process.lost_output()
    if lost is not None:
        code = code or EXIT_SOME_FAILED
        # Who closes a pipe knows; `head` does.
        if lost.errno != errno.EPIPE:
            _say("error: ", f"standard output cannot be written ({lost.strerror})", style="bold red")
    sys.exit(code)


def for_people(as_json: bool) -> Console:
    """The console for what people read: standard error with `--json`, for standard output then holds the document alone."""
    # Both are made when the module is first asked for them.
    from detector import commandline

    return commandline.errors if as_json else commandline.console


def print_json(document: Mapping[str, Any]) -> None:
    """Print the results for programs."""
    print(json.dumps(document, indent=2))


def _say(head: str, text: str, style: str = "") -> None:
    from rich.text import Text

    from detector.commandline import errors

    errors.print(Text.assemble((head, style), harmless(text)), soft_wrap=True)


@contextmanager
def tracked(what: str, items: Sequence[T]) -> Iterator[Iterator[T]]:
    """The items one by one, with progress on standard error."""

    def one_by_one(advance: Callable[[float], None]) -> Iterator[T]:
        for item in items:
            yield item
            advance(1)

    with progress_bar(what, len(items)) as advance:
        yield one_by_one(advance)


@contextmanager
def progress_bar(what: str, total: int | None, quiet: bool = False) -> Iterator[Callable[[float], None]]:
    """Show progress with rate and time left on standard error; gives a function that takes what was done since its last call.

    Args:
        total: of things to do; None where nobody knows.
    """
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
    from rich.text import Text

    from detector.commandline import errors

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            """Things done per second."""
            return Text(f"{task.speed:.1f}/s" if task.speed else "")

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), Rate(), TimeRemainingColumn())
    with Progress(*columns, console=errors, transient=True, refresh_per_second=4, disable=quiet) as progress:
        task = progress.add_task(what, total=total)
        yield lambda done: progress.advance(task, done)
