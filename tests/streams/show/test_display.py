"""Drawn frames, and who gets them."""

from __future__ import annotations

import errno
import time

from staging import StubMode, shown

from detector.streams.live import Shown
from detector.streams.show import display
from detector.streams.show.display import Display
from detector.streams.sources.source import Frame
from detector.vision.images import Rgb


class Kept:
    """A sink that keeps what it is given, and takes its time."""

    def __init__(self, pause_s: float = 0.0, fails_at: int = -1) -> None:
        self.numbers: list[int] = []
        self.closed = False
        self._pause_s, self._fails_at = pause_s, fails_at

    def show(self, picture: Rgb, shown: Shown) -> None:
        time.sleep(self._pause_s)
        if shown.frame.index == self._fails_at:
            raise OSError(errno.ENOSPC, "no room")
        self.numbers.append(shown.frame.index)

    def close(self) -> None:
        self.closed = True


def test_a_slow_sink_gets_the_newest_and_keeps_nobody_waiting() -> None:
    sink = Kept(pause_s=0.02)
    began = time.monotonic()
    with Display([sink]) as drawn:
        for number in range(200):
            drawn.put(shown(number))
        took_s = time.monotonic() - began
    assert took_s < 0.5 * 200 * 0.02
    assert sink.numbers[-1] == 199
    assert len(sink.numbers) < 100
    assert sink.closed
    assert drawn.latency_ms()["p50"] >= 20


def test_where_each_is_wanted_each_comes() -> None:
    sink = Kept(pause_s=0.002)
    with Display([sink], each=True) as drawn:
        for number in range(40):
            drawn.put(shown(number))
    assert sink.numbers == list(range(40))


def test_a_sink_that_fails_is_told_and_costs_the_others_nothing() -> None:
    bad, good = Kept(fails_at=3), Kept()
    with Display([bad, good], each=True) as drawn:
        for number in range(10):
            drawn.put(shown(number))
    assert bad.numbers == [0, 1, 2]
    assert good.numbers == list(range(10))
    assert drawn.problems == ["no room"]


def test_new_cells_are_drawn_thick_and_totals_stand_above() -> None:
    one = shown(3)
    new = display.draw(one)
    assert new.shape == (120 + 26, 160, 3)
    assert (new[:26] < 200).any()
    old = display.draw(Shown(one.frame, StubMode().take(Frame(4, 0, one.frame.rgb)), one.totals, 0))
    changed = [int((one_drawn[26:] != one.frame.rgb).any(axis=2).sum()) for one_drawn in (new, old)]
    assert changed[0] > 1.3 * changed[1] > 0


def test_nothing_is_drawn_for_nobody() -> None:
    with Display([]) as drawn:
        drawn.put(shown(1))
        time.sleep(0.02)
    assert drawn.drawn == 0
