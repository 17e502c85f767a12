"""Frames on a thread of their own, and what is done when they stay away."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from itertools import count

import numpy as np
import pytest

from detector.errors import SourceError
from detector.streams.capture import Capture, Gap, Item, Passed, Patience, Received
from detector.streams.sources.source import Fault, Frame, Source

QUICK = Patience(first_s=1.0, read_s=0.15, file_s=0.3, backoff_s=(0.02, 0.08), frozen_s=0.05, reopen_s=0.1, give_up_s=0.6)
Script = Callable[[int], Iterator[Frame | Fault]]
"""From the number of the connection to what it gives."""


class Scripted(Source):
    """A source that does what a test says."""

    name = "test"
    nominal_fps = None

    def __init__(self, script: Script, live: bool = True) -> None:
        self.live, self.ends = live, not live
        self.connections = 0
        self._script = script

    def __iter__(self) -> Iterator[Frame | Fault]:
        self.connections += 1
        return self._script(self.connections)


def frame(value: int, shape: tuple[int, int] = (24, 32)) -> Frame:
    return Frame(value, value / 25, np.full((*shape, 3), value % 256, np.uint8))


def frames(number: int, pause_s: float = 0.0, first: int = 0) -> Iterator[Frame | Fault]:
    for value in range(first, first + number):
        yield frame(value)
        time.sleep(pause_s)


def taken(capture: Capture, until: Callable[[list[Item]], bool] = lambda _items: False) -> list[Item]:
    """What a capture gives until it ends, or until there is enough."""
    items: list[Item] = []
    with capture:
        for item in capture:
            items.append(item)
            if until(items):
                capture.stop()
    return items


def of(kind: type[Item], items: list[Item]) -> list[Item]:
    return [one for one in items if isinstance(one, kind)]


def test_of_a_file_each_frame_is_used_however_slow_its_reader() -> None:
    capture = Capture(Scripted(lambda _: frames(40), live=False), QUICK)
    seen = []
    with capture:
        for item in capture:
            time.sleep(0.002)
            assert isinstance(item, Received)
            seen.append((item.frame.index, item.frame.time_s))
    assert seen == [(index, index / 25) for index in range(40)]
    assert capture.ended == "the source ended"


def test_of_a_camera_the_newest_frame_is_used_and_dropped_ones_are_told() -> None:
    capture = Capture(Scripted(lambda _: frames(10_000, 0.002)), QUICK)
    items: list[Item] = []
    with capture:
        for item in capture:
            items.append(item)
            if isinstance(item, Received):
                # What is handed out has only just come, though its reader is ten times slower than the camera.
                assert time.monotonic() - item.arrived_s < 0.4
                time.sleep(0.02)
            if len(items) == 60:
                capture.stop()
    indices = [
        one.frame.index if isinstance(one, Received) else one.index for one in items if isinstance(one, (Received, Passed))
    ]
    assert indices == list(range(len(indices)))
    assert 2 < len(of(Received, items)) < len(of(Passed, items))
    assert {one.reason for one in items if isinstance(one, Passed)} <= {"a newer one came", "the run ended"}


def test_a_lost_camera_is_connected_to_again_and_leaves_a_gap() -> None:
    def script(connection: int) -> Iterator[Frame | Fault]:
        if connection in (2, 3):
            raise SourceError("test: connection refused")
        yield from frames(5, 0.001, 100 * connection)

    items = taken(Capture(Scripted(script), QUICK), lambda items: bool(of(Gap, items)))
    lost, gap = of(Fault, items)[0], of(Gap, items)[0]
    assert (lost.kind, gap.tries) == ("lost", 3)
    assert "connecting again" in lost.reason
    assert gap.length_s > 0.02 + 0.04 + 0.08 - 0.02
    assert len([one for one in items if isinstance(one, Fault)]) == 1


def test_waits_grow_to_their_limit() -> None:
    tries: list[float] = []

    def script(connection: int) -> Iterator[Frame | Fault]:
        tries.append(time.monotonic())
        if connection > 1:
            raise SourceError("test: no such camera")
        yield frame(1)

    capture = Capture(Scripted(script), QUICK)
    items = taken(capture)
    assert capture.ended.startswith("the camera was lost, and did not come back in")
    assert capture.ended.endswith("no such camera")
    assert capture.lost
    waits = np.diff(tries)
    # Twice as long each time, up to the limit.
    assert (waits[:4] >= np.array([0.02, 0.04, 0.08, 0.08])).all()
    assert np.median(waits[2:]) < 0.16
    assert isinstance(items[-1], Gap)


def test_a_read_that_hangs_is_left_and_the_camera_opened_anew() -> None:
    forever = threading.Event()

    def script(connection: int) -> Iterator[Frame | Fault]:
        yield from frames(3, 0.001, 10 * connection)
        if connection == 1:
            forever.wait(20)
            yield frame(99)
        yield from frames(1000, 0.002, 50)

    source = Scripted(script)
    try:
        items = taken(Capture(source, QUICK), lambda items: bool(of(Gap, items)) and isinstance(items[-1], Received))
    finally:
        forever.set()
    assert source.connections == 2
    assert "gave no picture for 0." in of(Fault, items)[0].reason
    assert of(Gap, items)[0].length_s > 0.1
    assert all(one.frame.rgb[0, 0, 0] != 99 for one in items if isinstance(one, Received))


def test_frozen_pictures_are_rejected_and_the_camera_is_opened_anew_once() -> None:
    def script(connection: int) -> Iterator[Frame | Fault]:
        # Opened anew it still shows the same for longer than what it was opened anew for.
        if connection == 1:
            yield from frames(3, 0.005, 10)
        for _ in range(100 if connection == 1 else 60):
            yield frame(7)
            time.sleep(0.005)
        yield from frames(1000, 0.005, 100)

    source = Scripted(script)
    items = taken(Capture(source, QUICK), lambda items: isinstance(items[-1], Received) and items[-1].frame.rgb[0, 0, 0] > 110)
    assert source.connections == 2
    kinds = [one.kind for one in items if isinstance(one, Fault)]
    assert kinds[:2] == ["frozen", "lost"]
    frozen = [one for one in items if isinstance(one, Passed) and one.reason == "frozen picture"]
    assert len(frozen) > 10
    assert not any(one.dropped for one in frozen)


def test_a_change_of_size_is_told_once_before_its_frame() -> None:
    def script(_connection: int) -> Iterator[Frame | Fault]:
        yield from (frame(1), frame(2), frame(3, (48, 64)), Fault(0, "resized", "as the source says"), frame(4))

    items = taken(Capture(Scripted(script, live=False), QUICK))
    assert [type(one).__name__ for one in items] == ["Received", "Received", "Fault", "Received", "Fault", "Received"]
    assert "from 32x24 to 64x48" in items[2].reason
    assert items[4].reason == "as the source says"


@pytest.mark.parametrize(
    ("script", "message"),
    [
        (lambda _: iter(()), "holds no picture"),
        (lambda _: (_ for _ in [1 / 0]), "division by zero"),
        (lambda _: (time.sleep(one) for one in count(5)), "gave no picture for"),
    ],
)
def test_without_a_first_picture_it_does_not_begin(script: Script, message: str) -> None:
    with pytest.raises(SourceError, match=message), Capture(Scripted(script, live=False), Patience(first_s=0.1, file_s=0.1)):
        pytest.fail("began")


def test_a_driver_that_fails_in_the_middle_is_a_loss_with_its_reason() -> None:
    def script(connection: int) -> Iterator[Frame | Fault]:
        yield from frames(2, 0.001)
        if connection == 1:
            raise RuntimeError("the driver\nfell over")
        yield from frames(500, 0.002)

    items = taken(Capture(Scripted(script), QUICK), lambda items: bool(of(Gap, items)))
    assert of(Fault, items)[0].reason == "the driver fell over; connecting again"


def test_a_gap_that_is_open_at_the_end_is_told() -> None:
    def script(connection: int) -> Iterator[Frame | Fault]:
        if connection > 1:
            raise SourceError("test: gone")
        yield frame(1)

    items = taken(Capture(Scripted(script), QUICK), lambda items: isinstance(items[-1], Fault))
    assert [type(one) for one in items] == [Received, Fault, Gap]


def test_nothing_is_left_running() -> None:
    before = threading.active_count()
    taken(Capture(Scripted(lambda _: frames(10_000, 0.001)), QUICK), lambda items: len(items) > 5)
    for _ in range(100):
        if threading.active_count() == before:
            return
        time.sleep(0.01)
    pytest.fail("threads live on")


def test_no_thread_reads_on_when_a_capture_is_left() -> None:
    def camera(_: int) -> Iterator[Frame | Fault]:
        for value in count():
            time.sleep(0.1)
            yield frame(value)

    before = set(threading.enumerate())
    capture = Capture(Scripted(camera), QUICK)
    with capture:
        reading = {one for one in threading.enumerate() if one.name == "camera"} - before
    assert reading
    assert not any(one.is_alive() for one in reading)
