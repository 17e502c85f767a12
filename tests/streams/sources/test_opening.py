"""From a text to a source, and what is said where there is none."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest
from staging import picture, refused

from detector.errors import SourceError, UsageError
from detector.streams.sources import open_source, opencv
from detector.streams.sources.recorded import FrameFolder
from detector.streams.sources.simulated import SimulatedCamera


@pytest.mark.parametrize(
    ("text", "kind", "name"),
    [
        ("0", opencv.LocalCamera, "camera 0"),
        ("2@1280x720", opencv.LocalCamera, "camera 2"),
        ("/dev/video7", opencv.LocalCamera, "camera /dev/video7"),
        ("rtsp://user:secret@cam.local:554/a?b=1", opencv.Address, "rtsp://cam.local:554/a?b=1"),
        ("udp://127.0.0.1:5000", opencv.Address, "udp://127.0.0.1:5000"),
        ("fake:pan?seed=1", SimulatedCamera, "fake:pan?seed=1"),
        (".", FrameFolder, "."),
    ],
)
def test_a_text_names_a_source(text: str, kind: type, name: str) -> None:
    source = open_source(text)
    assert type(source) is kind
    assert source.name == name


def test_what_does_not_exist_or_is_something_else_says_what_would_work(tmp_path: Path) -> None:
    assert "does not exist; SOURCE is a camera number" in refused(tmp_path / "v.mp4")
    cv2.imwrite(str(tmp_path / "a.png"), picture(1))
    assert "python -m detector.count" in refused(tmp_path / "a.png")
    (tmp_path / "empty").mkdir()
    assert "holds no pictures" in refused(tmp_path / "empty")
    assert "these can: http, https, rtsp" in refused("file:///etc/passwd")
    with pytest.raises(SourceError, match="does not exist; SOURCE is"):
        open_source("")
    with pytest.raises(UsageError, match="serpentine"):
        open_source("fake:serpentin")
