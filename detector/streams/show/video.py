"""Drawn frames as a video file, in the time of the stream."""

from __future__ import annotations

import errno
import shutil
import time
from pathlib import Path

import cv2

from detector.errors import OutputError, UsageError
from detector.streams.live import Shown
from detector.vision.images import Rgb

CODECS = {".mp4": "mp4v", ".mkv": "mp4v", ".avi": "MJPG"}
"""Codec by ending; of these, .mkv and .avi can be played also where the program was ended in the middle."""

RESERVE_BYTES = 64_000_000
"""Room on the disk that a video leaves for the results."""

_LONGEST_PAUSE_S = 1.0
_LOOK_EVERY_S = 0.5


class VideoFile:
    """Writes drawn frames at a fixed rate: a frame is repeated until the next one is due, and gaps become short.

    Pictures of another size begin a new file, `NAME-2.mp4` and so on.
    """

    fps = 25.0
    """Pictures a second of the video; to be set before the first one comes."""

    def __init__(self, path: Path) -> None:
        """Prepare a file; it is made with the first frame.

        Raises:
            UsageError: the ending is of no kind of video that can be written.
            OutputError: a file stands there already, or its folder does not exist.
        """
        if path.suffix.lower() not in CODECS:
            raise UsageError(f"--save {path}: ends with none of {', '.join(CODECS)}")
        if path.exists():
            raise OutputError(f"--save {path}: exists already; choose another name")
        if not path.parent.is_dir():
            raise OutputError(f"--save {path}: the folder {path.parent} does not exist; make it first")
        self._path = path
        self._writer: cv2.VideoWriter | None = None
        self._size_wh = (0, 0)
        self._parts = 0
        self._next_s = 0.0
        self._looked = 0.0

    def show(self, picture: Rgb, shown: Shown) -> None:
        """Write one drawn frame, as often as its time asks for.

        Raises:
            OSError: the disk is nearly full, or the file cannot be written.
        """
        self._look_at_room()
        # Codecs want even sides.
        picture = picture[: picture.shape[0] // 2 * 2, : picture.shape[1] // 2 * 2]
        size_wh = (picture.shape[1], picture.shape[0])
        if self._writer is None or size_wh != self._size_wh:
            self._begin(size_wh, shown.frame.time_s)
        assert self._writer is not None
        self._next_s = max(self._next_s, shown.frame.time_s - _LONGEST_PAUSE_S)
        bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
        while self._next_s <= shown.frame.time_s + 1e-6:
            self._writer.write(bgr)
            self._next_s += 1 / self.fps

    def close(self) -> None:
        """Finish the file."""
        if self._writer is not None:
            self._writer.release()
            self._writer = None

    def _begin(self, size_wh: tuple[int, int], time_s: float) -> None:
        self.close()
        self._parts += 1
        name = self._path.name if self._parts == 1 else f"{self._path.stem}-{self._parts}{self._path.suffix}"
        code = cv2.VideoWriter.fourcc(*CODECS[self._path.suffix.lower()])
        self._writer = cv2.VideoWriter(str(self._path.with_name(name)), cv2.CAP_FFMPEG, code, self.fps, size_wh)
        self._size_wh, self._next_s = size_wh, time_s
        if not self._writer.isOpened():
            raise OSError(errno.EIO, f"--save {self._path.with_name(name)}: cannot be written; the count goes on without it")

    def _look_at_room(self) -> None:
        """OpenCV does not say that a disk is full, so room is looked for before."""
        if time.monotonic() - self._looked < _LOOK_EVERY_S:
            return
        self._looked = time.monotonic()
        if shutil.disk_usage(self._path.parent).free < RESERVE_BYTES:
            self.close()
            what = f"--save {self._path}: stopped, because the disk is nearly full ({RESERVE_BYTES // 10**6} MB are left for the results)"
            raise OSError(errno.ENOSPC, f"{what}; the count goes on without it")
