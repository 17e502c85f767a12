"""Where frames come from, opened by what a user typed: cameras, addresses, videos, folders, Micro-Manager and a simulated microscope."""

from __future__ import annotations

import os
import re
from pathlib import Path

from detector.arguments import called
from detector.errors import SourceError, UsageError
from detector.streams.sources import opencv
from detector.streams.sources.recorded import FrameFolder, Video
from detector.streams.sources.source import Source
from detector.vision.images import SUFFIXES

FORMS = (
    "a camera number (0, or 0@1280x720), a device (/dev/video0), an address (rtsp://, http://, udp://, ...), a video file, "
    "a folder of frames, micromanager:CONFIG.cfg, or fake: for a simulated microscope"
)
"""What a source may be, for messages and help."""

SCHEMES = ("http", "https", "rtsp", "rtsps", "rtmp", "udp", "tcp", "srt")
"""Addresses that are opened; others (file:, concat:, ...) could reach what was not meant."""

_CAMERA = re.compile(r"(?P<device>\d{1,3}|/dev/[^@]+)(@(?P<w>\d{2,5})x(?P<h>\d{2,5}))?")


def open_source(text: str) -> Source:
    """The source that a text names; it is connected to where it is iterated.

    Raises:
        UsageError: the text has no form that is known.
        SourceError: there is no such file or folder, or it is nothing that can be streamed.
        MissingExtraError: a package that this kind of source needs is not installed.
    """
    if text.startswith("fake:"):
        from detector.streams.sources.simulated import SimulatedCamera  # imports the renderer

        return SimulatedCamera(text)
    if text.startswith("micromanager:"):
        from detector.streams.sources.micromanager import MicroManager

        return MicroManager(text.removeprefix("micromanager:"))
    camera = _CAMERA.fullmatch(text)
    if camera and not Path(text).is_file():
        wh = (int(camera["w"]), int(camera["h"])) if camera["w"] else None
        return opencv.LocalCamera(int(camera["device"]) if camera["device"].isdigit() else camera["device"], wh)
    scheme, separator, _ = text.partition("://")
    if separator:
        if scheme.lower() not in SCHEMES:
            raise UsageError(f"{scheme}://: is not an address that can be streamed; these can: {', '.join(SCHEMES)}")
        return opencv.Address(text)
    return _of_path(text)


def _of_path(text: str) -> Source:
    path = Path(text)
    if not text.strip() or not os.path.lexists(path):
        raise SourceError(f"{text or 'SOURCE'}: does not exist; SOURCE is {FORMS}")
    if path.is_dir():
        return FrameFolder(path)
    if not path.is_file():
        raise SourceError(f"{text}: is not a file that can be read; SOURCE is {FORMS}")
    if path.suffix.lower() in SUFFIXES - {".gif"}:
        raise SourceError(f"{text}: is a picture, not a video; give its folder, or count it with {called('count')} {text}")
    return Video(path)
