"""How a count of an archive grows with its workers, on paper: the driver's own order of tasks, by workers that only pass time.

    python -m benchmarks.simulated_archive [--fields 100000] [--slides 0] [--workers 2 --workers 8 ...] [--gbit 1]

`detector.engines.archive.Flow` hands out tasks as it does in a count. A task of a simulated worker takes the time of its requests, of its
bytes over one network that all share evenly, and of one processor. The driver takes its time for each answer, one after the other.
Times are those of `docs/archives.md`, or given. Nothing is read, counted or written.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from types import SimpleNamespace
from typing import Any

from benchmarks import markdown
from detector.arguments import Number, Parser
from detector.commandline import run as run_command
from detector.engines.archive import Flow, Task
from detector.engines.shards import ArchiveField, ArchiveSmear, SettledScale
from detector.output.partitions import Totals

IN_SMEAR, LOOKED_AT = 100, 5
"""Fields of a smear, and those that its scale is told by."""
IN_BAND = 16
"""Tiles of a slide that are searched by one task."""


@dataclass(frozen=True)
class Costs:
    """What things take; seconds and bytes."""

    field_s: float
    """Of one processor, for a field."""
    tile_s: float
    """The same for a tile of a slide."""
    task_s: float
    """Of the driver's processor, for a task."""
    request_s: float
    """Until a store answers."""
    field_bytes: float
    tile_bytes: float
    bytes_per_s: float
    """Of the network."""

    def of(self, task: Task) -> Work:
        """What a worker has to do for a task."""
        first = task.arguments[0]
        if task.method == "sum":
            # Journals of all smears are read, and three partitions written; adding up takes no time beside that.
            return Work(3 + sum(len(smear.slices) for smear in first))
        if task.method == "count" or (task.method == "scale" and not first.items[0].slide):
            fields = len(first) if task.method == "count" else min(LOOKED_AT, len(first.items))
            # Of the requests for fields all but the first are made ahead, two at a time.
            least_s = fields * max(self.field_s, self.request_s / 2)
            return Work(2, fields - 1, fields * self.field_bytes, fields * self.field_s, self.field_s, least_s)
        if task.method == "tiles":
            start, stop = task.arguments[2]
            tiles = stop - start
            return Work(2, 0, tiles * self.tile_bytes, tiles * self.tile_s, tiles * self.tile_s)
        # An overview before, and the joined cells after.
        return Work(2, 0, 0.0, self.tile_s, self.tile_s)


@dataclass(frozen=True)
class Work:
    """What a task asks of a worker."""

    waits: int
    """Requests that it waits for before it does anything else."""
    ahead: int = 0
    """Requests beside other work."""
    size: float = 0.0
    """Bytes over the network."""
    computing_s: float = 0.0
    after_s: float = 0.0
    """Seconds from its last byte to its answer."""
    least_s: float = 0.0
    """Seconds from its first byte to its answer, however fast the network is."""


@dataclass
class Outcome:
    """What a simulated count took."""

    seconds: float
    computing: float
    """Share of the workers' time in which they compute."""
    network: float
    """Share of the network's bytes that are used."""
    driver: float
    """Share of the driver's time in which it works."""
    tasks: int
    requests: int


class Network:
    """A link that all transfers share evenly; what each has got is the same, so the one that ends next is the one with least left."""

    def __init__(self, bytes_per_s: float) -> None:
        self._bytes_per_s = bytes_per_s
        self._at = self._each = 0.0
        self._ends: list[tuple[float, int, float, Task]] = []
        self._tickets = count()

    def _until(self, now: float) -> None:
        if self._ends:
            self._each += (now - self._at) * self._bytes_per_s / len(self._ends)
        self._at = now

    def begin(self, now: float, task: Task, size: float) -> None:
        """Begin a transfer of so many bytes."""
        self._until(now)
        heapq.heappush(self._ends, (self._each + size, next(self._tickets), now, task))

    def next_end(self) -> float:
        """When the next transfer ends if none begins before."""
        if not self._ends:
            return float("inf")
        return self._at + max(self._ends[0][0] - self._each, 0.0) * len(self._ends) / self._bytes_per_s

    def end(self, now: float) -> tuple[float, Task]:
        """Take the transfer that ends now, with the time of its begin."""
        self._until(now)
        _, _, begun, task = heapq.heappop(self._ends)
        return begun, task


