"""Frames from a source on a thread of their own: the newest from a camera, each one from a file, and every one accounted for.

A camera that is lost is connected to again; one whose read never returns is left to its thread, and a new one is opened.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from detector.errors import SmearcountError, SourceError
from detector.streams.sources.source import Fault, Frame, Source, same
from detector.texts import one_line

_WAITING = 4
"""Frames of a file that wait at most."""
_FROZEN_FRAMES = 3
_FROZEN = "frozen picture"
_DROPPED = "a newer one came"


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


@dataclass(eq=False)
class _Link:
    """One connection to the source, read by one thread."""

    reading_since: float | None
    """When the read that is under way began; None while the frame it gave is handed on."""
    got: int = 0
    over: bool = False
    reason: str = ""
    error: SmearcountError | None = None
    abandoned: bool = False


@dataclass(eq=False)
class _Last:
    """The last picture and since when it has been the same."""

    rgb: NDArray[np.uint8] | None = None
    same_since: float = 0.0
    same: int = 0
    changed: bool = False
    """Whether any picture differed from the one before it."""
    frozen: bool = False
    reopened: bool = False
    fault_kind: str = ""
    """Kind of the fault that the source itself has reported since."""
    at: float = field(default_factory=time.monotonic)


class Capture:
    """What a source gives, in order, until it ends or `stop` is called; a context manager and an iterator.

    Frames are numbered as they come; a camera's are timed by the clock. Nothing waits for who iterates, but a file.
    """

    def __init__(self, source: Source, patience: Patience | None = None) -> None:
        self.source = source
        self.ended = ""
        """Why it ended, once it has."""
        self.lost = False
        """Whether it is connecting again just now, or ended without having come back."""
        self._patience = patience or Patience()
        self._items: deque[Item] = deque()
        self._changed = threading.Condition()
        self._stopping = False
        self._over = False
        self._error: SmearcountError | None = None
        self._received = 0
        self._last = _Last()
        self._began = time.monotonic()
        self._gap: tuple[float, int] | None = None
        self._thread = threading.Thread(target=self._supervise, name="capture", daemon=True)
        self._reader = self._thread
        """The thread of the newest connection."""

    def __enter__(self) -> Capture:
        """Connect, and wait for the first picture.

        Raises:
            SourceError: none comes; the message says why.
        """
        self._began = self._last.at = time.monotonic()
        self._thread.start()
        with self._changed:
            self._changed.wait_for(lambda: self._received or self._over)
        if self._error is not None:
            raise self._error
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()
        self._thread.join(self._patience.backoff_s[0] + 1)
        # A thread that is still in a library's own code when the interpreter ends may take the process down with it.
        self._reader.join(self._patience.backoff_s[0] + 1)

    def __iter__(self) -> Iterator[Item]:
        """Items until the stream ends; can be gone through once."""
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._items or self._over)
                if not self._items:
                    return
                item = self._items.popleft()
                self._changed.notify_all()
            # Frames of a file wait for whoever takes them, so they are late for nobody.
            yield item if self.source.live or not isinstance(item, Received) else Received(item.frame, time.monotonic())

    def stop(self) -> None:
        """Take no more frames; those that wait are given up as dropped."""
        with self._changed:
            if self._stopping or self._over:
                self._stopping = True
                return
            self._stopping = self._over = True
            if self._gap is not None:
                self._put(Gap(self._gap[0], self.now_s() - self._gap[0], self._gap[1]))
            self._items = deque(_passed(item, "the run ended") if isinstance(item, Received) else item for item in self._items)
            self._changed.notify_all()

    def now_s(self) -> float:
        """Seconds since the stream began."""
        return time.monotonic() - self._began

    def _supervise(self) -> None:
        wait_s = self._patience.backoff_s[0]
        while not self._stopping:
            link = self._connected()
            reason = self._watched(link)
            if self._stopping:
                return
            if not self._received:
                self._end("", link.error or SourceError(f"{self.source.name}: {reason or 'holds no picture'}"))
                return
            if self.source.ends:
                self._end("the source ended" if not reason else f"the source ended: {reason}")
                return
            wait_s = self._patience.backoff_s[0] if link.got else min(2 * wait_s, self._patience.backoff_s[1])
            if not self._waited(reason or "the connection ended", wait_s):
                return

    def _connected(self) -> _Link:
        link = _Link(time.monotonic())
        with self._changed:
            self._last.same_since = link.reading_since or 0.0
        self._reader = threading.Thread(target=self._read, args=(link,), name="camera", daemon=True)
        self._reader.start()
        return link

    def _watched(self, link: _Link) -> str:
        """Wait until a connection ends, hangs or is of no use; gives the reason, empty where the source just ended."""
        patience = self._patience
        while True:
            with self._changed:
                self._changed.wait_for(lambda: link.over or self._stopping, timeout=min(0.05, patience.read_s / 4))
                if link.over or self._stopping:
                    return link.reason
                usual_s = patience.read_s if self.source.live else patience.file_s
                limit_s = usual_s if self._received else max(patience.first_s, usual_s)
                hanging_s = 0.0 if link.reading_since is None else time.monotonic() - link.reading_since
                if hanging_s > limit_s:
                    link.abandoned = True
                    return f"gave no picture for {hanging_s:.1f} s"
                last = self._last
                if last.frozen and not last.reopened and time.monotonic() - last.same_since > patience.reopen_s:
                    link.abandoned = last.reopened = True
                    return f"gave the same picture for {time.monotonic() - last.same_since:.1f} s"

    def _waited(self, reason: str, wait_s: float) -> bool:
        """Note a loss and wait before the next try; false where there is to be none."""
        with self._changed:
            if self._gap is None:
                self._gap = (self._last.at - self._began, 0)
                self._put(Fault(self.now_s(), "lost", f"{reason}; connecting again"))
            self._gap = (self._gap[0], self._gap[1] + 1)
            self.lost = True
            if time.monotonic() - self._last.at > self._patience.give_up_s:
                self._put(Gap(self._gap[0], self.now_s() - self._gap[0], self._gap[1]))
                self._end(f"the camera was lost, and did not come back in {time.monotonic() - self._last.at:.0f} s: {reason}")
                return False
            self._changed.wait_for(lambda: self._stopping, timeout=wait_s)
            return not self._stopping

    def _read(self, link: _Link) -> None:
        try:
            for item in self.source:
                with self._changed:
                    if link.abandoned or self._stopping:
                        return
                    link.reading_since = None
                    link.got += 1
                    if isinstance(item, Fault):
                        self._pass_on(item)
                    else:
                        self._accept(item)
                    link.reading_since = time.monotonic()
        except SmearcountError as error:
            link.error, link.reason = error, str(error).removeprefix(f"{self.source.name}: ")
        # Whatever a driver does must end in a reason, not in a thread that died unseen.
        except Exception as error:
            link.reason = one_line(error)
        finally:
            with self._changed:
                link.over = True
                self._changed.notify_all()

    def _pass_on(self, fault: Fault) -> None:
        if self.source.live:
            fault = Fault(self.now_s(), fault.kind, fault.reason)
        if fault.kind == "lost" and self._gap is None:
            self._gap = (fault.time_s, 0)
        self._last.fault_kind = fault.kind
        self._put(fault)

    def _accept(self, frame: Frame) -> None:
        """Number, time and hand on a frame; the lock is held."""
        arrived_s = time.monotonic()
        frame.rgb.setflags(write=False)
        frame = Frame(self._received, arrived_s - self._began if self.source.live else frame.time_s, frame.rgb)
        self._received += 1
        if self._gap is not None:
            began_s, tries = self._gap
            self._put(Gap(began_s, frame.time_s - began_s, tries))
            self._gap, self.lost = None, False
        last, before = self._last, self._last.rgb
        if before is not None and before.shape != frame.rgb.shape and last.fault_kind != "resized":
            sizes = [f"{rgb.shape[1]}x{rgb.shape[0]}" for rgb in (before, frame.rgb)]
            self._put(Fault(frame.time_s, "resized", f"pictures changed their size from {sizes[0]} to {sizes[1]}"))
        repeated = self.source.live and before is not None and same(before, frame.rgb)
        last.rgb, last.at, last.fault_kind = frame.rgb, arrived_s, ""
        if not repeated:
            last.same_since, last.same, last.frozen, last.reopened = arrived_s, 0, False, False
            last.changed = before is not None
            self._hand_on(Received(frame, arrived_s))
            return
        last.same += 1
        long = arrived_s - last.same_since > self._patience.frozen_s and last.same >= _FROZEN_FRAMES
        if last.changed and not (long or last.frozen):
            self._hand_on(Received(frame, arrived_s))
            return
        if long and not last.frozen:
            last.frozen = True
            # OpenCV shows leftover memory for it.
            hint = "" if last.changed else "; if the source is interlaced, let it send progressive pictures"
            self._put(Fault(frame.time_s, "frozen", f"the picture has not changed for {arrived_s - last.same_since:.1f} s{hint}"))
        self._put(Passed(frame.index, frame.time_s, False, _FROZEN))

    def _hand_on(self, item: Received) -> None:
        if self.source.live:
            # At most one waits, near the end.
            places = range(len(self._items) - 1, -1, -1)
            place = next((place for place in places if isinstance(self._items[place], Received)), None)
            if place is not None:
                self._items[place] = _passed(self._items[place], _DROPPED)
        else:
            self._changed.wait_for(lambda: sum(isinstance(item, Received) for item in self._items) < _WAITING or self._stopping)
        self._put(item if not self._stopping else _passed(item, "the run ended"))

    def _put(self, item: Item) -> None:
        self._items.append(item)
        self._changed.notify_all()

    def _end(self, reason: str, error: SmearcountError | None = None) -> None:
        with self._changed:
            self.ended, self._error, self._over = reason, error, True
            self._changed.notify_all()


def _passed(item: Item, reason: str) -> Passed:
    assert isinstance(item, Received)
    return Passed(item.frame.index, item.frame.time_s, True, reason)
