"""`smearcount app`: choose a folder of pictures on a page, count it, look, correct, sign and export."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from detector import process
from detector.arguments import Number, Parser
from detector.commandline import errors, run
from detector.errors import UsageError
from detector.review import command
from detector.review.review import reader_name
from detector.review.start import Start


@dataclass(frozen=True)
class AppOptions:
    """The options by their names; `parser` says what they are."""

    folder: Path | None = None
    reader: str | None = None
    port: int = 0
    no_browser: bool = False


def app(options: AppOptions) -> None:
    """Choose a folder of pictures on a page, count it, look at the cells, correct and sign them, and write results.

    The page is served to this computer only. A count goes into runs/count/<time> below the present folder, and pictures are never changed.
    A folder that a count wrote is opened as it is. Ctrl-C ends the page; a count that goes on is cancelled.
    """
    reader = reader_name(options.reader or command.account())
    folder = options.folder or Path.home()
    if not folder.is_dir():
        raise UsageError(f"{folder}: is not a folder; give one to begin with, or leave it out for your own")
    page = Start(options.port, folder, reader)
    with process.collected_signals() as caught, page:
        command.show(page, caught, options.no_browser)
        errors.print("ending; a count that goes on is cancelled", soft_wrap=True)


def parser() -> Parser:
    """What the command takes."""
    made = Parser("app", "[OPTION]... [FOLDER]", app.__doc__)
    add = made.add_argument
    add("folder", metavar="FOLDER", nargs="?", type=Path, help="the folder that is shown first; default: your own")
    add("--reader", help="who looks; default: the name of your account. The page lets you change it")
    add(
        "--port",
        type=Number(int, 0, 65535),
        default=AppOptions.port,
        help="port of the page on this computer; 0 takes a free one",
    )
    add("--no-browser", action="store_true", help="print the page's address and open no browser")
    return made


def main() -> None:
    """Entry point."""
    run(app, parser(), AppOptions)


if __name__ == "__main__":
    main()
