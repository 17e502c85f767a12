"""All commands under one name: `smearcount NAME`, and `python -m detector NAME`."""

from __future__ import annotations

import atexit
import gc
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from detector import process
from detector.errors import EXIT_WRONG_USE

if TYPE_CHECKING:
    from argparse import ArgumentParser

COMMANDS = {
    "count": "count the cells in photographs and slides",
    "demo": "count the sample fields that come with the program",
    "stream": "count a smear under a camera or in a video, each cell once",
    "exchange": "give counted cells to other tools, and take corrected ones back",
    "serve": "count over HTTP, for instruments and other systems",
    "app": "choose a folder on a page, count it, look, correct and sign",
    "review": "look at the cells of a count, correct and sign them, on a page",
    "evaluate": "compare a model with labels, or counts with true counts",
    "factor": "derive your own factor from cells per mm² to cells per µL",
    "control": "count the same reference fields each day, and see what drifts",
    "compare": "measure methods that papers describe beside the detector",
    "convert": "turn labelled fields into a dataset folder, with an audit",
    "train": "fine-tune a model on converted datasets",
    "shapes": "learn to tell the shapes of red cells, for count --shapes",
    "adapt": "teach a model your microscope and stain by corrected fields",
    "models": "list the models that --model takes by name",
    "export": "make a model for counting from trained weights",
    "card": "put the figures of evaluations on a model's card",
    "synth": "render fields of stained smears with their exact truth",
}
"""What each command does, by its name; its module is imported only when it is called."""


def main() -> None:
    """Run the command that the first word names with the words behind it."""
    process.catch()
    process.guard_output()
    words = sys.argv[1:]
    if not words or words[0] in ("-h", "--help"):
        print(_help())
        return
    if words[0] == "--version":
        from detector.shipped import version

        print(f"smearcount {version()}")
        return
    if words[0] not in COMMANDS:
        _refuse(words[0])
    if words[0] in ("count", "demo"):
        # Read when NumPy is imported. No matrices are multiplied here, and OpenBLAS's threads wait for some in a loop.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    command = import_module(f"detector.{words[0]}")
    sys.argv[1:] = words[1:]
    # What was imported stays, and is not looked through for garbage at the start and at the end.
    gc.freeze()
    atexit.register(gc.freeze)
    command.main()


def parser() -> ArgumentParser:
    """All commands as one parser: what `shtab --shell=bash --prog=smearcount detector.__main__.parser` makes completion of."""
    from argparse import ArgumentParser

    whole = ArgumentParser("smearcount")
    whole.add_argument("--version", action="version")
    parts = whole.add_subparsers(dest="command")
    for name, about in COMMANDS.items():
        parts.add_parser(name, help=about, parents=[import_module(f"detector.{name}").parser()], add_help=False)
    return whole


def _program() -> str:
    return "smearcount" if Path(sys.argv[0]).stem == "smearcount" else "python -m detector"


def _help() -> str:
    program = _program()
    rows = "\n".join(f"  {name:10}{about}" for name, about in COMMANDS.items())
    return f"""usage: {program} COMMAND [OPTION]...
       {program} --version

Find and count red cells, white cells and platelets in photographs of blood smears.

{rows}

{program} COMMAND --help lists the options of a command."""


def _refuse(word: str) -> NoReturn:
    from difflib import get_close_matches

    near = [] if word.startswith("-") else get_close_matches(word, COMMANDS, 1)
    hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(COMMANDS)}"
    print(f"error: unknown command {word!r}; {hint}", file=sys.stderr)
    sys.exit(EXIT_WRONG_USE)


if __name__ == "__main__":
    main()
