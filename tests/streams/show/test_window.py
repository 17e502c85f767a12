"""Drawn frames in a window."""

from __future__ import annotations

import shutil
import subprocess
import sys

import cv2
import pytest

from detector.errors import UsageError
from detector.streams.show.window import Window


def test_a_window_that_cannot_be_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: "  GUI:                           NONE\n")
    with pytest.raises(UsageError, match=r"has no windows; use --serve, or install one that has: pip install .*opencv-python==5"):
        Window()
    monkeypatch.setattr(cv2, "getBuildInformation", lambda: "  GUI:                           QT5\n")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(sys, "platform", "linux")
    with pytest.raises(UsageError, match="there is no screen"):
        Window()


@pytest.mark.slow
def test_a_window_shows_pictures_where_opencv_has_one() -> None:
    gui = next(line for line in cv2.getBuildInformation().splitlines() if line.strip().startswith("GUI:"))
    if "NONE" in gui or not shutil.which("xvfb-run"):
        pytest.skip("needs an OpenCV with windows and a screen: pip install opencv-python, apt-get install xvfb xauth")
    script = (
        "import time, numpy as np\n"
        "from detector.streams.show.window import Window\n"
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
