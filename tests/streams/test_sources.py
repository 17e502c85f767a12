"""From a text to frames, and what is said where there are none."""

from __future__ import annotations

import errno
import itertools
import os
import socket
from pathlib import Path

import cv2
import numpy as np
import pytest
from staging import MjpegServer, free_port, number_of, picture, write_video

from detector.errors import SmearcountError, SourceError, UsageError
from detector.streams import micromanager, opencv, reasons, sources
from detector.streams.fake import Fake
from detector.streams.folder import FrameFolder
from detector.streams.frames import Fault, Frame


def taken(text: object) -> tuple[list[Frame], list[Fault]]:
    with sources.open(str(text)) as source:
        items = list(source)
    return [one for one in items if isinstance(one, Frame)], [one for one in items if isinstance(one, Fault)]


def refused(text: object) -> str:
    with pytest.raises(SmearcountError) as told, sources.open(str(text)) as source:
        next(iter(source))
    assert str(told.value).startswith((str(text).split("@")[0], "camera", "file://", "SOURCE", "rtsp://", "concat"))
    return str(told.value)


@pytest.mark.parametrize(
    ("text", "kind", "name"),
    [
        ("0", opencv.Camera, "camera 0"),
        ("2@1280x720", opencv.Camera, "camera 2"),
        ("/dev/video7", opencv.Camera, "camera /dev/video7"),
        ("rtsp://user:secret@cam.local:554/a?b=1", opencv.Address, "rtsp://cam.local:554/a?b=1"),
        ("udp://127.0.0.1:5000", opencv.Address, "udp://127.0.0.1:5000"),
        ("fake:pan?seed=1", Fake, "fake:pan?seed=1"),
        (".", FrameFolder, "."),
    ],
)
def test_a_text_names_a_source(text: str, kind: type, name: str) -> None:
    source = sources.open(text)
    assert type(source) is kind
    assert source.name == name


def test_frames_of_a_folder_come_in_the_order_of_their_numbers_and_damaged_ones_are_told(tmp_path: Path) -> None:
    for number in (1, 2, 10, 9):
        cv2.imwrite(str(tmp_path / f"f{number}.png"), picture(number)[:, :, ::-1])
    (tmp_path / "f3.png").write_bytes((tmp_path / "f2.png").read_bytes()[:60])
    (tmp_path / "notes.txt").write_text("no picture")
    found, faults = taken(tmp_path)
    assert [number_of(one.rgb) for one in found] == [1, 2, 9, 10]
    assert [one.kind for one in faults] == ["damaged"]
    assert faults[0].reason.startswith("f3.png is ")


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


def test_what_does_not_exist_or_is_something_else_says_what_would_work(tmp_path: Path) -> None:
    assert "does not exist; SOURCE is a camera number" in refused(tmp_path / "v.mp4")
    cv2.imwrite(str(tmp_path / "a.png"), picture(1))
    assert "python -m detector.count" in refused(tmp_path / "a.png")
    (tmp_path / "empty").mkdir()
    assert "holds no pictures" in refused(tmp_path / "empty")
    assert "these can: http, https, rtsp" in refused("file:///etc/passwd")
    with pytest.raises(SourceError, match="does not exist; SOURCE is"):
        sources.open("")
    with pytest.raises(UsageError, match="serpentine"):
        sources.open("fake:serpentin")


@pytest.mark.skipif(not Path("/dev").is_dir(), reason="needs devices as files")
class TestCameras:
    def test_no_such_camera(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        assert "no such camera (/dev/video97 does not exist)" in refused("97")
        (tmp_path / "video2").touch()
        monkeypatch.setattr(reasons, "_DEVICES", tmp_path)
        assert reasons.of_camera(1).endswith("there are: 2")
        (tmp_path / "video2").unlink()
        assert reasons.of_camera(1).endswith("there is none at all; is one plugged in?")

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
        with sources.open(mjpeg.url) as source:
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
        assert "no computer is known by the name cam.invalid" in reasons.of_address("rtsp://cam.invalid/a")

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


class TestMicroManager:
    def test_the_demo_camera_gives_pictures(self) -> None:
        pytest.importorskip("pymmcore_plus", reason="needs the micromanager extra: pip install -e '.[micromanager]'")
        pytest.importorskip("mm_test_adapters", reason="needs the demo camera: pip install mm-test-adapters")
        with sources.open("micromanager:demo") as source:
            found = list(itertools.islice(source, 3))
        assert [one.rgb.shape for one in found if isinstance(one, Frame)] == [(512, 512, 3)] * 3
        assert not np.array_equal(found[0].rgb, found[2].rgb)

    def test_a_configuration_that_is_missing_or_none_says_so(self, tmp_path: Path) -> None:
        pytest.importorskip("pymmcore_plus", reason="needs the micromanager extra: pip install -e '.[micromanager]'")
        with pytest.raises(SourceError, match="no such file; give the"):
            sources.open("micromanager:none.cfg")
        (tmp_path / "bad.cfg").write_text("Device,Camera,NoSuchLibrary,DCam\n")
        with pytest.raises(SourceError, match="cannot be loaded"):
            next(iter(sources.open(f"micromanager:{tmp_path / 'bad.cfg'}")))

    @pytest.mark.parametrize(
        ("pixels", "bits", "grey"),
        [
            (np.full((4, 6), 4095, np.uint16), 12, 255),
            (np.full((4, 6), 2048, np.uint16), 12, 127),
            (np.full((4, 6), 1000, np.uint16), 16, 3),
            (np.full((4, 6), 200, np.uint8), 8, 200),
            (np.full((4, 6, 3), 90, np.uint8), 8, 90),
        ],
    )
    def test_depths_become_eight_bits_of_three_channels(self, pixels: np.ndarray, bits: int, grey: int) -> None:
        rgb = micromanager.to_rgb(pixels, bits)
        assert rgb.shape == (4, 6, 3)
        assert rgb.dtype == np.uint8
        assert set(rgb.ravel().tolist()) == {grey}
