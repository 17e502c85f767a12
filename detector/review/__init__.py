"""The review of a count: the page on which a person looks at cells and corrects them, and what comes of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from detector.arguments import Parser


def main() -> None:
    """Run the command."""
    from detector.review import command  # what uses a review does without the command

    command.main()


def parser() -> Parser:
    """What the command takes."""
    from detector.review import command

    return command.parser()
