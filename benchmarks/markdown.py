"""Tables that a page of the documentation takes as they are printed, and what could not be read."""

from __future__ import annotations

from collections.abc import Sequence

from detector.commandline import errors
from detector.counting.intervals import Interval
from detector.errors import EXIT_DONE, EXIT_SOME_FAILED
from detector.vision.detections import Unread


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]], words: int = 1) -> str:
    """A Markdown table under its title, with columns that stand under each other in a terminal too.

    Args:
        words: columns that hold words; those after them hold numbers.
    """
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    rule = ["-" * width if i < words else "-" * (width - 1) + ":" for i, width in enumerate(widths)]
    lines = [
        " | ".join(text.ljust(widths[i]) if i < words else text.rjust(widths[i]) for i, text in enumerate(row))
        for row in (head, rule, *rows)
    ]
    return "\n".join([title, "", *(f"| {line} |" for line in lines), ""])


def shown(figure: Interval | None, form: str = ".2f") -> str:
    """A figure with its interval where there is one; `-` where it is not known."""
    if figure is None:
        return "-"
    value = f"{figure.value:{form}}"
    return value if figure.limits is None else f"{value} ({' to '.join(f'{limit:{form}}' for limit in figure.limits)})"


def percent(share: Interval | None) -> str:
    """A share and its interval in percent, without the sign."""
    return shown(share and share.times(100), ".1f")


def tell(unread: Sequence[Unread]) -> int:
    """List on standard error what could not be read; gives the exit code of a command that did the rest."""
    for lost in unread:
        errors.print(f"{lost.source}: {lost.reason}", markup=False, soft_wrap=True)
    return EXIT_SOME_FAILED if unread else EXIT_DONE
