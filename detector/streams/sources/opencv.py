"""Cameras and addresses, read by OpenCV (and through it by FFmpeg).

OpenCV does not say why one of them gives no picture, so that is looked into here.
"""

from __future__ import annotations

import errno
import http.client
import os
import socket
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import cv2
import numpy as np

from detector.errors import SourceError
from detector.streams.sources.source import Fault, Frame, Source

TIMEOUT_S = 5.0
"""Time after which FFmpeg gives up opening an address or waiting for its next picture."""

_PORTS = {"http": 80, "https": 443, "rtsp": 554, "rtsps": 322, "rtmp": 1935}
_ANSWER_S = 3.0
_DEVICES = Path("/dev")


class LocalCamera(Source):
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
        with opened(self._device, backend, ()) as capture:
            if not capture.isOpened():
                raise SourceError(f"{self.name}: {camera_problem(self._device)}")
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
        with opened(self._address, cv2.CAP_FFMPEG, timeouts) as capture:
            if not capture.isOpened():
                raise SourceError(f"{self.name}: {address_problem(self._address)}")
            if self._address.lower().startswith("http") and capture.get(cv2.CAP_PROP_FRAME_COUNT) > 0:
                raise SourceError(f"{self.name}: is a video file, not a live stream; download it and give the file")
            self.nominal_fps = capture.get(cv2.CAP_PROP_FPS) or None
            yield from _pictures(capture)


def without_password(address: str) -> str:
    """An address as it may be shown and written down."""
    try:
        login, at, _ = urlsplit(address).netloc.rpartition("@")
    except ValueError:
        return address
    return address.replace(login + at, "", 1) if at else address


@contextmanager
def opened(name: str | int, backend: int, parameters: Sequence[int]) -> Iterator[cv2.VideoCapture]:
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
        yield frame_of(index, time.monotonic() - began, bgr)
        index += 1


def frame_of(index: int, time_s: float, bgr: cv2.typing.MatLike) -> Frame:
    """A frame of what OpenCV read."""
    rgb = cv2.cvtColor(bgr, cv2.COLOR_GRAY2RGB if bgr.ndim == 2 else cv2.COLOR_BGR2RGB)
    return Frame(index, time_s, np.asarray(rgb, dtype=np.uint8))


def camera_problem(device: int | str) -> str:
    """Why a camera cannot be opened, and what would work."""
    if not sys.platform.startswith("linux"):
        return "cannot be opened; is it plugged in, free of other programs, and may this program use the camera?"
    path = _DEVICES / f"video{device}" if isinstance(device, int) else Path(device)
    present = sorted(other.name.removeprefix("video") for other in _DEVICES.glob("video*"))
    if not path.exists():
        others = f"there are: {', '.join(present)}" if present else "there is none at all; is one plugged in?"
        return f"no such camera ({path} does not exist); {others}"
    try:
        os.close(os.open(path, os.O_RDWR | os.O_NONBLOCK))
    except PermissionError:
        return f"permission denied for {path}; add yourself to its group: sudo usermod -aG video $USER, then log in again"
    except OSError as error:
        if error.errno == errno.EBUSY:
            return f"{path} is in use by another program; close that one"
        return f"{path} cannot be opened ({error.strerror})"
    return f"{path} gives no picture; is it a camera, and in use by no other program?"


def address_problem(address: str) -> str:
    """Why an address gives no picture, and what to look at."""
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port or _PORTS.get(parts.scheme.lower())
    except ValueError as error:
        return f"is not an address ({error})"
    if not host:
        return "is not an address; give it as rtsp://HOST:PORT/PATH"
    if port is None or parts.scheme.lower() in ("udp", "srt"):
        return "nothing arrives there; is the sender running, and does it send to this address?"
    try:
        socket.create_connection((host, port), _ANSWER_S).close()
    except ConnectionRefusedError:
        return f"connection refused; does a server listen on port {port} of {host}?"
    except socket.gaierror:
        return f"no computer is known by the name {host}; check it, or give its number"
    except TimeoutError:
        return f"{host} does not answer on port {port}; is it switched on, and in this network?"
    except OSError as error:
        return f"{host} cannot be reached ({error.strerror})"
    problem = _http_problem(parts.scheme.lower(), host, port, parts.path, parts.query)
    return problem or f"{host} answers, but not with a video that can be read; check the path, name and password"


def _http_problem(scheme: str, host: str, port: int, path: str, query: str) -> str:
    if scheme not in ("http", "https"):
        return ""
    kind = http.client.HTTPSConnection if scheme == "https" else http.client.HTTPConnection
    connection = kind(host, port, timeout=_ANSWER_S)
    try:
        connection.request("GET", f"{path or '/'}{'?' * bool(query)}{query}")
        response = connection.getresponse()
        content = response.getheader("Content-Type", "")
    except (OSError, http.client.HTTPException) as error:
        return f"{host} answers nothing that is HTTP ({error})"
    finally:
        connection.close()
    if response.status >= 400:
        return f"the server says {response.status} {response.reason}; check the path, name and password"
    if content.startswith("text/html"):
        return "is a web page, not a video; look in the camera's settings for the address of its MJPEG or RTSP stream"
    return ""
