"""Lanes: a bounded queue each, before a process that counts and is replaced where it ends, hangs or takes too long."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

MOST_ATTEMPTS = 3
"""Workers that a request may end in a row without getting on, before it is given up."""
_LOOK_EVERY_S = 0.1
_AGAIN_S = 10.0
"""Time after which a result that could not be written is tried again."""
_RESTART_S = 1.0
"""Least time between two starts of a worker that does not come up."""
_LONGEST_RETRY_S = 60
_KILLED = "ended the process that counted it, several times; a picture in it may be damaged"
_LATE = "took longer than {:g} s"
_STUCK = "got on by no picture for {:g} s"

End = Mapping[str, Any]
"""What became of a request: `end` is done, refused, failed, late or cancelled, beside what the worker tells."""


class FullError(Exception):
    """There is no room; `retry_after_s` says when there may be."""

    def __init__(self, retry_after_s: int) -> None:
        super().__init__(f"as much is waiting as is taken; try again in {retry_after_s} s")
        self.retry_after_s = retry_after_s


@dataclass(eq=False)
class QueuedRequest:
    """One request in a lane."""

    id: str
    folder: Path
    keep: bool
    """Whether it is counted into files that stay, or its counts are answered and forgotten."""
    on_end: Callable[[End], None]
    """Called once, from a thread of the lane."""
    on_progress: Callable[[float], None] = lambda _done: None
    """Called with the fields done so far."""
    detections: bool = False
    """Whether the answer holds each cell."""
    attempts: int = 0
    """Workers that ended with it since it last got on."""
    done: float = 0.0
    moved: float = 0.0
    """When it was begun, or got on last, by the monotonic clock."""
    began: float = 0.0
    not_before: float = 0.0
    is_late: bool = False

    def message(self) -> dict[str, Any]:
        """What the worker is told."""
        return {"id": self.id, "folder": str(self.folder), "keep": self.keep, "detections": self.detections}


@dataclass(frozen=True)
class LanePlan:
    """How a lane works."""

    name: str
    capacity: int
    """Requests that wait or are on their way in."""
    time_s: float
    """Time that a request may take."""
    whole: bool
    """Whether that is from beginning to end; else it is without getting on by any field."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What the worker is started with."""
    held: tuple[int, ...] = ()
    """Descriptors that it inherits."""
    command: tuple[str, ...] = (sys.executable, "-m", "detector.service.worker")


@dataclass
class _Process:
    """A worker's process, as its lane sees it."""

    popen: subprocess.Popen[str]
    started: float
    is_ready: bool = False
    came_up: bool = False
    """Whether it was ready once."""
    is_closed: bool = False

    @property
    def input(self) -> IO[str]:
        assert self.popen.stdin is not None
        return self.popen.stdin


