"""Cameras that Micro-Manager drives."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from detector.errors import SourceError
from detector.streams.sources import micromanager, open_source
from detector.streams.sources.source import Frame


class TestMicroManager:
    def test_the_demo_camera_gives_pictures(self) -> None:
        pytest.importorskip("pymmcore_plus", reason="needs the micromanager extra: pip install -e '.[micromanager]'")
        pytest.importorskip("mm_test_adapters", reason="needs the demo camera: pip install mm-test-adapters")
        with open_source("micromanager:demo") as source:
            frames = list(itertools.islice(source, 3))
        assert [one.rgb.shape for one in frames if isinstance(one, Frame)] == [(512, 512, 3)] * 3
        assert not np.array_equal(frames[0].rgb, frames[2].rgb)

    def test_a_configuration_that_is_missing_or_none_says_so(self, tmp_path: Path) -> None:
        pytest.importorskip("pymmcore_plus", reason="needs the micromanager extra: pip install -e '.[micromanager]'")
        with pytest.raises(SourceError, match="no such file; give the"):
            open_source("micromanager:none.cfg")
        (tmp_path / "bad.cfg").write_text("Device,Camera,NoSuchLibrary,DCam\n")
        with pytest.raises(SourceError, match="cannot be loaded"):
            next(iter(open_source(f"micromanager:{tmp_path / 'bad.cfg'}")))

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
