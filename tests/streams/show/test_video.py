"""Drawn frames as a video file."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import cv2
import numpy as np
import pytest
from staging import number_of, shown

from detector.errors import OutputError, UsageError
from detector.streams.live import Shown
from detector.streams.show import display
from detector.streams.show import video as video_module
from detector.streams.show.display import Display
from detector.streams.show.video import VideoFile
from detector.streams.sources.source import Frame


def read(path: Path) -> list[int]:
    capture, numbers = cv2.VideoCapture(str(path)), []
    while True:
        ok, bgr = capture.read()
        if not ok:
            return numbers
        numbers.append(number_of(bgr[26:, :, ::-1]))


@pytest.mark.parametrize("name", ["v.mp4", "v.mkv", "v.avi"])
def test_a_video_keeps_the_time_of_the_stream(tmp_path: Path, name: str) -> None:
    video = VideoFile(tmp_path / name)
    for number in range(0, 40, 2):  # as if each other frame had been dropped
        video.show(display.draw(shown(number)), shown(number))
    video.show(display.draw(shown(60)), shown(60, time_s=30.0))  # after a gap
    video.close()
    numbers = read(tmp_path / name)
    assert numbers[:6] == [0, 2, 2, 4, 4, 6]
    assert numbers[-1] == 60
    assert 40 + 20 < len(numbers) < 40 + 30


def test_another_size_begins_another_video(tmp_path: Path) -> None:
    video = VideoFile(tmp_path / "v.avi")
    for number in range(10):
        one = shown(number, wh=(160, 120) if number < 5 else (81, 61))
        video.show(display.draw(one), one)
    video.close()
    assert [len(read(tmp_path / name)) for name in ("v.avi", "v-2.avi")] == [5, 5]


def test_a_video_is_refused_where_it_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"ends with none of \.mp4, \.mkv, \.avi"):
        VideoFile(tmp_path / "v.txt")
    (tmp_path / "v.mp4").touch()
    with pytest.raises(OutputError, match="exists already"):
        VideoFile(tmp_path / "v.mp4")
    with pytest.raises(OutputError, match="make it first"):
        VideoFile(tmp_path / "none" / "v.mp4")


def test_a_full_disk_ends_the_video_so_that_it_can_be_played(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "tiny"
    place.mkdir()
    mounted = shutil.which("mount") and os.geteuid() == 0
    if (
        not mounted
        or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "none", str(place)], capture_output=True).returncode
    ):
        pytest.skip("needs to mount a small disk: root, and a kernel that lets it")
    try:
        monkeypatch.setattr(video_module, "RESERVE_BYTES", 1_000_000)
        monkeypatch.setattr(video_module, "_LOOK_EVERY_S", 0.0)
        rng = np.random.default_rng(0)
        with Display([VideoFile(place / "v.avi")], each=True) as drawn:
            for number in range(100):
                one = shown(number, wh=(640, 480))
                noisy = Frame(number, number / 25, rng.integers(0, 255, (480, 640, 3), np.uint8))
                drawn.put(Shown(noisy, one.verdict, one.totals, one.arrived_s))
        assert len(drawn.problems) == 1
        assert "stopped, because the disk is nearly full" in drawn.problems[0]
        assert 2 <= len(read(place / "v.avi")) < 100
        assert shutil.disk_usage(place).free > 200_000
    finally:
        subprocess.run(["umount", str(place)], check=True)


def test_a_nearly_full_disk_ends_the_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(video_module, "_LOOK_EVERY_S", 0.0)
    video = VideoFile(tmp_path / "v.avi")
    video.show(display.draw(shown(1)), shown(1))
    monkeypatch.setattr(video_module, "RESERVE_BYTES", 10**18)
    with pytest.raises(OSError, match="nearly full"):
        video.show(display.draw(shown(2)), shown(2))
    assert read(tmp_path / "v.avi") == [1]