def simulate(smears: Iterator[ArchiveSmear], workers: int, costs: Costs) -> Outcome:
    """Count with so many workers, in time that only passes here."""
    flow = Flow(smears, lambda _n: None)
    flow.ahead = 2 * workers
    network, free = Network(costs.bytes_per_s), workers
    later: list[tuple[float, int, str, Task]] = []
    tickets = count()
    answers: deque[Task] = deque()
    now = driver_free = 0.0
    used = dict.fromkeys(("driver", "requests", "bytes", "computing"), 0.0)
    tasks = 0
    while True:
        # The driver takes one answer at a time, and hands out what is ready.
        if answers and driver_free <= now:
            task = answers.popleft()
            flow.done(task, _answer(task))
            free += 1
            driver_free = now + costs.task_s
            used["driver"] += costs.task_s
        while free and (next_task := flow.next()) is not None:
            free, tasks = free - 1, tasks + 1
            work = costs.of(next_task)
            used["requests"] += work.waits + work.ahead
            used["bytes"] += work.size
            used["computing"] += work.computing_s
            begin = max(now, driver_free) + work.waits * costs.request_s
            heapq.heappush(later, (begin, next(tickets), "transfer", next_task))
        times = [later[0][0] if later else float("inf"), network.next_end(), driver_free if answers else float("inf")]
        if min(times) == float("inf"):
            break
        now = max(now, min(times))
        if times[1] == min(times):
            begun, task = network.end(now)
            work = costs.of(task)
            heapq.heappush(later, (max(now + work.after_s, begun + work.least_s), next(tickets), "answer", task))
        elif times[0] == min(times):
            _, _, what, task = heapq.heappop(later)
            if what == "answer":
                answers.append(task)
            else:
                network.begin(now, task, costs.of(task).size)
    return Outcome(
        now,
        used["computing"] / (workers * now),
        used["bytes"] / (costs.bytes_per_s * now),
        used["driver"] / now,
        tasks,
        int(used["requests"]),
    )


def _answer(task: Task) -> Any:
    """What a worker would answer, as far as the driver looks at it."""
    if task.method == "scale":
        slides = frozenset(item.field for item in task.arguments[0].items if item.slide)
        return SettledScale(None, {}, slides)
    if task.method == "cut":
        tiles = int(task.arguments[0][0].place)
        return SimpleNamespace(bands=[(start, min(start + IN_BAND, tiles)) for start in range(0, tiles, IN_BAND)])
    return Totals() if task.method == "sum" else None


def archive_of(fields: int, slides: int, tiles: int) -> Iterator[ArchiveSmear]:
    """Smears of a hundred fields, and of one slide each with so many tiles."""
    for start in range(0, fields, IN_SMEAR):
        name = f"{start:08d}"
        names = (f"{name}/{i}" for i in range(min(IN_SMEAR, fields - start)))
        yield ArchiveSmear(name, tuple(ArchiveField(field, field, name) for field in names))
    for number in range(slides):
        name = f"slide {number}"
        yield ArchiveSmear(name, (ArchiveField(str(tiles), name, name, slide=True),))


def report(*, fields: int, slides: int, tiles: int, workers: list[int], gbit: float, costs: Costs) -> None:
    """Print a row for each number of workers."""
    counted = fields or slides
    unit = "fields" if fields else "slides"
    rows = []
    for number in workers or [1, 2, 8, 32, 64, 128, 256, 512]:
        outcome = simulate(archive_of(fields, slides, tiles), number, costs)
        rows.append(
            (
                str(number),
                f"{counted / outcome.seconds:.{0 if fields else 3}f}",
                f"{outcome.seconds / 3600:.2f}",
                f"{number * outcome.seconds / 3600:.1f}",
                *(f"{100 * share:.0f} %" for share in (outcome.computing, outcome.network, outcome.driver)),
                f"{outcome.requests / outcome.seconds:.0f}",
            )
        )
    head = (
        "workers",
        f"{unit} a second",
        "hours",
        "hours of a core",
        "workers compute",
        "network used",
        "driver busy",
        "requests a second",
    )
    title = f"{fields:,} fields and {slides:,} slides of {tiles:,} tiles, a network of {gbit:g} Gbit/s"
    print(markdown.table(title, head, rows, words=0))


def parser() -> Parser:
    """What the command takes."""
    made = Parser("benchmarks.simulated_archive", "[OPTION]...", __doc__)
    made.add_argument("--fields", type=Number(int, 0), default=100_000, help="in smears of a hundred")
    made.add_argument("--slides", type=Number(int, 0), default=0, help="in smears of one")
    made.add_argument("--tiles", type=Number(int, 1), default=3000, help="of a slide")
    made.add_argument("--workers", type=Number(int, 1), action="append", default=[], help="of one processor each")
    made.add_argument("--gbit", type=Number(float, 0.001), default=1.0, help="Gbit/s of the network that all share")
    made.add_argument("--field-ms", type=Number(float, 0), default=29.4, help="of a processor for a field")
    made.add_argument("--tile-ms", type=Number(float, 0), default=250.0, help="of a processor for a tile")
    made.add_argument("--task-ms", type=Number(float, 0), default=4.7, help="of the driver for a task")
    made.add_argument("--request-ms", type=Number(float, 0), default=20.0, help="until the store answers")
    made.add_argument("--field-kb", type=Number(float, 0), default=50.0, help="bytes of a field, in KB")
    made.add_argument("--tile-kb", type=Number(float, 0), default=100.0, help="bytes of a tile, in KB")
    return made


def measure(*, fields: int, slides: int, tiles: int, workers: list[int], gbit: float, **costs: float) -> None:
    """Simulate with what was given."""
    given = Costs(
        costs["field_ms"] / 1000,
        costs["tile_ms"] / 1000,
        costs["task_ms"] / 1000,
        costs["request_ms"] / 1000,
        costs["field_kb"] * 1000,
        costs["tile_kb"] * 1000,
        gbit * 1e9 / 8,
    )
    report(fields=fields, slides=slides, tiles=tiles, workers=workers, gbit=gbit, costs=given)


if __name__ == "__main__":
    run_command(measure, parser())
