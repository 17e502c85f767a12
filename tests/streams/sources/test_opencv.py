"""Cameras, addresses and videos, and what is said where they give no picture."""

from __future__ import annotations

import errno
import itertools
import os
import socket
from pathlib import Path

import cv2
import numpy as np
import pytest
from staging import MjpegServer, free_port, number_of, refused, taken, write_video

from detector.errors import SourceError
from detector.streams.sources import opencv
from detector.streams.sources.forms import open_source


def test_of_a_video_each_picture_comes_with_its_time_and_right_colours(tmp_path: Path) -> None:
    writer = cv2.VideoWriter(str(tmp_path / "red.avi"), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"MJPG"), 25, (64, 48))
    for _ in range(3):
        writer.write(np.full((48, 64, 3), (20, 40, 220), np.uint8))
    writer.release()
    assert np.allclose(taken(tmp_path / "red.avi")[0][0].rgb[24, 32], (220, 40, 20), atol=8)
    found, faults = taken(write_video(tmp_path / "v.avi", 60))
    assert [number_of(one.rgb) for one in found] == list(range(60))
    assert np.allclose([one.time_s for one in found], np.arange(60) / 25, atol=1e-3)
    assert faults == []


@pytest.mark.parametrize(("name", "codec"), [("v.avi", "MJPG"), ("v.mkv", "mp4v")])
def test_a_video_that_ends_early_says_so(tmp_path: Path, name: str, codec: str) -> None:
    video = write_video(tmp_path / name, 100, codec)
    video.write_bytes(video.read_bytes()[: video.stat().st_size * 6 // 10])
    found, faults = taken(video)
    assert 20 < len(found) < 80
    assert [number_of(one.rgb) for one in found] == list(range(len(found)))
    assert faults[-1].kind == "ended"
    assert f"states 100 pictures and gave {len(found)}" in faults[-1].reason


def test_behind_damaged_pictures_of_a_video_the_others_are_read(tmp_path: Path) -> None:
    video = write_video(tmp_path / "v.mp4", 100, "mp4v")
    content = bytearray(video.read_bytes())
    begin = content.index(b"mdat")
    content[begin + len(content) // 3 : begin + len(content) // 3 + 900] = bytes(900)
    video.write_bytes(content)
    found, faults = taken(video)
    assert 70 < len(found) < 100
    assert number_of(found[-1].rgb) == 99
    assert "damaged" in {one.kind for one in faults}


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"", "is empty (0 bytes)"), (b"no video" * 100, "is not a video, or is cut off or damaged at its beginning")],
)
def test_a_file_that_is_no_video_says_so(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "v.mp4").write_bytes(content)
    assert message in refused(tmp_path / "v.mp4")


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
            list(opencv.Camera(str(device)))

    def test_a_device_that_is_no_camera(self) -> None:
        assert "/dev/null gives no picture; is it a camera" in refused("/dev/null")


class TestAddresses:
    def test_an_http_stream_gives_its_pictures(self, mjpeg: MjpegServer) -> None:
        with open_source(mjpeg.url) as source:
            found = list(itertools.islice(source, 5))
        numbers = [number_of(one.rgb) for one in found]
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
