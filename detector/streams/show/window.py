"""Drawn frames in a window, where OpenCV has one."""

from __future__ import annotations

import os
import sys
import threading

import cv2
import numpy as np

from detector.errors import UsageError
from detector.streams.live import Shown
from detector.vision.images import Rgb

_TITLE = "smearcount (q ends)"


class Window:
    """A window; `refresh` is called by the main thread, for no other may open one."""

    def __init__(self) -> None:
        """See whether there can be a window; it opens with the first frame.

        Raises:
            UsageError: this OpenCV has no windows, or there is no screen.
        """
        gui = next((line for line in cv2.getBuildInformation().splitlines() if line.strip().startswith("GUI:")), "")
        if "NONE" in gui:
            raise UsageError(
                "--show: the installed OpenCV has no windows; use --serve, or install one that has: "
                f"pip install --force-reinstall --no-deps opencv-python=={_version()}"
            )
        # Without a screen, the window's library would end the whole program.
        if sys.platform.startswith("linux") and not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            raise UsageError("--show: there is no screen (DISPLAY is not set); use --serve, or ssh -X")
        self._lock = threading.Lock()
        self._latest: Rgb | None = None
        self._open = False

    def show(self, picture: Rgb, _shown: Shown) -> None:
        """Keep a drawn frame for the next `refresh`."""
        with self._lock:
            self._latest = picture

    def refresh(self) -> bool:
        """Show the newest frame; gives whether the user closed the window or pressed q."""
        with self._lock:
            picture, self._latest = self._latest, None
        if picture is not None:
            if not self._open:
                cv2.namedWindow(_TITLE, cv2.WINDOW_NORMAL | cv2.WINDOW_KEEPRATIO)
                self._open = True
            cv2.imshow(_TITLE, np.ascontiguousarray(picture[:, :, ::-1]))
        if not self._open:
            return False
        pressed = cv2.waitKey(1) & 0xFF
        return pressed in (ord("q"), 27) or cv2.getWindowProperty(_TITLE, cv2.WND_PROP_VISIBLE) < 1

    def close(self) -> None:
        """Close it."""
        if self._open:
            cv2.destroyAllWindows()
            self._open = False


def _version() -> str:
    from importlib import metadata

    return metadata.version("opencv-python-headless")
