"""Whether a view is sharp."""

from __future__ import annotations

import cv2
import numpy as np
from numpy.typing import NDArray

from detector.streams.placing.focus import LEAST_SHARP, Focus
from detector.streams.sources.simulated import SimulatedCamera


def test_focus_falls_with_blur_whatever_is_in_view(pan: tuple[SimulatedCamera, list[NDArray[np.uint8]]]) -> None:
    focus = Focus()
    sharp = [focus.share(grey) for grey in pan[1]]
    assert min(share for share in sharp if share is not None) > 0.7
    for grey in pan[1][::5]:
        blurred = focus.share(np.asarray(cv2.GaussianBlur(grey, (0, 0), 2), np.uint8))
        assert blurred is not None
        assert blurred < LEAST_SHARP
