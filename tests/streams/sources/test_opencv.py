"""Cameras and addresses, and what is said where they give no picture."""

from __future__ import annotations

import errno
import itertools
import os
import socket
from pathlib import Path

import pytest
from staging import MjpegServer, free_port, number_of, refused

from detector.errors import SourceError
from detector.streams.sources import open_source, opencv


@pytest.mark.skipif(not Path("/dev").is_dir(), reason="needs devices as files")
class TestCameras:
    def test_no_such_camera(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        assert "no such camera (/dev/video97 does not exist)" in refused("97")
        (tmp_path / "video2").touch()
        monkeypatch.setattr(opencv, "_DEVICES", tmp_path)
        assert opencv.camera_problem(1).endswith("there are: 2")
        (tmp_path / "video2").unlink()
        assert opencv.camera_problem(1).endswith("there is none at all; is one plugged in?")

    @pytest.mark.parametrize(
        ("number", "message"),
        [
            (errno.EACCES, "permission denied for .*usermod -aG video"),
            (errno.EBUSY, "in use by another program"),
            (errno.EIO, "Input/output error"),
        ],
    )
    def test_a_camera_that_cannot_be_opened(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, number: int, message: str
    ) -> None:
        device = tmp_path / "video0"
        device.touch()

        def fails(*_: object) -> int:
            raise OSError(number, os.strerror(number))

        monkeypatch.setattr(os, "open", fails)
        with pytest.raises(SourceError, match=message):
            list(opencv.LocalCamera(str(device)))

    def test_a_device_that_is_no_camera(self) -> None:
        assert "/dev/null gives no picture; is it a camera" in refused("/dev/null")


class TestAddresses:
    def test_an_http_stream_gives_its_pictures(self, mjpeg: MjpegServer) -> None:
        with open_source(mjpeg.url) as source:
            frames = list(itertools.islice(source, 5))
        numbers = [number_of(one.rgb) for one in frames]
        assert numbers == list(range(numbers[0], numbers[0] + 5))

    def test_refused_missing_or_no_video(self, mjpeg: MjpegServer) -> None:
        base = mjpeg.url.removesuffix("/stream.mjpg")
        assert "the server says 404" in refused(f"{base}/nothing")
        assert "is a web page, not a video" in refused(f"{base}/page")
        for scheme in ("http", "rtsp"):
            assert "connection refused; does a server listen" in refused(f"{scheme}://127.0.0.1:{free_port()}/a")
        assert "is not an address" in refused("rtsp://")

    def test_passwords_are_not_told(self) -> None:
        told = refused(f"rtsp://me:secret@127.0.0.1:{free_port()}/a")
        assert "secret" not in told
        assert opencv.without_password("rtsp://a:p@ss@host/x") == "rtsp://host/x"

    def test_an_unknown_name_says_so(self, monkeypatch: pytest.MonkeyPatch) -> None:
        def unknown(*_: object) -> None:
            raise socket.gaierror(-2, "Name or service not known")

        monkeypatch.setattr(socket, "create_connection", unknown)
        assert "no computer is known by the name cam.invalid" in opencv.address_problem("rtsp://cam.invalid/a")

    def test_a_silent_sender_is_not_waited_for_long(self) -> None:
        source = opencv.Address(f"udp://127.0.0.1:{free_port()}", timeout_s=0.3)
        with pytest.raises(SourceError, match="nothing arrives there"):
            next(iter(source))

    def test_a_stalled_server_ends_the_stream(self, mjpeg: MjpegServer) -> None:
        with opencv.Address(mjpeg.url, timeout_s=0.3) as source:
            pictures = iter(source)
            next(pictures)
            mjpeg.stalled.set()
            assert len(list(pictures)) < 100
