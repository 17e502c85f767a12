"""Recorded frames, of which each one is used: video files, read by OpenCV, and folders of pictures.

OpenCV says neither why a video gives no picture nor whether one is missing, and of interlaced video it gives what happens to lie in
memory. So these are looked into here.
"""

from __future__ import annotations

import os
import re
import shlex
import struct
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from numpy.typing import NDArray

from detector.errors import ImageError, SourceError
from detector.streams.sources.opencv import frame_of, opened
from detector.streams.sources.source import Fault, Frame, Source, same
from detector.vision import images

_MOST_TRIES = 250
"""Pictures in a row of a damaged video that are tried before it is given up."""
_USUAL_FPS = 25.0
_MOST_ASPECT = 4.0

_PROBE_S = 30.0
_PROBE = f"""
import sys, cv2
name, _, first = sys.stdin.buffer.read().decode("utf-8", "surrogateescape").rpartition(chr(0))
capture = cv2.VideoCapture(name, cv2.CAP_FFMPEG)
# To seek is quick, but leads astray where times begin again.
if int(first) > 3000:
    capture.set(cv2.CAP_PROP_POS_FRAMES, int(first))
else:
    all(capture.grab() for _ in range(int(first)))
for _ in range({2 * int(_USUAL_FPS)}):
    capture.read()
"""
_REFUSED = b"interlaced to progressive"
"""What FFmpeg writes where it refuses to convert an interlaced picture, of which OpenCV takes no notice."""

_MOST_INDEX_BYTES = 1 << 28


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
        for index, path in enumerate(sorted(paths, key=lambda path: _natural(path.name))):
            time_s = index / self.nominal_fps
            try:
                yield Frame(index, time_s, images.read(path))
            except ImageError as error:
                yield Fault(time_s, "damaged", f"{path.name} {error}")


def _natural(name: str) -> tuple[list[str | int], str]:
    """A key that sorts names with numbers in them as people do."""
    parts = re.split(r"(\d+)", name.casefold())
    return [int(part) if place % 2 else part for place, part in enumerate(parts)], name


