"""Load on the service over the loopback: requests per second, their time, errors, and memory as it goes on.

    python -m benchmarks.service [--seconds 60] [--clients 8] [--batch 1]

Clients ask one after the other, each as soon as it has its answer. A client that is told to come again waits as long as it is told.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import numpy as np
import psutil

from benchmarks import machine, markdown
from detector import shipped
from detector.arguments import Number, Parser
from detector.commandline import run
from detector.errors import EXIT_DONE, EXIT_SOME_FAILED, NothingToDoError

_START_S = 120.0
_REFUSED = 429


@dataclass
class Load:
    """What was seen of the answers."""

    seconds: list[float] = field(default_factory=list)
    """Time to each answer with counts."""
    statuses: Counter[str] = field(default_factory=Counter)
    memory_mb: list[tuple[float, float]] = field(default_factory=list)
    """Seconds since the start, and resident memory of the service with its workers."""

    @property
    def errors(self) -> int:
        """Answers that were neither counts nor a word to come again."""
        return sum(number for status, number in self.statuses.items() if status not in ("200", str(_REFUSED)))


def report(*, seconds: float, clients: int, batch: int) -> int:
    """Ask a service of its own for so long, and print how it answered and what memory it held."""
    fields = sorted(shipped.samples().rglob("*.jpg"))
    if not fields:
        raise NothingToDoError(f"{shipped.samples()}: holds no sample fields; run it in a checkout or an install of this package")
    pictures = [(path.name, path.read_bytes()) for path in fields]
    with tempfile.TemporaryDirectory() as state, _served(Path(state)) as (process, url, token, ready_s):
        load = asyncio.run(_ask(process, url, token, pictures, (seconds, clients, batch)))
    print(json.dumps(machine.described()))
    print(f"\nready after {ready_s:.2f} s\n")
    print(markdown.table("Requests", ("figure", "value"), _rows(load, seconds, batch)))
    print(markdown.table("Memory", ("time, s", "MB"), [(f"{at:.0f}", f"{mb:.0f}") for at, mb in _spread(load.memory_mb)]))
    return EXIT_SOME_FAILED if load.errors or not load.seconds else EXIT_DONE


def _rows(load: Load, seconds: float, batch: int) -> list[tuple[str, str]]:
    percentiles = [f"{1000 * value:.0f}" for value in np.percentile(load.seconds or [np.nan], (50, 95, 99))]
    others = ", ".join(f"{number} of {status}" for status, number in sorted(load.statuses.items()) if status != "200")
    return [
        ("answers with counts per second", f"{len(load.seconds) / seconds:.1f}"),
        ("fields per second", f"{batch * len(load.seconds) / seconds:.1f}"),
        *((f"{name} percentile, ms", value) for name, value in zip(("50th", "95th", "99th"), percentiles, strict=True)),
        ("answers", str(load.statuses.total())),
        ("errors", str(load.errors)),
        ("answers by other status", others or "none"),
    ]


def _spread(memory: Sequence[tuple[float, float]], rows: int = 10) -> list[tuple[float, float]]:
    """Some of many, over the whole time."""
    chosen = np.unique(np.linspace(0, len(memory) - 1, min(rows, len(memory))).astype(int))
    return [memory[i] for i in chosen]


@contextmanager
def _served(state: Path) -> Iterator[tuple[psutil.Process, str, str, float]]:
    """A service as a process of its own: the process, its address, its token, and the time in which it was ready."""
    token, log = secrets.token_hex(24), state / "log.jsonl"
    command = [sys.executable, "-m", "detector.serve", "--address", "0", "--state", str(state / "jobs")]
    with log.open("wb") as written:
        began = time.monotonic()
        process = subprocess.Popen(command, stderr=written, env={**os.environ, "SMEARCOUNT_TOKEN": token})  # noqa: S603
    try:
        while not (ready := [line for line in log.read_text(encoding="utf-8").splitlines() if '"event": "ready"' in line]):
            if process.poll() is not None or time.monotonic() - began > _START_S:
                raise NothingToDoError(f"the service did not start: {log.read_text(encoding='utf-8')[-500:]}")
            time.sleep(0.01)
        yield psutil.Process(process.pid), json.loads(ready[0])["url"], token, time.monotonic() - began
    finally:
        process.terminate()
        process.wait()


async def _ask(
    process: psutil.Process, url: str, token: str, pictures: Sequence[tuple[str, bytes]], plan: tuple[float, int, int]
) -> Load:
    """Ask for `plan`'s seconds with so many clients, for so many fields at a time."""
    seconds, clients, batch = plan
    load, began = Load(), time.monotonic()
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=300, verify=False) as http:  # noqa: S501 - nothing is encrypted
        asking = [_client(http, load, pictures[i:] + pictures[:i], batch, began + seconds) for i in range(clients)]
        await asyncio.gather(_watch(process, load, began, seconds), *asking)
    return load


async def _client(http: httpx.AsyncClient, load: Load, pictures: Sequence[tuple[str, bytes]], batch: int, until: float) -> None:
    number = 0
    while time.monotonic() < until:
        some = [pictures[(number + i) % len(pictures)] for i in range(batch)]
        number += batch
        began = time.monotonic()
        try:
            if batch == 1:
                answer = await http.post("/v1/field", content=some[0][1], headers={"Content-Type": "image/jpeg"})
            else:
                files = [("field", (f"{i}_{name}", content, "image/jpeg")) for i, (name, content) in enumerate(some)]
                answer = await http.post("/v1/batch", files=files)
        except httpx.HTTPError as error:
            load.statuses[type(error).__name__] += 1
            continue
        load.statuses[str(answer.status_code)] += 1
        if answer.status_code == httpx.codes.OK:
            load.seconds.append(time.monotonic() - began)
        elif answer.status_code == _REFUSED:
            await asyncio.sleep(min(int(answer.headers["Retry-After"]), max(0.0, until - time.monotonic())))


async def _watch(process: psutil.Process, load: Load, began: float, seconds: float) -> None:
    while (now := time.monotonic() - began) < seconds:
        held = 0.0
        for each in (process, *process.children(recursive=True)):
            try:
                held += each.memory_info().rss
            except psutil.NoSuchProcess:
                continue
        load.memory_mb.append((now, held / 1e6))
        await asyncio.sleep(1)


def parser() -> Parser:
    """What the command takes."""
    made = Parser("benchmarks.service", "[OPTION]...", report.__doc__)
    made.add_argument("--seconds", type=Number(float, 1), default=60.0, help="for which it is asked")
    made.add_argument("--clients", type=Number(int, 1), default=8, help="that ask at the same time")
    made.add_argument("--batch", type=Number(int, 1), default=1, help="fields in a request")
    return made


if __name__ == "__main__":
    run(report, parser())
