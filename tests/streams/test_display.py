"""What is shown and kept of a stream: drawn frames, a video, a window."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import cv2
import numpy as np
import pytest
from staging import StubMode, number_of, picture

from detector.errors import OutputError, UsageError
from detector.streams import display, save, window
from detector.streams.display import Display
from detector.streams.frames import Frame
from detector.streams.live import Shown
from detector.streams.save import VideoFile
from detector.vision.images import Rgb


def shown(number: int, time_s: float | None = None, wh: tuple[int, int] = (160, 120)) -> Shown:
    mode = StubMode()
    frame = Frame(number, number / 25 if time_s is None else time_s, picture(number, wh))
    return Shown(frame, mode.take(frame), mode.totals(), time.monotonic())


class Kept:
    """A sink that keeps what it is given, and takes its time."""

    def __init__(self, pause_s: float = 0.0, fails_at: int = -1) -> None:
        self.numbers: list[int] = []
        self.closed = False
        self._pause_s, self._fails_at = pause_s, fails_at

    def show(self, picture: Rgb, shown: Shown) -> None:
        time.sleep(self._pause_s)
        if shown.frame.index == self._fails_at:
            raise OSError(errno.ENOSPC, "no room")
        self.numbers.append(shown.frame.index)

    def close(self) -> None:
        self.closed = True


def test_a_slow_sink_gets_the_newest_and_keeps_nobody_waiting() -> None:
    sink = Kept(pause_s=0.02)
    began = time.monotonic()
    with Display([sink]) as drawn:
        for number in range(200):
            drawn.put(shown(number))
        took_s = time.monotonic() - began
    assert took_s < 0.5 * 200 * 0.02
    assert sink.numbers[-1] == 199
    assert len(sink.numbers) < 100
    assert sink.closed
    assert drawn.latency_ms()["p50"] >= 20


def test_where_each_is_wanted_each_comes() -> None:
    sink = Kept(pause_s=0.002)
    with Display([sink], each=True) as drawn:
        for number in range(40):
            drawn.put(shown(number))
    assert sink.numbers == list(range(40))


def test_a_sink_that_fails_is_told_and_costs_the_others_nothing() -> None:
    bad, good = Kept(fails_at=3), Kept()
    with Display([bad, good], each=True) as drawn:
        for number in range(10):
            drawn.put(shown(number))
    assert bad.numbers == [0, 1, 2]
    assert good.numbers == list(range(10))
    assert drawn.problems == ["no room"]


def test_new_cells_are_drawn_thick_and_totals_stand_above() -> None:
    one = shown(3)
    new = display.draw(one)
    assert new.shape == (120 + 26, 160, 3)
    assert (new[:26] < 200).any()
    old = display.draw(Shown(one.frame, StubMode().take(Frame(4, 0, one.frame.rgb)), one.totals, 0))
    changed = [int((one_drawn[26:] != one.frame.rgb).any(axis=2).sum()) for one_drawn in (new, old)]
    assert changed[0] > 1.3 * changed[1] > 0


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
        monkeypatch.setattr(save, "RESERVE_BYTES", 1_000_000)
        monkeypatch.setattr(save, "_LOOK_EVERY_S", 0.0)
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
    monkeypatch.setattr(save, "_LOOK_EVERY_S", 0.0)
    video = VideoFile(tmp_path / "v.avi")
    video.show(display.draw(shown(1)), shown(1))
    monkeypatch.setattr(save, "RESERVE_BYTES", 10**18)
    with pytest.raises(OSError, match="nearly full"):
        video.show(display.draw(shown(2)), shown(2))
    assert read(tmp_path / "v.avi") == [1]


def test_a_window_that_cannot_be_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: "  GUI:                           NONE\n")
    with pytest.raises(UsageError, match=r"has no windows; use --serve, or install one that has: pip install .*opencv-python==5"):
        window.Window()
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: "  GUI:                           QT5\n")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    with pytest.raises(UsageError, match="there is no screen"):
        window.Window()


def test_a_window_shows_pictures_where_opencv_has_one() -> None:
    gui = next(line for line in cv2.getBuildInformation().splitlines() if line.strip().startswith("GUI:"))
    if "NONE" in gui or not shutil.which("xvfb-run"):
        pytest.skip("needs an OpenCV with windows and a screen: pip install opencv-python, apt-get install xvfb xauth")
    script = (
        "import time, numpy as np\n"
        "from detector.streams.window import Window\n"
        "one = Window()\n"
        "assert not one.refresh()\n"
        "one.show(np.zeros((60, 80, 3), np.uint8), None)\n"
        "assert not any((one.refresh(), time.sleep(0.02))[0] for _ in range(20))\n"
        "one.close()\n"
        "print('shown')"
    )
    command = ["xvfb-run", "-a", sys.executable, "-c", script]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.stdout.strip().endswith("shown"), done.stderr


def test_nothing_is_drawn_for_nobody() -> None:
    with Display([]) as drawn:
        drawn.put(shown(1))
        time.sleep(0.02)
    assert drawn.drawn == 0