class Lane:
    """A queue and its worker; safe to share between threads."""

    def __init__(self, plan: LanePlan, note: Callable[..., None]) -> None:
        """Work nothing yet; the worker is started with the first item, or by `start`.

        Args:
            note: takes the name of an event, and what is to be told of it, for the log.
        """
        self.plan, self._note = plan, note
        self.model: Mapping[str, Any] = {}
        """What the worker said of its model; empty until it did."""
        self.problem = ""
        """Why the model cannot be opened; empty where it can."""
        self.restarts = 0
        self._lock = threading.RLock()
        self._queue: deque[QueuedRequest] = deque()
        self._running: dict[str, QueuedRequest] = {}
        self._coming = 0
        self._slots = 1
        self._vain = 0  # starts in a row that brought up no worker
        self._seconds = 1.0
        self._process: _Process | None = None
        self._closing = False
        self._ticker: threading.Thread | None = None
        self._listener: threading.Thread | None = None

    def start(self) -> None:
        """Start the worker, if that is not done."""
        with self._lock:
            if self._ticker is None and not self._closing:
                self._spawn()
                self._ticker = threading.Thread(target=self._tick, name=f"{self.plan.name} watch", daemon=True)
                self._ticker.start()

    @property
    def is_ready(self) -> bool:
        """Whether the worker has its model open."""
        with self._lock:
            return self._process is not None and self._process.is_ready and not self._closing

    def figures(self) -> dict[str, float]:
        """What metrics tell: `waiting`, `running`, `capacity`, `restarts`, `memory_bytes` of the worker."""
        with self._lock:
            pid = None if self._process is None else self._process.popen.pid
            return {
                "waiting": len(self._queue) + self._coming,
                "running": len(self._running),
                "capacity": self.plan.capacity,
                "restarts": self.restarts,
                "memory_bytes": _memory(pid),
            }

    @contextmanager
    def room(self) -> Iterator[None]:
        """Keep a place while a request comes in; within the block, `put` takes it.

        Raises:
            FullError: all places are taken, or the service ends.
        """
        with self._lock:
            waiting = len(self._queue) + self._coming
            if self._closing or waiting >= self.plan.capacity:
                rounds = (waiting + len(self._running)) / self._slots
                raise FullError(max(1, min(_LONGEST_RETRY_S, round(rounds * self._seconds))))
            self._coming += 1
        try:
            yield
        finally:
            with self._lock:
                self._coming -= 1

    def put(self, item: QueuedRequest) -> None:
        """Let an item be worked through; beyond what is waiting already it takes no room of its own."""
        with self._lock:
            self._queue.append(item)
        self.start()
        self._fill()

    def cancel(self, item_id: str) -> None:
        """Take an item out where it waits; where it runs, its worker is ended if it has nothing else."""
        ended = None
        with self._lock:
            ended = next((item for item in self._queue if item.id == item_id), None)
            if ended is not None:
                self._queue.remove(ended)
            elif item_id in self._running and self._slots == 1:
                ended = self._running.pop(item_id)
                self._kill()
        if ended is not None:
            ended.on_end({"end": "cancelled"})

    def close(self, drain_s: float) -> None:
        """Begin nothing more, wait for what runs, and end the worker; what waits is cancelled, and is on disk where it is to be kept."""
        with self._lock:
            self._closing = True
            waiting = list(self._queue)
            self._queue.clear()
        for item in waiting:
            item.on_end({"end": "cancelled"})
        until = time.monotonic() + drain_s
        while self._running and time.monotonic() < until:
            time.sleep(0.05)
        with self._lock:
            listener = self._listener
            if self._process is not None:
                self._process.is_closed = True
                self._process.popen.kill()
        if listener is not None:
            listener.join()

    # Within the lane

    def _spawn(self) -> None:
        popen = subprocess.Popen(self.plan.command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,  # noqa: S603
                                 encoding="utf-8", start_new_session=True, pass_fds=self.plan.held)  # fmt: skip
        process = self._process = _Process(popen, time.monotonic())
        self._write(process, self.plan.settings)
        self._listener = threading.Thread(target=self._listen, args=(process,), name=self.plan.name, daemon=True)
        self._listener.start()

    def _write(self, process: _Process, message: Mapping[str, Any]) -> None:
        # Where it ended, its listener sees that too.
        with suppress(OSError, ValueError):
            process.input.write(json.dumps(message) + "\n")
            process.input.flush()

    def _listen(self, process: _Process) -> None:
        """Hear what a worker says, until it ends."""
        assert process.popen.stdout is not None
        for line in process.popen.stdout:
            message = json.loads(line)
            if "ready" in message:
                self._note("worker ready", lane=self.plan.name, seconds=round(time.monotonic() - process.started, 3))
                with self._lock:
                    self.model, self._slots, process.is_ready = message["ready"], message["slots"], True
                    process.came_up = True
                self._fill()
            elif "failed" in message:
                self.problem = message["failed"]
            elif "remark" in message:
                self._note("journal damaged", level="warning", lane=self.plan.name)
            else:
                self._hear(process, message)
        process.popen.wait()
        process.popen.stdout.close()
        with suppress(OSError):
            process.input.close()
        self._ended(process)

    def _hear(self, process: _Process, message: Mapping[str, Any]) -> None:
        with self._lock:
            item = self._running.get(message["id"])
            if item is None or process is not self._process:
                return
            if "done" in message:
                item.attempts = item.attempts if message["done"] <= item.done else 0
                item.done, item.moved = message["done"], time.monotonic()
            else:
                del self._running[item.id]
        if "done" in message:
            item.on_progress(item.done)
            return
        if message["end"] == "unwritable":
            self._note("result not written", level="error", id=item.id)
            with self._lock:
                item.not_before = time.monotonic() + _AGAIN_S
                self._queue.append(item)
        else:
            self._seconds += 0.2 * (message["seconds"] - self._seconds)
            item.on_end(message)
        self._fill()

    def _ended(self, process: _Process) -> None:
        """Begin what it had again in a new one, or give it up."""
        given_up: list[tuple[QueuedRequest, End]] = []
        with self._lock:
            if process.is_closed or process is not self._process:
                return
            self._process = None
            if not self._closing:
                self.restarts += 1
            self._vain = 0 if process.came_up else self._vain + 1
            if self._vain >= MOST_ATTEMPTS and not self.model and not self.problem:
                self.problem = f"the worker ends as it starts, with code {process.popen.returncode}: count a field to see why"
            is_alone = len(self._running) == 1
            for item in reversed(self._running.values()):
                # Among several, nobody knows which of them it was.
                item.attempts = item.attempts + 1 if is_alone else max(item.attempts, 1)
                if item.is_late:
                    given_up.append(
                        (item, {"end": "late", "reason": (_LATE if self.plan.whole else _STUCK).format(self.plan.time_s)})
                    )
                elif item.attempts >= MOST_ATTEMPTS:
                    given_up.append((item, {"end": "failed", "reason": _KILLED}))
                else:
                    self._queue.appendleft(item)
            self._running.clear()
        self._note("worker ended", level="error", lane=self.plan.name, code=process.popen.returncode)
        for item, end in given_up:
            item.on_end(end)
        if not process.came_up:
            time.sleep(_RESTART_S)
        with self._lock:
            if not self._closing and self._process is None:
                self._spawn()

    def _fill(self) -> None:
        """Hand on what waits, as far as the worker takes it."""
        with self._lock:
            process = self._process
            while process is not None and process.is_ready and not self._closing and self._next_is_due():
                item = self._queue.popleft()
                item.began = item.moved = time.monotonic()
                self._running[item.id] = item
                self._write(process, item.message())

    def _next_is_due(self) -> bool:
        if not self._queue or len(self._running) >= self._slots or self._queue[0].not_before > time.monotonic():
            return False
        # What may have ended a worker is worked on alone, so that it ends no other's chances.
        suspect = self._queue[0].attempts or any(item.attempts for item in self._running.values())
        return not (suspect and self._running)

    def _tick(self) -> None:
        """End a worker that has something for too long."""
        while not self._closing:
            time.sleep(_LOOK_EVERY_S)
            with self._lock:
                now = time.monotonic()
                for item in self._running.values():
                    since = item.began if self.plan.whole else item.moved
                    item.is_late = item.is_late or now - since > self.plan.time_s
                if any(item.is_late for item in self._running.values()):
                    self._kill()
            self._fill()

    def _kill(self) -> None:
        if self._process is not None:
            self._process.is_ready = False
            self._process.popen.kill()


def _memory(pid: int | None) -> float:
    """Bytes that a process holds; 0 where that cannot be asked."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text(encoding="ascii").split()[1])
    except (OSError, ValueError, IndexError):
        return 0.0
    return float(pages * 4096)
