"""What all commands share: one-line errors, exit codes, and a console for people."""

from __future__ import annotations

import sys
from collections.abc import Callable

import typer
from rich.console import Console
from rich.markup import escape

from detector.errors import SmearcountError

EXIT_DONE, EXIT_SOME_FAILED, EXIT_WRONG_USE, EXIT_NOTHING_DONE, EXIT_INTERRUPTED = 0, 1, 2, 3, 130

console = Console(highlight=False)
"""For results, on standard output."""
errors = Console(stderr=True, highlight=False)
"""For progress, warnings and errors, on standard error."""


def run(command: Callable[..., int | None], prog: str) -> None:
    """Run one command function with its options from `sys.argv`, and leave the process with its exit code.

    The function returns its exit code (None means 0). A `SmearcountError` is printed as one line and ends with the
    code of its class; Ctrl-C ends with 130. Nobody sees a traceback for what a user can mend.
    """
    app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode="rich")
    app.command()(command)
    sys.exit(_exit_code(app, prog))


def _exit_code(app: typer.Typer, prog: str) -> int:
    try:
        code = app(prog_name=prog, standalone_mode=False)
    except SmearcountError as error:
        errors.print(f"[bold red]error:[/] {escape(str(error))}", soft_wrap=True)
        return error.exit_code
    except typer.Abort:
        return EXIT_INTERRUPTED
    except KeyboardInterrupt:
        errors.print("interrupted")
        return EXIT_INTERRUPTED
    except Exception as error:
        # Click's own errors of use know how to show themselves and which code they end with.
        if hasattr(error, "show") and hasattr(error, "exit_code"):
            error.show()
            return int(error.exit_code)
        raise
    return int(code or EXIT_DONE)
