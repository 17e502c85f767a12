"""What a capture gives: frames to work on, and what became of the others."""

from __future__ import annotations

from dataclasses import dataclass

from detector.streams.frames import Fault, Frame


@dataclass(frozen=True)
class Patience:
    """How long is waited for what."""

    first_s: float = 15.0
    """For the first picture."""
    read_s: float = 8.0
    """For each picture after it, from a camera; more than FFmpeg itself waits."""
    file_s: float = 60.0
    """The same from a file, whose disk may be slow."""
    backoff_s: tuple[float, float] = (0.5, 30.0)
    """Before connecting again: at first, and at most."""
    frozen_s: float = 2.0
    """With one and the same picture, before it is taken for frozen. A sensor's noise lets no two pictures be the same."""
    reopen_s: float = 10.0
    """With a frozen picture, before the camera is opened anew, once."""
    give_up_s: float = 600.0
    """Without a picture, before the stream is given up."""


@dataclass(frozen=True, eq=False)
class Received:
    """A frame to work on."""

    frame: Frame
    arrived_s: float
    """When it came, by `time.monotonic`."""


@dataclass(frozen=True)
class Passed:
    """A frame that was received and that nobody need work on."""

    index: int
    time_s: float
    dropped: bool
    """A newer one came before it could be looked at; else it was rejected."""
    reason: str


@dataclass(frozen=True)
class Gap:
    """A time without pictures, told when the first one has come again."""

    time_s: float
    """When it began."""
    length_s: float
    tries: int
    """How often the camera was connected to meanwhile."""


Item = Received | Passed | Fault | Gap
