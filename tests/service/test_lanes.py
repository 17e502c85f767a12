"""A lane before a worker that does as it is told: bounded, and nothing is lost where the worker ends, hangs or cannot write."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from detector.service import lanes
from detector.service.lanes import FullError, Lane, LanePlan, QueuedRequest

WORKER = """
import json, os, sys, time
json.loads(sys.stdin.readline())
say = lambda **message: print(json.dumps(message), flush=True)
say(ready={"name": "none"}, slots=int(sys.argv[1]))
marks = sys.argv[2]
for line in sys.stdin:
    asked = json.loads(line)
    name = asked["id"].partition("-")[0]
    open(os.path.join(marks, asked["id"]), "a").write("x")
    times = os.path.getsize(os.path.join(marks, asked["id"]))
    if name == "die" or (name == "once" and times == 1):
        os._exit(9)
    if name == "hang":
        time.sleep(60)
    if name == "full" and times == 1:
        say(id=asked["id"], end="unwritable", reason="no space", seconds=0.1)
        continue
    if name == "wait":
        time.sleep(0.3)
    say(id=asked["id"], done=1.0)
    say(id=asked["id"], end="done", seconds=0.1, reason="", read=1, unread=0)
"""
"""Ends, hangs or cannot write by the name of a request; notes in a file of that name how often it was asked."""

Make = Callable[..., Lane]


class Ends:
    """What became of items."""

    def __init__(self) -> None:
        self.ends: dict[str, list[Mapping[str, Any]]] = {}
        self._came = threading.Condition()

    def item(self, name: str) -> QueuedRequest:
        """One that notes its end here."""
        return QueuedRequest(name, Path(), keep=False, on_end=lambda end: self._note(name, end))

    def _note(self, name: str, end: Mapping[str, Any]) -> None:
        with self._came:
            self.ends.setdefault(name, []).append(end)
            self._came.notify_all()

    def wait(self, *names: str) -> list[str]:
        """How items ended, each once."""
        with self._came:
            assert self._came.wait_for(lambda: set(names) <= self.ends.keys(), 120), self.ends
        assert all(len(self.ends[name]) == 1 for name in names)
        return [self.ends[name][0]["end"] for name in names]


@pytest.fixture
def ends() -> Ends:
    return Ends()


@pytest.fixture
def lane(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Make]:
    monkeypatch.setattr(lanes, "_AGAIN_S", 0.1)
    made: list[Lane] = []

    def make(slots: int = 1, capacity: int = 4, time_s: float = 60, whole: bool = True) -> Lane:
        command = (sys.executable, "-S", "-c", WORKER, str(slots), str(tmp_path))
        plan = LanePlan("test", capacity, time_s, whole, command=command)
        made.append(Lane(plan, lambda *_event, **_told: None))
        return made[-1]

    yield make
    for each in made:
        each.close(0)


def asked(folder: Path, name: str) -> int:
    """How often a worker was asked for an item."""
    place = folder / name
    return place.stat().st_size if place.exists() else 0


def test_items_are_worked_through_in_order(lane: Make, ends: Ends) -> None:
    own = lane()
    names = [f"do-{number}" for number in range(5)]
    for name in names:
        own.put(ends.item(name))
    assert ends.wait(*names) == ["done"] * 5
    assert list(ends.ends) == names
    assert own.model == {"name": "none"}


def test_a_full_lane_says_when_to_come_again(lane: Make, ends: Ends) -> None:
    own = lane(capacity=2)
    with own.room(), own.room():
        with pytest.raises(FullError) as refused, own.room():
            pass
        assert refused.value.retry_after_s >= 1
        assert own.figures()["waiting"] == 2
    with own.room():
        own.put(ends.item("do"))
    assert ends.wait("do") == ["done"]
    assert own.figures()["waiting"] == 0


@pytest.mark.slow
def test_what_ends_its_worker_is_tried_again_and_then_given_up(lane: Make, ends: Ends, tmp_path: Path) -> None:
    own = lane(slots=4)
    for name in ("wait-1", "once", "die", "wait-2"):
        own.put(ends.item(name))
    assert ends.wait("wait-1", "once", "die", "wait-2") == ["done", "done", "failed", "done"]
    # Once among others, where its turn may not have come, and then alone.
    assert asked(tmp_path, "die") in (lanes.MOST_ATTEMPTS - 1, lanes.MOST_ATTEMPTS)
    assert own.figures()["restarts"] >= lanes.MOST_ATTEMPTS
    own.put(ends.item("do"))
    assert ends.wait("do") == ["done"]


@pytest.mark.slow
def test_what_takes_too_long_is_ended_and_the_rest_goes_on(lane: Make, ends: Ends, tmp_path: Path) -> None:
    own = lane(time_s=2)
    own.put(ends.item("hang"))
    own.put(ends.item("do"))
    assert ends.wait("hang", "do") == ["late", "done"]
    assert "longer than 2 s" in ends.ends["hang"][0]["reason"]
    assert asked(tmp_path, "hang") == 1


def test_a_result_that_cannot_be_written_is_tried_again(lane: Make, ends: Ends, tmp_path: Path) -> None:
    lane().put(ends.item("full"))
    assert ends.wait("full") == ["done"]
    assert asked(tmp_path, "full") == 2


def test_cancelling_ends_what_waits_and_what_runs(lane: Make, ends: Ends, tmp_path: Path) -> None:
    own = lane()
    for name in ("hang-1", "do-2", "do-3"):
        own.put(ends.item(name))
    until = time.monotonic() + 60
    while not asked(tmp_path, "hang-1") and time.monotonic() < until:
        time.sleep(0.02)
    own.cancel("do-2")
    own.cancel("hang-1")
    own.cancel("none")
    assert ends.wait("hang-1", "do-2", "do-3") == ["cancelled", "cancelled", "done"]
    assert asked(tmp_path, "do-2") == 0


def test_a_closed_lane_takes_nothing_and_begins_nothing(lane: Make, ends: Ends, tmp_path: Path) -> None:
    own = lane()
    own.put(ends.item("do-1"))
    ends.wait("do-1")
    own.close(1)
    assert not own.is_ready
    with pytest.raises(FullError), own.room():
        pass
    own.put(ends.item("do-2"))
    time.sleep(0.2)
    assert asked(tmp_path, "do-2") == 0
