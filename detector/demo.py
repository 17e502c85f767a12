"""`smearcount demo`: count the sample fields that come with the program."""

from __future__ import annotations

from pathlib import Path

from detector import count
from detector.arguments import Parser
from detector.commandline import run
from detector.engines.options import CountOptions
from detector.shipped import samples


def demo(*, out: Path | None, json: bool, quiet: bool) -> int:
    """Count the sample fields that come with the program: two rendered smears of four fields each.

    The results are those that `count` writes for a folder of your own.
    """
    return count.count(CountOptions([str(samples())], out=out, json=json, quiet=quiet))


def parser() -> Parser:
    """What the command takes."""
    made = Parser("demo", "[OPTION]...", demo.__doc__)
    made.add_argument("--out", type=Path, help="folder for the results; default: runs/count/<time>")
    count.add_printed(made)
    return made


def main() -> None:
    """Entry point."""
    run(demo, parser())


if __name__ == "__main__":
    main()
