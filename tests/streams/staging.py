"""Streams that tests make themselves: videos, servers on the loopback, and a mode that counts frames."""

from __future__ import annotations

import shutil
import socket
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from detector.counting.smears import aggregate
from detector.errors import SmearcountError
from detector.output.outcome import Outcome
from detector.streams.live import Shown
from detector.streams.placing import registration
from detector.streams.sources import open_source
from detector.streams.sources.simulated import SimulatedCamera
from detector.streams.sources.source import Fault, Frame
from detector.streams.survey import FinishedSurvey, Verdict
from detector.streams.totals import ClassTotal, StreamTotals
from detector.vision.cells import CLASSES
from detector.vision.detections import Detections

FFMPEG = shutil.which("ffmpeg")
"""None where it is not installed."""


def until(done: Callable[[], object], patience_s: float = 90.0) -> None:
    """Wait until something is so."""
    end = time.monotonic() + patience_s
    while not done():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.01)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def picture(number: int, wh: tuple[int, int] = (160, 120)) -> NDArray[np.uint8]:
    """A picture that holds its number, RGB, of shape (h, w, 3): `number_of` reads it, also after lossy compression."""
    rgb = np.full((wh[1], wh[0], 3), 128, np.uint8)
    for bit in range(8):
        rgb[:, bit * wh[0] // 8 : (bit + 1) * wh[0] // 8] = 230 if number >> bit & 1 else 25
    return rgb


def number_of(rgb: NDArray[np.uint8]) -> int:
    """The number in a picture, modulo 256."""
    w = rgb.shape[1]
    return sum(1 << bit for bit in range(8) if rgb[:, (2 * bit + 1) * w // 16].mean() > 128)


def write_video(path: Path, frames: int, codec: str = "MJPG", wh: tuple[int, int] = (160, 120)) -> Path:
    """A video of numbered pictures at 25 a second."""
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*codec), 25, wh)
    for number in range(frames):
        writer.write(picture(number, wh)[:, :, ::-1].copy())
    writer.release()
    return path


class StubMode:
    """Counts one red cell for each frame, rejects each fifth, and fails where it is told to."""

    def __init__(
        self, pause_s: float = 0.0, enough_at: int | None = None, fails: Callable[[int], bool] = lambda _: False
    ) -> None:
        self.faults: list[Fault] = []
        self.taken: list[int] = []
        self._pause_s, self._enough_at, self._fails = pause_s, enough_at, fails
        self._count = 0

    def take(self, frame: Frame) -> Verdict:
        time.sleep(self._pause_s)
        if self._fails(frame.index):
            raise RuntimeError("out of\nmemory")
        self.taken.append(frame.index)
        used = frame.index % 5 != 4
        self._count += used
        wh = (frame.rgb.shape[1], frame.rgb.shape[0])
        cells = Detections(np.array([[5, 5, 40, 40]], np.float32), np.ones(1, np.float32), np.zeros(1, np.int64), wh)
        status, reason = ("used", "") if used else ("rejected", "blurred")
        return Verdict(frame.index, status, reason, 0.5, (1.0, 0.0), (0.0, 0.0), 1, cells, np.array([used]))

    def fault(self, fault: Fault) -> None:
        self.faults.append(fault)

    def totals(self) -> StreamTotals:
        classes = {name: ClassTotal(self._count if name == "RBC" else 0, None, None, None) for name in CLASSES}
        enough = self._enough_at is not None and self._count >= self._enough_at
        return StreamTotals(classes, self._count, 0.0, 0.0, None, 1, enough, f"{self._count} red cells")

    def record(self) -> dict[str, Any]:
        return {}

    def restore(self, records: list[dict[str, Any]]) -> None:
        raise NotImplementedError

    def finish(self) -> FinishedSurvey:
        outcome = Outcome((), tuple(aggregate([], [], {})))
        return FinishedSurvey(outcome, (), np.zeros((8, 8, 3), np.uint8), (), self.totals(), ())


def shown(number: int, time_s: float | None = None, wh: tuple[int, int] = (160, 120)) -> Shown:
    """A numbered picture that was looked at."""
    mode = StubMode()
    frame = Frame(number, number / 25 if time_s is None else time_s, picture(number, wh))
    return Shown(frame, mode.take(frame), mode.totals(), time.monotonic())


def taken(text: object) -> tuple[list[Frame], list[Fault]]:
    """All frames and faults of a source."""
    with open_source(str(text)) as source:
        items = list(source)
    return [one for one in items if isinstance(one, Frame)], [one for one in items if isinstance(one, Fault)]


def refused(text: object) -> str:
    """What is said where a source is refused."""
    with pytest.raises(SmearcountError) as told, open_source(str(text)) as source:
        next(iter(source))
    assert str(told.value).startswith((str(text).split("@")[0], "camera", "file://", "SOURCE", "rtsp://", "concat"))
    return str(told.value)


def textures(address: str) -> tuple[SimulatedCamera, list[NDArray[np.uint8]]]:
    """The frames of a simulated camera as small grey pictures."""
    fake = SimulatedCamera(address)
    return fake, [registration.grey(item.rgb) for item in fake if isinstance(item, Frame)]


def way(fake: SimulatedCamera, i: int, j: int) -> NDArray[np.float64]:
    """How far the view moved from one frame to another, in px."""
    return np.array(fake.view(j)[:2]) - np.array(fake.view(i)[:2])


class MjpegServer:
    """A camera of the network: numbered pictures as MJPEG over HTTP, which can be killed and started again at its port."""

    def __init__(self, fps: float = 100.0) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/stream.mjpg"
        self.stalled = threading.Event()
        self._fps = fps
        self._number = 0
        self._server: ThreadingHTTPServer | None = None

    def start(self) -> None:
        """Listen."""
        outer, running = self, threading.Event()
        running.set()

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path == "/page":
                    self.send_response(200)
                    self.send_header("Content-Type", "text/html")
                    self.end_headers()
                    self.wfile.write(b"<html>a camera's settings</html>")
                elif self.path != "/stream.mjpg":
                    self.send_error(404)
                else:
                    self._stream()

            def _stream(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
                self.end_headers()
                while running.is_set():
                    if not outer.stalled.is_set():
                        jpeg = cv2.imencode(".jpg", picture(outer._number)[:, :, ::-1])[1].tobytes()
                        outer._number += 1
                        head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                        try:
                            self.wfile.write(head.encode() + jpeg + b"\r\n")
                        except OSError:
                            return
                    time.sleep(1 / outer._fps)

            def log_message(self, *_: object) -> None:
                pass

        ThreadingHTTPServer.daemon_threads = True
        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._running = running
        threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def kill(self) -> None:
        """End it, with all its connections."""
        if self._server is not None:
            self._running.clear()
            self._server.shutdown()
            self._server.server_close()
            self._server = None