class Video(Source):
    """A video file; pictures that cannot be decoded are reported as faults."""

    live = False
    ends = True

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self.nominal_fps: float | None = None
        self._path = path

    def __iter__(self) -> Iterator[Frame | Fault]:
        """Each picture that can be decoded.

        Raises:
            SourceError: there is none, or the video is interlaced.
        """
        with opened(str(self._path), cv2.CAP_FFMPEG, ()) as capture:
            if not capture.isOpened():
                raise SourceError(f"{self.name}: {video_problem(self._path)}")
            fps = capture.get(cv2.CAP_PROP_FPS)
            self.nominal_fps = fps if 0 < fps < 1000 else None
            stated = max(0, round(capture.get(cv2.CAP_PROP_FRAME_COUNT)))
            yield from self._progressive(self._all(capture, stated))

    def _progressive(self, items: Iterator[Frame | Fault]) -> Iterator[Frame | Fault]:
        """The same items, until FFmpeg refuses a picture because it is interlaced; OpenCV then repeats what it gave before."""
        held: list[Frame | Fault] = []
        before: Frame | None = None
        probed = False
        for item in items:
            if isinstance(item, Frame):
                # The first picture is not believed until the second one has come.
                if before is None:
                    before = item
                    held.append(item)
                    continue
                if not probed and same(before.rgb, item.rgb):
                    probed = True
                    if interlaced(self._path, before.index):
                        yield self._refused(item)
                        return
                before = item
            yield from (*held, item)
            held.clear()
        if held and interlaced(self._path, 0):
            self._refused(None)
        yield from held

    def _refused(self, frame: Frame | None) -> Fault:
        """A fault from a frame on.

        Raises:
            SourceError: no picture before it can be believed.
        """
        remedy = (
            "is interlaced, which cannot be read; deinterlace it first: "
            f"ffmpeg -i {shlex.quote(self._path.name)} -vf yadif {shlex.quote(f'{self._path.stem}-progressive.mp4')}"
        )
        if frame is None or frame.index == 1:
            raise SourceError(f"{self.name}: {remedy}")
        return Fault(frame.time_s, "damaged", f"from picture {frame.index} on the video {remedy}")

    def _all(self, capture: cv2.VideoCapture, stated: int) -> Iterator[Frame | Fault]:
        step_s = 1 / (self.nominal_fps or _USUAL_FPS)
        index, time_s, lost, longest_s = 0, -step_s, 0, step_s
        clock = _Clock(step_s)
        aspect = pixel_aspect(capture)
        while True:
            read, bgr = capture.read()
            if not read:
                lost += 1
                # Behind pictures that cannot be decoded there may be others that can.
                if index + lost > stated or lost > _MOST_TRIES:
                    break
                continue
            before_s, time_s = time_s, clock.time_s(capture.get(cv2.CAP_PROP_POS_MSEC) / 1000)
            if lost:
                yield Fault(before_s + step_s, "damaged", f"{lost} pictures could not be decoded")
                lost = 0
            longest_s = max(longest_s, time_s - before_s)
            yield frame_of(index, time_s, bgr if aspect == 1 else square(np.asarray(bgr, dtype=np.uint8), aspect))
            index += 1
        if self._short(index, stated, time_s + longest_s):
            yield Fault(time_s, "ended", f"the video is damaged or ends early: it states {stated} pictures and gave {index}")

    def _short(self, given: int, stated: int, until_s: float) -> bool:
        """Whether pictures are missing at the end.

        The number that is stated may count pictures that an edit list hides, or be the length times a rate that varies. So
        the length must be short, too; it may be off by two pictures or a hundredth.
        """
        step_s = 1 / (self.nominal_fps or _USUAL_FPS)
        shown_s = shown_length_s(self._path) or stated * step_s
        return given < stated - max(2, stated // 100) and until_s < shown_s - max(2 * step_s, shown_s / 100)


def pixel_aspect(capture: cv2.VideoCapture) -> float:
    """Width of a pixel by its height, as the file has it; 1 where it does not say, or says what no camera does."""
    wide, high = capture.get(cv2.CAP_PROP_SAR_NUM), capture.get(cv2.CAP_PROP_SAR_DEN)
    aspect = wide / high if wide > 0 and high > 0 else 1.0
    return aspect if 1 / _MOST_ASPECT <= aspect <= _MOST_ASPECT else 1.0


def square(pixels: NDArray[np.uint8], aspect: float) -> NDArray[np.uint8]:
    """A picture of pixels of some aspect with square ones, no smaller: camcorders and grabbers of television squeeze pictures."""
    height, width = pixels.shape[:2]
    size_wh = (round(width * max(aspect, 1)), round(height / min(aspect, 1)))
    if size_wh == (width, height):
        return pixels
    return np.asarray(cv2.resize(pixels, size_wh, interpolation=cv2.INTER_LINEAR), dtype=np.uint8)


class _Clock:
    """The time of each picture: that of the file, going on where the file's begins again or stands still."""

    def __init__(self, step_s: float) -> None:
        self._step_s = step_s
        self._offset_s = 0.0
        self._stated_s: float | None = None
        self._time_s = 0.0

    def time_s(self, stated_s: float) -> float:
        """The next picture's; `stated_s` is the file's, zero where it has none."""
        if self._stated_s is not None:
            if stated_s <= self._stated_s:
                self._offset_s = self._time_s + self._step_s - stated_s
            self._time_s = stated_s + self._offset_s
        self._stated_s = stated_s
        return self._time_s


def interlaced(path: Path, first: int) -> bool:
    """Whether FFmpeg refuses a picture of the next two seconds, from the picture `first` on, because it is interlaced.

    Only FFmpeg's messages tell, so they are read from a process of their own. Where there can be none, nothing is known, and
    the answer is no.
    """
    command = [sys.executable, "-P", "-c", _PROBE]
    given = f"{path.absolute()}\0{first}".encode("utf-8", "surrogateescape")
    try:
        done = subprocess.run(  # noqa: S603
            command,
            input=given,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_PROBE_S,
            env={**os.environ, "OPENCV_FFMPEG_LOGLEVEL": "16"},
        )
    except (OSError, subprocess.SubprocessError):
        return False
    return _REFUSED in done.stdout


def shown_length_s(path: Path) -> float | None:
    """How long the pictures of an MP4 or MOV file are shown, by its edit list; None where it does not say, or of other files.

    The boxes are those of ISO/IEC 14496-12.
    """
    try:
        with path.open("rb") as file:
            movie = list(_boxes(_index(file)))
        header = next(content for kind, content in movie if kind == b"mvhd")
        tracks = [dict(_boxes(content)) for kind, content in movie if kind == b"trak"]
        track = next(track[b"tkhd"] for track in tracks if dict(_boxes(track[b"mdia"]))[b"hdlr"][8:12] == b"vide")
        # The second version of a box has times of 8 bytes.
        (scale,) = struct.unpack_from(">I", header, 20 if header[0] else 12)
        (length,) = struct.unpack_from(">Q", track, 28) if track[0] else struct.unpack_from(">I", track, 20)
    except (OSError, LookupError, StopIteration, struct.error):
        return None
    unknown = (0, 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF)
    return length / scale if scale and length not in unknown else None


def _index(file: BinaryIO) -> bytes:
    """Content of the box that holds an MP4 file's index; empty where there is none, or it is too large."""
    while len(head := file.read(16)) >= 8:
        size, kind = struct.unpack_from(">I4s", head)
        read = 8
        if size == 1 and len(head) == 16:
            (size,), read = struct.unpack_from(">Q", head, 8), 16
        if kind == b"moov":
            file.seek(read - len(head), os.SEEK_CUR)
            return file.read(max(0, min(size - read, _MOST_INDEX_BYTES)))
        if size < read:
            break
        file.seek(size - len(head), os.SEEK_CUR)
    return b""


def _boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content of each box in another one's content."""
    at = 0
    while at + 8 <= len(content):
        size, kind = struct.unpack_from(">I4s", content, at)
        if size < 8:
            return
        yield kind, content[at + 8 : at + size]
        at += size


def video_problem(path: Path) -> str:
    """Why a file cannot be opened as a video."""
    try:
        with path.open("rb") as file:
            empty = not file.read(1)
    except OSError as error:
        return f"cannot be opened ({error.strerror})"
    if empty:
        return "is empty (0 bytes)"
    return "is not a video, or is cut off or damaged at its beginning; MP4, MKV, AVI, MOV and others are read"
