"""Room for pictures in memory: as many pixels at a time as one largest picture has, however many threads there are."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from detector.errors import ImageError
from detector.vision.images.files import opened
from detector.vision.images.pixels import most_pixels
from detector.vision.images.reading import stored_pixels

_BYTES = 4
"""Bytes of a file that take as much room as a pixel, which is at least this much while it is decoded."""

_freed = threading.Condition()
_taken = 0


@contextmanager
def room(path: Path) -> Iterator[None]:
    """Waits until there is room for the picture in a file, and keeps it for the length of a block.

    A picture that needs all of the room, or more, is let in alone. In a block no other room may be asked for.
    """
    global _taken
    pixels = _needed(path)
    with _freed:
        _freed.wait_for(lambda: not _taken or _taken + pixels <= most_pixels())
        _taken += pixels
    try:
        yield
    finally:
        with _freed:
            _taken -= pixels
            _freed.notify_all()


def _needed(path: Path) -> int:
    """Pixels by the file's header, or what its bytes take; 0 where it cannot be opened, which its reader will tell."""
    try:
        with opened(path) as file:
            size = os.fstat(file.fileno()).st_size // _BYTES
            try:
                return max(size, stored_pixels(file))
            except ImageError:
                return size
    except (ImageError, OSError):
        return 0
