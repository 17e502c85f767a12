"""A folder of frames as a stream."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from detector.errors import ImageError, SourceError
from detector.streams.sources.source import Fault, Frame, Source
from detector.vision import images


class FrameFolder(Source):
    """The pictures of a folder, in the natural order of their names (`2.png` before `10.png`); subfolders are left out."""

    live = False
    ends = True

    def __init__(self, folder: Path, fps: float = 25.0) -> None:
        self.name = str(folder)
        self.nominal_fps = fps
        self._folder = folder

    def __iter__(self) -> Iterator[Frame | Fault]:
        """Each picture that can be read; of the others a fault.

        Raises:
            SourceError: the folder cannot be searched, or holds no picture.
        """
        try:
            paths = [path for path in self._folder.iterdir() if path.suffix.lower() in images.SUFFIXES and path.name[0] != "."]
        except OSError as error:
            raise SourceError(f"{self.name}: cannot be searched ({error.strerror})") from None
        if not paths:
            endings = ", ".join(sorted(images.SUFFIXES))
            raise SourceError(f"{self.name}: holds no pictures; looked for names that end with {endings}")
        for index, path in enumerate(sorted(paths, key=lambda path: natural(path.name))):
            time_s = index / self.nominal_fps
            try:
                yield Frame(index, time_s, images.read(path))
            except ImageError as error:
                yield Fault(time_s, "damaged", f"{path.name} {error}")


def natural(name: str) -> tuple[list[str | int], str]:
    """A key that sorts names with numbers in them as people do."""
    parts = re.split(r"(\d+)", name.casefold())
    return [int(part) if place % 2 else part for place, part in enumerate(parts)], name
