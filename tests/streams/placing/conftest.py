"""A pan over a simulated smear."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from staging import textures

from detector.streams.sources.simulated import SimulatedCamera


@pytest.fixture(scope="module")
def pan() -> tuple[SimulatedCamera, list[NDArray[np.uint8]]]:
    """Its camera and small grey pictures."""
    return textures("fake:pan?width=320&height=240&um_per_px=0.15&vibration=0.3&drift=0.2&columns=2.5&speed=20&seed=1")
