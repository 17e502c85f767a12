"""A command's process: how signals end it, and what becomes of its words where nothing takes them.

A signal may come at any instruction, within an import or a lock, where an exception leaves threads waiting for ever. So it
raises one only where the command says that it may.
"""

from __future__ import annotations

import atexit
import io
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Literal

from detector.errors import EXIT_INTERRUPTED

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_SHOW_CURSOR = b"\x1b[?25h"

_answer: Literal["end", "raise", "wait"] = "end"
_asked = False


def catch() -> None:
    """From now on the first Ctrl-C, SIGTERM or SIGHUP (a lost terminal) ends the process at once, in one line.

    Within `answering`, the second one does.
    """
    global _asked
    _asked = False
    for number in _signals():
        signal.signal(number, _came)
    atexit.unregister(_ignore)
    atexit.register(_ignore)


def catch_at_start() -> None:
    """The same where Python runs `-m detector.NAME`, before what the command imports; anywhere else, nothing."""
    words = sys.orig_argv
    module = words[words.index("-m") + 1 :][:1] if "-m" in words else []
    # So it stands there only until the module is found and run.
    if sys.argv[:1] == ["-m"] and [name.partition(".")[0] for name in module] == ["detector"]:
        catch()


@contextmanager
def answering(how: Literal["raise", "wait"]) -> Iterator[None]:
    """Let the first signal within the block raise KeyboardInterrupt, or wait for the next `check`.

    While it waits, no import, lock or write is broken off.
    """
    global _answer
    before, _answer = _answer, how
    try:
        yield
    finally:
        _answer = before


@contextmanager
def collected_signals() -> Iterator[list[int]]:
    """Collect Ctrl-C, SIGTERM and the loss of the terminal, however often they come: what was counted is still to be written."""
    caught: list[int] = []
    numbers = _signals()
    before = [signal.signal(number, lambda number, _frame: caught.append(number)) for number in numbers]
    try:
        yield caught
    finally:
        for number, handler in zip(numbers, before, strict=True):
            signal.signal(number, handler)


def _signals() -> list[signal.Signals]:
    """What asks a command to end. A shell lets its background jobs ignore Ctrl-C, and nohup the loss of the terminal: that stays."""
    ignorable = [signal.SIGINT, *([signal.SIGHUP] if hasattr(signal, "SIGHUP") else [])]
    return [signal.SIGTERM, *(number for number in ignorable if signal.getsignal(number) is not signal.SIG_IGN)]


def asked() -> bool:
    """Whether a signal came."""
    return _asked


def check() -> None:
    """End what is done where a signal waits.

    Raises:
        KeyboardInterrupt: one came.
    """
    if _asked:
        raise KeyboardInterrupt


def _came(_signal: int, _frame: FrameType | None) -> None:
    global _asked
    again, _asked = _asked, True
    if again or _answer == "end":
        with suppress(OSError):
            os.write(2, (_SHOW_CURSOR if os.isatty(2) else b"") + b"interrupted\n")
        os._exit(EXIT_INTERRUPTED)
    if _answer == "raise":
        raise KeyboardInterrupt


def _ignore() -> None:
    # All is done. The interpreter gives up our handlers before it ends, and the process would be killed in its last moment.
    for number in _signals():
        signal.signal(number, signal.SIG_IGN)


def guard_output() -> None:
    """Let nothing that is printed fail: neither where the terminal's encoding lacks a sign, nor where nothing takes it."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, Path(os.devnull).open("w", encoding="utf-8"))  # noqa: SIM115 - it lasts as long as the process
        elif isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
            if type(getattr(stream.buffer, "raw", stream.buffer)) is io.FileIO:
                setattr(sys, name, _guarded(stream))


def lost_output() -> OSError | None:
    """Why some of what was printed on standard output could not be written; None where all could."""
    sys.stdout.flush()
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    return raw.lost if isinstance(raw, _Output) else None


def _guarded(stream: io.TextIOWrapper) -> io.TextIOWrapper:
    stream.flush()
    raw = _Output(stream.fileno(), "wb", closefd=False)
    lines = stream.line_buffering or stream.write_through
    return io.TextIOWrapper(io.BufferedWriter(raw), stream.encoding, "backslashreplace", line_buffering=lines)


class _Output(io.FileIO):
    """A standard stream whose words are dropped once they cannot be written: a full disk, a closed pipe or a terminal that left."""

    lost: OSError | None = None
    """Why they are dropped."""

    def write(self, content: ReadableBuffer, /) -> int:
        if self.lost is None:
            try:
                return super().write(content)
            except OSError as error:
                self.lost = error
        return memoryview(content).nbytes
