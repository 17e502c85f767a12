"""Cameras, addresses and video files, read by OpenCV (and through it by FFmpeg)."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import cv2
import numpy as np

from detector.errors import SourceError
from detector.streams import reasons
from detector.streams.frames import Fault, Frame, Source

TIMEOUT_S = 5.0
"""Time after which FFmpeg gives up opening an address or waiting for its next picture."""

_MOST_TRIES = 250
"""Pictures in a row of a damaged video that are tried before it is given up."""


class Camera(Source):
    """A camera of this computer."""

    live = True
    ends = False

    def __init__(self, device: int | str, size_wh: tuple[int, int] | None = None) -> None:
        """Name a camera.

        Args:
            device: its number, or its path such as /dev/video0.
            size_wh: picture size to ask it for; it may give the nearest that it has. None takes its own default.
        """
        self.name = f"camera {device}"
        self.nominal_fps: float | None = None
        self._device = device
        self._size_wh = size_wh

    def __iter__(self) -> Iterator[Frame | Fault]:
        backend = cv2.CAP_V4L2 if sys.platform.startswith("linux") else cv2.CAP_ANY
        with _opened(self._device, backend, ()) as capture:
            if not capture.isOpened():
                raise SourceError(f"{self.name}: {reasons.of_camera(self._device)}")
            if self._size_wh:
                capture.set(cv2.CAP_PROP_FRAME_WIDTH, self._size_wh[0])
                capture.set(cv2.CAP_PROP_FRAME_HEIGHT, self._size_wh[1])
            # Pictures that wait in the driver are old.
            capture.set(cv2.CAP_PROP_BUFFERSIZE, 1)
            self.nominal_fps = capture.get(cv2.CAP_PROP_FPS) or None
            yield from _pictures(capture)


class Address(Source):
    """A stream from the network: RTSP, MJPEG over HTTP, UDP and what else FFmpeg can open."""

    live = True
    ends = False

    def __init__(self, address: str, timeout_s: float = TIMEOUT_S) -> None:
        self.name = without_password(address)
        self.nominal_fps: float | None = None
        self._address = address
        self._timeout_ms = int(1000 * timeout_s)

    def __iter__(self) -> Iterator[Frame | Fault]:
        timeouts = (cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, self._timeout_ms, cv2.CAP_PROP_READ_TIMEOUT_MSEC, self._timeout_ms)
        with _opened(self._address, cv2.CAP_FFMPEG, timeouts) as capture:
            if not capture.isOpened():
                raise SourceError(f"{self.name}: {reasons.of_address(self._address)}")
            if self._address.lower().startswith("http") and capture.get(cv2.CAP_PROP_FRAME_COUNT) > 0:
                raise SourceError(f"{self.name}: is a video file, not a live stream; download it and give the file")
            self.nominal_fps = capture.get(cv2.CAP_PROP_FPS) or None
            yield from _pictures(capture)


class Video(Source):
    """A video file, of which each picture is used; pictures that cannot be decoded are told of as faults."""

    live = False
    ends = True

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self.nominal_fps: float | None = None
        self._path = path

    def __iter__(self) -> Iterator[Frame | Fault]:
        with _opened(str(self._path), cv2.CAP_FFMPEG, ()) as capture:
            if not capture.isOpened():
                raise SourceError(f"{self.name}: {reasons.of_video(self._path)}")
            fps = capture.get(cv2.CAP_PROP_FPS)
            self.nominal_fps = fps if 0 < fps < 1000 else None
            stated = max(0, round(capture.get(cv2.CAP_PROP_FRAME_COUNT)))
            yield from self._all(capture, stated)

    def _all(self, capture: cv2.VideoCapture, stated: int) -> Iterator[Frame | Fault]:
        step_s = 1 / (self.nominal_fps or 25.0)
        index, time_s, lost = 0, -step_s, 0
        while True:
            read, bgr = capture.read()
            if not read:
                lost += 1
                # Behind pictures that cannot be decoded there may be others that can.
                if index + lost > stated or lost > _MOST_TRIES:
                    break
                continue
            before_s = time_s
            # Files without times of their own give zeros.
            time_s = max(capture.get(cv2.CAP_PROP_POS_MSEC) / 1000, time_s + 1e-6) if index else 0.0
            if lost:
                yield Fault(before_s + step_s, "damaged", f"{lost} pictures could not be decoded")
                lost = 0
            yield _frame(index, time_s, bgr)
            index += 1
        # Containers that do not hold the number of pictures state it from their length, which may be off by one or two.
        if index < stated - max(2, stated // 100):
            yield Fault(time_s, "ended", f"the video is damaged or ends early: it states {stated} pictures and gave {index}")


def without_password(address: str) -> str:
    """An address as it may be shown and written down."""
    try:
        login, at, _ = urlsplit(address).netloc.rpartition("@")
    except ValueError:
        return address
    return address.replace(login + at, "", 1) if at else address


@contextmanager
def _opened(name: str | int, backend: int, parameters: Sequence[int]) -> Iterator[cv2.VideoCapture]:
    """A capture, opened or not, that is released at the end; what fails is told by us and not by FFmpeg on the terminal."""
    os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
    before = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        capture = cv2.VideoCapture(name, backend, parameters)
    finally:
        cv2.utils.logging.setLogLevel(before)
    try:
        yield capture
    finally:
        capture.release()


def _pictures(capture: cv2.VideoCapture) -> Iterator[Frame]:
    """What a live capture gives until it gives nothing."""
    index, began = 0, time.monotonic()
    while True:
        read, bgr = capture.read()
        if not read:
            return
        yield _frame(index, time.monotonic() - began, bgr)
        index += 1


def _frame(index: int, time_s: float, bgr: cv2.typing.MatLike) -> Frame:
    rgb = cv2.cvtColor(bgr, cv2.COLOR_GRAY2RGB if bgr.ndim == 2 else cv2.COLOR_BGR2RGB)
    return Frame(index, time_s, np.asarray(rgb, dtype=np.uint8))
